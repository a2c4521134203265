"""The engine: the one writer. Commands come in on the event loop; answers leave once what they promise is on disk."""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from secrets import token_bytes
from typing import Final

import structlog

from core.events import DURABLE_TYPES, Event
from core.quantities import MILLISECOND, SECOND
from matcher import commands as c
from matcher.apply import apply
from matcher.clock import refuse_if_behind
from matcher.decide import decide
from matcher.journal import Journal, fail_stop
from matcher.keys import first_answer
from matcher.recovery import replay
from matcher.rejections import NO_ROOM, Code, Outcome, Rejection, Repeated
from matcher.room import FREE_MIN, Room
from matcher.segments import SEGMENT_BYTES, lock
from matcher.snapshot import load_newest, save
from matcher.snapshot_process import Snapshots
from matcher.state import AT_ONCE

WAITING_MAX: Final = 10_000
"""Answers that may wait for the disk before new requests and quotes are refused."""
SNAPSHOT_AFTER: Final = 200_000
"""Records after which a snapshot is taken, whether replayed at start or written since."""
TURN: Final = 2 * MILLISECOND
"""How long what is due may go on before the event loop has its turn: thousands of things can come due at once."""
SHEDDABLE: Final = frozenset({c.OpenRequest, c.AnswerRequest, c.SetQuotes, c.RegisterAgent, c.OpenSubAccount})
"""Commands refused under overload; cancels, pulls of quotes, accepts, the operator's commands and repeats of requests always pass."""
_log = structlog.get_logger("engine")

AFTER_DUE: Final = frozenset(
    {
        c.OpenRequest,
        c.AnswerRequest,
        c.AcceptQuote,
        c.SetQuotes,
        c.ReserveWithdrawal,
        c.CutSettlement,
        c.DelistMarket,
    }
)
"""Commands that what is due for accounts in trouble comes before: who deals or leaves meets a state in which that is done."""
GROUP: Final = 32
"""Things that are due and done in one go, about three milliseconds of takeovers: then others get a turn, newer prices among them."""
GROUP_TIME: Final = 10 * MILLISECOND
"""After so long a group ends before it is whole: where very many hold the other side, each deleveraging alone takes longer."""

SECRET_BYTES: Final = 32
_ADVANCE: Final = c.Advance()

Reply = Callable[[Outcome], None]
Listener = Callable[[int, Event], None]


