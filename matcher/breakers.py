"""What the exchange remembers for its circuit breakers, and its place in snapshots."""

from collections.abc import Iterable

import msgspec

from core.open_interest import Lows
from core.operator_events import DelistingAnnounced, OpenInterestJumped, SettlementHeld


class Breakers(msgspec.Struct):
    """Durable, by market. `limited` have limits that an operator set; `closing` says since when a market takes nothing that opens.
    `chosen` are as an operator listed them last, which no start of another release changes.

    `announced` are the ends of markets that are to come. `lows` are those of markets with an alarm and `jumps` their last jumps.
    `held`: an operator holds withdrawals. `settlement`: why no batch is cut, None while they are.
    """

    limited: set[int] = set()
    closing: dict[int, int] = {}
    lows: dict[int, Lows] = {}
    jumps: dict[int, OpenInterestJumped] = {}
    held: bool = False
    settlement: SettlementHeld | None = None
    announced: dict[int, DelistingAnnounced] = {}
    chosen: set[int] = set()


class BreakersImage(msgspec.Struct, array_like=True):
    """The same in a canonical order. `negative` is empty: who is below zero was kept there before the watch knew it. `chosen` is None
    in images from before it was kept: then every market counts as chosen, as who listed it is not known."""

    limited: list[int] = []
    closing: list[tuple[int, int]] = []
    lows: list[tuple[int, Lows]] = []
    jumps: list[OpenInterestJumped] = []
    negative: list[int] = []
    held: bool = False
    settlement: SettlementHeld | None = None
    announced: list[DelistingAnnounced] = []
    chosen: list[int] | None = None


def image_of(breakers: Breakers) -> BreakersImage:
    return BreakersImage(
        sorted(breakers.limited),
        sorted(breakers.closing.items()),
        [(market, breakers.lows[market]) for market in sorted(breakers.lows)],
        [breakers.jumps[market] for market in sorted(breakers.jumps)],
        [],
        breakers.held,
        breakers.settlement,
        [breakers.announced[market] for market in sorted(breakers.announced)],
        sorted(breakers.chosen),
    )


def breakers_in(image: BreakersImage, markets: Iterable[int]) -> Breakers:
    """`markets` are all that are listed."""
    return Breakers(
        set(image.limited),
        dict(image.closing),
        dict(image.lows),
        {jump.market: jump for jump in image.jumps},
        image.held,
        image.settlement,
        {announced.market: announced for announced in image.announced},
        set(markets if image.chosen is None else image.chosen),
    )
