"""Accounts and markets as margin sees them: pure reads."""

from api import schemas as s
from api import schemas_margin as m
from api.outbound import account_hash
from api.units import Markets, MarketUnits, usdc
from core.account_risk import AccountRisk, RiskMark
from core.edge_prices import bankruptcy_price, liquidation_price
from core.quantities import divide_up
from matcher.account import Account
from matcher.leaving import free, stopped
from matcher.preview import Previewed
from matcher.state import Exchange

LEVERAGE_PLACES = 10_000


def account(state: Exchange, markets: Markets, held: Account, at: int) -> s.AccountAnswer:
    margin, kept = state.margin_of(held), stopped(state, held, at)
    return s.AccountAnswer(
        account=held.id,
        owner=held.owner,
        name=held.name,
        tier=held.tier,
        balance=usdc(held.balance),
        equity=usdc(state.worth_of(held).equity),
        requirement=usdc(margin.initial),
        maintenance=usdc(margin.maintenance),
        available=usdc(margin.available),
        withdrawable=usdc(0 if kept else free(state, held)),
        withdrawable_code=kept.code.value if kept else None,
        unpaid_funding=usdc(state.owed(held)),
        leverage=leverage(margin.notional, margin.equity),
        settled=usdc(held.settled),
        positions=[position(state, markets[id], held, margin) for id in sorted(held.positions)],
        escrow=s.SlotAnswer(page=held.page, slot=held.slot) if held.page >= 0 else None,
        parent=held.parent.id if held.parent else None,
        subaccounts=[sub_account(state, markets[sub.market], sub, at) for sub in held.subs],
        head=held.number,
        hash=account_hash(state, held),
    )


def sub_account(state: Exchange, units: MarketUnits, held: Account, at: int) -> s.SubAccountAnswer:
    margin, one = state.margin_of(held), held.positions.get(units.id)
    mark, kept = state.marks.get(units.id), stopped(state, held, at)
    return s.SubAccountAnswer(
        account=held.id,
        market=units.symbol,
        balance=usdc(held.balance),
        equity=usdc(state.worth_of(held).equity),
        requirement=usdc(margin.initial),
        maintenance=usdc(margin.maintenance),
        available=usdc(margin.available),
        withdrawable=usdc(0 if kept else free(state, held)),
        withdrawable_code=kept.code.value if kept else None,
        unpaid_funding=usdc(state.owed(held)),
        leverage=leverage(margin.notional, margin.equity),
        liquidation_price=_liquidation(units, one.size, mark, margin) if one and mark else None,
        bankruptcy_price=_bankruptcy(units, one.size, mark, margin) if one and mark else None,
        size=units.size(one.size if one else 0),
        head=held.number,
    )


def position(state: Exchange, units: MarketUnits, held: Account, margin: AccountRisk) -> s.PositionAnswer:
    one, mark = held.positions[units.id], state.marks[units.id]
    value = one.size * mark.value_per_lot
    return s.PositionAnswer(
        market=units.symbol,
        size=units.size(one.size),
        cost=usdc(one.cost),
        mark=units.price(state.mark_price(units.id)),
        unrealized=usdc(value - one.cost),
        requirement=usdc(mark.initial_of(one.size)),
        maintenance=usdc(mark.maintenance_of(one.size)),
        leverage=leverage(abs(value), margin.equity),
        liquidation_price=_liquidation(units, one.size, mark, margin),
        bankruptcy_price=_bankruptcy(units, one.size, mark, margin),
    )


def leverage(notional: int, equity: int) -> str | None:
    """Notional over equity with four decimals, rounded up; None when there is no equity."""
    if equity <= 0:
        return None
    whole, part = divmod(divide_up(notional * LEVERAGE_PLACES, equity), LEVERAGE_PLACES)
    return f"{whole}.{part:04d}"


def _liquidation(units: MarketUnits, size: int, mark: RiskMark, margin: AccountRisk) -> str | None:
    """Liquidation price of a position of `size` lots (not zero) that `margin` counts, all other marks standing still."""
    price = liquidation_price(
        mark.steps,
        units.market.value_per_tick_lot,
        size,
        mark.value_per_lot,
        margin.equity,
        margin.maintenance - mark.maintenance_of(size),
    )
    return None if price is None else units.price(price)


def _bankruptcy(units: MarketUnits, size: int, mark: RiskMark, margin: AccountRisk) -> str | None:
    """Bankruptcy price of a position of `size` lots (not zero) that `margin` counts, all other marks standing still."""
    price = bankruptcy_price(units.market.value_per_tick_lot, size, mark.value_per_lot, margin.equity)
    return None if price is None else units.price(price)


def risk(margin: AccountRisk) -> m.RiskAnswer:
    return m.RiskAnswer(
        equity=usdc(margin.equity),
        requirement=usdc(margin.initial),
        maintenance=usdc(margin.maintenance),
        available=usdc(margin.available),
        leverage=leverage(margin.notional, margin.equity),
    )


def preview(units: MarketUnits, before: AccountRisk, previewed: Previewed) -> m.MarginPreviewAnswer:
    trade, code = previewed.trade, previewed.code
    return m.MarginPreviewAnswer(
        market=units.symbol,
        allowed=code is None,
        code=None if code is None else code.value,
        size=units.size(trade.size),
        cost=usdc(trade.cost),
        realized=usdc(trade.realized),
        fee=usdc(previewed.fee),
        liquidation_price=_liquidation(units, trade.size, previewed.mark, trade.after)
        if trade.size
        else None,
        bankruptcy_price=_bankruptcy(units, trade.size, previewed.mark, trade.after) if trade.size else None,
        before=risk(before),
        after=risk(trade.after),
    )


def tiers(state: Exchange, units: MarketUnits) -> list[m.TierAnswer]:
    """A market's tiers with their fractions at the present open interest."""
    return [
        m.TierAnswer(above=usdc(step.above), initial_ppm=step.initial, maintenance_ppm=step.maintenance)
        for step in state.steps_of(units.id)
    ]
