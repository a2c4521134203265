"""The end of a delisted market in sentences: which prices were averaged, minute by minute, and whether its record follows."""

from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from core.market import Market
from core.operator_events import DelistingAnnounced, MarketSettled
from core.quantities import MILLISECOND, SECOND, decimal_from_units
from core.settlement_price import MINUTE, Minute, within
from matcher.apply import apply
from matcher.decide_delisting import past_of, settlement
from matcher.pruning import origin
from matcher.recovery import JournalCorrupt
from matcher.segments import segments
from matcher.state import Exchange
from matcher.tail import Tail


class EndUnknown(Exception):
    """The journal has no end of that market."""


def account_of_end(directory: Path, symbol: str, archive: Path | None = None) -> tuple[list[str], int]:
    """The account of a market's end, line by line, and how many fields of its record do not follow from the records before it.

    `archive` has records that were moved out of the journal. Raises `EndUnknown`, and `JournalCorrupt` when there is no journal or it
    cannot be read. May run beside the exchange.
    """
    if not segments(directory):
        raise JournalCorrupt(f"there is no journal in {directory}")
    state = origin(directory, archive)
    announced: DelistingAnnounced | None = None
    with closing(Tail(directory, state.seq, archive)) as tail:
        while records := tail.read():
            for sequence, event in records:
                match event:
                    case DelistingAnnounced(market=id) if state.markets[id].symbol == symbol:
                        announced = event
                    case MarketSettled(market=id) if state.markets[id].symbol == symbol:
                        return _told(state, sequence, event, announced)
                apply(state, event)
    raise EndUnknown(f"the journal in {directory} does not have the end of {symbol}")


def _told(
    state: Exchange, sequence: int, end: MarketSettled, announced: DelistingAnnounced | None
) -> tuple[list[str], int]:
    market = state.markets[end.market]
    lines = []
    if announced is not None:
        lines.append(
            f"{_when(announced.at)}: {announced.who} announces that it settles at {_when(announced.settles_at)}: {announced.why}"
        )
    by = "at once" if end.forced else "as announced"
    lines.append(
        f"record {sequence}, {_when(end.at)}: {market.symbol} settles {by} at {_price(market, end.price)}, by {end.who}: {end.why}"
    )
    minutes = past_of(state, end.market, end.until).minutes
    lines += [f"    {_minute(one, market)}" for one in within(minutes, end.until)]
    if end.believed:
        lines.append(
            f"the average of {_seconds(end.believed)} in which its index was believed, of the hour until {_when(end.until)}"
        )
    else:
        lines.append("no index was believed in the hour before: it is the last one that was")
    lines.append(
        f"{len(end.positions)} positions closed; the insurance fund paid {end.fund}, uncovered {end.uncovered} micro-USDC"
    )
    derived = settlement(state, end.market, end.at, (end.forced, end.who, end.why))
    different = [name for name in end.__struct_fields__ if getattr(end, name) != getattr(derived, name)]
    lines += [f"    DIFFERS: {name} follows as {getattr(derived, name)}" for name in different]
    lines.append(f"{len(different)} differences" if different else "the record follows from those before it")
    return lines, len(different)


def _minute(one: Minute, market: Market) -> str:
    mean = decimal_from_units(10 * one.area // one.millis, Decimal(market.tick) / 10)
    return f"{_when(one.number * MINUTE)}: {_seconds(one.millis * MILLISECOND)} at {mean} on average"


def _when(nanos: int) -> str:
    return datetime.fromtimestamp(nanos // SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _seconds(nanos: int) -> str:
    whole, part = divmod(nanos // MILLISECOND, SECOND // MILLISECOND)
    return f"{whole}.{part:03d} s"


def _price(market: Market, ticks: int) -> str:
    return decimal_from_units(ticks, Decimal(market.tick))
