"""Records of what operators decide about markets, and of what the breakers do by themselves.

`who` is the name of an operator's credential, or `EXCHANGE` for what a rule did; `why` is the reason given. Both are kept for ever.
"""

from bisect import bisect_left
from typing import Final

import msgspec

from core.event import Event
from core.market_limits import MarketLimits

EXCHANGE: Final = "exchange"
"""Who acted when it was no operator but a rule of the exchange."""
NETWORK: Final = "operator"
"""Whose credential the network's own processes use."""


class LimitsSet(Event, frozen=True, array_like=True, tag=24):
    """A market's limits from here on, all of them. `forced`: although accounts fell below their maintenance requirement by it."""

    market: int
    limits: MarketLimits
    forced: bool
    who: str
    why: str


class OpenInterestJumped(Event, frozen=True, array_like=True, tag=25):
    """Open interest (lots) rose from `lowest` to `open_interest` faster than the market's alarm lets pass unsaid."""

    market: int
    lowest: int
    open_interest: int


class SettledPosition(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One account's end in a delisted market: the signed lots that it held, what they realized, and what it gave (negative) towards
    others' debts or was given; micro-USDC."""

    account: int
    size: int
    realized: int
    shared: int


class MarketSettled(Event, frozen=True, array_like=True, tag=26):
    """A market was delisted: every position closed at `price` (ticks), in the order of the accounts.

    `price` is the average of the index over the hour that ended at `until`, for `believed` nanoseconds of which it was believed for
    settlement. Where that is 0 it is the last index: none was believed in that hour, or the record is from before averages.
    `fund` is what the insurance fund paid towards the debts of accounts below zero, so `shared` adds up to it; `uncovered` is what
    nobody could pay. `forced`: not at an announced instant, whatever its accounts' other indexes were worth.
    """

    market: int
    price: int
    positions: tuple[SettledPosition, ...]
    fund: int
    uncovered: int
    forced: bool
    who: str
    why: str
    until: int = 0
    believed: int = 0


class DelistingAnnounced(Event, frozen=True, array_like=True, tag=50):
    """The market ends at the instant `settles_at`, or as soon after it as everybody can be settled with. From then on nothing fills.

    Opening it before takes the announcement back.
    """

    market: int
    settles_at: int
    who: str
    why: str


class WithdrawalsHeld(Event, frozen=True, array_like=True, tag=27):
    """From here on no withdrawal is reserved (`held`), or they are again."""

    held: bool
    who: str
    why: str


class SettlementHeld(Event, frozen=True, array_like=True, tag=60):
    """From here on no batch is cut (`held`), because the books differ or an operator wants it so; or batches are cut again."""

    held: bool
    who: str
    why: str


class RetryOrdered(Event, frozen=True, array_like=True, tag=62):
    """An operator had the batch taken up anew, whose number on chain somebody else's has: nothing of ours is there."""

    batch: int
    who: str
    why: str


class SaleOrdered(Event, frozen=True, array_like=True, tag=41):
    """An operator had the insurance fund sell of what it holds in the market: records of the auction follow."""

    market: int
    who: str
    why: str


class ReviewOrdered(Event, frozen=True, array_like=True, tag=42):
    """An operator had the engine look at the account; records of its liquidation follow if it is due."""

    account: int
    who: str
    why: str


class SharingOrdered(Event, frozen=True, array_like=True, tag=47):
    """An operator had those pay, too, who hold no position and never had to do with the account, for what was left of its debt."""

    account: int
    who: str
    why: str


OPERATOR_RECORDS: Final = (
    LimitsSet
    | OpenInterestJumped
    | MarketSettled
    | DelistingAnnounced
    | WithdrawalsHeld
    | SettlementHeld
    | RetryOrdered
    | SaleOrdered
    | ReviewOrdered
    | SharingOrdered
)


def end_of(event: MarketSettled, account: int) -> SettledPosition:
    """The account's own end in a market in which it held something. Found in the logarithm of their number: a record has many."""
    return event.positions[bisect_left(event.positions, account, key=lambda end: end.account)]


def alone(event: MarketSettled, account: int) -> MarketSettled:
    """The record with this account's end only."""
    return msgspec.structs.replace(event, positions=(end_of(event, account),))


def without_ends(event: MarketSettled) -> MarketSettled:
    """The record without anybody's end."""
    return msgspec.structs.replace(event, positions=())
