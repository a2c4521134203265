"""Circuit breakers as answers: pure reads."""

import asyncio
from typing import Final, Literal

from api import schemas_breakers as b
from api.outbound import micros
from api.units import Markets, MarketUnits, usdc
from api.views_funding import rate
from api.views_liquidation import SLICE
from core.accounts import CLEARING
from core.market import Market
from core.premium import PremiumRule
from core.quantities import MILLISECOND
from ledger.breakers import OF_ALL_MARKETS, MarketEnd, OperatorAction
from matcher.account import Account
from matcher.decide_delisting import delisting_waits
from matcher.gates import withdrawals_gated
from matcher.state import Exchange

RULES: Final[dict[PremiumRule, Literal["beyond_impact", "middle"]]] = {
    PremiumRule.BEYOND_IMPACT: "beyond_impact",
    PremiumRule.MIDDLE: "middle",
}


def alarm(listed: Market) -> b.AlarmAnswer | None:
    if listed.alarm is None:
        return None
    return b.AlarmAnswer(
        share_ppm=listed.alarm.share,
        window_ms=listed.alarm.window // MILLISECOND,
        only_reduces=listed.alarm.only_reduces,
    )


def liquidation_terms(listed: Market) -> b.LiquidationTermsAnswer:
    terms = listed.liquidation
    return b.LiquidationTermsAnswer(
        slice_share_ppm=terms.slice_share,
        whole_up_to=usdc(terms.whole_up_to),
        fee_ppm=terms.fee,
        surplus_share_ppm=terms.surplus_share,
        spread_ppm=terms.spread,
        urgency_ppm=terms.urgency,
    )


def mark_terms(listed: Market) -> b.MarkTermsAnswer:
    return b.MarkTermsAnswer(basis_max_ppm=listed.mark.basis_max, drift_ppm=listed.mark.drift)


def funding_terms(listed: Market) -> b.FundingTermsAnswer:
    terms = listed.funding
    return b.FundingTermsAnswer(
        interest=rate(terms.interest),
        interest_clamp=rate(terms.interest_clamp),
        cap=rate(terms.cap),
        margin_factor_ppm=terms.margin_factor,
        velocity=rate(terms.velocity),
        treasury_share_ppm=terms.treasury_share,
        rule=RULES[terms.rule],
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


def delisting(state: Exchange, market: int, at: int) -> b.DelistingAnswer | None:
    announced = state.breakers.announced.get(market)
    if announced is None:
        return None
    return b.DelistingAnswer(
        announced_at=micros(announced.at),
        settles_at=micros(announced.settles_at),
        why=announced.why,
        waits=delisting_waits(state, market, at) if at >= announced.settles_at else None,
    )


def settlement(state: Exchange) -> b.SettlementAnswer:
    held, custody, late_at = state.breakers.settlement, state.custody, state.late_at()
    return b.SettlementAnswer(
        held=held is not None,
        since=micros(held.at) if held is not None else None,
        who=held.who if held is not None else None,
        why=held.why if held is not None else None,
        chain_as_of=micros(custody.since) if custody.since else None,
        late=custody.late,
        late_at=micros(late_at) if late_at else None,
    )


def withdrawals(state: Exchange) -> Literal["open", "gated", "held"]:
    if state.breakers.held:
        return "held"
    return "gated" if withdrawals_gated(state) else "open"


async def gate(state: Exchange, at: int) -> b.GateAnswer:
    """Every account is looked at, a slice at a time: the loop also matches. Who changes meanwhile is seen next time."""
    ids, below = sorted(state.accounts.keys() - {CLEARING}), []
    for start in range(0, len(ids), SLICE):
        below += [one for id in ids[start : start + SLICE] if (one := _debtor(state, state.accounts[id], at))]
        await asyncio.sleep(0)
    below.sort(key=lambda one: (one.equity, one.account))
    return b.GateAnswer(withdrawals=withdrawals(state), below_zero=below)


def _debtor(state: Exchange, account: Account, at: int) -> b.DebtorAnswer | None:
    equity = state.margin_of(account).equity
    if equity >= 0:
        return None
    return b.DebtorAnswer(
        account=account.id,
        owner=account.owner,
        parent=account.parent.id if account.parent is not None else None,
        equity=equity,
        balance=account.balance,
        unpaid_funding=state.owed(account),
        positions=len(account.positions),
        being_liquidated=account.id in state.liquidations,
    )


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
