"""Circuit breakers as answers: pure reads."""

from typing import Literal

from api import schemas_breakers as b
from api.outbound import micros
from api.units import Markets, MarketUnits, usdc
from core.market import Market
from core.quantities import MILLISECOND
from ledger.breakers import OF_ALL_MARKETS, MarketEnd, OperatorAction
from matcher.gates import withdrawals_gated
from matcher.state import Exchange


def alarm(listed: Market) -> b.AlarmAnswer | None:
    if listed.alarm is None:
        return None
    return b.AlarmAnswer(
        share_ppm=listed.alarm.share,
        window_ms=listed.alarm.window // MILLISECOND,
        only_reduces=listed.alarm.only_reduces,
    )


def jumped(state: Exchange, units: MarketUnits) -> b.JumpAnswer | None:
    jump = state.breakers.jumps.get(units.id)
    if jump is None:
        return None
    return b.JumpAnswer(
        at=micros(jump.at), lowest=units.size(jump.lowest), open_interest=units.size(jump.open_interest)
    )


def not_open_since(state: Exchange, market: int) -> int | None:
    since = state.breakers.closing.get(market)
    return micros(since) if since is not None else None


def settlement(state: Exchange) -> b.SettlementAnswer:
    held = state.breakers.settlement
    if held is None:
        return b.SettlementAnswer(held=False, since=None, who=None, why=None)
    return b.SettlementAnswer(held=True, since=micros(held.at), who=held.who, why=held.why)


def withdrawals(state: Exchange) -> Literal["open", "gated", "held"]:
    if state.breakers.held:
        return "held"
    return "gated" if withdrawals_gated(state) else "open"


def audit(rows: list[OperatorAction], markets: Markets) -> b.AuditAnswer:
    return b.AuditAnswer(
        actions=[
            b.ActionAnswer(
                seq=row.seq,
                at=micros(row.at),
                who=row.who,
                action=row.action,
                market=markets[row.market].symbol if row.market != OF_ALL_MARKETS else None,
                why=row.why,
                details=row.details,
            )
            for row in rows
        ]
    )


def end(row: MarketEnd, units: MarketUnits) -> b.MarketEndAnswer:
    return b.MarketEndAnswer(
        market=units.symbol,
        seq=row.seq,
        at=micros(row.at),
        price=units.price(row.price),
        accounts=row.accounts,
        shared=usdc(row.shared),
        fund=usdc(row.fund),
        uncovered=usdc(row.uncovered),
        forced=row.forced,
    )
