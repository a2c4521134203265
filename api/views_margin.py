"""Accounts and markets as margin sees them: pure reads."""

from typing import NamedTuple

from api import schemas as s
from api import schemas_margin as m
from api.outbound import account_hash, micros
from api.units import Markets, MarketUnits, usdc
from core.account_risk import AccountRisk, RiskMark, counts_for
from core.edge_prices import bankruptcy_price, liquidation_price
from core.market import Market
from core.quantities import SECOND, divide_up
from matcher.account import Account
from matcher.exiting import leaving_of
from matcher.leaving import free, stopped, why_nothing_free
from matcher.preview import Previewed
from matcher.state import Exchange

LEVERAGE_PLACES = 10_000


class Backing(NamedTuple):
    """What of an account's equity backs nothing new, micro-USDC: `uncounted` is no collateral, its owner is `leaving` with some, and
    its positions in markets in their last hour are `overstated` by the marks."""

    uncounted: int
    leaving: int
    overstated: int

    @classmethod
    def of(cls, state: Exchange, held: Account) -> "Backing":
        uncounted = state.counted_of(held).equity - state.margin_of(held).equity
        return cls(uncounted, leaving_of(state, held), state.overstated(held))

    def available(self, margin: AccountRisk) -> int:
        """What may back something new; what is no collateral is the first that its owner leaves with."""
        return margin.available - max(0, self.leaving - self.uncounted)


