"""A Synthetix on this machine: `/v1/info` and `/v1/trade` as the venue of 2026 has them, and `/control` for who tests.

Its books, margin and matching are those of the local Hyperliquid; signatures, units, shapes and words are Synthetix's. What changes
books needs a nonce above the last one of the same key.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web

from core.market import Side
from core.quantities import NotAQuantity
from core.tickets import PriceE8, e8_text, price_from, size_from
from venues.local import synthetix_answers as answers
from venues.local.hyperliquid_accounts import MICRO
from venues.local.hyperliquid_actions import HALF, Funding, Price
from venues.local.hyperliquid_market import Asset
from venues.local.hyperliquid_orders import Exchange, Told
from venues.local.journal import Journal
from venues.local.misbehaviour import Kind
from venues.local.serving import Door
from venues.local.synthetix_signatures import NotSigned, signer

ASSETS: Final = (
    Asset("BTC-USDT", 4, 40, price_from("60000"), size_from("2"), step=price_from("0.1")),
    Asset("ETH-USDT", 3, 25, price_from("3000"), size_from("30"), step=price_from("0.01")),
    Asset("XAU-USDT", 3, 20, price_from("4000"), size_from("20"), step=price_from("0.01")),
)
FIRST_ACCOUNT: Final = 1_867_542_890_123_456_789
MARKET_RANGE: Final = 10
"""Percent from the price within which an order at the market fills."""
CHANGES: Final = frozenset({"placeOrders", "cancelOrders", "updateLeverage"})


class _Request(msgspec.Struct, frozen=True):
    params: dict[str, Any]
    nonce: int = 0
    expiresAfter: int = 0
    signature: dict[str, Any] = {}


class Opened(msgspec.Struct, frozen=True, tag="opened"):
    """The next sub-account, for an owner, with micro-dollars in it."""

    owner: str
    amount: int


class Changed(msgspec.Struct, frozen=True, tag="changed"):
    """A request whose signature was checked."""

    signer: str
    params: dict[str, Any]
    nonce: int
    expires_after: int
    most: int | None = None


class Journaled(msgspec.Struct, frozen=True):
    at: int
    command: Opened | Price | Funding | Changed


class Failed(Exception):
    """A request that is refused as a whole: HTTP status, code and words."""

    def __init__(self, status: int, code: str, words: str) -> None:
        super().__init__(words)
        self.status, self.code = status, code


class LocalSynthetix(Door):
    """The venue. `clock` is nanoseconds since the epoch."""

    def __init__(
        self,
        assets: Sequence[Asset] = ASSETS,
        journal: Path | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._journal = Journal(journal, Journaled)
        super().__init__(self._journal)
        self._clock = clock
        self.exchange = Exchange(assets)
        self.owners: dict[str, str] = {}
        self._nonces: dict[str, int] = {}
        self._last_ms = 0
        self._stale: tuple[dict[str, Any], dict[str, Any]] | None = None
        for entry in self._journal.earlier:
            self._apply(entry)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/info", self._info),
            web.post("/v1/trade", self._trade),
            web.post("/control/account", self._open),
            web.post("/control/price", self._price),
            web.post("/control/funding", self._funding),
        ]

    def misbehaves(self) -> None:
        if not self.misbehaviour.lasts(Kind.STALE_BOOK):
            self._stale = None
        elif self._stale is None:
            self._stale = self._market()

    def do(self, command: Opened | Price | Funding | Changed) -> Any:
        """Carry a command out; the response. Raises `Failed`."""
        entry = Journaled(max(self._now_ms(), self._last_ms), command)
        self._journal.write(entry)
        answer = self._apply(entry)
        if isinstance(answer, Failed):
            raise answer
        return answer

    def _now_ms(self) -> int:
        return self._clock() // 1_000_000

    def _market(self) -> tuple[dict[str, Any], dict[str, Any]]:
        now = self._now_ms()
        books = {coin: answers.orderbook(self.exchange, coin, now) for coin in self.exchange.assets}
        return answers.prices(self.exchange, now), books

    # --- what changes books ---

    def _apply(self, entry: Journaled) -> Any:
        self._last_ms = entry.at
        # Nobody listens here: there is no WebSocket.
        self.exchange.told = Told()
        match entry.command:
            case Opened(owner, amount):
                account = str(FIRST_ACCOUNT + len(self.owners))
                self.owners[account] = owner.lower()
                self.exchange.deposit(account, amount * MICRO)
                return account
            case Price(coin, price):
                self.exchange.move(coin, price, entry.at)
            case Funding(coin, rate):
                return {"paid": self.exchange.pay_funding(coin, rate, entry.at)}
            case Changed() as changed:
                return self._changed(changed, entry.at)
        return {}

    def _changed(self, asked: Changed, at: int) -> Any:
        if asked.nonce <= self._nonces.get(asked.signer, 0):
            return Failed(401, "INVALID_NONCE", f"nonce {asked.nonce} is not above the last one")
        self._nonces[asked.signer] = asked.nonce
        if 0 < asked.expires_after < at:
            return Failed(400, "REQUEST_EXPIRED", f"the request expired at {asked.expires_after}")
        params = asked.params
        user = params["subaccountId"]
        try:
            match params["action"]:
                case "placeOrders":
                    return {"statuses": [self._place(user, one, at, asked.most) for one in params["orders"]]}
                case "cancelOrders":
                    wanted = params.get("clientOrderIds") or [int(one) for one in params["orderIds"]]
                    return {"statuses": [self._cancel(user, one, at) for one in wanted]}
                case _:
                    return self._leverage(user, params)
        except (KeyError, TypeError, ValueError) as wrong:
            return Failed(400, "VALIDATION_ERROR", f"not a valid request: {wrong}")

    def _place(self, user: str, order: dict[str, Any], at: int, most: int | None) -> dict[str, Any]:
        client, coin, kind = order["clientOrderId"], order["symbol"], order["orderType"]
        if coin not in self.exchange.assets:
            return answers.error(f"market {coin} not found", client, "MARKET_NOT_FOUND")
        if kind not in answers.ORDER_TYPES:
            return answers.error(f"{kind} orders are not simulated", client)
        if client and self.exchange.find(user, client) is not None:
            return answers.error(f"duplicate clientOrderId {client}", client, "IDEMPOTENCY_CONFLICT")
        asset, side = self.exchange.assets[coin], Side.BUY if order["side"] == "buy" else Side.SELL
        price = order["price"]
        if kind == "market":
            bound = self.exchange.prices[coin] * (100 + side * MARKET_RANGE) // 100
            price = e8_text(PriceE8(bound // asset.step * asset.step))
        wire = {
            "a": self.exchange.universe.index(asset),
            "b": side is Side.BUY,
            "p": e8_text(price_from(price)),
            "s": e8_text(size_from(order["quantity"])),
            "r": order["reduceOnly"],
            "t": {"limit": {"tif": "Alo" if order.get("postOnly") else answers.ORDER_TYPES[kind]}},
            **({"c": client} if client else {}),
        }
        status = self.exchange.place(user, wire, at, most)
        last = max(self.exchange.orders, default=0)
        made = self.exchange.find(user, client) if client else self.exchange.orders.get(last)
        if made is None:
            return answers.error(status["error"], client)
        return answers.placed(made, status)

    def _cancel(self, user: str, which: str | int, at: int) -> dict[str, Any]:
        order = self.exchange.find(user, which)
        done = None if order is None else self.exchange.cancel(user, order.coin, order.oid, at)
        if order is None or done != "success":
            return answers.error(f"order {which} not found", str(which), "ORDER_NOT_FOUND")
        return {"canceled": {"order": answers.order_id(order), "id": str(order.oid)}}

    def _leverage(self, user: str, params: dict[str, Any]) -> Any:
        asset, times = self.exchange.assets[params["symbol"]], int(params["leverage"])
        if not 1 <= times <= asset.max_leverage:
            return Failed(400, "INVALID_LEVERAGE", f"leverage is 1 to {asset.max_leverage}")
        self.exchange.account(user).leverage[asset.name] = (times, True)
        return {"symbol": asset.name, "leverage": params["leverage"]}

    # --- the venue's doors ---

    async def _info(self, request: web.Request) -> web.Response:
        try:
            params = msgspec.json.decode(await request.read(), type=_Request).params
            return self._ok(self._public(params))
        except (msgspec.DecodeError, KeyError, TypeError) as wrong:
            return self._error(Failed(400, "VALIDATION_ERROR", str(wrong)))

    def _public(self, params: dict[str, Any]) -> Any:
        prices, books = self._stale or self._market()
        match params["action"]:
            case "getMarkets":
                return answers.markets(self.exchange)
            case "getMarketPrices":
                return prices
            case "getOrderbook":
                return books[params["symbol"]]
            case "getSubAccountIds":
                owner = params["walletAddress"].lower()
                return [account for account, whose in self.owners.items() if whose == owner]
        raise KeyError(params["action"])

    async def _trade(self, request: web.Request) -> web.StreamResponse:
        try:
            asked = msgspec.json.decode(await request.read(), type=_Request)
            changes = asked.params["action"] in CHANGES
        except (msgspec.DecodeError, KeyError) as wrong:
            return self._error(Failed(400, "VALIDATION_ERROR", str(wrong)))

        async def act(kind: Kind | None) -> web.StreamResponse:
            try:
                return self._ok(self._checked(asked, changes, HALF if kind is Kind.PARTIAL_FILL else None))
            except Failed as failed:
                return self._error(failed)

        return await (self.answered(request, act) if changes else act(None))

    def _checked(self, asked: _Request, changes: bool, most: int | None) -> Any:
        try:
            who = signer(asked.params, asked.nonce, asked.expiresAfter, asked.signature)
        except NotSigned as wrong:
            raise Failed(401, "UNAUTHORIZED", f"Invalid signature: {wrong}") from wrong
        user = asked.params["subaccountId"]
        if self.owners.get(user) != who:
            raise Failed(401, "UNAUTHORIZED", "Unauthorized subaccount access")
        if changes:
            return self.do(Changed(who, asked.params, asked.nonce, asked.expiresAfter, most))
        return self._private(user, asked.params)

    def _private(self, user: str, params: dict[str, Any]) -> Any:
        exchange = self.exchange
        match params["action"]:
            case "getPositions":
                return answers.positions(exchange, user, params)
            case "getOpenOrders":
                return [answers.open_order(order) for order in exchange.open_orders(user)]
            case "getOrderHistory":
                client = params.get("clientOrderId")
                mine = [order for order in exchange.orders.values() if order.user == user]
                found = [order for order in reversed(mine) if client in (None, order.cloid)]
                return [answers.past_order(order) for order in found[: params.get("limit", 50)]]
            case "getTrades":
                self._remembered(params)
                found_trades = answers.trades(exchange, user, params)
                if self.misbehaviour.lasts(Kind.DUPLICATE):
                    found_trades["trades"] = [row for row in found_trades["trades"] for _ in range(2)]
                return found_trades
            case "getFundingPayments":
                self._remembered(params)
                return answers.funding_payments(exchange, user, params)
            case "getSubAccount":
                return answers.sub_account(exchange, user)
        raise Failed(400, "VALIDATION_ERROR", f"{params['action']} is not simulated")

    def _remembered(self, params: dict[str, Any]) -> None:
        """Raises `Failed` for a list that the venue does not give."""
        if params.get("startTime", self._now_ms()) < self._now_ms() - answers.MEMORY_MS:
            raise Failed(400, "VALIDATION_ERROR", answers.TOO_OLD)
        if params.get("limit", answers.USUAL) > answers.PAGE:
            raise Failed(400, "VALIDATION_ERROR", f"limit is at most {answers.PAGE}")

    def too_many(self) -> web.StreamResponse:
        return self._error(Failed(429, "RATE_LIMIT_EXCEEDED", "Too many requests"))

    def _ok(self, response: Any) -> web.Response:
        body = {"status": "ok", "response": response, "request_id": "local", "timestamp": self._now_ms()}
        return web.Response(body=msgspec.json.encode(body), content_type="application/json")

    def _error(self, failed: Failed) -> web.Response:
        said = {"code": failed.code, "message": str(failed), "retryable": failed.status == 429}
        body = {"status": "error", "error": said, "request_id": "local", "timestamp": self._now_ms()}
        return web.json_response(body, status=failed.status)

    # --- for who tests ---

    async def _open(self, request: web.Request) -> web.Response:
        return await self._commanded(
            request, lambda body: Opened(body["owner"], size_from(body["usd"]) // 100)
        )

    async def _price(self, request: web.Request) -> web.Response:
        return await self._commanded(request, lambda body: Price(self._coin(body), price_from(body["price"])))

    async def _funding(self, request: web.Request) -> web.Response:
        return await self._commanded(
            request, lambda body: Funding(self._coin(body), price_from(body["rate"]))
        )

    def _coin(self, body: dict[str, Any]) -> str:
        return self.exchange.assets[body["symbol"]].name

    async def _commanded(
        self, request: web.Request, read: Callable[[dict[str, Any]], Opened | Price | Funding]
    ) -> web.Response:
        try:
            command = read(msgspec.json.decode(await request.read(), type=dict[str, Any]))
        except (msgspec.DecodeError, NotAQuantity, KeyError, AttributeError, TypeError) as wrong:
            return self._error(Failed(400, "VALIDATION_ERROR", str(wrong)))
        return self._ok(self.do(command))
