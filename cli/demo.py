"""A bounded run: agents trade for some seconds, everything settles, and what it came to is checked and reported."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from temporalio.client import WorkflowUpdateFailedError
from temporalio.service import RPCError

from activities.engine_door import HashedState
from activities.schedules import SETTLEMENT_ID
from chain.rpc import ChainUnavailable
from cli.demo_vault import VaultOpening
from cli.figures import NotReadable, Reader
from cli.population import look, start_population
from cli.ports import free_ports
from cli.processes import StackFailed
from cli.report import ChainReport, LedgerReport, Report, VaultReport, batch_report
from cli.screen import Screen
from cli.stack import STRATEGY, Stack, Stopped
from cli.tally import Tally
from cli.vault_check import checked
from ledger.database import open_pool
from ledger.queries import Queries
from ledger.views import Totals
from matcher.image import state_hash
from matcher.recovery import JournalCorrupt
from matcher.replaying import replayed
from matcher.snapshot import SnapshotUnreadable
from places import database_url
from settings import Settings
from wiring import engine_door, escrow_client, temporal_client
from workflows.settlement import SettlementWorkflow
from workflows.settling import settle_now

LOOK_EVERY_S: Final = 1.0
SETTLE_S: Final = 240.0
"""How long it may take until everything that was traded is final."""
READ_S: Final = 60.0
"""For how long the API may refuse to say what was traded."""
PAUSE_S: Final = 3.0
"""Between two rounds of the vault's tickets: a short run has a few, too."""
Read = TypeVar("Read")
PORTS: Final = ("api_port", "websocket_port", "temporal_port", "temporal_ui_port", "rpc_port")


def on_free_ports(settings: Settings) -> Settings:
    """Settings whose ports, where nobody chose them, are free ones: no port stands in the way of another run, which has a directory
    of its own."""
    open_choices = [name for name in PORTS if name not in settings.model_fields_set]
    chosen = settings.model_copy(update=dict(zip(open_choices, free_ports(len(open_choices)), strict=True)))
    return chosen.model_copy(update={"api_url": chosen.nearby_url})


