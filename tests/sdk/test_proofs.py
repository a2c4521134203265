"""What the client makes of proofs, and of chains that do not hold what they should. The whole way is in tests/e2e/test_tour.py."""

import base64
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from msgspec.structs import replace

from chain.layout import ESCROW_BYTES
from core.merkle import account_leaf, account_proof, batch_root, fill_leaf, fill_proof, root
from perpdex_sdk import NotProven, Unreachable
from perpdex_sdk.proofs import ProvenBalance, ProvenFill, proven_balance, proven_fill
from perpdex_sdk.rest import Escrow, Proof, Step

FILLS = [fill_leaf(n, 1_000 + n, 1, 16, 17, -1, 5, 600_000, 30, (-4, 4)) for n in range(1, 6)]
ACCOUNTS = [account_leaf(9, account, account * 10, -account) for account in (1, 2, 16, 17)]
ROOT = batch_root(FILLS, ACCOUNTS)
OTHER = bytes(range(32))


def proof(leaf: bytes, path: list[tuple[bool, bytes]]) -> Proof:
    return Proof(9, leaf.hex(), [Step(left, sibling.hex()) for left, sibling in path], ROOT.hex())


FILL = proof(FILLS[2], fill_proof(FILLS, root(ACCOUNTS), 2))
BALANCE = proof(ACCOUNTS[3], account_proof(root(FILLS), ACCOUNTS, 3))


def account(*roots: bytes, owner: str = "program", name: str = "Escrow") -> dict[str, Any]:
    """The escrow account with `roots` as its last ones."""
    data = bytearray(ESCROW_BYTES)
    data[:8] = hashlib.sha256(f"account:{name}".encode()).digest()[:8]
    for place, one in enumerate(roots):
        data[784 + 32 * place : 816 + 32 * place] = one
    return {"owner": owner, "data": [base64.b64encode(bytes(data)).decode(), "base64"]}


@pytest.fixture
async def node() -> AsyncIterator[Any]:
    """A Solana node whose one account is what the test says."""

    async def answer(request: web.Request) -> web.Response:
        asked = await request.json()
        assert asked["method"] == "getAccountInfo"
        assert asked["params"] == ["escrow", {"encoding": "base64", "commitment": "finalized"}]
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": {"value": server.held}})

    app = web.Application()
    app.router.add_post("/", answer)
    async with TestServer(app) as server:
        server.held = account(OTHER, ROOT)
        server.escrow = Escrow("program", "escrow", "vault", "mint", str(server.make_url("/")))
        yield server


async def test_a_fill_and_a_balance_are_proven(node):
    assert await proven_fill(FILL, 3, node.escrow, None) == ProvenFill(
        9, ROOT.hex(), 3, 1_003, 1, 16, 17, -1, 5, 600_000, 30, -4, 4
    )
    assert await proven_balance(BALANCE, 9, 17, node.escrow, None) == ProvenBalance(
        9, ROOT.hex(), 17, 170, -17
    )


@pytest.mark.parametrize(
    "wrong",
    [
        replace(FILL, root=OTHER.hex()),
        replace(FILL, path=FILL.path[:-1]),
        replace(FILL, path=[Step(not FILL.path[0].left, FILL.path[0].hash), *FILL.path[1:]]),
        replace(FILL, leaf=FILLS[1].hex()),
        replace(FILL, leaf="zz"),
        replace(FILL, leaf=FILL.leaf[:-2]),
        BALANCE,
    ],
)
async def test_what_is_no_proof_of_the_fill_proves_nothing(node, wrong):
    node.held = account(OTHER, ROOT)
    with pytest.raises(NotProven):
        await proven_fill(wrong, 3, node.escrow, None)


async def test_another_fill_or_account_is_not_the_one_asked_for(node):
    with pytest.raises(NotProven, match="not of fill 4"):
        await proven_fill(FILL, 4, node.escrow, None)
    for batch, number in ((9, 16), (8, 17)):
        with pytest.raises(NotProven, match=f"not of account {number} in batch {batch}"):
            await proven_balance(BALANCE, batch, number, node.escrow, None)


@pytest.mark.parametrize(
    "held", [None, account(OTHER), account(), account(ROOT, owner="another"), account(ROOT, name="Page")]
)
async def test_a_chain_without_the_root_proves_nothing(node, held):
    node.held = held
    with pytest.raises(NotProven):
        await proven_fill(FILL, 3, node.escrow, None)


async def test_an_empty_root_is_never_one(node):
    node.held = account()
    empty = Proof(9, "", [], bytes(32).hex())
    with pytest.raises(NotProven):
        await proven_fill(empty, 3, node.escrow, None)


async def test_no_node_is_not_a_verdict(node):
    with pytest.raises(Unreachable):
        await proven_fill(FILL, 3, node.escrow, "http://127.0.0.1:1")
