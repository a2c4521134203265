"""The HTTP interface, as far as an agent needs it beside the WebSocket."""

import asyncio
from collections.abc import Sequence
from typing import Any, TypeVar

import httpx
import msgspec
from solders.keypair import Keypair

from perpdex_sdk.answers import (
    Account,
    Escrow,
    FillStatus,
    FundingHour,
    FundingPayment,
    FundingPrediction,
    InsuranceChange,
    InsuranceFund,
    Liquidation,
    LiquidationStep,
    LiquidationSteps,
    MarginPreview,
    Proof,
    Session,
    SubAccountOpened,
    Transfer,
    Withdrawal,
)
from perpdex_sdk.desk_answers import Nav, QuantKey
from perpdex_sdk.errors import UNSEEN, MessageRefused, Refused, Unreachable
from perpdex_sdk.markets import Market, Prices

T = TypeVar("T")
TRIES = 7
PAUSE = 0.2
"""Seconds before the second try, twice as long before each further one: a busy or restarting exchange has 12 s."""
_TITLE = "Sign in to the agent exchange. This signs no transaction and moves no funds."
OVERLOADED = "overloaded"
"""The refusal that passes by itself."""


class _Detail(msgspec.Struct, frozen=True):
    code: str
    message: str
    retryable: bool


class _Error(msgspec.Struct, frozen=True):
    error: _Detail


class _Challenge(msgspec.Struct, frozen=True):
    challenge: str


class _Navs(msgspec.Struct, frozen=True):
    navs: list[Nav]


class _Status(msgspec.Struct, frozen=True):
    prices: Prices


class _Markets(msgspec.Struct, frozen=True):
    markets: list[Market]


class _FundingHours(msgspec.Struct, frozen=True):
    hours: list[FundingHour]


class _FundingPayments(msgspec.Struct, frozen=True):
    payments: list[FundingPayment]


class _Liquidations(msgspec.Struct, frozen=True):
    liquidations: list[Liquidation]


class _Deleveragings(msgspec.Struct, frozen=True):
    deleveragings: list[LiquidationStep]


class _InsuranceChanges(msgspec.Struct, frozen=True):
    changes: list[InsuranceChange]


