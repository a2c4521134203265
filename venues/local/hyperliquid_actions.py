"""Commands of the local Hyperliquid: what changes its books, one after another, each with its time.

Played again they give the same books.
"""

from typing import Any, Final

import msgspec

from venues.local.hyperliquid_accounts import DOLLAR, MICRO
from venues.local.hyperliquid_market import read
from venues.local.hyperliquid_orders import Exchange
from venues.local.hyperliquid_signatures import Nonces

HALF: Final = 500_000
"""Parts per million that an order fills of when a venue is to fill in parts."""


class Deposit(msgspec.Struct, frozen=True, tag="deposit"):
    """Credit micro-USDC to an address, which has an account from then on."""

    user: str
    amount: int


class Price(msgspec.Struct, frozen=True, tag="price"):
    """Have the house stand around another price, in 1e-8."""

    coin: str
    price: int


class Funding(msgspec.Struct, frozen=True, tag="funding"):
    """Have everybody pay `rate`, in 1e-8 of the notional, once."""

    coin: str
    rate: int


class Signed(msgspec.Struct, frozen=True, tag="signed"):
    """An action whose signature was checked. `most` bounds what its orders fill at once, in parts per million."""

    signer: str
    action: dict[str, Any]
    nonce: int
    vault: str | None = None
    expires_after: int | None = None
    most: int | None = None


Command = Deposit | Price | Funding | Signed


class Journaled(msgspec.Struct, frozen=True):
    """A command and its time in milliseconds."""

    at: int
    command: Command


class Books:
    """Everything the venue knows."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.nonces = Nonces()
        self.opened: set[str] = set()
        self.last_ms = 0

    def do(self, command: Command, at: int) -> dict[str, Any]:
        """Carry a command out; the answer of `/exchange`."""
        self.last_ms = at
        match command:
            case Deposit(user, amount):
                self.opened.add(user.lower())
                self.exchange.deposit(user.lower(), amount * MICRO)
            case Price(coin, price):
                self.exchange.move(coin, price, at)
            case Funding(coin, rate):
                return ok({"type": "default", "paid": self.exchange.pay_funding(coin, rate, at)})
            case Signed():
                return self._signed(command, at)
        return ok({"type": "default"})

    def _signed(self, command: Signed, at: int) -> dict[str, Any]:
        user = self.exchange.agents.get(command.signer, command.signer)
        if user not in self.opened:
            return error(f"User or API Wallet {command.signer} does not exist.")
        if command.vault is not None:
            return error(f"Vault not registered: {command.vault}")
        refused = self.nonces.take(command.signer, command.nonce, at)
        if refused is not None:
            return error(refused)
        if command.expires_after is not None and at > command.expires_after:
            return error(f"Action expired: {command.expires_after} is before {at}")
        self.exchange.account(user).requests += 1
        try:
            return self._act(user, command, at)
        except (KeyError, TypeError, IndexError, AttributeError):
            return error("Failed to deserialize the JSON body into the target type")

    def _act(self, user: str, command: Signed, at: int) -> dict[str, Any]:
        action, exchange = command.action, self.exchange
        match action["type"]:
            case "order":
                statuses = [exchange.place(user, wire, at, command.most) for wire in action["orders"]]
            case "cancel":
                statuses = [
                    exchange.cancel(user, self._coin(one["a"]), one["o"], at) for one in action["cancels"]
                ]
            case "cancelByCloid":
                statuses = [
                    exchange.cancel_by_cloid(user, self._coin(one["asset"]), one["cloid"], at)
                    for one in action["cancels"]
                ]
            case "batchModify":
                statuses = [exchange.modify(user, one["oid"], one["order"], at) for one in action["modifies"]]
            case "modify":
                answer = exchange.modify(user, action["oid"], action["order"], at)
                return error(answer["error"]) if "error" in answer else ok({"type": "default"})
            case "updateLeverage":
                return self._leverage(user, action)
            case "usdSend":
                return self._send(user, action)
            case "approveAgent":
                # A key that may trade for an account and take nothing out of it.
                exchange.agents[action["agentAddress"].lower()] = user
                return ok({"type": "default"})
            case other:
                return error(f"{other} is not simulated")
        kind = "order" if action["type"] == "batchModify" else action["type"].removesuffix("ByCloid")
        return ok({"type": kind, "data": {"statuses": statuses}})

    def _coin(self, number: int) -> str:
        return self.exchange.universe[number].name

    def _leverage(self, user: str, action: dict[str, Any]) -> dict[str, Any]:
        asset, times = self.exchange.universe[action["asset"]], action["leverage"]
        account = self.exchange.account(user)
        before = account.leverage_of(asset)
        if not 1 <= times <= asset.max_leverage:
            return error("Invalid leverage value")
        account.leverage[asset.name] = (times, bool(action["isCross"]))
        exchange = self.exchange
        if account.margin_used(exchange.assets, exchange.prices) > account.value(exchange.prices):
            account.leverage[asset.name] = before
            return error("Cannot decrease leverage with open positions")
        return ok({"type": "default"})

    def _send(self, user: str, action: dict[str, Any]) -> dict[str, Any]:
        amount, account = read(action["amount"]), self.exchange.account(user)
        exchange = self.exchange
        free = account.value(exchange.prices) - account.margin_used(exchange.assets, exchange.prices)
        if amount is None or not 0 < amount * DOLLAR // 10**8 <= free:
            return error("Insufficient balance for withdrawal")
        account.cash -= amount * DOLLAR // 10**8
        self.opened.add(action["destination"].lower())
        exchange.deposit(action["destination"].lower(), amount * DOLLAR // 10**8)
        return ok({"type": "default"})


def ok(response: dict[str, Any]) -> dict[str, Any]:
    return {"status": "ok", "response": response}


def error(words: str) -> dict[str, Any]:
    return {"status": "err", "response": words}
