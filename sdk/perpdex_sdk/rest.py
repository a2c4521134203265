"""The HTTP interface, as far as an agent needs it beside the WebSocket."""

import asyncio
from typing import Any, TypeVar

import httpx
import msgspec
from solders.keypair import Keypair

from perpdex_sdk.errors import Refused, Unreachable
from perpdex_sdk.markets import Market, Prices

T = TypeVar("T")
TRIES = 7
PAUSE = 0.2
"""Seconds before the second try, twice as long before each further one: a busy or restarting exchange has 12 s."""
OVERLOADED = "overloaded"
"""The refusal that says that nothing was even looked at."""


class Session(msgspec.Struct, frozen=True):
    account: int
    token: str
    expires_at: int
    websocket: str


class Position(msgspec.Struct, frozen=True):
    market: str
    size: str
    cost: str
    mark: str
    unrealized: str
    maintenance: str = "0"
    leverage: str | None = None
    liquidation_price: str | None = None
    bankruptcy_price: str | None = None


class Place(msgspec.Struct, frozen=True):
    page: int
    slot: int


class SubAccount(msgspec.Struct, frozen=True):
    """An isolated sub-account as its parent sees it."""

    account: int
    market: str
    balance: str
    equity: str
    requirement: str
    maintenance: str
    available: str
    withdrawable: str
    leverage: str | None
    liquidation_price: str | None
    size: str
    head: int
    bankruptcy_price: str | None = None
    withdrawable_code: str | None = None
    unpaid_funding: str = "0"
    collateral: str = "0"


class SubAccountOpened(msgspec.Struct, frozen=True):
    """`repeated`: it was there before."""

    account: int
    parent: int
    market: str
    name: str
    repeated: bool


class Transfer(msgspec.Struct, frozen=True, rename={"giver": "from", "receiver": "to"}):
    """Collateral that moved; `repeated`: it had before, under the same key."""

    giver: int
    receiver: int
    amount: str
    key: str
    repeated: bool


class LossLimit(msgspec.Struct, frozen=True):
    """The owner's loss limit, USDC: the lowest that is in force or to come, and what of it is left in this window."""

    limit: str
    left: str


class Account(msgspec.Struct, frozen=True):
    account: int
    balance: str
    equity: str
    requirement: str
    available: str
    withdrawable: str
    settled: str
    positions: list[Position]
    head: int
    hash: str
    escrow: Place | None
    maintenance: str = "0"
    leverage: str | None = None
    parent: int | None = None
    subaccounts: list[SubAccount] = []
    withdrawable_code: str | None = None
    unpaid_funding: str = "0"
    collateral: str = "0"
    loss_limit: LossLimit | None = None


class Risk(msgspec.Struct, frozen=True):
    """An account at the marks, in USDC."""

    equity: str
    requirement: str
    maintenance: str
    available: str
    leverage: str | None
    collateral: str = "0"


class MarginPreview(msgspec.Struct, frozen=True):
    """What a hypothetical trade would do; `code` is why margin or caps would refuse it."""

    market: str
    allowed: bool
    code: str | None
    size: str
    cost: str
    realized: str
    fee: str
    liquidation_price: str | None
    before: Risk
    after: Risk
    bankruptcy_price: str | None = None


class FundingHour(msgspec.Struct, frozen=True):
    """A paid hour of a market; rates are plain decimals, `rate` for eight hours, `hourly` what was charged; positive: longs pay."""

    hour: int
    at: int
    basis: str
    samples: int
    premium: str
    makers: int
    rate: str
    hourly: str
    index: str | None
    paid: str


class FundingPrediction(msgspec.Struct, frozen=True):
    """What the running hour, which ends at `hour`, will charge if it goes on as it has."""

    market: str
    hour: int
    basis: str
    rate: str
    hourly: str
    premium: str
    samples: int
    expected: int
    makers: int
    cap: str


class FundingPayment(msgspec.Struct, frozen=True):
    """`amount` came in, a negative one was paid."""

    market: str
    hour: int
    at: int
    amount: str
    hourly: str
    index: str
    seq: int


class Liquidation(msgspec.Struct, frozen=True):
    """Somebody's liquidation; no `outcome` while it goes on. Whose it is, only that account is told."""

    liquidation: int
    seq: int
    at: int
    equity: str
    maintenance: str
    outcome: str | None
    ended_at: int | None


