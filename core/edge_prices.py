"""Prices at which an account changes its standing: liquidation, bankruptcy, and the marks until which nobody needs to look at it."""

from collections.abc import Mapping, Sequence

from core.account_risk import AccountRisk, RiskMark
from core.liquidation import WARNINGS
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
    level: int = MILLION,
) -> dict[int, Ticks]:
    """Per market the worst mark in ticks until which maintenance is less than `level` of equity, whatever the others do within theirs.

    `level` is in parts per million; by default the account cannot be liquidated until then. What equity exceeds maintenance by is
    shared among the positions so that every mark may move against them by the same fraction of itself: an account needs a new look
    only when one of its marks passes its watch price (below it for a long, above it for a short), however many markets it is in. Longs
    round up and shorts down. An account at or beyond the level, or within a micro-USDC per position of it, is watched at its marks
    themselves.
    """
    # Each requirement is rounded up, so the sum can outrun its line by less than one micro-USDC per position.
    slack = risk.equity * level - (risk.maintenance + len(positions)) * MILLION
    return _shared(positions, marks, tick_values, level, -max(0, slack))


def shared_span(
    equity: int,
    maintenance: int,
    held: Sequence[Mapping[int, Position]],
    marks: Mapping[int, RiskMark],
    level: int,
) -> tuple[int, int] | None:
    """The fraction (over, under) of itself by which every mark may move, up or down, before `maintenance` can be `level` of `equity`.

    `held` are the account's positions, and those of others that it may have to give for what they lose: at most that, and what their
    initial requirements rise by. So a micro-USDC of notional counts for twice its move, and once for maintenance. `None` when there
    is no such room. Roundings count for a micro-USDC each, of equity and of maintenance.
    """
    count = sum(len(positions) for positions in held)
    room = (equity - count) * level - (maintenance + count) * MILLION
    if room <= 0:
        return None
    weight = sum(
        abs(one.size) * marks[market].value_per_lot * (2 * level + marks[market].steps[-1].maintenance)
        for positions in held
        for market, one in positions.items()
    )
    return room, max(1, weight)


def recovery_prices(
    risk: AccountRisk,
    positions: Mapping[int, Position],
    marks: Mapping[int, RiskMark],
    tick_values: Mapping[int, int],
    level: int,
) -> dict[int, Ticks]:
    """Per market the best mark in ticks until which maintenance is more than `level` of equity: `watch_prices` the other way round.

    An account needs a new look when one of its marks passes its price, above it for a long and below it for a short.
    """
    missing = (risk.maintenance - len(positions)) * MILLION - risk.equity * level
    return _shared(positions, marks, tick_values, level, max(0, missing))


def owed_in_ticks(charge: int, tick_value: int, mark: RiskMark) -> tuple[Ticks, Ticks]:
    """By how many ticks a mark would have to move to cost longs, and shorts, what a lot comes to owe; at least that, rounded up.

    `charge` is what a long lot owes, in millionths of a micro-USDC; whoever receives is treated as if it did not. A mark that falls
    takes some of a long's requirement with it and a debt does not, so a debt counts for more, most at the first warning.
    """
    if charge > 0:
        level = WARNINGS[0]
        least = max(1, level - mark.steps[0].maintenance)
        return Ticks(divide_up(charge * level, MILLION * tick_value * least) + 1), Ticks(0)
    return Ticks(0), Ticks(divide_up(-charge, MILLION * tick_value) + 1)


def _shared(
    positions: Mapping[int, Position],
    marks: Mapping[int, RiskMark],
    tick_values: Mapping[int, int],
    level: int,
    gain: int,
) -> dict[int, Ticks]:
    """Marks that together change equity's share less maintenance by `gain`, each moved by the same fraction; rounded back."""
    weights = {market: _sensitivity(held, marks[market], level) for market, held in positions.items()}
    total = max(1, sum(weights.values()))
    prices: dict[int, Ticks] = {}
    for market, position in positions.items():
        price, most = marks[market].value_per_lot, total * tick_values[market]
        moved = price * (total + gain) if position.size > 0 else price * (total - gain)
        up = (position.size > 0) is (gain <= 0)
        prices[market] = Ticks(max(0, divide_up(moved, most) if up else moved // most))
    return prices


def _sensitivity(position: Position, mark: RiskMark, level: int) -> int:
    """What `level` of equity less maintenance changes by, at most, when the mark moves by its whole self; micro-USDC in millionths."""
    notional = abs(position.size) * mark.value_per_lot
    if position.size > 0:
        return notional * max(0, level - mark.steps[0].maintenance)
    return notional * (level + mark.steps[-1].maintenance)
