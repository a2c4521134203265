"""Prices at which an account changes its standing: liquidation, bankruptcy, and the marks until which nobody needs to look at it."""

from collections.abc import Mapping

from core.account_risk import AccountRisk, RiskMark
from core.margin_terms import Step
from core.position import Position
from core.quantities import MILLION, Ticks, divide_up


def liquidation_price(
    steps: tuple[Step, ...], tick_value: int, size: int, value_per_lot: int, equity: int, other: int
) -> Ticks | None:
    """The last mark in ticks at which the account still meets its maintenance requirement; one tick further it can be liquidated.

    `size` lots (signed, not zero) are marked at `value_per_lot` micro-USDC, `tick_value` is the market's micro-USDC per tick and lot;
    `equity` is the account's and `other` the maintenance of its positions elsewhere (zero when isolated), whose marks stand still.
    Longs round up and shorts down, so no account is liquidated before its price. `None` when no positive mark is the edge:
    the account meets maintenance at all of them or at none.

    Source: dYdX v4, (equity - size * price - other) / (|size| * fraction - size). Requirements are the highest of all tiers' lines,
    so the edge is the first that a tier's line meets.
    """
    free = (equity - size * value_per_lot - other) * MILLION
    edges = [
        _edge(tick_value, size, free + step.maintenance_deduction, step.maintenance)
        for step in steps
        if size < 0 or step.maintenance < MILLION
    ]
    if not edges:
        return None
    price = max(edges) if size > 0 else min(edges)
    return Ticks(price) if price > 0 else None


def bankruptcy_price(tick_value: int, size: int, value_per_lot: int, equity: int) -> Ticks | None:
    """The last mark in ticks at which the account's equity is not negative, all other marks standing still.

    Units and rounding as for `liquidation_price`, of which it is the case without any requirement.
    """
    price = _edge(tick_value, size, (equity - size * value_per_lot) * MILLION, 0)
    return Ticks(price) if price > 0 else None


def _edge(tick_value: int, size: int, free: int, fraction: int) -> int:
    """Where `free` + value of the position meets `fraction` of its notional, all in millionths; longs round up, shorts down."""
    if size > 0:
        return divide_up(-free, tick_value * size * (MILLION - fraction))
    return free // (tick_value * -size * (MILLION + fraction))


def watch_prices(
    risk: AccountRisk,
    positions: Mapping[int, Position],
    marks: Mapping[int, RiskMark],
    tick_values: Mapping[int, int],
) -> dict[int, Ticks]:
    """Per market the worst mark in ticks until which the account cannot be liquidated, whatever the others do within theirs.

    What equity exceeds maintenance by is shared among the positions so that every mark may move against them by the same
    fraction of itself: an account needs a new look only when one of its marks passes its watch price (below it for a long,
    above it for a short), however many markets it is in. Longs round up and shorts down. An account at or below its
    maintenance, or within a micro-USDC per position of it, is watched at its marks themselves.
    """
    weights = {market: _sensitivity(position, marks[market]) for market, position in positions.items()}
    total = sum(weights.values())
    # Each requirement is rounded up, so the sum can outrun its line by less than one micro-USDC per position.
    slack = max(0, risk.equity - risk.maintenance - len(positions)) * MILLION
    prices: dict[int, Ticks] = {}
    for market, position in positions.items():
        tick_value = tick_values[market]
        price = marks[market].value_per_lot
        moved = price * slack
        if position.size > 0:
            prices[market] = Ticks(max(0, divide_up(price * total - moved, total * tick_value)))
        else:
            prices[market] = Ticks((price * total + moved) // (total * tick_value))
    return prices


def _sensitivity(position: Position, mark: RiskMark) -> int:
    """Millionths of a micro-USDC by which equity less maintenance falls, at most, when the mark moves by its whole self."""
    notional = abs(position.size) * mark.value_per_lot
    if position.size > 0:
        return notional * (MILLION - mark.steps[0].maintenance)
    return notional * (MILLION + mark.steps[-1].maintenance)
