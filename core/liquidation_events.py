"""What happened in liquidations. Every record carries its amounts, and what the decision was made from."""

import msgspec

from core.event import Event
from core.liquidation import LiquidationTerms

Holding = tuple[int, int, int]
"""A market, the lots held there (signed), and its mark in ticks."""


class Handover(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`size` lots (signed) go from the liquidated account to account `other`, which pays `value` micro-USDC for them (signed alike).

    `cost` and `other_cost` are the micro-USDC costs of the two positions after it, `realized` what each side's balance gains.
    """

    other: int
    market: int
    mark: int
    size: int
    value: int
    cost: int
    realized: int
    other_cost: int
    other_realized: int


class FundStanding(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The insurance fund before a step, micro-USDC: what it has, what its positions require, the floor that it must keep, what they
    require at first, and what it had when the period began. The last two are 0 in records from before they counted."""

    equity: int
    maintenance: int
    floor: int
    initial: int = 0
    began: int = 0


class LiquidationStarted(Event, frozen=True, array_like=True, tag=18):
    """The account fell below its maintenance requirement. What it had asked and quoted is withdrawn, and nothing new is taken."""

    liquidation: int
    account: int
    equity: int
    maintenance: int
    positions: tuple[Holding, ...]


class LiquidationSliced(Event, frozen=True, array_like=True, tag=19):
    """An auction is over: `size` lots (signed) of the position were closed for `value` micro-USDC (signed alike); none if nobody bid.

    It had asked for `asked` lots at `limit` ticks or better, decided from the state after record `decided_after` (0: not known,
    as the process of an older program died in between). `held` lots and the account's `equity` and `maintenance` are from before the
    fills, at `mark`. `bound` is what the lots had to bring so that the account's margin ratio did not get worse; of what they brought
    above it `fee` goes to the insurance fund.
    """

    liquidation: int
    account: int
    request: int
    market: int
    mark: int
    held: int
    equity: int
    maintenance: int
    decided_after: int
    asked: int
    limit: int
    size: int
    value: int
    bound: int
    fee: int
    fills: tuple[int, ...]
    terms: LiquidationTerms


class TakenOver(Event, frozen=True, array_like=True, tag=20):
    """The insurance fund took every position whose price was trusted over at its bankruptcy value: the account is left with exactly
    nothing, or with what it holds elsewhere."""

    liquidation: int
    account: int
    equity: int
    maintenance: int
    fund: FundStanding
    parts: tuple[Handover, ...]


class Deleveraged(Event, frozen=True, array_like=True, tag=21):
    """The fund could not take the account over: a position was closed against opposite ones at its bankruptcy value.

    When the account is the fund itself, of which only what lies above its floor counts, the value is that at the mark, or in
    its market's last hour what it counts for, as long as it has anything, and what is left stays.

    `size` lots (signed) had to bring `value` micro-USDC (signed alike). `left` of them (signed) nobody could pay for: the last of
    the parts gives them to the insurance fund, although that takes it below its floor.
    """

    liquidation: int
    account: int
    equity: int
    maintenance: int
    fund: FundStanding
    market: int
    mark: int
    size: int
    value: int
    greedy: bool
    left: int
    parts: tuple[Handover, ...]


class LiquidationEnded(Event, frozen=True, array_like=True, tag=22):
    """`why` is "recovered" when the account meets its requirement again, else what closed its last position: "sold", "taken_over",
    "deleveraged" or "delisted"."""

    liquidation: int
    account: int
    why: str
    equity: int
    maintenance: int


class MarginWarned(Event, frozen=True, array_like=True, tag=23):
    """Maintenance has come to `level` (parts per million) of the account's equity; a lower level than the last one takes that back."""

    account: int
    level: int
    equity: int
    maintenance: int


class InsuranceFloorSet(Event, frozen=True, array_like=True, tag=48):
    """What the insurance fund must keep, in micro-USDC, besides what its positions require, when it takes accounts over.

    `who` and `why` as in `core.operator_events`; empty in records older than those.
    """

    floor: int
    who: str = ""
    why: str = ""


class LiquidationPaused(Event, frozen=True, array_like=True, tag=118):
    """Volatile: no auction of the account's before `until`, because nobody bid or its market may not fill.

    `stuck`: it is the insurance fund, and nobody can pay for what it holds.
    """

    account: int
    until: int
    stuck: bool = False


class PriceAwaited(Event, frozen=True, array_like=True, tag=119):
    """Volatile: the market's price is not trusted for `action`, so accounts in it wait for its next one: to be warned whatever else
    they hold, to be liquidated if they hold nothing with a price that is."""

    market: int
    action: str


class ReviewAsked(Event, frozen=True, array_like=True, tag=120):
    """Volatile: the account needs a look, whatever is believed to be known about it: an operator asked for it, or what its margin
    depends on has changed since the last."""

    account: int


LIQUIDATION_RECORDS = (
    LiquidationStarted
    | LiquidationSliced
    | TakenOver
    | Deleveraged
    | LiquidationEnded
    | MarginWarned
    | InsuranceFloorSet
)
"""Union of the event types of this family that are journal records."""
