"""The demonstration vault: made once, with money that lies at this network, and found again by every later run."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from temporalio.client import Client, WorkflowFailureError
from temporalio.service import RPCError

from chain.addresses import EscrowAddresses
from cli.door import Door, NotDone
from cli.processes import StackFailed
from endings import NotReachable
from perpdex_sdk.agent import Agent
from perpdex_sdk.agents.population import fund
from perpdex_sdk.agents.strategy import NAME
from perpdex_sdk.errors import ExchangeError
from perpdex_sdk.keys import key_at
from perpdex_sdk.rest import Rest
from places import operator_token, rpc_url
from settings import Settings
from vault_terms import set_up
from wiring import escrow_addresses, escrow_mint, temporal_client
from workflows.nav import NavRound, NavWorkflow
from workflows.steps import ORDERS

VAULT: Final = "demo"
MONEY: Final = Decimal(50_000)
"""USDC: deposited into the vault's account at this network, and booked as what came into the vault. Gold asks for no deposit."""
FIRST_MONEY: Final = "first-money"
"""Key of that transfer: every later run asks for the same one."""
VENUES: Final = ("agents", "mock_gold")
RULES: Final[dict[str, Any]] = {
    "allowedVenues": ",".join(VENUES),
    "allowedSymbols": "BTC-PERP,ETH-PERP,SOL-PERP,XAU",
    "perVenue": {venue: {"maxNotionalUsd": 10_000} for venue in VENUES},
}
TRADES: Final = ("agents::BTC-PERP:0.01:0.05", "mock_gold::XAU:0.25:1")
"""What the strategy is told to trade."""
GOLD: Final = "played"
"""What gold is worth where nobody says: recorded, or made up, and marked so."""
NAV_INTERVAL_S: Final = 60
"""Often enough to be watched."""


def impossible(settings: Settings) -> str:
    """Why there can be no demonstration vault; empty when there can."""
    missing = [venue for venue in VENUES if venue not in set_up(settings)]
    return f"EXEC_ALLOWED_VENUES has no {' and no '.join(missing)}" if missing else ""


def with_vault(settings: Settings) -> Settings:
    """Settings of a run with the vault. What somebody chose stays."""
    chosen: dict[str, Any] = {}
    named = settings.chainlink_rpc_url or settings.exec_pyth_url or settings.pyth_rpc_url
    if not settings.exec_demo_gold and not named:
        chosen["exec_demo_gold"] = GOLD
    if "nav_interval_s" not in settings.model_fields_set:
        chosen["nav_interval_s"] = NAV_INTERVAL_S
    return settings.model_copy(update=chosen)


def strategy_options(pause_s: float) -> list[str]:
    """For `Stack.start_strategy`: both venues once every so many seconds."""
    return ["--vault", VAULT, "--pause", str(pause_s), *TRADES]


class VaultOpening:
    """Opens the vault on a thread of its own, because its money takes as long as that of the agents, which are funded meanwhile."""

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._opened: Future[None] = Future()
        say(f"opening the vault {VAULT}: its account gets a slot on chain and deposits test USDC")
        # Nobody waits for it when the run is stopped: it is gone with the process, and every step may be repeated.
        threading.Thread(target=self._run, daemon=True).start()

    def done(self) -> bool:
        """Raises `StackFailed` when it has failed."""
        if not self._opened.done():
            return False
        try:
            self._opened.result()
        except (ExchangeError, NotDone, NotReachable, RPCError, WorkflowFailureError, OSError) as error:
            raise StackFailed(
                f"The vault {VAULT} cannot be opened ({error}); --no-vault starts without it."
            ) from error
        return True

    def _run(self) -> None:
        try:
            with _remarks_in(self._settings.perpdex_data / "logs" / f"{VAULT}.log"):
                self._opened.set_result(asyncio.run(open_vault(self._settings)))
        except BaseException as error:  # told to whoever asks `done`
            self._opened.set_exception(error)


@contextmanager
def _remarks_in(path: Path) -> Iterator[None]:
    """What the SDK remarks on the way is for who looks for it, and not for the screen."""
    remarks = logging.FileHandler(path)
    logger = logging.getLogger("perpdex_sdk")
    logger.addHandler(remarks)
    try:
        yield
    finally:
        logger.removeHandler(remarks)
        remarks.close()


async def open_vault(settings: Settings) -> None:
    """Everything that the vault needs, where it is missing.

    Raises `ExchangeError`, `NotDone`, `NotReachable`, `RPCError`, `WorkflowFailureError` and `OSError` (`TimeoutError` is one).
    """
    escrow = await escrow_addresses(settings)
    manager = await _manager(settings, escrow)
    await _fund(settings, escrow)
    with Door(settings.api_url, operator_token(settings)) as door:
        door.send("POST", "/vaults", {"id": VAULT, "manager": manager, "default_venue": VENUES[0]})
        if not door.get(f"/vaults/{VAULT}/risk")["version"]:
            door.send("PUT", f"/vaults/{VAULT}/risk", {**RULES, "why": "a demonstration"})
        body = {"key": FIRST_MONEY, "holder": manager, "amount": str(MONEY)}
        waits = door.send("POST", f"/vaults/{VAULT}/deposits", body)["status"] == "waiting"
    if waits:
        client = await temporal_client(settings)
        # The first snapshot takes the money in, just after its instant; the next one is the first that has it.
        for _ in range(2):
            await value_now(client, settings)


async def value_now(client: Client, settings: Settings) -> NavRound:
    """A round of snapshots of all vaults, as of now, once it has been taken. Raises `RPCError`, `WorkflowFailureError`."""
    return await client.execute_workflow(
        NavWorkflow.run, id=f"nav-asked-{time.time_ns()}", task_queue=settings.task_queue + ORDERS
    )


async def _manager(settings: Settings, escrow: EscrowAddresses) -> int:
    """The account that manages the vault, under the key that the strategy signs in with."""
    rest, path = Rest(settings.api_url), settings.perpdex_data / "agents" / f"{NAME}.json"
    try:
        return (await rest.sign_in(key_at(path), NAME, str(escrow.escrow))).account
    finally:
        await rest.close()


async def _fund(settings: Settings, escrow: EscrowAddresses) -> None:
    """Give the vault's account at this network its money. `trading` opens that account by the same key and name."""
    path = settings.perpdex_data / "keys" / "venues" / VENUES[0] / f"{VAULT}.key"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    account = await Agent.connect(
        settings.api_url,
        key_at(path),
        VAULT,
        program=str(escrow.program_id),
        escrow=str(escrow.escrow),
        mint=str(escrow_mint(settings)),
        rpc_url=rpc_url(settings),
    )
    try:
        await fund(account, MONEY)
    finally:
        await account.close()