class LiquidationStep(msgspec.Struct, frozen=True):
    """An auction, a takeover by the insurance fund, or a deleveraging. Sizes and values are signed: positive closed a long."""

    seq: int
    liquidation: int
    at: int
    kind: str
    market: str
    mark: str
    asked: str
    limit: str | None
    size: str
    value: str
    bankruptcy_value: str
    fee: str
    equity: str
    maintenance: str
    unpaid: str
    counterparties: int


class LiquidationSteps(Liquidation, frozen=True):
    steps: list[LiquidationStep]


class FundHolding(msgspec.Struct, frozen=True):
    market: str
    size: str
    cost: str
    value: str


class InsuranceFund(msgspec.Struct, frozen=True):
    """Accounts are deleveraged when its equity would not cover `maintenance` and `floor`."""

    balance: str
    equity: str
    maintenance: str
    floor: str
    positions: list[FundHolding]
    being_liquidated: bool


class InsuranceChange(msgspec.Struct, frozen=True):
    """`amount` came in; `balance` and `floor` are those after it."""

    seq: int
    at: int
    why: str
    liquidation: int | None
    amount: str
    balance: str
    floor: str


class Escrow(msgspec.Struct, frozen=True):
    program: str
    escrow: str
    vault: str
    mint: str
    rpc_url: str


class FillStatus(msgspec.Struct, frozen=True):
    fill: int
    seq: int
    market: str
    size: str
    price: str
    batch: int | None
    status: str


class Step(msgspec.Struct, frozen=True):
    left: bool
    hash: str


class Proof(msgspec.Struct, frozen=True):
    """What `perpdex_sdk.proofs` checks; hashes and bytes are hexadecimal. `seal` is the signature of the batch's last transaction."""

    batch: int
    leaf: str
    path: list[Step]
    root: str
    seal: str | None = None


class Withdrawal(msgspec.Struct, frozen=True):
    id: str
    amount: str
    status: str
    message: str | None
    signature: str | None
    code: str | None


class _Detail(msgspec.Struct, frozen=True):
    code: str
    message: str
    retryable: bool


class _Error(msgspec.Struct, frozen=True):
    error: _Detail


