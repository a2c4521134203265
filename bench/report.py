"""What every benchmark prints: Markdown tables, percentiles, and targets beside what was reached."""

from collections.abc import Iterable, Sequence
from math import ceil
from typing import Final, NamedTuple

NANOSECONDS_PER_MS: Final = 1_000_000
HUNDRED: Final = 100
NOISE: Final = (
    "Machines are noisy: compare figures of one run with each other, not with those of another run."
)


class Target(NamedTuple):
    """One figure to reach: `reached` and `target` as they are to be read, and whether one meets the other."""

    what: str
    target: str
    reached: str
    met: bool


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all are not above. Raises `IndexError` when there are none."""
    ordered = sorted(values)
    # Rounded, for a share is no exact number: 99 of a hundred are 99.
    return ordered[max(0, ceil(round(len(ordered) * share, 6)) - 1)]


def slowest(nanoseconds: Sequence[float]) -> str:
    """The 99th percentile in milliseconds; of fewer than a hundred there is none, so the slowest, called that."""
    if len(nanoseconds) < HUNDRED:
        return f"max {milliseconds(max(nanoseconds))}"
    return milliseconds(percentile(nanoseconds, 0.99))


def milliseconds(nanoseconds: float) -> str:
    return f"{nanoseconds / NANOSECONDS_PER_MS:.2f}"


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; every column but the first is aligned right."""
    lines = [heads, ["---", *("---:" for _ in heads[1:])], *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def targets(rows: Iterable[Target]) -> str:
    return table(
        ["target", "wanted", "reached", ""],
        [(row.what, row.target, row.reached, "met" if row.met else "**missed**") for row in rows],
    )
