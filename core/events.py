"""What happened. Events carry every amount, so applying one decides nothing.

Durable events (`DURABLE`, tags 1 to 99) are journal records and make up the replayable state; those of `core.book_events` die with
the process (every agent's connection dies with it, and quotes are pulled on disconnect). Journal layout: array-like msgpack with a
numeric tag; fields may only be appended, with defaults, so every older journal stays readable.
"""

from enum import StrEnum
from typing import Final, get_args

from core.book_events import DeadlinePassed as DeadlinePassed
from core.book_events import DeadlineSet as DeadlineSet
from core.book_events import MakerFrozen as MakerFrozen
from core.book_events import MakerPassed as MakerPassed
from core.book_events import ProtectionSet as ProtectionSet
from core.book_events import QuoteGiven as QuoteGiven
from core.book_events import QuoteRejected as QuoteRejected
from core.book_events import QuotesPulled as QuotesPulled
from core.book_events import QuotesSet as QuotesSet
from core.book_events import QuoteWithdrawn as QuoteWithdrawn
from core.book_events import RequestOpened as RequestOpened
from core.book_events import StandingReduced as StandingReduced
from core.book_events import Subscribed as Subscribed
from core.custody_events import CUSTODY_RECORDS
from core.debt_events import DEBT_RECORDS
from core.event import Event as Event
from core.exit_events import EXIT_RECORDS
from core.funding_events import FUNDING_RECORDS
from core.funding_events import FundingSettled as FundingSettled
from core.funding_events import HourEnded as HourEnded
from core.funding_events import PremiumSampled as PremiumSampled
from core.liquidation_events import (
    LIQUIDATION_RECORDS,
)
from core.loss_limit_events import LossLimitsSeen
from core.market import Market
from core.operator_events import OPERATOR_RECORDS
from core.subaccount_events import SUB_ACCOUNT_RECORDS
from core.validity import Validity


class RequestOutcome(StrEnum):
    """How a request ended. A request that could not fill may also end with a rejection code."""

    FILLED = "filled"
    PARTIAL = "partial"
    UNFILLED = "unfilled"
    """Its time was up, or every maker had answered, and nothing within its limit could fill it."""
    CANCELLED = "cancelled"
    """Withdrawn; or an auction of the exchange that no bid could win, as its market's price was not believed at its close or nothing
    had to be sold any more."""


class EpochStarted(Event, frozen=True, array_like=True, tag=1):
    epoch: int


class MarketListed(Event, frozen=True, array_like=True, tag=2):
    """`who` and `why` as in `core.operator_events`; empty in records older than those."""

    market: Market
    who: str = ""
    why: str = ""


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
    tick), `of_quotes` what the standing quotes and the last fill say, `outside` the mids of other venues. `price` is what they make
    (`core.mark_price.mark_price`), as far as the market's terms let it come since the last. Without `of_quotes` nothing
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
