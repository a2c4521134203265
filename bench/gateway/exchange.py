"""The exchange as a process of its own, on a journal in the given directory: engine, HTTP and WebSocket as `perpdex serve api`
runs them. Prices stand still, the read side and the process host, which no request needs, are away, and an account may send as much
as it can: what is measured is the exchange, not how little of it one agent may have.

    python -m bench.gateway.exchange DIRECTORY [--unsynced]

Prints its addresses as one JSON line and stops when its input ends. `--unsynced` leaves out nothing but the call that forces
records to the disk.
"""

import asyncio
import gc
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import uvloop
from solders.pubkey import Pubkey
from temporalio.client import Client

import matcher.journal
from api.allowance import Limits
from api.bucket import Rate
from api.collaborators import EscrowInfo, WithdrawalsUnavailable
from api.quant import VaultTrading
from api.server import Given, Server
from api.sessions import Sessions
from api.streams import HistoryUnavailable
from api.vault_books import VaultBooks
from chain.addresses import EscrowAddresses
from chain.localnet.genesis import PROGRAM_ID, USDC_MINT
from core.market import DEFAULT_MARKETS
from core.quantities import Nanos
from core.risk_template import RiskTemplate
from ledger.database import open_pool
from matcher import commands as c
from matcher.engine import Engine
from oracles.feed import PriceFeed
from oracles.sources import Played
from workflows.exec_service import ExecService

NOWHERE: Final = "postgresql://nobody@127.0.0.1:1/none"
OPERATOR_TOKEN: Final = "the operator's token of the benchmark"
INDEX_TICKS: Final = 600_000
INDEX_EVERY_S: Final = 1.0
ESCROW: Final = EscrowAddresses(PROGRAM_ID, Pubkey.default())
"""Nobody asks a chain for it: agents only want to be named one."""
ANY_NUMBER: Final = Rate(per_second=1_000_000, burst=1_000_000)


@dataclass(frozen=True)
class Away:
    """A collaborator that cannot be reached: every call raises `error`."""

    error: type[Exception]

    def __getattr__(self, name: str) -> Any:
        async def unreachable(*given: object) -> NoReturn:
            raise self.error(name)

        return unreachable


async def serve(directory: Path) -> None:
    """Serve until the input ends."""
    engine = Engine(directory, time.time_ns)
    for market in DEFAULT_MARKETS:
        await engine.ask(c.ListMarket(market))
    nobody, pool = await Client.connect("127.0.0.1:1", lazy=True), open_pool(NOWHERE)
    server = await Server.start(
        Given(
            engine=engine,
            journal=directory,
            sessions=Sessions(
                b"the session secret of the benchmark", {"operator": OPERATOR_TOKEN}, time.time_ns
            ),
            reads=Away(HistoryUnavailable),
            withdrawals=Away(WithdrawalsUnavailable),
            quant=VaultTrading(ExecService(nobody, "none"), pool),
            escrow=EscrowInfo(
                str(PROGRAM_ID), str(ESCROW.escrow), str(ESCROW.vault), str(USDC_MINT), rpc_url=""
            ),
            prices=PriceFeed(Played({}, (), start=Nanos(0), seed=1), lambda routed: None, clock=time.time_ns),
            vaults=VaultBooks(lambda: open_pool(NOWHERE), frozenset(), RiskTemplate(frozenset(), None, {})),
            limits=Limits(ANY_NUMBER, ANY_NUMBER, ANY_NUMBER, ANY_NUMBER),
        )
    )
    gc.collect()
    gc.freeze()
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(json.dumps({"http": server.http_url, "port": server.websocket_port}), flush=True)
    while not ended.done():
        for market in DEFAULT_MARKETS:
            engine.submit(c.UpdateIndex(market.id, INDEX_TICKS, 0, time.time_ns(), "benchmark"), None)
        await asyncio.wait({ended}, timeout=INDEX_EVERY_S)
    await server.stop()
    engine.close()


def main() -> None:
    if "--unsynced" in sys.argv:
        assert callable(matcher.journal.sync)
        matcher.journal.sync = lambda descriptor: None
    uvloop.run(serve(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
