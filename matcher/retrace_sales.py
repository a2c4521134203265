"""What the insurance fund sold of its own accord, as the journal tells it: how much it offered, and at which price, derived once more.

Only bids are taken from the records. When makers were asked is not recorded, so the offer is looked for in all states from the last
record before there was time to ask them on; the auction's close, which counts as much, is known.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import msgspec

from core.accounts import INSURANCE
from core.event import Event
from core.events import EpochStarted, Filled, RequestClosed, RequestOutcome
from core.liquidation import slice_to_close
from matcher.apply import apply
from matcher.auctions import offered_limit
from matcher.limits import AUCTION_TTL
from matcher.selling import Sale
from matcher.state import Exchange

Journal = Callable[[], Iterable[tuple[int, Event]]]
"""Reads a journal's records in order, each with its sequence; called twice."""


class Sold(msgspec.Struct):
    """An auction of the fund's, and a sentence for everything about it that does not follow from the records before it.

    `held` lots (signed), `equity`, `maintenance` (micro-USDC) and the `mark` (ticks) are from before its fills. `steps` is how far
    from the mark its sale had come (`matcher.selling`), and `limit` the ticks at which it closed.
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
    """Every auction in which the fund offered something and was not liquidated, in order; `before` is the state before the first
    record, and is played on. Those before the first start of a process that the journal tells of are left out: how far the fund had
    come then is in no record."""
    coming = deque(_find(journal, whole=not before.seq))
    for sequence, event in journal():
        for auction in coming:
            if event.at < auction.sold.closed.at - AUCTION_TTL:
                break
            _note_offer(before, auction)
        while coming and coming[0].first == sequence:
            auction = coming.popleft()
            # Auctions of a liquidation have records of their own (`matcher.retrace`).
            if INSURANCE not in before.liquidations:
                yield _derived(before, auction)
        if not coming:
            return
        apply(before, event)


def _find(journal: Journal, whole: bool) -> Iterator[_Auction]:
    fills: list[tuple[int, Filled]] = []
    for sequence, event in journal():
        match event:
            case EpochStarted():
                whole = True
            case Filled(taker=account) if account == INSURANCE:
                fills.append((sequence, event))
            case RequestClosed(account=account, outcome=outcome) if account == INSURANCE:
                own = [(at, fill) for at, fill in fills if fill.request == event.request]
                fills.clear()
                if whole and outcome != RequestOutcome.CANCELLED:
                    sold = Sold(sequence, event, [fill for _, fill in own])
                    yield _Auction(own[0][0] if own else sequence, sold)


def _note_offer(state: Exchange, auction: _Auction) -> None:
    closed, fund = auction.sold.closed, state.accounts[INSURANCE]
    held = fund.positions.get(closed.market)
    if held is None or held.size * closed.side >= 0:
        return
    terms, mark = state.markets[closed.market].liquidation, state.marks[closed.market]
    lots = slice_to_close(terms, held.size, mark.value_per_lot)
    limit = offered_limit(state, fund, closed.market, lots, closed.at)
    auction.offers.add((lots, limit))


def _derived(state: Exchange, auction: _Auction) -> Sold:
    sold, closed = auction.sold, auction.sold.closed
    fund, market, side = state.accounts[INSURANCE], closed.market, closed.side
    held, risk = fund.positions.get(market), state.margin_of(fund)
    if held is None or held.size * side >= 0:
        sold.differences.append("the fund held nothing to sell there")
        return sold
    sold.held, sold.mark = held.size, state.mark_price(market)
    sold.equity, sold.maintenance = risk.equity, risk.maintenance
    sold.steps = state.book.sales.get(market, Sale()).steps_at(closed.at)
    limits = [limit for lots, limit in auction.offers if lots == closed.size]
    if not limits:
        offered = ", ".join(str(lots) for lots, _ in sorted(auction.offers))
        sold.differences.append(f"size: recorded {closed.size}, a slice was {offered}")
        return sold
    now = offered_limit(state, fund, market, min(closed.size, abs(held.size)), closed.at)
    # Whichever of the two limits is better for the fund; of those that there may have been the one that allows most.
    sold.limit = min(now, max(limits)) if side > 0 else max(now, min(limits))
    sold.differences += [
        f"price: fill {fill.fill} at {fill.price}, the limit was {sold.limit}"
        for fill in sold.fills
        if (fill.price - sold.limit) * side > 0
    ]
    return sold
