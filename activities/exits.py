"""What owners decide on chain, alone, into the engine: to leave, and what settlement may take of them."""

import asyncio
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from time import monotonic, time_ns
from typing import Final, NamedTuple

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.engine_door import UNREACHABLE, EngineDoor, StandingExit
from activities.heartbeats import heartbeats, pause
from activities.loss_limits import LossLimitWatch
from chain.escrow import EscrowClient
from chain.escrow_view import EscrowSnapshot
from chain.layout import Slot
from chain.rpc import FINALIZED
from core.accounts import FIRST_AGENT
from core.quantities import MONEY_MAX, SECOND
from ledger.settlement import Settlement
from matcher.commands import ReduceForExit, ReleaseExit, RequestExit, SeeExitDelay

POLL_S: Final = 5.0
"""Delays are days, and a look reads every page."""
TENDED: Final = 200
"""Requests that stand and are looked after at one look, in turn: of more, each still has its turn every few minutes."""
NEWS: Final = 1_000
"""New requests that are told at one look: a run on the exchange comes in parts, each soon after the last."""
BEHIND: Final = 12
"""Views in a row that are older than the newest before them until that one counts as untrue: about a minute of looks."""
AT_ONCE: Final = 16
"""Commands on their way at one time: the engine makes them durable together."""


@dataclass
class ExitsSeen:
    """The last look: how many accounts leave, why the engine did not do what it was told of the last one that it refused, and in how
    many slots settlement may take only so much.

    Until `unbooked` micro-USDC of claims are booked, nothing is released or closed: one of them may be what was asked for. Below 0 the
    books have more than that view of the chain: it was behind, or, where that stays, they are wrong."""

    leaving: int = 0
    refused: str = ""
    limited: int = 0
    unbooked: int = 0


class Request(NamedTuple):
    """What a slot says of its owner's wish to leave."""

    account: int
    owner: str
    amount: int
    exit_at: int


class Place(NamedTuple):
    page: int
    slot: int