def account(state: Exchange, markets: Markets, held: Account, at: int) -> s.AccountAnswer:
    margin, (withdrawable, why) = state.margin_of(held), _leaves(state, held, at)
    limit = state.loss_limits.get(held.root.id)
    return s.AccountAnswer(
        account=held.id,
        owner=held.owner,
        name=held.name,
        tier=held.tier,
        balance=usdc(held.balance),
        equity=usdc(state.worth_of(held).equity),
        collateral=usdc(margin.equity),
        loss_limit=s.LossLimitAnswer(limit=usdc(limit.limit), left=usdc(limit.left)) if limit else None,
        requirement=usdc(margin.initial),
        maintenance=usdc(margin.maintenance),
        available=usdc(Backing.of(state, held).available(margin)),
        withdrawable=usdc(withdrawable),
        withdrawable_code=why,
        exit=_exit(state, held),
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


def _leaves(state: Exchange, held: Account, at: int) -> tuple[int, str | None]:
    """Micro-USDC that may leave the account at `at`, and why none may."""
    kept = stopped(state, held, at)
    if kept is not None:
        return 0, kept.code.value
    nothing = why_nothing_free(state, held)
    return free(state, held), nothing.value if nothing is not None else None


def _exit(state: Exchange, held: Account) -> s.ExitAnswer | None:
    request = state.exits.get(held.root.id)
    if request is None:
        return None
    return s.ExitAnswer(
        amount=usdc(request.amount),
        since=micros(request.at),
        claimable_at=micros(request.exit_at * SECOND),
        matured=held.root.id in state.matured,
        reserved=usdc(leaving_of(state, held)),
    )


def sub_account(state: Exchange, units: MarketUnits, held: Account, at: int) -> s.SubAccountAnswer:
    margin, one = state.margin_of(held), held.positions.get(units.id)
    mark, (withdrawable, why) = state.marks.get(units.id), _leaves(state, held, at)
    return s.SubAccountAnswer(
        account=held.id,
        market=units.symbol,
        balance=usdc(held.balance),
        equity=usdc(state.worth_of(held).equity),
        collateral=usdc(margin.equity),
        requirement=usdc(margin.initial),
        maintenance=usdc(margin.maintenance),
        available=usdc(Backing.of(state, held).available(margin)),
        withdrawable=usdc(withdrawable),
        withdrawable_code=why,
        unpaid_funding=usdc(state.owed(held)),
        leverage=leverage(margin.notional, margin.equity),
        liquidation_price=_liquidation(state, units, one.size, mark, margin) if one and mark else None,
        bankruptcy_price=_bankruptcy(state, units, one.size, mark, margin) if one and mark else None,
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
        liquidation_price=_liquidation(state, units, one.size, mark, margin),
        bankruptcy_price=_bankruptcy(state, units, one.size, mark, margin),
    )


def leverage(notional: int, equity: int) -> str | None:
    """Notional over collateral with four decimals, rounded up; None when there is none."""
    if equity <= 0:
        return None
    whole, part = divmod(divide_up(notional * LEVERAGE_PLACES, equity), LEVERAGE_PLACES)
    return f"{whole}.{part:04d}"


def _liquidation(
    state: Exchange, units: MarketUnits, size: int, mark: RiskMark, margin: AccountRisk
) -> str | None:
    """Liquidation price of a position of `size` lots (not zero) that `margin` counts, all other marks standing still, and in the
    market's last hour what it would settle at."""
    price = liquidation_price(
        mark.steps,
        units.market.value_per_tick_lot,
        size,
        _counts(state, units, size, mark),
        margin.equity,
        margin.maintenance - mark.maintenance_of(size),
    )
    return None if price is None else units.price(price)


def _bankruptcy(
    state: Exchange, units: MarketUnits, size: int, mark: RiskMark, margin: AccountRisk
) -> str | None:
    """Bankruptcy price of a position of `size` lots (not zero) that `margin` counts, as `_liquidation`."""
    counts = _counts(state, units, size, mark)
    price = bankruptcy_price(units.market.value_per_tick_lot, size, counts, margin.equity)
    return None if price is None else units.price(price)


def _counts(state: Exchange, units: MarketUnits, size: int, mark: RiskMark) -> int:
    """Micro-USDC per lot that a position counts for: beyond that its mark moves what it is worth, before that nothing."""
    return counts_for(size, mark.value_per_lot, state.ends.get(units.id)) // size


def risk(margin: AccountRisk, backing: Backing) -> m.RiskAnswer:
    """An account with the collateral in `margin`."""
    return m.RiskAnswer(
        equity=usdc(margin.equity + backing.uncounted + backing.overstated),
        collateral=usdc(margin.equity),
        requirement=usdc(margin.initial),
        maintenance=usdc(margin.maintenance),
        available=usdc(backing.available(margin)),
        leverage=leverage(margin.notional, margin.equity),
    )


def preview(
    state: Exchange, units: MarketUnits, before: AccountRisk, backing: Backing, previewed: Previewed
) -> m.MarginPreviewAnswer:
    trade, code, mark = previewed.trade, previewed.code, previewed.mark
    return m.MarginPreviewAnswer(
        market=units.symbol,
        allowed=code is None,
        code=None if code is None else code.value,
        size=units.size(trade.size),
        cost=usdc(trade.cost),
        realized=usdc(trade.realized),
        fee=usdc(previewed.fee),
        liquidation_price=_liquidation(state, units, trade.size, mark, trade.after) if trade.size else None,
        bankruptcy_price=_bankruptcy(state, units, trade.size, mark, trade.after) if trade.size else None,
        before=risk(before, backing),
        after=risk(trade.after, backing._replace(overstated=previewed.overstated)),
    )


def tiers(state: Exchange, units: MarketUnits) -> list[m.TierAnswer]:
    """A market's tiers with their fractions at the present open interest."""
    return [
        m.TierAnswer(above=usdc(step.above), initial_ppm=step.initial, maintenance_ppm=step.maintenance)
        for step in state.steps_of(units.id)
    ]


def margin_terms(listed: Market) -> m.MarginTermsAnswer:
    """A market's margin parameters as they were set, whatever open interest makes of them."""
    terms = listed.margin_terms
    return m.MarginTermsAnswer(
        tiers=[m.TierTermsAnswer(above=usdc(one.above), initial_ppm=one.initial) for one in terms.tiers],
        open_interest_lower=usdc(terms.open_interest_lower),
        open_interest_upper=usdc(terms.open_interest_upper),
        maintenance_share_ppm=terms.maintenance_share,
    )
