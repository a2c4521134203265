"""The status of a fill never goes back, whoever hears of it and however: pushed or asked for, early or late, over restarts of the API,
and with a read side that lags behind as it likes."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair

from core.batches import BatchStatus
from matcher import commands as c

STATUSES = ("matched", "batched", "submitted", "confirmed", "final")
STEPS = 60


class Watcher:
    """Holds everything that anybody hears of any fill against the highest status that was ever told for it."""

    def __init__(self) -> None:
        self.seqs: dict[int, int] = {}
        self.told: dict[int, int] = {}
        self.heard = dict.fromkeys(STATUSES, 0)

    def status(self, fill: int, status: str) -> None:
        rank = STATUSES.index(status)
        assert rank >= self.told.get(fill, 0), f"fill {fill} was {STATUSES[self.told[fill]]} and is {status}"
        self.told[fill] = rank
        self.heard[status] += 1

    def message(self, event: dict[str, Any], numbers: list[int]) -> None:
        """One message of a socket on which the marks `numbers` were heard before."""
        if event["ev"] == "fill":
            self.seqs[event["fill"]] = event["seq"]
        elif event["ev"] in ("ready", "heartbeat"):
            marks = event["settlement"]
            now = [marks[name] for name in STATUSES[1:]]
            assert all(old <= new for old, new in zip(numbers, now, strict=True))
            assert now == sorted(now, reverse=True)
            numbers[:] = now
            for fill, seq in self.seqs.items():
                self.status(fill, STATUSES[sum(seq <= through for through in now)])
        elif event["ev"] == "batch":
            for fill, seq in self.seqs.items():
                if event["after_seq"] < seq <= event["seq"]:
                    self.status(fill, event["status"])
            assert event["after_seq"] < event["seq"]


class World:
    def __init__(self, exchange: Any, rng: random.Random) -> None:
        self.exchange, self.rng, self.watcher = exchange, rng, Watcher()
        self.sockets: list[tuple[Any, list[int]]] = []
        self.orders = 0

    async def begin(self) -> None:
        self.owners = [Keypair(), Keypair()]
        self.accounts = [(await self.exchange.agent("maker", owner=self.owners[0])).account]
        self.accounts.append((await self.exchange.agent("trader", owner=self.owners[1])).account)

    async def connect(self) -> None:
        agent = self.exchange.signed_in(self.owners[1], self.accounts[1])
        numbers = [0] * 4
        self.watcher.message(await agent.open(resume_from=0, cancel_on_disconnect=False), numbers)
        self.sockets.append((agent, numbers))

    async def trade(self) -> None:
        maker, trader = self.accounts
        price = 600_000
        self.exchange.index(1, price)
        now = self.exchange.engine.clock()
        await self.exchange.engine.ask(c.SetQuotes(maker, 1, (), ((price, 10),), now + 10**10))
        self.orders += 1
        await self.exchange.engine.ask(c.OpenRequest(trader, f"o{self.orders}", 1, 1, 1, price, 250_000_000))

    async def settle(self) -> None:
        """The next move of the last batch, or a new one; now and then a repeat, which changes nothing."""
        engine = self.exchange.engine
        cut = engine.state.cut
        status = engine.state.batches[cut.batch] if cut is not None else BatchStatus.FINAL
        if status == BatchStatus.FINAL:
            await engine.ask(c.CutSettlement(cut.batch + 1 if cut is not None else 1))
            return
        lands = bool(cut.deltas)
        after = status + 1 if lands else BatchStatus.FINAL
        await engine.ask(c.AdvanceBatch(cut.batch, self.rng.choice([status, after, after, after]), ()))

    async def restart(self) -> None:
        self.sockets.clear()
        await self.exchange.stop()
        await self.exchange.start()

    async def hear(self) -> None:
        """Everything that was sent by now: a pong comes after it."""
        for agent, numbers in self.sockets:
            await agent.send(op="ping", id="p")
            while (event := await agent.receive())["ev"] != "pong":
                self.watcher.message(event, numbers)

    async def ask(self) -> None:
        fills = self.exchange.engine.state.last_fill
        if fills == 0:
            return
        number = self.rng.randrange(1, fills + 1)
        http = self.exchange.http
        one = await http.get(f"/api/v1/fills/{number}")
        if one.status_code == 200:
            self.watcher.status(number, one.json()["status"])
        agent = self.exchange.signed_in(self.owners[1], self.accounts[1])
        for fill in (await http.get("/api/v1/account/fills", headers=agent.headers)).json()["fills"]:
            self.watcher.status(fill["fill"], fill["status"])
        for batch in (await http.get("/api/v1/batches")).json()["batches"]:
            for fill, seq in self.watcher.seqs.items():
                if batch["after_seq"] < seq <= batch["seq"]:
                    self.watcher.status(fill, batch["status"])


@pytest.mark.parametrize("seed", range(3))
async def test_no_status_of_any_fill_ever_goes_back(
    new_exchange: Any, tmp_path: Path, seed: int, monkeypatch
) -> None:
    # So few are kept that most questions go to the read side.
    monkeypatch.setattr("api.streams.FILLS_KEPT", 2)
    monkeypatch.setattr("api.streams.KEPT_AT_START", 5)
    rng = random.Random(seed)
    world = World(await new_exchange(tmp_path / "journal"), rng)
    await world.begin()
    for _ in range(STEPS):
        for deed in rng.choices(
            [world.trade, world.settle, world.connect, world.restart, world.ask], [5, 6, 1, 1, 4], k=1
        ):
            await deed()
        world.exchange.ledger.behind = rng.choice([0, 0, 3, 30])
        if len(world.sockets) > 4:
            world.sockets.pop(0)
        await world.hear()
    world.exchange.ledger.behind = 0
    await world.connect()
    await world.hear()
    await world.ask()
    assert all(world.watcher.heard.values()), world.watcher.heard
    marks = world.exchange.server.edge.hub.marks
    for fill, seq in world.watcher.seqs.items():
        assert world.watcher.told[fill] == marks.status(seq), json.dumps(world.watcher.told)
