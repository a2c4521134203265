"""What happened. Events carry every amount, so applying one decides nothing.

Durable events (`DURABLE`) are journal records and make up the replayable state; the others describe requests and quotes, which
die with the process (every agent's connection dies with it, and quotes are pulled on disconnect). Journal layout: array-like
msgpack with a numeric tag; fields may only be appended, with defaults, so every older journal stays readable.
"""

from enum import StrEnum
from typing import Final, get_args

from msgspec.structs import replace

from core.accounts import FIRST_AGENT, INSURANCE
from core.custody_events import CUSTODY_RECORDS
from core.debt_events import DEBT_RECORDS, DebtCovered
from core.debt_events import part_of as debt_part
from core.event import Event as Event
from core.exit_events import EXIT_RECORDS, ExitClaimed, ExitReleased, ExitRequested
from core.funding_events import FUNDING_RECORDS, part_of
from core.funding_events import FundingSettled as FundingSettled
from core.funding_events import HourEnded as HourEnded
from core.funding_events import PremiumSampled as PremiumSampled
from core.liquidation_events import (
    LIQUIDATION_RECORDS,
    Deleveraged,
    FundStanding,
    LiquidationEnded,
    LiquidationSliced,
    LiquidationStarted,
    MarginWarned,
    TakenOver,
)
from core.loss_limit_events import LossLimitsSeen
from core.market import Market
from core.operator_events import OPERATOR_RECORDS, MarketSettled, alone
from core.subaccount_events import SUB_ACCOUNT_RECORDS, SubAccountOpened, Transferred
from core.validity import Validity


class RequestOutcome(StrEnum):
    """How a request ended. A request that could not fill may also end with a rejection code."""

    FILLED = "filled"
    PARTIAL = "partial"
    UNFILLED = "unfilled"
    """Its time was up, or every maker had answered, and nothing within its limit could fill it."""
    CANCELLED = "cancelled"


# --- durable: tags 1-99 --------------------------------------------------------------------------------------------


class EpochStarted(Event, frozen=True, array_like=True, tag=1):
    epoch: int


class MarketListed(Event, frozen=True, array_like=True, tag=2):
    market: Market


class MarketStatusSet(Event, frozen=True, array_like=True, tag=3):
    """`who` and `why` as in `core.operator_events`; empty in records older than those."""

    market: int
    status: int
    who: str = ""
    why: str = ""


class IndexUpdated(Event, frozen=True, array_like=True, tag=4):
    """A market's index as the feed judged it at `published`. Prices are ticks.

    With `held` nobody believes the newest price, so price, confidence and source are those of the last one that was believed, and
    the mark stays as it was.
    """

    market: int
    price: int
    confidence: int
    published: int
    source: str
    validity: Validity = Validity.VALID
    held: bool = False


class AgentRegistered(Event, frozen=True, array_like=True, tag=5):
    account: int
    owner: str
    name: str


class TierSet(Event, frozen=True, array_like=True, tag=6):
    account: int
    tier: int


class SlotBound(Event, frozen=True, array_like=True, tag=7):
    account: int
    page: int
    slot: int


class DepositCredited(Event, frozen=True, array_like=True, tag=8):
    account: int
    amount: int
    key: str


class WithdrawalReserved(Event, frozen=True, array_like=True, tag=9):
    """`destination` is the token account to be paid: empty for the owner's associated one, or unknown, as in older records."""

    withdrawal: int
    account: int
    amount: int
    key: str
    destination: str = ""


class WithdrawalFinished(Event, frozen=True, array_like=True, tag=10):
    withdrawal: int
    account: int
    amount: int
    paid: bool
    signature: str


class Filled(Event, frozen=True, array_like=True, tag=11):
    """One trade. `side` is the taker's; realized PnL is before fees; the taker pays `fee` to the treasury.

    `*_cost` are the micro-USDC costs of the two positions after it (sizes change by `side * size` and its opposite).
    `index` is the index price at the fill.
    """

    fill: int
    request: int
    quote: int
    market: int
    taker: int
    maker: int
    side: int
    size: int
    price: int
    fee: int
    taker_realized: int
    maker_realized: int
    taker_cost: int
    maker_cost: int
    index: int


