"""A journal read back: what state it tells of, whether liquidations went by risk, and whether their records follow from each other."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from core.event import Event
from core.liquidation_events import Deleveraged, LiquidationStarted, TakenOver
from matcher.apply import apply
from matcher.precedence import LATE, riskier
from matcher.recovery import replay
from matcher.retrace import Retracing, find
from matcher.state import Exchange

EXPLAINED_MAX: Final = 50
"""Liquidations that are derived again, record for record, as `perpdex explain` does it: evenly spread where there were more."""

Record = tuple[int, Event]


class ReadBack(msgspec.Struct):
    """`state` is after the last record. `out_of_turn` has a sentence for each of the `turns` (starts, takeovers, deleveragings) before
    which a riskier account waited to be begun with, `differing` one for each difference in `explained` of the `liquidations`."""

    state: Exchange
    turns: int = 0
    out_of_turn: list[str] = []
    liquidations: int = 0
    explained: int = 0
    differing: list[str] = []


def read_back(directory: Path, explained_max: int = EXPLAINED_MAX) -> ReadBack:
    """Replay a journal on disk from its first record on. Raises `JournalCorrupt`."""
    records: list[Record] = []
    replay(directory, 0, lambda sequence, event: records.append((sequence, event)))
    return looked_at(records, explained_max)


def looked_at(records: Sequence[Record], explained_max: int) -> ReadBack:
    """The same of records from the first one on."""
    began = [place for place, (_, event) in enumerate(records) if isinstance(event, LiquidationStarted)]
    chosen = began[:: max(1, -(-len(began) // explained_max))]
    found = ReadBack(Exchange(), liquidations=len(began), explained=len(chosen))
    waiting = [_Followed(records, place, found.state) for place in reversed(chosen)]
    waiting.sort(key=lambda one: -one.begins)
    going: list[_Followed] = []
    for sequence, event in records:
        while waiting and waiting[-1].begins <= sequence:
            going.append(waiting.pop())
        for one in going:
            one.retracing.check(sequence)
        if isinstance(event, LiquidationStarted | TakenOver | Deleveraged):
            found.turns += 1
            if first := riskier(found.state, found.state.accounts[event.account], event.at):
                found.out_of_turn.append(f"record {sequence} came before account {first[0]}")
        apply(found.state, event)
        for one in going:
            one.retracing.applied(event)
        for one in [one for one in going if one.found.last <= sequence]:
            going.remove(one)
            found.differing += one.differences()
    return found


class _Followed:
    """A liquidation that is derived again from the record `begins` on: long enough before its first one to know what was late."""

    def __init__(self, records: Sequence[Record], place: int, state: Exchange) -> None:
        """It is the one whose first record is at this place."""
        started = records[place][1]
        assert isinstance(started, LiquidationStarted)
        self._number = started.liquidation
        found = find(lambda: islice(records, place, None), self._number)
        assert found is not None
        self.found = found
        self.retracing = Retracing(found, state)
        while place and records[place][1].at >= started.at - LATE:
            place -= 1
        self.begins = records[place][0]

    def differences(self) -> list[str]:
        return [
            f"liquidation {self._number}, record {step.sequence}: {difference}"
            for step in self.found.steps
            for difference in step.differences
        ]
