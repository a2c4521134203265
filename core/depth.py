"""What standing quotes say of a price when nobody is believed alone: crossed lots trade away, no owner is more than half a depth."""

from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Final, NamedTuple

from core.premium import impact_price
from core.quantities import MILLION, Ppm, divide_up

OWNERS_MIN: Final = 2
"""Owners that the depth of a side is made of, at least: each counts for no more than its share of it."""
NEAR: Final = Ppm(5_000)
"""How far a standing quote may be from the middle of the quotes, as far as a mark may be from its index."""


class Firm(NamedTuple):
    """A level that a taker could really trade against: price in ticks, lots, and whose it is."""

    price: int
    lots: int
    account: int
    owner: str


class Depth(NamedTuple):
    """Prices of trading a depth, in millionths of a tick, None where the quotes do not hold so much; and the accounts they are of."""

    bid: int | None
    ask: int | None
    accounts: frozenset[int]


def depth(bids: Iterable[Firm], asks: Iterable[Firm], tick_value: int, notional: int) -> Depth:
    """What it costs to trade `notional` micro-USDC (positive) on either side of quotes given best first.

    `tick_value` is micro-USDC per tick and lot. Takes no more from the quotes than it needs.
    """
    bids, asks = uncrossed(bids, asks)
    accounts: set[int] = set()
    prices = []
    for levels, ask in ((bids, False), (asks, True)):
        used: set[int] = set()
        price = impact_price(_shared(levels, tick_value, notional, used), tick_value, notional, ask=ask)
        prices.append(price)
        if price is not None:
            accounts |= used
    return Depth(prices[0], prices[1], frozenset(accounts))


def uncrossed(bids: Iterable[Firm], asks: Iterable[Firm]) -> tuple[Iterator[Firm], Iterator[Firm]]:
    """What is left of both sides (best first) when bids at or above an ask have traded with it: the smaller side of a lie is gone."""
    bids, asks = iter(bids), iter(asks)
    bid, ask = next(bids, None), next(asks, None)
    while bid is not None and ask is not None and bid.price >= ask.price:
        traded = min(bid.lots, ask.lots)
        bid = bid._replace(lots=bid.lots - traded) if bid.lots > traded else next(bids, None)
        ask = ask._replace(lots=ask.lots - traded) if ask.lots > traded else next(asks, None)
    return _with(bid, bids), _with(ask, asks)


def _with(first: Firm | None, others: Iterator[Firm]) -> Iterator[Firm]:
    if first is not None:
        yield first
        yield from others


def _shared(
    levels: Iterable[Firm], tick_value: int, notional: int, used: set[int]
) -> Iterator[tuple[int, int]]:
    """Price and lots of the levels, of each owner as far as its share of `notional` goes; `used` gains the accounts.

    A share ends with the lot that fills it, so owners whose lots come to a share exactly are enough.
    """
    share = divide_up(notional, OWNERS_MIN)
    left: dict[str, int] = {}
    for price, lots, account, owner in levels:
        rest = left.get(owner, share)
        if rest <= 0:
            continue
        counted = min(lots, divide_up(rest, price * tick_value))
        left[owner] = rest - counted * price * tick_value
        used.add(account)
        yield price, counted


def standing(bids: Iterable[Firm], asks: Iterable[Firm], tick_value: int, notional: int) -> dict[str, int]:
    """Owners that hold their share of `notional` on both sides near the middle of quotes given best first, and their lots.

    Lots are those of the owner's smaller side. Who quotes less, on one side only or further away says nothing of the price. The middle
    is between the prices at which either side comes to a share, whoever's: what is less, or crossed, moves it nowhere; nobody stands
    where there is none.
    """
    share = divide_up(notional, OWNERS_MIN)
    left = [list(side) for side in uncrossed(bids, asks)]
    bid, ask = (_price_of(levels, tick_value, share) for levels in left)
    if bid is None or ask is None:
        return {}
    reach = NEAR * (bid + ask)
    near = (
        takewhile(lambda level: (bid + ask - 2 * level.price) * MILLION <= reach, left[0]),
        takewhile(lambda level: (2 * level.price - bid - ask) * MILLION <= reach, left[1]),
    )
    bought, sold = (_held(levels, tick_value, share) for levels in near)
    return {owner: min(lots, sold[owner]) for owner, lots in bought.items() if owner in sold}


def _price_of(levels: Iterable[Firm], tick_value: int, share: int) -> int | None:
    """Ticks of the level that brings the levels before it to `share` micro-USDC; None when there is none."""
    for level in levels:
        share -= level.price * level.lots * tick_value
        if share <= 0:
            return level.price
    return None


def _held(levels: Iterable[Firm], tick_value: int, share: int) -> dict[str, int]:
    """Lots of the owners that hold at least `share` micro-USDC of the levels."""
    held: dict[str, tuple[int, int]] = {}
    for price, size, _, owner in levels:
        lots, value = held.get(owner, (0, 0))
        held[owner] = lots + size, value + price * size * tick_value
    return {owner: lots for owner, (lots, value) in held.items() if value >= share}
