"""Client of the engine's operator door: commands and reads over HTTP, with the answers typed.

What is not answered is unknown, never refused: a timeout or a broken connection raises a retryable error, and the repeat is harmless
because every command is idempotent under its key. A refusal that will not change raises a non-retryable error whose type is the code.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import httpx
import msgspec
from temporalio.exceptions import ApplicationError

from matcher.commands import Command

UNREACHABLE: Final = "engine_unreachable"
"""Error type of a question that was not answered: whether it took effect is unknown."""
DOOR: Final = "/api/v1/operator"
RETRY_LATER: Final = timedelta(seconds=1)
PLACES_MAX: Final = 500
"""Accounts that one question may be about."""


class Answer(msgspec.Struct, frozen=True):
    """What a command led to: the journal sequence after it and its events, each a mapping with its name under ``type``.

    `repeated`: the command had been carried out before; the events are those of the first time.
    """

    seq: int
    repeated: bool
    events: list[dict[str, Any]]

    def event(self, kind: str) -> dict[str, Any]:
        """The only event of that kind. Raises `LookupError` when there is none: the command and its answer do not match."""
        for event in self.events:
            if event["type"] == kind:
                return event
        raise LookupError(f"no {kind} in the engine's answer {self.events!r}")


class CutAccount(msgspec.Struct, frozen=True, gc=False):
    """A bound account at a cut. Money in micro-USDC; `delta` may be zero.

    A sub-account has the slot of its parent, whose `delta` is that of both.
    """

    account: int
    owner: str
    page: int
    slot: int
    delta: int
    balance: int
    equity: int


class CutView(msgspec.Struct, frozen=True):
    """A settlement cut: covers the records after `previous_seq` up to `seq`; `marks` are (market, price in ticks).

    The deltas sum to `left_over`, what earlier batches took on chain and gave to nobody.
    """

    batch: int
    seq: int
    previous_seq: int
    at: int
    marks: list[tuple[int, int]]
    left_over: int
    accounts: list[CutAccount]


class BookedAccount(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An account with a slot, micro-USDC: `settled` is what the chain holds for it once the last cut has landed, of which `delta`.

    `unapplied` is the sum of what batches did not do for it, `foreign` the number of the last withdrawal that was taken over, or 0.
    """

    account: int
    owner: str
    page: int
    slot: int
    balance: int
    settled: int
    delta: int
    unapplied: int
    foreign: int = 0


class BookedWithdrawal(msgspec.Struct, frozen=True):
    withdrawal: int
    account: int
    amount: int


class BookedExit(msgspec.Struct, frozen=True):
    """Up to `amount` micro-USDC may be claimed from second `exit_at` on."""

    account: int
    amount: int
    exit_at: int