class ExitActivities:
    """Over the engine's door and the chain. A slot says all about its owner's wishes, so there is no place to go on from.

    A request never lapses, so one that stands must cost nothing: the engine hears of it once, and again only when that can change
    something. A node may show the pages as they were: what was seen is not taken back by an older view. How old one is its own clock
    says better than the slot that the node adds to it. One untrue answer must not blind the watch: see `BEHIND`.
    """

    def __init__(self, door: EngineDoor, escrow: EscrowClient, ledger: Settlement) -> None:
        self._door = door
        self._escrow = escrow
        self._limits = LossLimitWatch(door, escrow.view, ledger)
        self._told: dict[Place, Request] = {}
        self._tended = 0
        self._newest = (0, 0)
        self._behind = 0

    @activity.defn
    async def watch_exits(self, seconds: float) -> ExitsSeen:
        """Tell the engine for some seconds what stands in the pages, finalized. A repeat changes nothing."""
        until = monotonic() + seconds
        # Whatever the engine did not take then is tried anew.
        self._told.clear()
        self._limits.forget()
        while True:
            async with heartbeats():
                seen = await self.look()
            meter = activity.metric_meter()
            meter.create_gauge("perpdex_exits_requested", "Accounts that ask to leave").set(seen.leaving)
            if any(self._newest):
                # A node that shows no escrow at all leaves nothing to look at, and the alarm has to ring.
                meter.create_gauge(
                    "perpdex_exits_looked_seconds",
                    "When what owners ask for on chain was last looked at whole, since the epoch",
                ).set(time_ns() // SECOND)
            if monotonic() >= until or not await pause(POLL_S):
                return seen

    async def look(self) -> ExitsSeen:
        """One look at all pages. Raises a retryable ``node_behind`` when they are shown as they were before an earlier look."""
        if await self._escrow.view.escrow_state(FINALIZED) is None:
            if any(self._newest):
                raise ApplicationError("the node does not show the escrow any more", type="node_behind")
            return ExitsSeen()
        snapshot = await self._escrow.view.snapshot(FINALIZED)
        self._must_be_new(snapshot)
        return await self._told_of(snapshot)

    def _must_be_new(self, snapshot: EscrowSnapshot) -> None:
        moment = (snapshot.clock, snapshot.slot)
        self._behind = self._behind + 1 if moment < self._newest else 0
        if 0 < self._behind < BEHIND:
            raise ApplicationError("the node shows the escrow as it was before", type="node_behind")
        self._newest, self._behind = moment, 0

    async def _told_of(self, snapshot: EscrowSnapshot) -> ExitsSeen:
        """Tell the engine what it does not know of that view."""
        state, limits = await self._door.state(), snapshot.state.settings.limits
        if (state.exit_delay, state.limit_delay) != (limits.exit_delay, limits.limit_delay):
            await self._door.command(SeeExitDelay(limits.exit_delay, limits.limit_delay))
        limited = sum(one.lowest_limit is not None for one in _slots(snapshot))
        if limited or state.loss_limits:
            await self._limits.look(snapshot)
        asked = _asked(snapshot)
        if not state.exits and not asked:
            return ExitsSeen(limited=limited)
        standing = {Place(one.page, one.slot): one for one in await self._door.exits()}
        unknown = (
            (place, request)
            for place, request in asked.items()
            if _known(standing.get(place)) != request and self._told.get(place) != request
        )
        news = dict(islice(unknown, NEWS))
        told = await self._bound(news)
        refused = await self._all(RequestExit(new.account, new.amount, new.exit_at) for new in told)
        self._told |= news
        stay: list[StandingExit] = []
        gone: list[StandingExit] = []
        for place, one in standing.items():
            there = asked.get(place)
            same = there is not None and there[:2] == (one.account, one.owner)
            # A view from before the request says nothing of it, and the first one after a start has none to be compared with. The
            # delay with which it was made may have been another than today's, so only the engine knows when that was.
            (stay if same or snapshot.clock * SECOND < one.at else gone).append(one)
        claimed = snapshot.state.exits
        refused = await self._tend(stay, claimed) or refused
        refused = await self._all(ReleaseExit(one.account, claimed) for one in gone) or refused
        leaving = {one.account for one in stay} | {new.account for new in told}
        unbooked = claimed - state.claimed - state.claimed_astray
        return ExitsSeen(len(leaving), refused, limited, unbooked)

    async def _bound(self, news: dict[Place, Request]) -> list[Request]:
        """Those in the slots that the books have for their account and owner."""
        if not news:
            return []
        books = await self._door.books()
        bound = {Place(one.page, one.slot): (one.account, one.owner) for one in books.accounts}
        return [new for place, new in news.items() if bound.get(place) == new[:2]]

    async def _tend(self, stay: Sequence[StandingExit], claimed: int) -> str:
        """Pull what lost its cover and close what is due, of so many at a time; why the last refused one was refused, or nothing."""
        active = sorted((one for one in stay if one.quoting or one.closing), key=lambda one: one.account)
        begin = bisect_right(active, self._tended, key=lambda one: one.account)
        turn = (active[begin:] + active[:begin])[:TENDED]
        self._tended = turn[-1].account if turn else 0
        quoting = (RequestExit(one.account, one.amount, one.exit_at) for one in turn if one.quoting)
        refused = await self._all(quoting)
        return await self._all(ReduceForExit(one.account, claimed) for one in turn if one.closing) or refused

    async def _all(self, commands: Iterable[RequestExit | ReduceForExit | ReleaseExit]) -> str:
        """Give the commands, which are of different accounts; why the last refused one was refused, or nothing.

        A market that cannot be valued or traded now is looked at again next time.
        """
        window, refused = asyncio.Semaphore(AT_ONCE), ""

        async def give(command: RequestExit | ReduceForExit | ReleaseExit) -> None:
            nonlocal refused
            async with window:
                try:
                    await self._door.command(command)
                except ApplicationError as error:
                    if error.type == UNREACHABLE:
                        raise
                    refused = f"account {command.account}: {error.message}"

        try:
            async with asyncio.TaskGroup() as group:
                for command in commands:
                    group.create_task(give(command))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return refused


def _asked(snapshot: EscrowSnapshot) -> dict[Place, Request]:
    """What is asked for, by the slot in which it is."""
    return {
        Place(page.index, one.index): Request(
            one.account, _owner(one), min(one.pending, MONEY_MAX), one.exit_at
        )
        for page in snapshot.pages
        for one in page.slots
        if one.exit_at > 0 and one.pending > 0
    }


def _owner(slot: Slot) -> str:
    """As the engine has it: of treasury and insurance fund it knows the slots, and no owner."""
    return str(slot.owner) if slot.account >= FIRST_AGENT else ""


def _known(one: StandingExit | None) -> Request | None:
    return Request(one.account, one.owner, one.amount, one.exit_at) if one is not None else None


def _slots(snapshot: EscrowSnapshot) -> Iterator[Slot]:
    return (slot for page in snapshot.pages for slot in page.slots)
