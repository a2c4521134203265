"""Which makers a request asks, and whom it prefers when there are more than it may ask."""

from collections.abc import Iterable
from heapq import nlargest
from typing import Final

from core.quantities import MILLION, SECOND, divide_up
from matcher.account import Account
from matcher.book import Book, Ranking
from matcher.exiting import leaving_of
from matcher.limits import MAKER_EQUITY_MIN, MAKERS_ASKED_MAX, MAKERS_LOOKED_MAX
from matcher.state import Exchange

BACKED_SHARE: Final = 10
"""A maker that could back less than a tenth of the request, by its free margin or by a position that it would close, is not asked."""
BEST_SHARE: Final = 2
"""Half of the places are for those who can back most."""
PROVEN_SHARE: Final = 4
"""A quarter of the places are for those whose quotes were filled most. The others are drawn by lot."""
RANKED_FOR: Final = SECOND
"""How long a ranking of more makers than one request looks at holds: all requests meanwhile share its work."""


def makers_asked(
    state: Exchange, owner: str, market: int, size: int, at: int, most: int = MAKERS_ASKED_MAX
) -> list[int]:
    """Subscribed makers of other owners than `owner` that could trade, are not frozen and not being liquidated; at most `most`.

    A maker has at least `MAKER_EQUITY_MIN` and could back a part of the request. When there are too many, those who speak come before
    those who do not, then one account of each owner before the second of any; among equals half of the places are for those who can
    back most, a quarter for those filled most, and lots are drawn for the rest. Looks at `MAKERS_LOOKED_MAX` makers at most.
    """
    book = state.book
    makers = book.makers[market]
    looked: Iterable[Account] = makers.values()
    if len(makers) > MAKERS_LOOKED_MAX:
        # Who was ranked may have left since.
        looked = [makers[maker] for maker in _looked(state, market, at) if maker in makers]
    able = _able(state, market, looked, owner, size)
    if state.liquidations:
        able = [maker for maker in able if maker not in state.liquidations]
    if book.frozen:
        able = [maker for maker in able if book.frozen.get((maker, market), 0) <= at]
    return able if len(able) <= most else _chosen(book, market, _backings(state, market, able), most)


def _able(state: Exchange, market: int, makers: Iterable[Account], owner: str, size: int) -> list[int]:
    """Those of the makers that are of other owners than `owner` and could back a part of `size` lots."""
    marked, exits = state.marked, state.exits
    lots = divide_up(size, BACKED_SHARE)
    plenty = max(MAKER_EQUITY_MIN, lots * state.conditions[market].most_per_lot)
    able: list[int] = []
    for maker in makers:
        if maker.owner == owner:
            continue
        if maker.valued != marked:
            state.value(maker)
        own = maker.balance + maker.gain
        # What it has to spare is a part of what it has, so most need no second look.
        if own - maker.required >= plenty and not exits:
            able.append(maker.id)
            continue
        if exits:
            own -= leaving_of(state, maker)
        if own < MAKER_EQUITY_MIN:
            continue
        if (own - maker.required) * MILLION < state.marks[market].most_required(lots):
            held = maker.positions.get(market)
            if held is None or abs(held.size) * BACKED_SHARE < size:
                continue
        able.append(maker.id)
    return able


def _backings(state: Exchange, market: int, makers: Iterable[int]) -> dict[int, int]:
    """Micro-USDC of margin that each of the makers, which have been valued, has for the market: what is free, and what its position
    there takes."""
    backings: dict[int, int] = {}
    for maker in makers:
        account = state.accounts[maker]
        held = account.positions.get(market)
        free = account.balance + account.gain - account.required - leaving_of(state, account)
        backings[maker] = free if held is None else free + held.required
    return backings


def _chosen(book: Book, market: int, able: dict[int, int], most: int) -> list[int]:
    chosen: list[int] = []
    for makers in _classes(book, market, able):
        free = most - len(chosen)
        if len(makers) > free:
            return chosen + _places(book, market, makers, free)
        chosen += makers
    return chosen


def _classes(book: Book, market: int, able: dict[int, int]) -> list[list[int]]:
    """Makers in the order in which they are to be asked: those that speak, one of each owner, the second ones and so on; within each
    class who can back most comes first."""
    makers, silences = book.makers[market], book.silences
    before: dict[str, int] = {}
    classes: dict[tuple[bool, int], list[int]] = {}
    for maker in sorted(able, key=able.__getitem__, reverse=True):
        silent = bool(silences) and book.silent(maker, market)
        owner = makers[maker].owner
        count = before[owner] = before.get(owner, 0) + 1
        classes.setdefault((silent, count), []).append(maker)
    return [classes[kind] for kind in sorted(classes)]


def _places(book: Book, market: int, makers: list[int], free: int) -> list[int]:
    """So many of the makers, who come in the order of what they can back."""
    best = free // BEST_SHARE
    proven = _most_filled(book, market, makers[best:], free // PROVEN_SHARE)
    others = [maker for maker in makers[best:] if maker not in proven]
    return [*makers[:best], *proven, *_drawn(book, others, free - best - len(proven))]


def _most_filled(book: Book, market: int, makers: Iterable[int], count: int) -> list[int]:
    filled = {maker: lots for maker in makers if (lots := book.filled.get((maker, market), 0))}
    return nlargest(count, filled, key=filled.__getitem__)


def _drawn(book: Book, makers: list[int], count: int) -> list[int]:
    begin = book.lot(len(makers))
    drawn = makers[begin : begin + count]
    return drawn + makers[: min(begin, count - len(drawn))]


def _looked(state: Exchange, market: int, at: int) -> list[int]:
    """Makers to look at for one request among many: the best and the proven of a ranking, and others by lot."""
    book = state.book
    ranking = book.rankings.get(market)
    if ranking is None or at >= ranking.until:
        ranking = book.rankings[market] = _ranking(state, market, at)
    return ranking.first + _drawn(book, ranking.others, MAKERS_LOOKED_MAX - len(ranking.first))


def _ranking(state: Exchange, market: int, at: int) -> Ranking:
    book = state.book
    able = _backings(state, market, _able(state, market, book.makers[market].values(), "", 0))
    makers = [maker for kind in _classes(book, market, able) for maker in kind]
    best = MAKERS_LOOKED_MAX // BEST_SHARE
    proven = set(_most_filled(book, market, makers[best:], MAKERS_LOOKED_MAX // PROVEN_SHARE))
    first = makers[:best] + [maker for maker in makers[best:] if maker in proven]
    return Ranking(at + RANKED_FOR, first, [maker for maker in makers[best:] if maker not in proven])
