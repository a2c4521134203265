"""A vault's way to its venues: the Exec service over a real Temporal server, PostgreSQL, and the worker as a process of its own."""

import asyncio
import os
import sysconfig
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from activities.open_orders import order_id
from activities.orders import OrderFacts
from bench.gateway.processes import started
from bench.venues.places import VAULT, Place
from core.market import Side
from core.quantities import SECOND
from core.risk_template import RiskTemplate
from core.tickets import OrderType, Ticket, TimeInForce, price_from, size_from
from core.vault_risk import VaultRisk
from ledger.database import open_pool
from ledger.embedded import EmbeddedPostgres
from ledger.migrate import upgrade
from ledger.vaults import Vault, Vaults
from workflows.exec_service import ExecService
from workflows.order import OrderOutcome
from workflows.schedules import KEYWORDS
from workflows.steps import ORDERS

QUEUE: Final = "bench"
MANAGER: Final = 16


class Desk:
    """Sends a vault's tickets, and waits for what becomes of them."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._exec = ExecService(client, QUEUE + ORDERS)

    async def order(self, place: Place, side: Side, size: str = "") -> tuple[int, int]:
        """Nanoseconds until the venue's acknowledgement was there, and until the order had ended with its last fill in the ledger."""
        begun = time.perf_counter_ns()
        facts = await self._exec.open(VAULT, _ticket(place, side, size))
        acknowledged = time.perf_counter_ns() - begun
        assert facts.status == "filled", facts
        ended = await self._ended(facts)
        assert (ended.status, ended.filled) == ("filled", facts.size), ended
        return acknowledged, time.perf_counter_ns() - begun

    async def gathered(self, place: Place, orders: int, seconds: float) -> tuple[list[int], int]:
        """Nanoseconds until each of several orders waited for its batch, and until the first of them had ended with its fill in the
        ledger. The others are taken back."""
        taken: list[int] = []
        placed: list[OrderFacts] = []
        begun = time.perf_counter_ns()
        while len(placed) < orders and time.perf_counter_ns() - begun < seconds * SECOND:
            asked = time.perf_counter_ns()
            placed.append(await self._exec.open(VAULT, _ticket(place, Side.BUY)))
            taken.append(time.perf_counter_ns() - asked)
            assert placed[-1].status == "open", placed[-1]
            if len(placed) > 1:
                # A vault has a hundred at most that have not ended.
                await self._exec.cancel(VAULT, placed[-1].ticket.partition("/")[2])
        ended = await self._ended(placed[0])
        assert (ended.status, ended.filled) == ("filled", placed[0].size), ended
        return taken, time.perf_counter_ns() - begun

    async def _ended(self, facts: OrderFacts) -> OrderFacts:
        handle = self._client.get_workflow_handle(order_id(facts.ticket), result_type=OrderOutcome)
        outcome: OrderOutcome = await handle.result()
        return outcome.facts


def _ticket(place: Place, side: Side, size: str = "") -> Ticket:
    return Ticket(
        place.leg.symbol,
        size_from(size or place.size),
        side,
        place.leg.venue,
        order_type=OrderType.LIMIT,
        limit_price=price_from(place.limits[side]),
        time_in_force=TimeInForce.IOC,
    )


@asynccontextmanager
async def desk_over(directory: Path, places: Sequence[Place]) -> AsyncIterator[Desk]:
    """Everything that a ticket passes, over databases in `directory`."""
    write_keys(directory / "data" / "keys" / "venues", places)
    postgres = EmbeddedPostgres(directory / "postgres")
    # Not on this loop, on which a maker stands.
    url = await asyncio.to_thread(postgres.start)
    try:
        await asyncio.to_thread(upgrade, url)
        await make_vault(url, frozenset(place.leg.venue for place in places))
        async with await WorkflowEnvironment.start_local(
            dev_server_existing_path=os.path.join(sysconfig.get_path("scripts"), "temporal"),
            dev_server_database_filename=str(directory / "temporal.db"),
            dev_server_log_level="error",
            search_attributes=KEYWORDS,
        ) as temporal:
            told = {
                "PERPDEX_DATA": str(directory / "data"),
                "DATABASE_URL": url,
                "TEMPORAL_ADDRESS": temporal.client.service_client.config.target_host,
                "TASK_QUEUE": QUEUE,
                "EXEC_ALLOWED_VENUES": ",".join(place.leg.venue for place in places),
            }
            for place in places:
                told |= place.settings
            with started("bench.venues.worker", settings=told):
                yield Desk(temporal.client)
    finally:
        postgres.stop()


def write_keys(directory: Path, places: Sequence[Place]) -> None:
    """The vault's keys where the worker looks for them."""
    for place in places:
        for name, text in place.files.items():
            venue, _, kind = name.partition(".")
            path = directory / venue / f"{VAULT}.{kind or 'key'}"
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            path.write_text(text)


async def make_vault(url: str, venues: frozenset[str]) -> None:
    """A vault that may trade everything at these venues."""
    pool = open_pool(url)
    vaults = Vaults(pool, venues, RiskTemplate(venues, None, {}))
    risk = VaultRisk(vaults.set_up, vaults.common)
    await vaults.make(Vault(VAULT, MANAGER, min(venues), False, 0, 0, time.time_ns(), risk), "bench")
    await pool.dispose()