class RequestClosed(Event, frozen=True, array_like=True, tag=12):
    """The final answer to a request: what a repeat of its key returns.

    `value` is the summed notional of its fills (average price = value / filled). `terms` packs the request's other terms
    into one integer, exactly, so that a repeat with another payload is seen.
    """

    request: int
    account: int
    key: str
    terms: int
    market: int
    side: int
    size: int
    filled: int
    value: int
    outcome: str
    fills: tuple[int, ...]


class SettlementCut(Event, frozen=True, array_like=True, tag=13):
    """Everything before this record belongs to batch `batch` or an earlier one. `marks` are (market, mark price in ticks)."""

    batch: int
    marks: tuple[tuple[int, int], ...]


class BatchAdvanced(Event, frozen=True, array_like=True, tag=14):
    batch: int
    status: int
    signatures: tuple[str, ...]


class MarkUpdated(Event, frozen=True, array_like=True, tag=15):
    """A market's mark until its next index price that is believed. Such a price that none of these follows is the mark itself.

    Prices are ticks, 0 for a view that there was not: `with_basis` is the index plus the average basis (`basis`, millionths of a
    tick), `of_quotes` what the standing quotes and the last fill say, `outside` the mids of other venues. `price` is their median,
    with the index in the place of a missing one, as far as the market's terms let it come since the last. Without `of_quotes` nothing
    was learned about the basis. `bid`, `ask` and `last` are what `of_quotes` is of before they are held near the index: impact prices
    of quotes that could be traded against, 0 for none, and the last fill, 0 where it does not count; `makers` whose quotes they are.
    """

    market: int
    price: int
    with_basis: int
    of_quotes: int
    basis: int
    outside: int = 0
    bid: int = 0
    ask: int = 0
    last: int = 0
    makers: tuple[int, ...] = ()


class SessionsRevoked(Event, frozen=True, array_like=True, tag=32):
    """Session tokens of the account that name a generation below this one are void."""

    account: int
    generation: int


# --- volatile: tags from 100 ---------------------------------------------------------------------------------------


class RequestOpened(Event, frozen=True, array_like=True, tag=100):
    request: int
    account: int
    key: str
    terms: int
    market: int
    side: int
    size: int
    limit: int
    expires: int
    auto: bool
    all_or_none: bool
    reduce_only: bool
    show_side: bool
    makers: tuple[int, ...]


class QuoteGiven(Event, frozen=True, array_like=True, tag=101):
    quote: int
    request: int
    account: int
    bid: int
    ask: int
    size: int
    min_fill: int
    expires: int
    index: int


class MakerPassed(Event, frozen=True, array_like=True, tag=102):
    request: int
    account: int


class QuoteWithdrawn(Event, frozen=True, array_like=True, tag=103):
    request: int
    account: int
    why: str


class QuotesSet(Event, frozen=True, array_like=True, tag=104):
    account: int
    market: int
    first: int
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]
    expires: int
    index: int


class QuotesPulled(Event, frozen=True, array_like=True, tag=105):
    account: int
    market: int
    why: str


class Subscribed(Event, frozen=True, array_like=True, tag=106):
    account: int
    markets: tuple[int, ...]


class DeadlineSet(Event, frozen=True, array_like=True, tag=107):
    account: int
    deadline: int


class ProtectionSet(Event, frozen=True, array_like=True, tag=108):
    account: int
    market: int
    window: int
    size: int
    net: int
    freeze: int


class MakerFrozen(Event, frozen=True, array_like=True, tag=109):
    account: int
    market: int
    until: int


class QuoteRejected(Event, frozen=True, array_like=True, tag=110):
    """A firm quote that could not be honoured at the fill: for the maker's public statistics, and told to the maker."""

    account: int
    request: int
    quote: int
    market: int
    code: str


class StandingReduced(Event, frozen=True, array_like=True, tag=111):
    """A standing level shrank by a fill; it disappears at zero."""

    account: int
    market: int
    side: int
    quote: int
    left: int


