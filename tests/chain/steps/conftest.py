"""The worker's steps over a real chain and a real ledger; the engine's door is a local server that takes commands and keeps them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvicorn

from activities.engine_door import EngineDoor
from activities.landing import Lander
from activities.settlement import SettlementActivities
from activities.withdrawals import WithdrawalActivities
from chain.deltas import encode_deltas
from chain.rpc import FINALIZED
from core import events as e
from core.pages import plan_pages
from ledger.database import open_pool
from ledger.projector import Projector
from ledger.queries import Queries
from ledger.settlement import AccountAtCut, Settlement

MINIMUM = 1_000_000
DEPOSIT, DELTA = 5_000, 1_000


class DoorServer:
    """The operator's door over HTTP, which has every command done, or refuses it: `commands` are those it took, `reads` the paths of
    reads.

    `credited` are deposits by key, and `taken_keys` those of others. `answers` are what it says to reads, by path, besides the books.
    `accounts` are those: account, owner, page, slot and four amounts. `bound` are pages and slots of those that were bound since.
    Each command waits at the `gate`, where there is one, until so many are there.
    """

    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []
        self.credited: dict[str, dict[str, Any]] = {}
        self.taken_keys: set[str] = set()
        self.reads: list[str] = []
        self.answers: dict[str, Any] = {}
        self.url = ""
        self.accounts: list[list[Any]] = []
        self.gate: asyncio.Barrier | None = None
        self.bound: dict[int, tuple[int, int]] = {}
        self.refusal: tuple[int, dict[str, Any]] | None = None

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = [(b"content-type", b"application/json")]
        if scope["method"] == "GET":
            path = scope["path"]
            self.reads.append(path)
            status, answer = 200, self.answers[path] if path in self.answers else self._books(path)
        else:
            self.commands.append(command := json.loads(body))
            if self.gate is not None:
                await self.gate.wait()
            status, answer = self.refusal or self._refused(command) or (200, self._done(command))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    def _refused(self, command: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        if command["type"] == "BindSlot":
            place = (command["page"], command["slot"])
            if self.bound.setdefault(command["account"], place) != place:
                return 409, {"error": {"code": "slot_taken", "message": "taken", "retryable": False}}
        if self.taken_keys.isdisjoint(one.get("key") for one in (command, *command.get("deposits", ()))):
            return None
        return 409, {"error": {"code": "key_conflict", "message": "taken", "retryable": False}}

    def _done(self, command: dict[str, Any]) -> dict[str, Any]:
        """As the engine has it: of many deposits those that were not credited before."""
        new = [one for one in command.get("deposits", ()) if one["key"] not in self.credited]
        self.credited |= {one["key"]: one for one in new}
        events = [{**one, "type": "DepositCredited"} for one in new]
        return {"seq": 1, "repeated": False, "events": events}

    def _books(self, path: str) -> Any:
        numbers = dict.fromkeys(("seq", "batch", "status", "last_withdrawal", "claimed", "left_over"), 0)
        lists = ("reserved", "exits", "loss_limits", "done_with", "strangers")
        none: dict[str, list[Any]] = {name: [] for name in lists}
        if path.endswith("/unbound"):
            return {"accounts": [], "next": 0}
        if path.endswith("/loss-limits"):
            return {"batch": 0, "status": 4, "limited": [], "places": [one[:4] for one in self.accounts]}
        return {**numbers, **none, "accounts": self.accounts}


@pytest.fixture
async def door_server() -> AsyncIterator[DoorServer]:
    door = DoorServer()
    config = uvicorn.Config(door, port=0, interface="asgi3", lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    door.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield door
    # Told to exit it would take a tenth of a second to look, and another one to say goodbye.
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    for listening in server.servers:
        listening.close()


@pytest.fixture
async def ledger(postgres_url: str) -> AsyncIterator[Settlement]:
    pool = open_pool(postgres_url)
    yield Settlement(pool)
    await pool.dispose()


@pytest.fixture
async def withdrawals(
    world: Any, ledger: Settlement, postgres_url: str, door_server: DoorServer
) -> AsyncIterator[WithdrawalActivities]:
    door, pool = EngineDoor(door_server.url, "token"), open_pool(postgres_url)
    lander = Lander(ledger, world.escrow)
    yield WithdrawalActivities(door, ledger, Queries(pool), world.escrow, lander, world.operator, MINIMUM)
    await door.close()
    await pool.dispose()


@pytest.fixture
async def owner(world: Any) -> Any:
    owner = await world.agent(16, DEPOSIT)
    await world.land(world.escrow.build_deposit(owner, 0, 2, DEPOSIT), FINALIZED)
    return owner


@pytest.fixture
async def moves() -> list[tuple[int, int, int, int]]:
    """Account, page, slot and what batch 1 gives it: of 5,000 account 16 pays 1,000 to the treasury."""
    return [(1, 0, 0, DELTA), (16, 0, 2, -DELTA)]


@pytest.fixture
async def steps(
    world: Any, owner: Any, moves: list[tuple[int, int, int, int]], postgres_url: str, door_server: Any
) -> AsyncIterator[Any]:
    """Batch 1 is cut, with `moves`."""
    projector = Projector(postgres_url)
    projector.apply([(1, e.SettlementCut(2, 1, ((1, 600_000),)))])
    projector.close()
    pool, door = open_pool(postgres_url), EngineDoor(door_server.url, "token")
    ledger = Settlement(pool)
    places = [(page, slot, delta) for _, page, slot, delta in moves]
    plans = [(plan, encode_deltas(plan.deltas)) for plan in plan_pages(places)]
    had = {16: DEPOSIT}
    accounts = [
        AccountAtCut(account, had.get(account, 0), had.get(account, 0) + delta)
        for account, _, _, delta in moves
    ]
    await ledger.store_batch(1, 2, 0, 1, accounts, plans)
    lander = Lander(ledger, world.escrow)
    yield SettlementActivities(door, ledger, Queries(pool), world.escrow, lander, world.operator)
    await door.close()
    await pool.dispose()