class Engine:
    """Runs commands one at a time against the exchange it owns.

    `submit` decides and applies at once, so memory runs ahead of the disk; the reply, and what listeners hear of durable events,
    waits until the journal has synced them. An error between applying and journaling ends the process, as a failed sync does.
    Listeners hear durable events in order with their sequence, volatile ones with 0: at once, but never before what an account that
    they are about has not been told of yet, or a maker would hear of a fill after the cancel that came too late for it.
    """

    def __init__(
        self,
        directory: Path,
        clock: Callable[[], int],
        *,
        waiting_max: int = WAITING_MAX,
        segment_bytes: int = SEGMENT_BYTES,
        snapshot_after: int = SNAPSHOT_AFTER,
        free_min: int = FREE_MIN,
        secret: bytes = b"",
    ) -> None:
        """Open the journal in `directory` and bring its state back; must be called on a running event loop.

        `clock` gives nanoseconds since the epoch. `secret` says when premiums are sampled: drawn anew unless it is
        given, as it is for a run that must repeat itself. Raises `JournalInUse`, `JournalCorrupt`, and `ClockBehind` when the newest
        record is later than `clock`.
        """
        self._lock = lock(directory)
        self._directory = directory
        self.room = Room(directory, free_min)
        self.clock = clock
        self._waiting_max = waiting_max
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[int, Reply | None, Outcome, Iterable[int]]] = deque()
        self._queued: dict[int, int] = {}
        self._listeners: list[Listener] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0
        try:
            self.state = load_newest(directory)
            before = self.state.seq
            end = replay(directory, self.state.seq, self._replayed)
            refuse_if_behind(self.state.at, clock())
        except BaseException:
            os.close(self._lock)
            raise
        self.last_at = self.state.at
        self.replayed = end.sequence - before
        self._snapshots = Snapshots(directory, before, snapshot_after)
        self.state.book.secret = secret or token_bytes(SECRET_BYTES)
        self._journal = Journal(directory, end, self._loop, self._on_disk, segment_bytes)
        self._told = end.sequence
        self.submit(c.StartEpoch(), None)

    @property
    def synced(self) -> int:
        """Last sequence known to be on disk."""
        return self._journal.synced

    @property
    def waiting(self) -> int:
        """Answers waiting for the disk."""
        return len(self._waiting)

    def listen(self, listener: Listener) -> None:
        """Have `listener(sequence, event)` called for every event; a listener must not submit from within the call."""
        self._listeners.append(listener)

    def submit(self, command: c.Command, reply: Reply | None) -> None:
        """Run `command`; `reply` is called once: at once for refusals, with the events for whatever happened."""
        if (
            len(self._waiting) >= self._waiting_max
            and type(command) in SHEDDABLE
            and not self._knows(command)
            and not c.pulls(command)
        ):
            if reply is not None:
                reply(Rejection(Code.OVERLOADED, "The exchange is busy: try again shortly."))
            return
        state, kind, at = self.state, type(command), self.clock()
        if at < self.last_at:
            at = self.last_at
        self.last_at = at
        if 0 < state.hour_due <= at and kind is not c.Advance:
            self._end_hours(at)
        if kind in AFTER_DUE and state.watch.presses(state):
            self._in_trouble(at)
        outcome = decide(state, command, at)
        if isinstance(outcome, list):
            if not self.room.refuses(command):
                self._run(command, outcome, reply)
            elif reply is not None:
                reply(NO_ROOM)
        elif isinstance(outcome, Repeated):
            self._answer(self._journal.sequence, reply, outcome)
        elif reply is not None:
            reply(outcome)

    def _knows(self, command: c.Command) -> bool:
        """Whether it repeats a request. A refusal of the repeat would be taken for the fate of the first, which may have filled."""
        if not isinstance(command, c.OpenRequest):
            return False
        account = self.state.accounts.get(command.account)
        return account is not None and first_answer(self.state, account, command.key) is not None

    def _end_hours(self, at: int) -> None:
        """Have hours of funding end before anything else happens: what is owed from then on counts in whatever comes next."""
        while 0 < self.state.hour_due <= at:
            outcome = decide(self.state, _ADVANCE, at)
            assert isinstance(outcome, list)
            self._run(_ADVANCE, outcome, None)

    def _in_trouble(self, at: int) -> None:
        """Do a group of what is due for accounts in trouble."""
        until = self.clock() + GROUP_TIME
        for _ in range(GROUP):
            if not self.state.watch.presses(self.state):
                return
            outcome = decide(self.state, _ADVANCE, at)
            assert isinstance(outcome, list)
            self._run(_ADVANCE, outcome, None)
            if self.clock() >= until:
                return

    async def ask(self, command: c.Command) -> Outcome:
        """`submit` as a coroutine."""
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self.submit(command, lambda outcome: None if future.done() else future.set_result(outcome))
        return await future

    def close(self) -> None:
        """Sync, answer what waits, and write a snapshot: when that fails, the next start only takes longer."""
        if self._timer is not None:
            self._timer.cancel()
        self._journal.close()
        self._synced(self._journal.synced)
        self._snapshots.close()
        try:
            save(self._directory, self.state)
        except OSError as error:
            _log.warning("snapshot not written", error=str(error))
        os.close(self._lock)

    def _replayed(self, sequence: int, event: Event) -> None:
        apply(self.state, event)

    def _run(self, command: c.Command, events: list[Event], reply: Reply | None) -> None:
        try:
            durable = self._record(events)
        except BaseException as error:
            # Memory may now hold what the journal never will: every answer from here on could be taken back by a start.
            fail_stop("an event was not both applied and journaled", error)
        if durable or (not events and not getattr(command, "account", 0)):
            # Nothing happened because something did before, which may still be on its way to the disk. What an account was told of
            # says so of an account's own (`_behind`), and of nothing else.
            self._answer(self._journal.sequence, reply, events)
        elif self._waiting and (behind := self._behind(command, events)):
            self._waiting.append((self._journal.sequence, reply, events, behind))
            for id in behind:
                self._queued[id] = self._queued.get(id, 0) + 1
        else:
            for event in events:
                for listener in self._listeners:
                    listener(0, event)
            if reply is not None:
                reply(events)
        if durable or type(command) is not c.AnswerRequest:
            # A quote that only joins its request makes nothing fall due, and there are many to each.
            self._set_timer()

    def _record(self, events: list[Event]) -> bool:
        """Apply the events and append the durable ones, all or none of which a start finds; whether there were any."""
        state, durable = self.state, []
        for event in events:
            apply(state, event)
            if type(event) in DURABLE_TYPES:
                durable.append(event)
        if not durable:
            return False
        sequence = self._journal.append(durable)
        if sequence != state.seq:
            raise AssertionError(f"journal at {sequence}, state at {state.seq}")
        return True

    def _answer(self, sequence: int, reply: Reply | None, outcome: Outcome) -> None:
        if not outcome and reply is None:
            return
        if sequence <= self._journal.synced and not self._waiting:
            if reply is not None:
                reply(outcome)
            return
        self._waiting.append((sequence, reply, outcome, ()))

    def _behind(self, command: c.Command, events: list[Event]) -> set[int]:
        """The accounts that volatile events are about, if one of them has yet to be told of something else."""
        about = {getattr(command, "account", 0)}
        for event in events:
            about.add(getattr(event, "account", 0))
        accounts, told, queued = self.state.accounts, self._told, self._queued
        for id in about:
            if id in queued or ((account := accounts.get(id)) is not None and account.newest > told):
                return about
        return set()

    def _on_disk(self, sequence: int) -> None:
        self._synced(sequence)
        self._snapshots.synced(sequence)

    def _synced(self, sequence: int) -> None:
        waiting = self._waiting
        while waiting and waiting[0][0] <= sequence:
            through, reply, outcome, queued = waiting.popleft()
            self._told = through
            for id in queued:
                left = self._queued[id] - 1
                if left:
                    self._queued[id] = left
                else:
                    del self._queued[id]
            if isinstance(outcome, list):
                number = through - len([event for event in outcome if type(event) in DURABLE_TYPES])
                for event in outcome:
                    if type(event) in DURABLE_TYPES:
                        number += 1
                        self._tell(number, event)
                    else:
                        self._tell(0, event)
            if reply is not None:
                reply(outcome)

    def _tell(self, sequence: int, event: Event) -> None:
        for listener in self._listeners:
            listener(sequence, event)

    def _set_timer(self) -> None:
        """Wake up at the next deadline or before: a timer that a closed request left behind finds nothing due and is set anew."""
        if self._timer is not None and self._timer_at <= AT_ONCE:
            return  # Whoever is to get a look gets it then, not within somebody's command.
        due = self.state.next_deadline()
        if not due or (self._timer is not None and self._timer_at <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_later(max(0.0, (due - self.clock()) / SECOND), self._due)

    def _due(self) -> None:
        self._timer = None
        now = started = self.clock()
        for _ in range(GROUP):
            if not 0 < self.state.next_deadline() <= started or now >= started + TURN:
                break
            self.submit(c.Advance(), None)
            now = self.clock()
        self._set_timer()
