"""What was sold for the fund and for owners that leave, in sentences: how much, at which price, and why so far from the mark."""

from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

from core.accounts import INSURANCE
from core.event import Event
from core.market import Market
from core.quantities import USDC_UNIT, decimal_from_units
from matcher.pruning import origin
from matcher.recovery import JournalCorrupt
from matcher.retrace_sales import Sold, retrace_sales
from matcher.segments import segments
from matcher.selling import WIDEST
from matcher.tail import Tail


def account_of_sales(directory: Path, archive: Path | None = None) -> tuple[list[str], int]:
    """Every auction in the journal that was no liquidation's, line by line, and how many differences from the rules are in them.

    `archive` has records that were moved out of the journal. Raises `JournalCorrupt` when there is no journal or it cannot be read.
    May run beside the exchange.
    """
    if not segments(directory):
        raise JournalCorrupt(f"there is no journal in {directory}")
    state = origin(directory, archive)
    after, lines, found = state.seq, list[str](), 0

    def journal() -> Iterator[tuple[int, Event]]:
        with closing(Tail(directory, after, archive)) as tail:
            while records := tail.read():
                yield from records

    for sold in retrace_sales(journal, state):
        lines += [
            *_told(sold, state.markets[sold.closed.market]),
            *(f"    DIFFERS: {one}" for one in sold.differences),
        ]
        found += len(sold.differences)
    if not lines:
        return ["nothing was offered for the insurance fund or for an owner that leaves"], 0
    lines.append(f"{found} differences" if found else "every sale follows from the records before it")
    return lines, found


def _told(sold: Sold, market: Market) -> Iterator[str]:
    closed = sold.closed
    offer = "buy" if closed.side > 0 else "sell"
    who = (
        "the insurance fund"
        if closed.account == INSURANCE
        else f"account {closed.account}, whose owner leaves"
    )
    yield (
        f"record {sold.sequence}: {who}, with {_usdc(sold.equity)} for {_usdc(sold.maintenance)} required, held "
        f"{_lots(market, sold.held)} at mark {_price(market, sold.mark)} and offered to {offer} {_lots(market, closed.size)} at "
        f"{_price(market, sold.limit)} or better, step {sold.steps} of {WIDEST} away from what it counts for"
    )
    for fill in sold.fills:
        yield f"    fill {fill.fill}: {_lots(market, fill.size)} at {_price(market, fill.price)} with maker {fill.maker}"
    if not sold.fills:
        yield "    nobody bid"


def _usdc(amount: int) -> str:
    return f"{decimal_from_units(amount, USDC_UNIT)} USDC"


def _price(market: Market, ticks: int) -> str:
    return decimal_from_units(ticks, Decimal(market.tick))


def _lots(market: Market, size: int) -> str:
    return f"{decimal_from_units(size, Decimal(market.lot))} {market.symbol}"
