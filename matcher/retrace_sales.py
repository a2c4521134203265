"""What was sold of accounts that were not being liquidated, as the journal tells it: by the insurance fund of its own accord, and for
owners that leave. How much was offered, and at which price, is derived once more.

Only bids are taken from the records. When makers were asked is not recorded, so the offer is looked for in all states from the last
record before there was time to ask them on; the auction's close, which counts as much, is known.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import msgspec

from core.accounts import INSURANCE
from core.event import Event
from core.events import EpochStarted, Filled, RequestClosed
from core.liquidation import slice_to_close
from matcher.account import Account
from matcher.apply import apply
from matcher.apply_liquidation import CALLED_OFF
from matcher.auctions import offered_limit
from matcher.exiting import must_sell, steps_to_leave
from matcher.limits import AUCTION_TTL
from matcher.selling import Sale
from matcher.state import Exchange

Journal = Callable[[], Iterable[tuple[int, Event]]]
"""Reads a journal's records in order, each with its sequence; called twice."""


class Sold(msgspec.Struct):
    """An auction for the account of `closed`, and a sentence for everything about it that does not follow from the records before it.

    `held` lots (signed), `equity`, `maintenance` (micro-USDC) and the `mark` (ticks) are from before its fills. `steps` is how far
    from the mark the sale had come (`matcher.selling`), and `limit` the ticks at which it closed.
    """

    sequence: int
    closed: RequestClosed
    fills: list[Filled]
    held: int = 0
    mark: int = 0
    equity: int = 0
    maintenance: int = 0
    steps: int = 0
    limit: int = 0
    differences: list[str] = []


class _Auction(msgspec.Struct):
    """What the journal has of an auction: `first` is the sequence of its first fill, or of its end."""

    first: int
    sold: Sold
    offers: set[tuple[int, int]] = set()
    """The lots and the limits of what may have been offered."""


def retrace_sales(journal: Journal, before: Exchange) -> Iterator[Sold]:
    """Every auction for the fund or an owner that leaves in which a bid could win, and nobody was being liquidated, in order.

    `before` is the state before the first record, and is played on. Left out is of what no record tells how far its sale had come:
    auctions of the fund's before the first start of a process that the journal tells of, and those for requests that older releases
    took note of.
    """
    coming = deque(_find(journal, whole=not before.seq))
    for sequence, event in journal():
        for auction in coming:
            if event.at < auction.sold.closed.at - AUCTION_TTL:
                break
            _note_offer(before, auction)
        while coming and coming[0].first == sequence:
            auction = coming.popleft()
            if not _of_another_rule(before, auction.sold.closed.account):
                yield _derived(before, auction)
        if not coming:
            return
        apply(before, event)


def _find(journal: Journal, whole: bool) -> Iterator[_Auction]:
    """The auctions of the exchange's own, liquidations' too, in order; the records of one command are together."""
    fills: list[tuple[int, Filled]] = []
    for sequence, event in journal():
        match event:
            case EpochStarted():
                whole = True
            case Filled():
                fills.append((sequence, event))
            case RequestClosed(key="", outcome=outcome) if outcome not in CALLED_OFF:
                own = [(at, fill) for at, fill in fills if fill.request == event.request]
                if whole or event.account != INSURANCE:
                    sold = Sold(sequence, event, [fill for _, fill in own])
                    yield _Auction(own[0][0] if own else sequence, sold)
                fills.clear()
            case RequestClosed():
                fills.clear()


def _of_another_rule(state: Exchange, id: int) -> bool:
    """Whether an auction for the account is of a liquidation, which has records of its own (`matcher.retrace`), or for a request that
    was to be sold for by another rule than today's."""
    request = state.exits.get(state.accounts[id].root.id)
    return id in state.liquidations or (request is not None and not request.sell_by)


def _note_offer(state: Exchange, auction: _Auction) -> None:
    closed = auction.sold.closed
    account = state.accounts.get(closed.account)
    held = _to_sell(state, account, closed) if account is not None else 0
    if account is None or not held or closed.account in state.liquidations:
        return
    terms, mark = state.markets[closed.market].liquidation, state.marks[closed.market]
    lots = slice_to_close(terms, held, mark.value_per_lot)
    limit = offered_limit(state, account, closed.market, lots, closed.at)
    auction.offers.add((lots, limit))


def _to_sell(state: Exchange, account: Account, closed: RequestClosed) -> int:
    """Signed lots of the account's position that an auction like that may have been of; 0 when there was nothing to be sold so."""
    held = account.positions.get(closed.market)
    if held is None or held.size * closed.side >= 0:
        return 0
    return held.size if account.id == INSURANCE or must_sell(state, account, closed.at) else 0


def _derived(state: Exchange, auction: _Auction) -> Sold:
    sold, closed = auction.sold, auction.sold.closed
    account, market, side = state.accounts[closed.account], closed.market, closed.side
    held, risk = _to_sell(state, account, closed), state.counted_of(account)
    if not held:
        sold.differences.append("there was nothing to be sold there")
        return sold
    sold.held, sold.mark = held, state.mark_price(market)
    sold.equity, sold.maintenance = risk.equity, risk.maintenance
    sold.steps = _steps(state, account, market, closed.at)
    limits = [limit for lots, limit in auction.offers if lots == closed.size]
    if not limits:
        offered = ", ".join(str(lots) for lots, _ in sorted(auction.offers))
        sold.differences.append(f"size: recorded {closed.size}, a slice was {offered}")
        return sold
    now = offered_limit(state, account, market, min(closed.size, abs(held)), closed.at)
    # Whichever of the two limits is better for the account; of those that there may have been the one that allows most.
    sold.limit = min(now, max(limits)) if side > 0 else max(now, min(limits))
    sold.differences += [
        f"price: fill {fill.fill} at {fill.price}, the limit was {sold.limit}"
        for fill in sold.fills
        if (fill.price - sold.limit) * side > 0
    ]
    return sold


def _steps(state: Exchange, account: Account, market: int, at: int) -> int:
    if account.id == INSURANCE:
        return state.book.sales.get(market, Sale()).steps_at(at)
    return steps_to_leave(state.exits[account.root.id], at)
