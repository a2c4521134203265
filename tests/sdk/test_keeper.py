"""The exit kit that an agent keeps by itself: what it costs the exchange, and what it does not take."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from msgspec.structs import replace
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from core import merkle
from core.merkle import account_leaf, account_path, batch_root, root
from matcher import commands as c
from perpdex_sdk import Agent, NotProven, exit_kit, keeper
from perpdex_sdk import messages as m
from perpdex_sdk.answers import Account, Escrow, Place, Proof, Step
from perpdex_sdk.books import Books, Held
from perpdex_sdk.custody import Custody
from perpdex_sdk.keeper import Keeper, kit_path
from perpdex_sdk.rest import Rest

ACCOUNT = 16
KEYS = [Pubkey(bytes([number] * 32)) for number in range(1, 6)]
WHERE = Escrow(*map(str, KEYS[:4]), "http://127.0.0.1:1")
SLOT = m.Slot(n=1, seq=1, at=1, page=0, slot=2)
MONEY = {
    "balance": "0",
    "equity": "0",
    "requirement": "0",
    "available": "0",
    "withdrawable": "0",
    "settled": "0",
}


def proof(batch: int) -> Proof:
    leaves = [account_leaf(batch, account, 90, 90) for account in (1, ACCOUNT)]
    path = [Step(left, one.hex()) for left, one in account_path(merkle.proof(leaves, 1), root([]))]
    return Proof(batch, leaves[1].hex(), path, batch_root(root([]), root(leaves)).hex())


class Kept:
    """A keeper at work: its books and the last final batch are what the test says, and `asked` are the batches it had proven."""

    def __init__(self, folder: Path, url: str, asked: list[int]) -> None:
        start = Account(account=ACCOUNT, positions=[], head=0, hash="", escrow=None, **MONEY)
        self.books, self.batch, self.asked, self.rest = Books({}, start), 0, asked, Rest(url)
        self.path = kit_path(folder, WHERE.escrow, ACCOUNT)
        self.keeper = self.through(None)

    def through(self, own_node: str | None) -> Keeper:
        where = Custody(WHERE, own_node, self.path.parent)
        return Keeper(self.path, KEYS[4], ACCOUNT, where, self.rest, lambda: self.books, lambda: self.batch)

    async def final(self, batch: int) -> list[int]:
        """What was asked for when that batch was final, twice said."""
        self.batch = batch
        before = len(self.asked)
        await self.keeper.renew()
        await self.keeper.renew()
        return self.asked[before:]


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Any]:
    asked, answers = list[int](), dict[int, tuple[int, Any]]()

    async def answer(request: web.Request) -> web.Response:
        batch = int(request.query["batch"])
        asked.append(batch)
        status, said = answers.get(batch, (200, proof(batch)))
        return web.Response(status=status, body=msgspec.json.encode(said))

    async def nothing(request: web.Request) -> web.Response:
        """A node whose chain has no such account."""
        return web.json_response(
            {"jsonrpc": "2.0", "id": 1, "result": {"context": {"slot": 1}, "value": None}}
        )

    app = web.Application()
    app.router.add_post("/", nothing)
    app.router.add_get(f"/api/v1/accounts/{ACCOUNT}/proof", answer)
    async with TestServer(app) as server:
        made = Kept(tmp_path, str(server.make_url("")), asked)
        made.answers = answers
        yield made
        await made.rest.close()


async def test_one_proof_a_final_batch_and_none_while_nothing_changes(kept: Any) -> None:
    assert await kept.final(1) == []
    assert not kept.path.exists()
    kept.books.take(SLOT)
    # The batch after the one that was final may have been cut before the slot was heard of; the one after that was not.
    assert [await kept.final(batch) for batch in range(2, 7)] == [[2], [3], [4], [], []]
    assert exit_kit.load(kept.path) == exit_kit.kit_of(KEYS[4], ACCOUNT, WHERE, Place(0, 2), proof(4))
    kept.books.take(m.Deposit(n=2, seq=2, at=2, amount="5", key="k"))
    assert [await kept.final(batch) for batch in range(7, 12)] == [[7], [8], [9], [], []]
    kept.books.held["BTC-PERP"] = Held(1, 1)
    assert [await kept.final(batch) for batch in range(12, 15)] == [[12], [13], [14]]


async def test_the_kit_is_there_before_any_batch_is_final(kept: Any) -> None:
    kept.books.take(SLOT)
    assert await kept.final(0) == []
    assert exit_kit.load(kept.path) == exit_kit.kit_of(KEYS[4], ACCOUNT, WHERE, Place(0, 2), None)


async def test_what_proves_nothing_replaces_nothing_and_the_next_batch_does(kept: Any) -> None:
    kept.books.take(SLOT)
    await kept.final(1)
    error = {"error": {"code": "account_unknown", "message": "No slot yet.", "retryable": False}}
    kept.answers.update(
        {2: (404, error), 3: (200, replace(proof(3), root=proof(1).root)), 4: (200, proof(3))}
    )
    assert await kept.final(2) == [2]
    for batch in (3, 4):
        with pytest.raises(NotProven):
            await kept.final(batch)
    assert exit_kit.load(kept.path).proof == proof(1)
    assert await kept.final(5) == [5]
    assert exit_kit.load(kept.path).proof == proof(5)


async def test_an_own_node_must_have_the_root(kept: Any) -> None:
    kept.books.take(SLOT)
    kept.keeper = kept.through(kept.rest.url)
    with pytest.raises(NotProven, match=f"{WHERE.escrow} is no account of the program"):
        await kept.final(1)
    assert exit_kit.load(kept.path).proof is None


async def test_an_agent_keeps_its_kit_without_being_told_to(
    exchange: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr(keeper, "SPREAD_S", 0)
    agent = await Agent.connect(exchange.server.http_url, tmp_path / "agent.json", "kept")
    try:
        await exchange.engine.ask(c.BindSlot(agent.account, 0, 2))
        async with asyncio.timeout(20):
            while not agent.exit_kit.exists():
                await asyncio.sleep(0.01)
        kit = exit_kit.load(agent.exit_kit)
        assert (kit.owner, kit.account, kit.place) == (
            str(agent.keypair.pubkey()),
            agent.account,
            Place(0, 2),
        )
        assert agent.exit_kit.parent == tmp_path / "agent.kept"
    finally:
        await agent.close()
    caplog.clear()
    agent = await Agent.connect(exchange.server.http_url, Keypair(), "not kept")
    assert agent.exit_kit is None
    assert "nor an exit kit are kept" in caplog.text
    await agent.close()