class DeadlinePassed(Event, frozen=True, array_like=True, tag=112):
    """The earliest deadline has been dealt with."""

    due: int
    kind: int
    id: int
    market: int


DURABLE: Final = (
    EpochStarted
    | MarketListed
    | MarketStatusSet
    | IndexUpdated
    | AgentRegistered
    | TierSet
    | SlotBound
    | DepositCredited
    | WithdrawalReserved
    | WithdrawalFinished
    | Filled
    | RequestClosed
    | SettlementCut
    | BatchAdvanced
    | MarkUpdated
    | SessionsRevoked
    | LIQUIDATION_RECORDS
    | FUNDING_RECORDS
    | OPERATOR_RECORDS
    | SUB_ACCOUNT_RECORDS
    | DEBT_RECORDS
    | EXIT_RECORDS
    | LossLimitsSeen
    | CUSTODY_RECORDS
)
"""Union of the event types that are journal records."""


DURABLE_TYPES: Final[frozenset[type[Event]]] = frozenset(get_args(DURABLE))
"""The same as a set: whether a type is in it is known at once, where `isinstance` asks the union's members one by one."""

_OF_ONE_ACCOUNT: Final = frozenset(
    {
        AgentRegistered,
        TierSet,
        SlotBound,
        DepositCredited,
        WithdrawalReserved,
        WithdrawalFinished,
        RequestClosed,
        SessionsRevoked,
        LiquidationStarted,
        LiquidationSliced,
        TakenOver,
        LiquidationEnded,
        MarginWarned,
        ExitRequested,
        ExitReleased,
    }
)


_NOT_SHOWN: Final = FundStanding(0, 0, 0)


def concerns(event: Event) -> tuple[int, ...]:
    """Accounts whose numbered private stream carries this durable event, in order, each once.

    The engine's counters and the ledger's must agree for ever, so both ask here.
    """
    kind = type(event)
    if kind is Filled:
        taker, maker = event.taker, event.maker  # type: ignore[attr-defined]
        return (taker, maker) if taker != maker else (taker,)
    if kind is FundingSettled:
        # The insurance fund's part is nobody's private matter.
        return tuple(account for account, _ in event.payments if account >= FIRST_AGENT)  # type: ignore[attr-defined]
    if kind in _OF_ONE_ACCOUNT:
        return (event.account,)  # type: ignore[attr-defined]
    if kind is Deleveraged:
        # The fund's part is nobody's private matter.
        others = {part.other for part in event.parts} - {INSURANCE}  # type: ignore[attr-defined]
        return (event.account, *sorted(others))  # type: ignore[attr-defined]
    if kind is MarketSettled:
        # The insurance fund's part is nobody's private matter.
        return tuple(end.account for end in event.positions if end.account >= FIRST_AGENT)  # type: ignore[attr-defined]
    if kind is ExitClaimed:
        return (event.account, *(account for account, _ in event.given))  # type: ignore[attr-defined]
    if kind is Transferred:
        return event.giver, event.receiver  # type: ignore[attr-defined]
    if kind is SubAccountOpened:
        return event.parent, event.account  # type: ignore[attr-defined]
    if kind is DebtCovered:
        owed_by = (event.account, *(account for account, _ in event.shares))  # type: ignore[attr-defined]
        return tuple(account for account in owed_by if account >= FIRST_AGENT)
    return ()


def seen_by(event: Event, account: int) -> Event:
    """What an account that `event` concerns is told of it: of a record about several accounts only its own part."""
    if isinstance(event, FundingSettled):
        return part_of(event, account)
    if isinstance(event, MarketSettled):
        return alone(event, account)
    if isinstance(event, DebtCovered):
        return debt_part(event, account)
    if isinstance(event, Deleveraged) and account != event.account:
        parts = tuple(part for part in event.parts if part.other == account)
        hidden = {"account": 0, "equity": 0, "maintenance": 0, "fund": _NOT_SHOWN, "left": 0}
        return replace(event, parts=parts, **hidden)
    return event