class Demo:
    """One demonstration on a stack that has started."""

    def __init__(
        self,
        stack: Stack,
        screen: Screen,
        reader: Reader,
        stopped: threading.Event,
        opening: VaultOpening | None = None,
    ) -> None:
        self._stack = stack
        self._settings = stack.settings
        self._screen = screen
        self._reader = reader
        self._stopped = stopped
        self._opening = opening
        self._tally = Tally()

    def run(self, seconds: float, makers: int, traders: int) -> Report:
        """Trade, settle, compare. Raises `StackFailed` or `Stopped`."""
        before, began = self._patiently(self._reader.status), time.time_ns()
        counts = {"makers": makers, "traders": traders}
        start_population(self._stack, self._tally, counts, self._stopped, self._opening, PAUSE_S)
        traded_s = self._trade(seconds)
        # Makers last: what they quote says what the vault's position here is worth.
        ended = self._stack.stop_agents(("traders", STRATEGY))
        vault = None if self._opening is None else asyncio.run(self._vault(began))
        ended |= self._stack.stop_agents()
        last = asyncio.run(self._settle())
        chain, ledger, state = asyncio.run(self._proofs())
        again = self._replayed(before.seq, state.seq)
        after = self._patiently(self._reader.status)
        batches = self._patiently(lambda: self._reader.batches_after(before.seq))
        tallied = self._tally.so_far()
        return Report(
            seconds=round(traded_s, 3),
            makers=makers,
            traders=traders,
            prices=self._patiently(self._reader.prices),
            fills=after.fills - before.fills,
            final_fills=ledger.final_fills - before.fills,
            fills_per_second=round((after.fills - before.fills) / traded_s, 3),
            requests=tallied.requests,
            answers=tallied.outcomes,
            rejected=tallied.rejected,
            unknown=tallied.unknown,
            ack_ms=tallied.latency,
            batches=tuple(batch_report(one) for one in batches if one.id <= last),
            chain=chain,
            ledger=LedgerReport(total=-ledger.outside, imbalance=ledger.total),
            conserved=after.conserved and ledger.clearing_matches,
            positions_zero_sum=after.positions_zero_sum and ledger.positions_zero_sum,
            book_mismatches=sum(self._tally.mismatches.values()),
            books_not_compared=self._tally.not_compared(ended),
            state_hash=state.state_hash,
            replayed_hash=again,
            vault=vault,
        )

    def _trade(self, seconds: float) -> float:
        """Watch the agents trade; for how long they did."""
        started = time.monotonic()
        while (left := started + seconds - time.monotonic()) > 0:
            look(self._stack, self._tally, self._reader, self._screen, f"trading, {left:.0f} s left")
            if self._stopped.wait(min(left, LOOK_EVERY_S)):
                raise Stopped
        return time.monotonic() - started

    async def _vault(self, began: int) -> VaultReport:
        """What the vault came to; `began` is when the run did, in nanoseconds."""
        checking = asyncio.create_task(checked(self._settings, began))
        try:
            await self._watch_until(checking.done, "valuing the vault")
            return checking.result()
        finally:
            checking.cancel()

    async def _settle(self) -> int:
        """Have everything that was traded settled; the last batch of it."""
        client = await temporal_client(self._settings)
        handle = client.get_workflow_handle_for(SettlementWorkflow.run, SETTLEMENT_ID)
        settling = asyncio.create_task(settle_now(handle))
        try:
            await self._watch_until(settling.done, "settling what was traded")
            receipt = settling.result()
        except WorkflowUpdateFailedError as error:
            raise StackFailed(f"Settlement has halted: {error.cause}") from error
        except RPCError as error:
            raise StackFailed(f"Temporal does not answer: {error}") from error
        finally:
            settling.cancel()
        return receipt.batch if receipt is not None else 0

    async def _proofs(self) -> tuple[ChainReport, Totals, HashedState]:
        """What chain, ledger and engine hold, once the ledger has caught up with the engine."""
        pool, escrow = open_pool(database_url(self._settings)), await escrow_client(self._settings)
        door = engine_door(self._settings)
        try:
            state, queries = await door.hashed_state(), Queries(pool)
            await self._watch_until(
                lambda: self._reader.has_projected(state.seq), "waiting for the ledger to catch up"
            )
            snapshot = await escrow.view.snapshot()
            return ChainReport(snapshot.vault, snapshot.promised), await queries.totals(), state
        except ChainUnavailable as error:
            raise StackFailed(f"The chain does not answer: {error}") from error
        finally:
            await door.close()
            await escrow.client.close()
            await pool.dispose()

    def _replayed(self, since: int, through: int) -> str:
        """Hash of the state that the journal comes to when it is played again."""
        try:
            return state_hash(replayed(self._settings.perpdex_data / "journal", since, through))
        except (JournalCorrupt, SnapshotUnreadable) as error:
            raise StackFailed(f"The journal cannot be played again: {error}") from error

    def _patiently(self, read: Callable[[], Read]) -> Read:
        return patiently(read, self._stack.watch, self._stopped)

    async def _watch_until(self, done: Callable[[], bool], note: str) -> None:
        deadline = time.monotonic() + SETTLE_S
        while not done():
            look(self._stack, self._tally, self._reader, self._screen, note)
            if self._stopped.is_set():
                raise Stopped
            if time.monotonic() > deadline:
                raise StackFailed(
                    f"Not done after {SETTLE_S:.0f} s: {note}; see the Temporal UI and {self._settings.perpdex_data}/logs"
                )
            await asyncio.sleep(LOOK_EVERY_S / 4)


def patiently(
    read: Callable[[], Read],
    watch: Callable[[], None],
    stopped: threading.Event,
    within_s: float = READ_S,
    every_s: float = LOOK_EVERY_S,
) -> Read:
    """What the API says. A passing refusal must not cost the report of what was traded and settled.

    Raises `NotReadable` when it still refuses after that time, `Stopped`, and what `watch` raises when a part is not there any more.
    """
    deadline = time.monotonic() + within_s
    while True:
        try:
            return read()
        except NotReadable:
            if time.monotonic() > deadline:
                raise
        watch()
        if stopped.wait(every_s):
            raise Stopped
