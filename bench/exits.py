"""What owners that leave cost the exchange: thousands of requests that come at once, and the same ones standing afterwards.

    python -m bench.exits [ACCOUNTS]

Prints a Markdown section; what it is doing goes to the standard error.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from activities.engine_door import EngineDoor
from activities.exits import NEWS, POLL_S, ExitActivities, ExitsSeen
from bench.disk import scratch
from bench.report import NOISE, Target, table, targets
from bench.settlement.accounts import Opener, Place
from bench.settlement.network import Network
from chain.escrow import EscrowClient
from cli.demo import on_free_ports
from ledger.database import open_pool
from ledger.settlement import Settlement
from places import database_url
from settings import Settings
from wiring import engine_door, escrow_client, operator_signer

ACCOUNTS: Final = 5_000
STANDING: Final = 5
"""Looks at requests that stand."""
PROBE_S: Final = 0.002
LOOK_TARGET_S: Final = 1.0
ANSWER_TARGET: Final = 2.0
SELDOM_S: Final = 3_600


@dataclass
class Look:
    """One look: how long it took, and milliseconds that the engine took to answer others meanwhile."""

    what: str
    seconds: float
    seen: ExitsSeen
    answers: list[float] = field(default_factory=list)

    def row(self) -> tuple[str, ...]:
        half, last = median(self.answers), max(self.answers)
        return self.what, f"{self.seen.leaving:,}", f"{self.seconds:.2f}", f"{half:.1f}", f"{last:.1f}"


async def looked(what: str, look: Callable[[], Awaitable[ExitsSeen]], door: EngineDoor) -> Look:
    """Do it, and ask the engine something small all the while."""
    answers: list[float] = []

    async def probe() -> None:
        while True:
            asked = time.perf_counter()
            await door.open_withdrawals()
            answers.append(1_000 * (time.perf_counter() - asked))
            await asyncio.sleep(PROBE_S)

    probing = asyncio.create_task(probe())
    try:
        began = time.perf_counter()
        seen = await look()
        return Look(what, time.perf_counter() - began, seen, answers)
    finally:
        probing.cancel()


async def measured(network: Network, accounts: Sequence[Place]) -> list[Look]:
    settings = network.settings
    escrow, door, probe = await escrow_client(settings), engine_door(settings), engine_door(settings)
    pool = open_pool(database_url(settings))
    exits = ExitActivities(door, escrow, Settlement(pool))
    try:
        looks = [await looked("nobody leaves", exits.look, probe)]
        await ask(network, escrow, accounts)
        for first in range(0, len(accounts), NEWS):
            told = f"{min(NEWS, len(accounts) - first):,} have just asked"
            looks.append(await looked(told, exits.look, probe))
        for number in range(STANDING):
            looks.append(await looked(f"they stand, look {number + 1}", exits.look, probe))
        return looks
    finally:
        await pool.dispose()
        await door.close()
        await probe.close()
        await escrow.client.close()


async def ask(network: Network, escrow: EscrowClient, accounts: Sequence[Place]) -> None:
    """All ask for one micro-USDC, which nobody ever claims."""
    tell(f"{len(accounts):,} owners ask")
    async with operator_signer(network.settings) as operator:
        await Opener(escrow, operator, tell).leave(accounts, 1)


def tell(line: str) -> None:
    print(f"  {time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def section(count: int) -> str:
    """Measure; the section in Markdown."""
    with scratch() as directory:
        given = Settings(perpdex_data=Path(directory), pyth_url="", settlement_interval_s=SELDOM_S)
        network = Network(on_free_ports(given), count, tell)
        try:
            network.start()
            network.child("worker").stop()
            looks = asyncio.run(measured(network, network.accounts))
        finally:
            network.stop()
    standing = median(look.seconds for look in looks[-STANDING:])
    still, idle = (median(median(look.answers) for look in part) for part in (looks[-STANDING:], looks[:1]))
    about = f"""\
{count:,} accounts on a whole network ask on chain, all at once, for one micro-USDC each, and never claim it. The step that watches
for it looks, as the worker does every {POLL_S:.0f} seconds: it reads all pages, and tells the engine over the operator's door what is
new, of {NEWS:,} accounts at most. Meanwhile the engine is asked something small without a pause: *answer* is what that took, which
includes waiting for the processors. {NOISE}"""
    heads = ("look", "leaving", "s", "median answer (ms)", "slowest answer (ms)")
    goals = [
        Target(
            f"a look at {count:,} requests that stand, median",
            f"<= {LOOK_TARGET_S:.0f} s",
            f"{standing:.2f} s",
            standing <= LOOK_TARGET_S,
        ),
        Target(
            "the engine's median answer meanwhile, over that when nobody leaves",
            f"<= {ANSWER_TARGET:.0f}",
            f"{still / idle:.1f}",
            still <= ANSWER_TARGET * idle,
        ),
    ]
    rows = [look.row() for look in looks]
    return "\n\n".join(("## Owners that leave", about, table(heads, rows), targets(goals)))


if __name__ == "__main__":
    print(section(int(sys.argv[1]) if sys.argv[1:] else ACCOUNTS))