class StandingExit(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A request to leave as the engine knows it, and the place on chain of whose it is. Up to `amount` micro-USDC may be claimed from
    second `exit_at` on. The engine took note of it at `at`, in nanoseconds.

    `quoting`: quotes stand that may have lost their cover; `closing`: positions stand against it, and it is time to close them. Where
    neither is, telling the request again changes nothing.
    """

    account: int
    owner: str
    page: int
    slot: int
    amount: int
    exit_at: int
    quoting: bool
    closing: bool
    at: int


class BookedLossLimit(msgspec.Struct, frozen=True):
    """Of `limit` micro-USDC within a window settlement may still take `left`, once the last cut has landed."""

    account: int
    limit: int
    left: int


class BooksView(msgspec.Struct, frozen=True):
    """Every account with a slot at journal sequence `seq`; `batch` is the last cut (0: none), `status` how far it was.

    `exits` are the requests to leave that stand. `claimed` is what owners took alone, `claimed_astray` what was so taken from slots
    that these books do not know, in micro-USDC. `loss_limits` are those of owners that the engine knows of. Of the accounts
    `done_with`, once they are closed on chain, the slot may be given to another. `strangers` are slots, (page, slot), that were
    accepted as none of the exchange's; `left_over` is what the next cut gives of what earlier batches took and gave to nobody.
    """

    seq: int
    batch: int
    status: int
    last_withdrawal: int
    reserved: list[BookedWithdrawal]
    claimed: int
    exits: list[BookedExit]
    loss_limits: list[BookedLossLimit]
    done_with: list[int]
    accounts: list[BookedAccount]
    strangers: list[tuple[int, int]]
    left_over: int
    claimed_astray: int = 0

    def booked(self, claimed: int) -> bool:
        """Whether these books know of all claims in a view of the chain in which `claimed` micro-USDC were claimed in all."""
        return self.claimed + self.claimed_astray == claimed


class OrderedSlot(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where the books have an account's slot: a sub-account's is its parent's."""

    account: int
    owner: str
    page: int
    slot: int


class LimitsView(msgspec.Struct, frozen=True):
    """Whose loss limits the engine knows (`limited`), and of the accounts that were asked about the slots of those that have one
    (`places`); `batch` is the last cut (0: none), `status` how far it was.
    """

    batch: int
    status: int
    limited: list[int]
    places: list[OrderedSlot]


class Unbound(msgspec.Struct, frozen=True):
    """An account that has no slot on chain yet."""

    account: int
    owner: str


class UnboundPage(msgspec.Struct, frozen=True):
    """Some of the accounts without a slot: the newest, and those after the last look; `next` is where the next look begins."""

    accounts: list[Unbound]
    next: int


class OpenWithdrawal(msgspec.Struct, frozen=True):
    """A reservation that is not closed: micro-USDC under the owner's `key`, made at `at` (nanoseconds).

    Empty `destination`: the owner's own token account.
    """

    account: int
    owner: str
    amount: int
    key: str
    destination: str
    at: int


class FundingDue(msgspec.Struct, frozen=True):
    """A market's hours (since the Unix epoch) that have ended and wait to be paid, oldest first; those up to `settled` are done."""

    market: int
    symbol: str
    settled: int
    unpaid: list[int]


class Below(msgspec.Struct, frozen=True):
    """An account below its maintenance requirement, micro-USDC."""

    account: int
    equity: int
    maintenance: int


class Inventory(msgspec.Struct, frozen=True):
    """A position of the insurance fund, signed lots."""

    market: int
    size: int


class Liquidations(msgspec.Struct, frozen=True):
    """What is liquidated, and accounts below maintenance about which nothing is done; `selling`: the fund sells something now."""

    forgotten: list[Below]
    going_on: list[int]
    inventory: list[Inventory]
    selling: bool


class EngineState(msgspec.Struct, frozen=True):
    """Totals of the exchange, in micro-USDC. `vault_expected` is what came in less what the chain paid out, of which owners took
    `claimed` alone; `exits` requests to leave stand, and `loss_limits` owners bound what settlement may take.

    `settlement_held` says why no batch is cut; empty while they are. Of `withdrawals`, `astray` counts as gone but lies in slots that
    the books do not know, or was claimed from there; `claimed_astray` is all that was claimed from there. `exit_delay` is in seconds,
    0 before the engine was told, and so is `limit_delay`, after which a lower loss limit counts.
    """

    seq: int
    balances_total: int
    deposits: int
    withdrawals: int
    reserved: int
    conserved: bool
    positions_zero_sum: bool
    vault_expected: int
    claimed: int
    exits: int
    loss_limits: int
    settlement_held: str
    astray: int
    exit_delay: int
    claimed_astray: int = 0
    limit_delay: int = 0


class HashedState(EngineState, frozen=True, kw_only=True):
    """With the hash of the whole exchange at `seq`, in hexadecimal."""

    state_hash: str


class _Error(msgspec.Struct, frozen=True):
    code: str
    message: str
    retryable: bool


class _Refusal(msgspec.Struct, frozen=True):
    error: _Error


class EngineDoor:
    """The operator's way into the engine. `url` is the API's base address, `token` the operator's bearer token."""

    def __init__(self, url: str, token: str, timeout_s: float = 10.0) -> None:
        self._http = httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=timeout_s
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def command(self, command: Command) -> Answer:
        """Have `command` decided and, when it changed something durable, journaled."""
        body = await self._ask("POST", f"{DOOR}/commands", msgspec.json.encode(command))
        return msgspec.json.decode(body, type=Answer)

    async def cut(self, batch: int) -> CutView:
        """The cut of `batch`; the engine keeps the last one only."""
        return msgspec.json.decode(await self._ask("GET", f"{DOOR}/settlement/cuts/{batch}"), type=CutView)

    async def books(self) -> BooksView:
        return msgspec.json.decode(await self._ask("GET", f"{DOOR}/settlement/accounts"), type=BooksView)

    async def exits(self) -> list[StandingExit]:
        """The requests to leave that stand: what they cost the engine does not depend on how many accounts there are."""
        return msgspec.json.decode(
            await self._ask("GET", f"{DOOR}/settlement/exits"), type=list[StandingExit]
        )

    async def loss_limits(self, accounts: Sequence[int]) -> LimitsView:
        """Whose loss limits the engine knows, and the slots of these `accounts`, of which it takes `PLACES_MAX`.

        It costs the engine a few bytes for each limit that there is, and a line for each account asked about, however many others
        there are.
        """
        asked = "&".join(f"account={one}" for one in accounts)
        return msgspec.json.decode(
            await self._ask("GET", f"{DOOR}/settlement/loss-limits?{asked}"), type=LimitsView
        )

    async def unbound(self, after: int) -> UnboundPage:
        body = await self._ask("GET", f"{DOOR}/accounts/unbound?after={after}")
        return msgspec.json.decode(body, type=UnboundPage)

    async def open_withdrawals(self) -> list[OpenWithdrawal]:
        body = await self._ask("GET", f"{DOOR}/withdrawals/open")
        return msgspec.json.decode(body, type=list[OpenWithdrawal])

    async def funding(self) -> list[FundingDue]:
        """What is due of every market."""
        return msgspec.json.decode(await self._ask("GET", f"{DOOR}/funding"), type=list[FundingDue])

    async def liquidations(self) -> Liquidations:
        """The engine looks at every account for it: not for polling."""
        return msgspec.json.decode(await self._ask("GET", f"{DOOR}/liquidations"), type=Liquidations)

    async def liquidations_going_on(self, accounts: Sequence[int] = ()) -> Liquidations:
        """The same, `forgotten` only of these `accounts`, of which it takes `PLACES_MAX`: all others cost nothing."""
        asked = "&".join(f"account={one}" for one in accounts)
        path = f"{DOOR}/liquidations/going-on?{asked}"
        return msgspec.json.decode(await self._ask("GET", path), type=Liquidations)

    async def state(self) -> EngineState:
        return msgspec.json.decode(await self._ask("GET", f"{DOOR}/state"), type=EngineState)

    async def hashed_state(self) -> HashedState:
        """`state` with its hash, for which the engine holds up everything else: not for polling."""
        return msgspec.json.decode(await self._ask("GET", f"{DOOR}/state?hash=true"), type=HashedState)

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        try:
            response = await self._http.request(
                method, path, content=body, headers={"Content-Type": "application/json"} if body else None
            )
        except httpx.TransportError as error:
            raise ApplicationError(
                f"{method} {path}: {type(error).__name__}: {error}", type=UNREACHABLE
            ) from error
        if response.is_success:
            return response.content
        raise _failure(response)


def _failure(response: httpx.Response) -> ApplicationError:
    """The error a failed answer stands for. Only a refusal with a code that says so is final."""
    where = f"{response.request.method} {response.request.url.path}"
    try:
        error = msgspec.json.decode(response.content, type=_Refusal).error
    except msgspec.DecodeError:
        return ApplicationError(f"{where}: HTTP {response.status_code} without a code", type=UNREACHABLE)
    if response.is_server_error or error.retryable:
        return ApplicationError(f"{where}: {error.message}", type=error.code, next_retry_delay=RETRY_LATER)
    return ApplicationError(f"{where}: {error.message}", type=error.code, non_retryable=True)