class _Challenge(msgspec.Struct, frozen=True):
    challenge: str


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

    With `subaccount` they act for that sub-account of the account that signs in.
    """

    def __init__(self, url: str, timeout: float = 10.0, subaccount: int | None = None) -> None:
        self.url = url
        self.subaccount = subaccount
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout)
        self._token = ""

    async def close(self) -> None:
        await self._http.aclose()

    async def sign_in(self, keypair: Keypair, name: str) -> Session:
        """Register the agent `name` of this key, or find it, and open a session."""
        owner = str(keypair.pubkey())
        for attempt in range(TRIES):
            made = await self._call("POST", "/api/v1/auth/challenge", _Challenge, {"owner": owner})
            signature = str(keypair.sign_message(made.challenge.encode()))
            body = {"owner": owner, "name": name, "challenge": made.challenge, "signature": signature}
            try:
                session = await self._call("POST", "/api/v1/agents", Session, body, tries=1)
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
        await self._call("DELETE", "/api/v1/sessions", type(None))

    async def account(self) -> Account:
        return await self._call("GET", "/api/v1/account", Account)

    async def open_sub_account(self, market: str) -> SubAccountOpened:
        """The account's isolated sub-account for a market, opened when there is none."""
        return await self._call("POST", "/api/v1/account/subaccounts", SubAccountOpened, {"market": market})

    async def transfer(self, giver: int, receiver: int, amount: str, key: str) -> Transfer:
        """Move collateral between the account and a sub-account of its, once for each key."""
        body = {"from": giver, "to": receiver, "amount": amount, "key": key}
        return await self._call("POST", "/api/v1/account/transfers", Transfer, body)

    async def margin_preview(self, market: str, side: str, size: str, price: str) -> MarginPreview:
        body = {"market": market, "side": side, "size": size, "price": price}
        return await self._call("POST", "/api/v1/margin/preview", MarginPreview, body)

    async def markets(self) -> list[Market]:
        return (await self._call("GET", "/api/v1/markets", _Markets)).markets

    async def market(self, symbol: str) -> Market:
        return await self._call("GET", f"/api/v1/markets/{symbol}", Market)

    async def prices(self) -> Prices:
        """How far every market's index is believed, why not further, and what its sources say."""
        return (await self._call("GET", "/api/v1/status", _Status)).prices

    async def funding_history(self, market: str, before: int = 0, limit: int = 100) -> list[FundingHour]:
        """Paid hours of a market, newest first; `before` is an instant."""
        path = f"/api/v1/markets/{market}/funding?limit={limit}" + (f"&before={before}" if before else "")
        return (await self._call("GET", path, _FundingHours)).hours

    async def predicted_funding(self, market: str) -> FundingPrediction:
        return await self._call("GET", f"/api/v1/markets/{market}/funding/predicted", FundingPrediction)

    async def funding_payments(self, before: int = 0, limit: int = 100) -> list[FundingPayment]:
        """What the account paid and received, newest first; `before` is the `seq` of one."""
        path = f"/api/v1/account/funding?limit={limit}" + (f"&before={before}" if before else "")
        return (await self._call("GET", path, _FundingPayments)).payments

    async def liquidations(self, before: int = 0, limit: int = 50) -> list[Liquidation]:
        """Everybody's, newest first; `before` is the number of one."""
        path = f"/api/v1/liquidations?limit={limit}" + (f"&before={before}" if before else "")
        return (await self._call("GET", path, _Liquidations)).liquidations

    async def liquidation(self, number: int) -> LiquidationSteps:
        return await self._call("GET", f"/api/v1/liquidations/{number}", LiquidationSteps)

    async def deleveragings(self, before: int = 0, limit: int = 50) -> list[LiquidationStep]:
        """Newest first; `before` is the `seq` of one."""
        path = f"/api/v1/deleveragings?limit={limit}" + (f"&before={before}" if before else "")
        return (await self._call("GET", path, _Deleveragings)).deleveragings

    async def insurance(self) -> InsuranceFund:
        """The insurance fund as it stands."""
        return await self._call("GET", "/api/v1/insurance", InsuranceFund)

    async def insurance_history(self, before: int = 0, limit: int = 100) -> list[InsuranceChange]:
        """What changed the insurance fund, newest first; `before` is the `seq` of a change."""
        path = f"/api/v1/insurance/history?limit={limit}" + (f"&before={before}" if before else "")
        return (await self._call("GET", path, _InsuranceChanges)).changes

    async def escrow(self) -> Escrow:
        return await self._call("GET", "/api/v1/escrow", Escrow)

    async def fill_status(self, fill: int) -> FillStatus:
        return await self._call("GET", f"/api/v1/fills/{fill}", FillStatus)

    async def fill_proof(self, fill: int) -> Proof:
        return await self._call("GET", f"/api/v1/account/fills/{fill}/proof", Proof)

    async def balance_proof(self, batch: int) -> Proof:
        return await self._call("GET", f"/api/v1/account/batches/{batch}/proof", Proof)

    async def start_withdrawal(self, amount: str, key: str, destination: str | None) -> Withdrawal:
        body = {"amount": amount, "key": key, "destination": destination}
        return await self._call("POST", "/api/v1/withdrawals", Withdrawal, body)

    async def withdrawal(self, id: str) -> Withdrawal:
        return await self._call("GET", f"/api/v1/withdrawals/{id}", Withdrawal)

    async def sign_withdrawal(self, id: str, signature: str) -> Withdrawal:
        return await self._call(
            "POST", f"/api/v1/withdrawals/{id}/signature", Withdrawal, {"signature": signature}
        )

    async def _call(
        self, method: str, path: str, kind: type[T], body: dict[str, Any] | None = None, tries: int = TRIES
    ) -> T:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        if self.subaccount is not None:
            path += f"{'&' if '?' in path else '?'}subaccount={self.subaccount}"
        for attempt in range(tries):
            try:
                return _read(await self._http.request(method, path, json=body, headers=headers), kind)
            except httpx.TransportError as error:
                if attempt == tries - 1:
                    raise Unreachable(f"{method} {path}: {type(error).__name__}") from error
            except Refused as refused:
                if refused.code != OVERLOADED or attempt == tries - 1:
                    raise
            await asyncio.sleep(PAUSE * 2**attempt)
        raise AssertionError("unreachable: the last attempt returns or raises")


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
