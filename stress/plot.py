"""A run as a picture: panels over one axis of time, drawn as SVG by hand, so that the same report gives the same bytes."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from html import escape
from itertools import pairwise
from math import floor, log10
from typing import Final, NamedTuple

from core.quantities import SECOND
from stress.report import Report

INK, PALE, GRID, AWAY = "#1f2933", "#52606d", "#e4e7eb", "#fbdada"
COLORS: Final = ("#2166ac", "#d6604d", "#1b7837", "#9970ab", "#e08214", "#4d4d4d")
WIDTH, LEFT, RIGHT = 960, 76, 24
TOP, HEIGHT, GAP = 84, 120, 42
SOURCE_SHOWN: Final = 100
"""Characters of the source's name that fit in a line with what follows it."""
NOTHING: Final = 1e-6
"""A part of a value that no axis would show."""
TICKS: Final = 4
"""Lines across a panel, about."""


class Line(NamedTuple):
    """One value for every sample; `bars` draws each by itself from zero."""

    name: str
    values: Sequence[float]
    bars: bool = False


class Panel(NamedTuple):
    title: str
    lines: tuple[Line, ...]


def panels(report: Report) -> tuple[Panel, ...]:
    """What is shown of a run; money in millions of USDC."""
    samples = report.samples
    first = samples[0].index
    return (
        Panel(
            "index, in percent of its first price",
            tuple(
                Line(market, [100 * sample.index[place] / first[place] for sample in samples])
                for place, market in enumerate(report.markets)
            ),
        ),
        Panel(
            "equity, millions of USDC",
            (
                Line("traders", [sample.traders / 1e12 for sample in samples]),
                Line("makers", [sample.makers / 1e12 for sample in samples]),
            ),
        ),
        Panel(
            "open interest, millions of USDC",
            (Line("held long", [sample.open_interest / 1e12 for sample in samples]),),
        ),
        _counted("liquidations begun, a beat", [sample.liquidations for sample in samples]),
        _counted("taken over by the insurance fund, a beat", [sample.takeovers for sample in samples]),
        _counted("deleveragings, a beat", [sample.deleveragings for sample in samples]),
        Panel(
            "insurance fund, millions of USDC",
            (Line("equity", [sample.insurance / 1e12 for sample in samples]),),
        ),
    )


def _counted(title: str, counts: Sequence[int]) -> Panel:
    """What was counted from the beginning, by the beat in which it happened."""
    each = [after - before for before, after in pairwise((0, *counts))]
    return Panel(title, (Line("", each, bars=True),))


def svg(report: Report) -> str:
    """The picture of a run."""
    shown = panels(report)
    height = TOP + len(shown) * (HEIGHT + GAP) + 12
    times = [sample.at for sample in report.samples]
    source = report.source if len(report.source) <= SOURCE_SHOWN else report.source[:SOURCE_SHOWN] + "..."
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="Helvetica, Arial, sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        _text(LEFT, 26, f"{report.scenario.accounts:,} accounts, {', '.join(report.markets)}", 16, INK),
        _text(LEFT, 46, f"{source}; times UTC; shaded: makers away", 11, PALE),
    ]
    for number, panel in enumerate(shown):
        parts += _panel(report, panel, times, TOP + number * (HEIGHT + GAP))
    return "\n".join([*parts, "</svg>", ""])


def _panel(report: Report, panel: Panel, times: Sequence[int], top: int) -> list[str]:
    values = [value for line in panel.lines for value in line.values]
    low, high, step = scale(min(values), max(values), any(line.bars for line in panel.lines))

    def x(at: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (at - times[0]) / max(1, times[-1] - times[0])

    def y(value: float) -> float:
        return top + HEIGHT - HEIGHT * (value - low) / (high - low)

    parts = _away(report, x, top)
    for number in range(round((high - low) / step) + 1):
        value = low + number * step
        parts.append(
            f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="{GRID if value else PALE}" stroke-width="1"/>'
        )
        parts.append(_text(LEFT - 8, y(value) + 4, f"{value:,.10g}", 10.5, PALE, "end"))
    parts.append(_text(LEFT, top - 8, panel.title, 12, INK))
    for place, line in enumerate(panel.lines):
        color = COLORS[place % len(COLORS)]
        parts.append(_drawn(line, [x(at) for at in times], y, color))
        right = WIDTH - RIGHT - 92 * (len(panel.lines) - 1 - place)
        parts.append(_text(right, top - 8, line.name, 11, color, "end"))
    for at in _hours(times):
        label = datetime.fromtimestamp(at / SECOND, UTC).strftime("%H:%M")
        parts.append(_text(x(at), top + HEIGHT + 15, label, 10, PALE, "middle"))
    return parts


def _drawn(line: Line, xs: Sequence[float], y: Callable[[float], float], color: str) -> str:
    if line.bars:
        width = max(1.0, (xs[-1] - xs[0]) / len(xs) * 0.8)
        bars = "".join(
            f"M{at:.1f} {y(0):.1f}V{y(value):.1f}" for at, value in zip(xs, line.values, strict=True) if value
        )
        return f'<path d="{bars}" stroke="{color}" stroke-width="{width:.1f}" fill="none"/>'
    points = " ".join(f"{at:.1f},{y(value):.1f}" for at, value in zip(xs, line.values, strict=True))
    return f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5" stroke-linejoin="round"/>'


def _away(report: Report, x: Callable[[float], float], top: int) -> list[str]:
    """A band behind every beat for the share of makers that were away in it."""
    samples, most = report.samples, max(sample.quoting for sample in report.samples)
    return [
        f'<rect x="{x(here.at):.1f}" y="{top}" width="{x(after.at) - x(here.at):.1f}" height="{HEIGHT}" fill="{AWAY}" '
        f'opacity="{1 - here.quoting / most:.2f}"/>'
        for here, after in pairwise(samples)
        if here.quoting < most
    ]


def scale(low: float, high: float, from_zero: bool) -> tuple[float, float, float]:
    """Ends and step of an axis that holds both values, in steps of 1, 2 or 5 times a power of ten."""
    if from_zero:
        low, high = min(low, 0.0), max(high, 1.0)
    if high - low <= NOTHING * max(1.0, abs(low), abs(high)):
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / TICKS
    power = 10.0 ** floor(log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return low // step * step, -(-high // step) * step, step


def _hours(times: Sequence[int]) -> list[int]:
    """Full minutes, quarters or hours to label, at most a dozen."""
    span = times[-1] - times[0]
    every = next(
        minutes * 60 * SECOND
        for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 360, 1_440)
        if span <= 12 * minutes * 60 * SECOND or minutes == 1_440
    )
    return list(range(-(-times[0] // every) * every, times[-1] + 1, every))


def _text(x: float, y: float, text: str, size: float, color: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{color}" text-anchor="{anchor}">{escape(text)}</text>'