class Rest:
    """Typed calls. Reads and idempotent calls are repeated a few times when the exchange cannot be reached.

    With `subaccount` they act for that sub-account of the account that signs in; with `token` as whom it was given to.
    """

    def __init__(
        self, url: str, timeout: float = 10.0, subaccount: int | None = None, token: str = ""
    ) -> None:
        self.url = url
        self.subaccount = subaccount
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout)
        self._token = token

    async def close(self) -> None:
        await self._http.aclose()

    async def sign_in(self, keypair: Keypair, name: str, escrow: str) -> Session:
        """Register the agent `name` of this key, or find it, and open a session.

        Raises `MessageRefused` when the text to sign is another than that of the exchange whose money is in `escrow`.
        """
        owner = str(keypair.pubkey())
        for attempt in range(TRIES):
            made = await self.call("POST", "/api/v1/auth/challenge", _Challenge, {"owner": owner})
            _must_sign_in_only(made.challenge, owner, escrow)
            signature = str(keypair.sign_message(made.challenge.encode()))
            body = {"owner": owner, "name": name, "challenge": made.challenge, "signature": signature}
            try:
                session = await self.call("POST", "/api/v1/agents", Session, body, tries=1)
            except (Unreachable, Refused) as error:
                # A challenge is good once, and this one may have been used: sign a new one.
                if attempt == TRIES - 1 or (isinstance(error, Refused) and error.code != OVERLOADED):
                    raise
                await asyncio.sleep(PAUSE * 2**attempt)
                continue
            self._token = session.token
            return session
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def revoke_sessions(self) -> None:
        """Void every session of the account, this one too; sign in again afterwards."""
        await self.call("DELETE", "/api/v1/sessions", type(None))

    async def account(self) -> Account:
        return await self.call("GET", "/api/v1/account", Account)

    async def open_sub_account(self, market: str) -> SubAccountOpened:
        """The account's isolated sub-account for a market, opened when there is none."""
        return await self.call("POST", "/api/v1/account/subaccounts", SubAccountOpened, {"market": market})

    async def transfer(self, giver: int, receiver: int, amount: str, key: str) -> Transfer:
        """Move collateral between the account and a sub-account of its, once for each key."""
        body = {"from": giver, "to": receiver, "amount": amount, "key": key}
        return await self.call("POST", "/api/v1/account/transfers", Transfer, body)

    async def margin_preview(self, market: str, side: str, size: str, price: str) -> MarginPreview:
        body = {"market": market, "side": side, "size": size, "price": price}
        return await self.call("POST", "/api/v1/margin/preview", MarginPreview, body)

    async def markets(self) -> list[Market]:
        return (await self.call("GET", "/api/v1/markets", _Markets)).markets

    async def market(self, symbol: str) -> Market:
        return await self.call("GET", f"/api/v1/markets/{symbol}", Market)

    async def prices(self) -> Prices:
        """How far every market's index is believed, why not further, and what its sources say."""
        return (await self.call("GET", "/api/v1/status", _Status)).prices

    async def funding_history(self, market: str, before: int = 0, limit: int = 100) -> list[FundingHour]:
        """Paid hours of a market, newest first; `before` is an instant."""
        path = f"/api/v1/markets/{market}/funding?limit={limit}" + (f"&before={before}" if before else "")
        return (await self.call("GET", path, _FundingHours)).hours

    async def predicted_funding(self, market: str) -> FundingPrediction:
        return await self.call("GET", f"/api/v1/markets/{market}/funding/predicted", FundingPrediction)

    async def funding_payments(self, before: int = 0, limit: int = 100) -> list[FundingPayment]:
        """What the account paid and received, newest first; `before` is the `seq` of one."""
        path = f"/api/v1/account/funding?limit={limit}" + (f"&before={before}" if before else "")
        return (await self.call("GET", path, _FundingPayments)).payments

    async def liquidations(self, before: int = 0, limit: int = 50) -> list[Liquidation]:
        """Everybody's, newest first; `before` is the number of one."""
        path = f"/api/v1/liquidations?limit={limit}" + (f"&before={before}" if before else "")
        return (await self.call("GET", path, _Liquidations)).liquidations

    async def liquidation(self, number: int) -> LiquidationSteps:
        return await self.call("GET", f"/api/v1/liquidations/{number}", LiquidationSteps)

    async def deleveragings(self, before: int = 0, limit: int = 50) -> list[LiquidationStep]:
        """Newest first; `before` is the `seq` of one."""
        path = f"/api/v1/deleveragings?limit={limit}" + (f"&before={before}" if before else "")
        return (await self.call("GET", path, _Deleveragings)).deleveragings

    async def insurance(self) -> InsuranceFund:
        """The insurance fund as it stands."""
        return await self.call("GET", "/api/v1/insurance", InsuranceFund)

    async def insurance_history(self, before: int = 0, limit: int = 100) -> list[InsuranceChange]:
        """What changed the insurance fund, newest first; `before` is the `seq` of a change."""
        path = f"/api/v1/insurance/history?limit={limit}" + (f"&before={before}" if before else "")
        return (await self.call("GET", path, _InsuranceChanges)).changes

    async def escrow(self) -> Escrow:
        return await self.call("GET", "/api/v1/escrow", Escrow)

    async def fill_status(self, fill: int) -> FillStatus:
        return await self.call("GET", f"/api/v1/fills/{fill}", FillStatus)

    async def fill_proof(self, fill: int) -> Proof:
        return await self.call("GET", f"/api/v1/fills/{fill}/proof", Proof)

    async def balance_proof(self, account: int, batch: int | None = None) -> Proof:
        """Of the newest batch on chain by default."""
        query = "" if batch is None else f"?batch={batch}"
        return await self.call("GET", f"/api/v1/accounts/{account}/proof{query}", Proof)

    async def start_withdrawal(self, amount: str, key: str, destination: str | None) -> Withdrawal:
        body = {"amount": amount, "key": key, "destination": destination}
        return await self.call("POST", "/api/v1/withdrawals", Withdrawal, body)

    async def withdrawal(self, id: str) -> Withdrawal:
        return await self.call("GET", f"/api/v1/withdrawals/{id}", Withdrawal)

    async def quant_key(self, vault: str, name: str, scopes: Sequence[str], days: int) -> QuantKey:
        """A key for a vault that the account manages, with scopes `read` and `trade`, for `Desk`."""
        body = {"vault": vault, "name": name, "scopes": list(scopes), "days": days}
        return await self.call("POST", "/api/v1/quant/keys", QuantKey, body)

    async def nav(self, vault: str) -> Nav | None:
        """The newest snapshot of a vault that the account manages or has shares of; None before the first."""
        found = (await self.call("GET", f"/api/v1/nav?vault={vault}", _Navs)).navs
        return found[0] if found else None

    async def sign_withdrawal(self, id: str, signature: str) -> Withdrawal:
        return await self.call(
            "POST", f"/api/v1/withdrawals/{id}/signature", Withdrawal, {"signature": signature}
        )

    async def call(
        self, method: str, path: str, kind: type[T], body: dict[str, Any] | None = None, tries: int = TRIES
    ) -> T:
        """The answer to a call, as `kind`; it is repeated up to `tries` times in all, so it must be one that may be."""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        if self.subaccount is not None:
            path += f"{'&' if '?' in path else '?'}subaccount={self.subaccount}"
        lost = ""
        for attempt in range(tries):
            try:
                return _read(await self._http.request(method, path, json=body, headers=headers), kind)
            except httpx.TransportError as error:
                lost = type(error).__name__
                if attempt == tries - 1:
                    raise Unreachable(f"{method} {path}: {lost}") from error
            except Refused as refused:
                # What became of a call whose answer was lost is not known from the refusal of its repeat.
                unknown = bool(lost) and refused.code in UNSEEN
                if unknown and attempt == tries - 1:
                    raise Unreachable(f"{method} {path}: {lost}, then {refused}") from refused
                if attempt == tries - 1 or (refused.code != OVERLOADED and not unknown):
                    raise
            await asyncio.sleep(PAUSE * 2**attempt)
        raise AssertionError("unreachable: the last attempt returns or raises")


def _must_sign_in_only(challenge: str, owner: str, escrow: str) -> None:
    """Whoever signed another's text would sign in there for whoever handed it on, or sign more than that."""
    lines = challenge.split("\n")
    if lines[:2] != [_TITLE, f"owner: {owner}"] or lines[4:5] != [f"escrow: {escrow}"]:
        raise MessageRefused(f"the exchange wants another text signed than its own: {challenge!r}")


def _read(response: httpx.Response, kind: type[T]) -> T:
    try:
        if response.is_success:
            return msgspec.json.decode(response.content or b"null", type=kind)
        error = msgspec.json.decode(response.content, type=_Error).error
    except msgspec.DecodeError as wrong:
        raise Unreachable(
            f"HTTP {response.status_code} that is not the exchange's protocol: {wrong}"
        ) from wrong
    raise Refused(error.code, error.message, error.retryable)
