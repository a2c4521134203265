"""A liquidation in sentences: who, how much, at which price and why, as its records say and as they are derived again."""

from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

from core.accounts import INSURANCE
from core.event import Event
from core.events import Filled, MarketListed
from core.liquidation_events import (
    Deleveraged,
    FundStanding,
    Handover,
    LiquidationEnded,
    LiquidationSliced,
    LiquidationStarted,
    TakenOver,
)
from core.market import Market
from core.quantities import USDC_UNIT, decimal_from_units
from matcher.pruning import origin
from matcher.recovery import JournalCorrupt
from matcher.retrace import BeganEarlier, Step, retrace
from matcher.segments import segments, whereabouts
from matcher.snapshot import load_before
from matcher.tail import Tail

Markets = dict[int, Market]


class LiquidationUnknown(Exception):
    """The journal has no liquidation of that number."""


def account_of(directory: Path, number: int, archive: Path | None = None) -> tuple[list[str], int]:
    """The account of a liquidation, line by line, and how many differences between records and rules are in it.

    The journal is read from the newest snapshot before the liquidation on, or from its first record where there is none. `archive` has
    records that were moved out of it. Raises `LiquidationUnknown`, and `JournalCorrupt` when there is no journal or it cannot be read.
    May run beside the exchange.
    """
    if not segments(directory):
        raise JournalCorrupt(f"there is no journal in {directory}")
    first = origin(directory, archive)
    before = load_before(directory, number, first)
    after, markets = before.seq, dict(before.markets)

    def journal() -> Iterator[tuple[int, Event]]:
        with closing(Tail(directory, after, archive)) as tail:
            while records := tail.read():
                for sequence, event in records:
                    if isinstance(event, MarketListed):
                        markets[event.market.id] = event.market
                    yield sequence, event

    gone = (
        f" from record {first.seq + 1} on: {whereabouts(directory)}. Give --archive DIR to read them"
        if first.seq
        else ""
    )
    try:
        steps = retrace(journal, number, before)
    except BeganEarlier:
        raise LiquidationUnknown(
            f"the beginning of liquidation {number} is not in the journal in {directory}{gone}"
        ) from None
    if not steps:
        raise LiquidationUnknown(f"there is no liquidation {number} in the journal in {directory}{gone}")
    found = sum(len(step.differences) for step in steps)
    begin = f"the snapshot of record {after}" if after else "the first record"
    lines = [f"liquidation {number}, derived from {begin} on"]
    for step in steps:
        lines += [*_told(step, markets), *(f"    DIFFERS: {one}" for one in step.differences)]
    if not isinstance(steps[-1].record, LiquidationEnded):
        lines.append("it goes on")
    lines.append(f"{found} differences" if found else "every record follows from those before it")
    return lines, found


def _told(step: Step, markets: Markets) -> list[str]:
    head = f"record {step.sequence}: "
    match step.record:
        case LiquidationStarted() as started:
            held = ", ".join(
                f"{_lots(markets[market], size)} at mark {_price(markets[market], mark)}"
                for market, size, mark in started.positions
            )
            return [
                f"{head}account {started.account} has {_standing(started.equity, started.maintenance)}; it holds {held}"
            ]
        case Filled() as fill:
            market = markets[fill.market]
            bought = "buys" if fill.side > 0 else "sells"
            return [
                f"{head}fill {fill.fill}: it {bought} {_lots(market, fill.size)} at {_price(market, fill.price)} "
                f"with maker {fill.maker}, realizing {_usdc(fill.taker_realized)}"
            ]
        case LiquidationSliced() as sliced:
            return [head + line for line in _auction(sliced, markets[sliced.market])]
        case TakenOver() as taken:
            why = (
                f"below two thirds of what is required ({_standing(taken.equity, taken.maintenance)}), and the insurance fund "
                f"may take it: {_fund(taken.fund)}"
            )
            return [f"{head}taken over: {why}", *_parts(taken.parts, markets)]
        case Deleveraged() as closed:
            market = markets[closed.market]
            order = "the first in rank first" if closed.greedy else "in proportion to what each can close"
            why = (
                f"the insurance fund may not take it ({_standing(closed.equity, closed.maintenance)}): {_fund(closed.fund)}: "
                f"{_lots(market, closed.size)} go for {_usdc(closed.value)} to opposite positions, {order}"
            )
            left = f"; nobody could pay for {_lots(market, closed.left)}" if closed.left else ""
            return [f"{head}deleveraged: {why}{left}", *_parts(closed.parts, markets)]
        case LiquidationEnded() as ended:
            return [
                f"{head}ended, {ended.why.replace('_', ' ')}: {_standing(ended.equity, ended.maintenance)}"
            ]
    raise AssertionError(f"record {step.sequence} is no step of a liquidation")


def _fund(fund: FundStanding) -> str:
    """What `core.fund.may_take` looks at."""
    had = f", and had {_usdc(fund.began)} when its day began" if fund.began else ""
    return (
        f"it has {_usdc(fund.equity)}{had}; its positions require {_usdc(fund.initial)} at first, its floor is {_usdc(fund.floor)}; "
        "what is left above both, a quarter of it for one market that grows, and three quarters of what it had are its bounds"
    )


def _auction(sliced: LiquidationSliced, market: Market) -> list[str]:
    when = (
        f"decided after record {sliced.decided_after}"
        if sliced.decided_after
        else "written after a start: the process had died before this record"
    )
    asked = f"auction of {_lots(market, sliced.asked)} at {_price(market, sliced.limit)} or better, {when}"
    standing = _standing(sliced.equity, sliced.maintenance)
    came = f"held {_lots(market, sliced.held)} at mark {_price(market, sliced.mark)}, {standing}"
    if not sliced.size:
        return [f"{asked}; {came}; nobody bid"]
    brought = (
        f"{_lots(market, sliced.size)} brought {_usdc(sliced.value)}, {_usdc(sliced.value - sliced.bound)} above their "
        f"bankruptcy value of {_usdc(sliced.bound)}; {_usdc(sliced.fee)} of it to the insurance fund"
    )
    return [f"{asked}; {came}", brought]


def _parts(parts: tuple[Handover, ...], markets: Markets) -> list[str]:
    lines = []
    for part in parts:
        market = markets[part.market]
        other = "the insurance fund" if part.other == INSURANCE else f"account {part.other}"
        lines.append(
            f"    {_lots(market, part.size)} to {other} for {_usdc(part.value)} (mark {_price(market, part.mark)}), "
            f"realizing {_usdc(part.realized)}, the other side {_usdc(part.other_realized)}"
        )
    return lines


def _standing(equity: int, maintenance: int) -> str:
    return f"equity {_usdc(equity)} of {_usdc(maintenance)} required"


def _usdc(amount: int) -> str:
    return f"{decimal_from_units(amount, USDC_UNIT)} USDC"


def _price(market: Market, ticks: int) -> str:
    return decimal_from_units(ticks, Decimal(market.tick))


def _lots(market: Market, size: int) -> str:
    return f"{decimal_from_units(size, Decimal(market.lot))} {market.symbol}"
