"""The worker is killed while the venue has its order and has not answered: the next one finds the order and sends none."""

import asyncio
import os
import signal
import sys
import sysconfig
import time
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from core.market import Side
from core.quantities import SECOND, Nanos
from workflows.schedules import KEYWORDS

ROOT = Path(__file__).parents[3]
WORKER = """
import asyncio
from settings import Settings
from wiring import temporal_client
from worker import working_orders

async def main():
    settings = Settings()
    async with working_orders(await temporal_client(settings), settings):
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
async def environment():
    """The real server: that of tests does not give a dead worker's workflow tasks to another."""
    server = os.path.join(sysconfig.get_path("scripts"), "temporal")
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=server,
        search_attributes=KEYWORDS,
        dev_server_log_level="error",
    ) as started:
        yield started


@pytest.fixture
async def worker_process(environment, desk_at, postgres_url, tmp_path, vault):
    """The worker's own orders, as it is deployed, in a process that a test may kill."""
    desk = await desk_at("hyper")
    key = tmp_path / "data" / "keys" / "venues" / "hyper" / f"{vault}.key"
    key.parent.mkdir(parents=True)
    key.write_text(desk.place.wallet.key.hex())
    key.chmod(0o600)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        WORKER,
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "sdk")]),
            "PERPDEX_DATA": str(tmp_path / "data"),
            "DATABASE_URL": postgres_url,
            "TEMPORAL_ADDRESS": environment.client.service_client.config.target_host,
            "TASK_QUEUE": "test",
            "EXEC_ALLOWED_VENUES": "hyper",
            "EXEC_HYPER_URL": desk.place.venue.url,
        },
    )
    yield desk, process
    if process.returncode is None:
        process.kill()
    await process.wait()


async def stands_still(desk, process, vault):
    """An order whose worker goes on after the order's latest time."""
    os.kill(process.pid, signal.SIGSTOP)
    late = desk.ticket(Side.BUY, client_id="late", not_after=Nanos(time.time_ns() + SECOND // 2))
    sending = asyncio.create_task(desk.exec.open(vault, late))
    await asyncio.sleep(1)
    os.kill(process.pid, signal.SIGCONT)
    return await desk.ended(await sending)


@pytest.mark.cell("place_order", "delayed")
@pytest.mark.cell("place_order", "killed after")
async def test_an_order_whose_worker_is_killed_or_stands_still_is_sent_once_or_not(
    worker_process, vault, keep_history
):
    desk, process = worker_process
    async with asyncio.timeout(90):
        late = await stands_still(desk, process, vault)
        assert (late.status, late.code, late.filled) == ("not_sent", "too_late", 0)
        assert await desk.told() == []
        await desk.place.faults.ask("time_out")
        sending = asyncio.create_task(desk.exec.open(vault, desk.ticket(Side.BUY, client_id="killed")))
        while not await desk.told():
            await asyncio.sleep(0.1)
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        assert (await desk.orders.order(f"{vault}/killed")).status == "sent"
        async with desk.worker():
            await sending
            facts = await desk.exec.open(vault, desk.ticket(Side.BUY, client_id="killed"))
            facts = await desk.ended(facts)
            again = await desk.exec.open(vault, desk.ticket(Side.BUY, client_id="killed"))
            assert again == facts
            await keep_history(desk.client, "order-worker-killed", f"order/{facts.ticket}")
    assert (facts.status, facts.filled) == ("filled", desk.place.size)
    assert sum(one.size for one in await desk.told()) == desk.place.size
    assert await desk.held() == {"hyper": {desk.place.symbol: desk.place.size}}
