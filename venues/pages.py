"""Cursors over a venue's list that can only be asked for from an instant on.

Several rows may have the same instant, and some of them may come later than others, so a cursor is the last instant, or one as long
before it as rows may be late, and the ids that were seen from it on: ``1700000000000|a,b``.
"""

from collections.abc import Callable
from typing import Any

Row = dict[str, Any]
STUCK = 500
"""So many rows of one instant, all known, mean that the venue's page ends before the instant does."""


def newer(
    rows: list[Row], cursor: str, at: Callable[[Row], int], name: Callable[[Row], str], late: int = 0
) -> tuple[list[Row], str]:
    """Rows that were not seen before, oldest first and each once, and the cursor behind them.

    A row that comes into the list behind another is told as well where its instant is no more than `late` before that of the last.

    Raises `ValueError` when the cursor cannot move although there are rows behind it.
    """
    instant, _, ids = cursor.partition("|")
    since, seen = int(instant or 0), set(filter(None, ids.split(",")))
    found: dict[str, Row] = {}
    for row in sorted(rows, key=at):
        if at(row) >= since and name(row) not in seen:
            found.setdefault(name(row), row)
    if not found:
        # What may come late is in a list that is read whole.
        if len(rows) >= STUCK and not late:
            raise ValueError(f"{len(rows)} rows of one instant, and no way behind them")
        return [], cursor
    begin = max(since, max(at(row) for row in found.values()) - late)
    told = {name(row) for row in rows if at(row) >= begin} | (seen if begin == since else set())
    return list(found.values()), f"{begin}|{','.join(sorted(told))}"
