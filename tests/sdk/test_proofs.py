"""What the client makes of proofs, and of chains that do not hold what they should. The whole way is in tests/e2e/test_tour.py."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from msgspec.structs import replace
from solders.compute_budget import set_compute_unit_limit
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.transaction import Transaction

from chain.layout import ESCROW_BYTES
from core import merkle
from core.merkle import account_leaf, account_path, batch_root, fill_leaf, fill_path, root
from perpdex_sdk import NoNode, NotProven, Unreachable
from perpdex_sdk.answers import Escrow, Proof, Step
from perpdex_sdk.custody import Custody
from perpdex_sdk.errors import ExitFailedCode, NotProvenCode
from perpdex_sdk.proofs import ProvenBalance, ProvenFill, proven_balance, proven_fill

DOCS = Path(__file__).parents[2] / "docs"
FILLS = [fill_leaf(n, 1_000 + n, 1, 16, 17, -1, 5, 600_000, 30, (-4, 4)) for n in range(1, 6)]
ACCOUNTS = [account_leaf(9, account, account * 10, -account) for account in (1, 2, 16, 17)]
ROOT = batch_root(root(FILLS), root(ACCOUNTS))
OTHER = bytes(range(32))
PROGRAM, ESCROW, STRANGER = (Pubkey(bytes([number] * 32)) for number in (1, 2, 3))
OPERATOR = Keypair.from_seed(bytes(32))


def proof(leaf: bytes, path: list[tuple[bool, bytes]]) -> Proof:
    return Proof(9, leaf.hex(), [Step(left, sibling.hex()) for left, sibling in path], ROOT.hex())


FILL = proof(FILLS[2], fill_path(merkle.proof(FILLS, 2), root(ACCOUNTS)))
BALANCE = proof(ACCOUNTS[3], account_path(merkle.proof(ACCOUNTS, 3), root(FILLS)))


def account(*roots: bytes, owner: str | None = None, name: str = "Escrow") -> dict[str, Any]:
    """The escrow account with `roots` as its last ones."""
    data = bytearray(ESCROW_BYTES)
    data[:8] = hashlib.sha256(f"account:{name}".encode()).digest()[:8]
    for place, one in enumerate(roots):
        data[784 + 32 * place : 816 + 32 * place] = one
    return {"owner": owner or str(PROGRAM), "data": [base64.b64encode(bytes(data)).decode(), "base64"]}


@pytest.fixture
async def node() -> AsyncIterator[Any]:
    """A Solana node whose one account is what the test says."""

    async def answer(request: web.Request) -> web.Response:
        asked = await request.json()
        if asked["method"] == "getAccountInfo":
            assert asked["params"] == [str(ESCROW), {"encoding": "base64", "commitment": "finalized"}]
            return web.json_response(
                {"jsonrpc": "2.0", "id": 1, "result": {"context": {"slot": 1}, "value": server.held}}
            )
        assert asked["method"] == "getTransaction"
        options = {"encoding": "base64", "maxSupportedTransactionVersion": 0, "commitment": "finalized"}
        assert asked["params"][1] == options
        found = server.transactions.get(asked["params"][0])
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": found})

    app = web.Application()
    app.router.add_post("/", answer)
    async with TestServer(app) as server:
        server.held = account(OTHER, ROOT)
        server.transactions = {}
        server.escrow = Escrow(str(PROGRAM), str(ESCROW), "vault", "mint", "")
        server.url = str(server.make_url("/"))
        yield server


async def test_a_fill_and_a_balance_are_proven(node):
    assert await proven_fill(FILL, 3, node.escrow, node.url) == ProvenFill(
        ROOT.hex(), 3, 1_003, 1, 16, 17, -1, 5, 600_000, 30, -4, 4
    )
    assert await proven_balance(BALANCE, 9, 17, node.escrow, node.url) == ProvenBalance(
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
    with pytest.raises(NotProven) as failed:
        await proven_fill(wrong, 3, node.escrow, node.url)
    assert failed.value.code == "proof_false"


async def test_another_fill_or_account_is_not_the_one_asked_for(node):
    with pytest.raises(NotProven, match="not of fill 4") as another:
        await proven_fill(FILL, 4, node.escrow, node.url)
    assert another.value.code == "proof_of_another"
    for batch, number in ((9, 16), (8, 17)):
        with pytest.raises(NotProven, match=f"not of account {number} in batch {batch}"):
            await proven_balance(BALANCE, batch, number, node.escrow, node.url)


@pytest.mark.parametrize(
    ("held", "code"),
    [
        (None, "escrow_wrong"),
        (account(OTHER), "not_final"),
        (account(), "not_final"),
        (account(ROOT, owner="another"), "escrow_wrong"),
        (account(ROOT, name="Page"), "escrow_wrong"),
    ],
)
async def test_a_chain_without_the_root_proves_nothing_and_says_whether_to_ask_again(node, held, code):
    node.held = held
    with pytest.raises(NotProven) as failed:
        await proven_fill(FILL, 3, node.escrow, node.url)
    assert failed.value.code == code


async def test_an_empty_root_is_never_one(node):
    node.held = account()
    empty = Proof(9, "", [], bytes(32).hex())
    with pytest.raises(NotProven):
        await proven_fill(empty, 3, node.escrow, node.url)


async def test_no_node_is_not_a_verdict(node):
    with pytest.raises(Unreachable):
        await proven_fill(FILL, 3, node.escrow, "http://127.0.0.1:1")


def sealing(
    root: bytes = ROOT,
    program: Pubkey = PROGRAM,
    escrow: Pubkey = ESCROW,
    call: str = "seal_batch",
    event: str = "BatchSealed",
    err: Any = None,
    calls: int = 1,
    at: Pubkey = ESCROW,
) -> dict[str, Any]:
    """A transaction that seals a batch with `root`, as a node answers it."""
    data = hashlib.sha256(f"global:{call}".encode()).digest()[:8] + (9).to_bytes(8, "little")
    accounts = [AccountMeta(escrow, False, True), AccountMeta(OPERATOR.pubkey(), True, False)]
    instructions = [set_compute_unit_limit(20_000), *[Instruction(program, data, accounts)] * calls]
    signed = Transaction.new_signed_with_payer(instructions, OPERATOR.pubkey(), [OPERATOR], Hash.default())
    logged = (
        hashlib.sha256(f"event:{event}".encode()).digest()[:8] + bytes(at) + (9).to_bytes(8, "little") + root
    )
    logs = [f"Program {program} invoke [1]", f"Program data: {base64.b64encode(logged + bytes(12)).decode()}"]
    raw = base64.b64encode(bytes(signed)).decode()
    return {"slot": 1, "meta": {"err": err, "logMessages": logs}, "transaction": [raw, "base64"]}


async def test_a_batch_that_the_escrow_keeps_no_longer_is_proven_by_its_seal(node):
    node.held = account(OTHER)
    node.transactions["sealed"] = sealing()
    fill, balance = replace(FILL, seal="sealed"), replace(BALANCE, seal="sealed")
    assert (await proven_fill(fill, 3, node.escrow, node.url)).root == ROOT.hex()
    assert (await proven_balance(balance, 9, 17, node.escrow, node.url)).root == ROOT.hex()


@pytest.mark.parametrize(
    "found",
    [
        None,
        sealing(root=OTHER),
        sealing(program=STRANGER),
        sealing(escrow=STRANGER),
        sealing(at=STRANGER),
        sealing(call="open_batch"),
        sealing(event="BatchOpened"),
        sealing(err={"InstructionError": [1, {"Custom": 6000}]}),
        sealing(calls=2),
        {**sealing(), "meta": {"err": None, "logMessages": None}},
    ],
)
async def test_a_transaction_that_seals_something_else_proves_nothing(node, found):
    node.held = account(OTHER)
    node.transactions["sealed"] = found
    with pytest.raises(NotProven) as failed:
        await proven_fill(replace(FILL, seal="sealed"), 3, node.escrow, node.url)
    assert failed.value.code == ("proof_false" if found == sealing(root=OTHER) else "seal_not_found")


@pytest.mark.parametrize(
    "found",
    [
        "sealed",
        {"slot": 1},
        {**sealing(), "transaction": ["AQ==", "base64"]},
        {**sealing(), "transaction": "AQ=="},
        {**sealing(), "meta": None},
        {**sealing(), "meta": {"err": None, "logMessages": ["Program data: A"]}},
        {**sealing(), "meta": {"err": None, "postTokenBalances": [{"accountIndex": 0}]}},
    ],
)
async def test_a_transaction_that_is_told_in_no_known_form_is_no_answer(node, found):
    node.held = account(OTHER)
    node.transactions["sealed"] = found
    with pytest.raises(Unreachable):
        await proven_fill(replace(FILL, seal="sealed"), 3, node.escrow, node.url)


@pytest.mark.parametrize(
    "held",
    [
        "",
        {"data": ["", "base64"]},
        {"owner": str(PROGRAM), "data": "AQ=="},
        {"owner": str(PROGRAM), "data": ["A", "base64"]},
    ],
)
async def test_an_account_that_is_told_in_no_known_form_is_no_answer(node, held):
    node.held = held
    with pytest.raises(Unreachable, match="getAccountInfo"):
        await proven_fill(FILL, 3, node.escrow, node.url)


async def test_whoever_asks_the_node_that_the_exchange_names_says_so_and_is_warned(caplog):
    where = Escrow(str(PROGRAM), str(ESCROW), "vault", "mint", "http://the-exchanges")
    without, own = Custody(where, None, None), Custody(where, "http://own", None)
    assert own.node_to_believe(None, False) == own.node_to_believe(None, True) == "http://own"
    assert without.node_to_believe("http://other", False) == "http://other"
    with pytest.raises(NotProven, match="give rpc_url a node of your own"):
        without.node_to_believe(None, False)
    assert not caplog.records
    assert without.node_to_believe(None, True) == "http://the-exchanges"
    (warning,) = caplog.messages
    assert "http://the-exchanges" in warning


def test_without_any_node_nothing_is_sent_and_nothing_believed():
    """On a public cluster the exchange names none: its own has a key in its address."""
    nowhere = Custody(Escrow(str(PROGRAM), str(ESCROW), "vault", "mint", ""), None, None)
    with pytest.raises(NoNode, match="give rpc_url one of your own") as refused:
        _ = nowhere.node
    assert refused.value.code == "no_node"
    for exchanges_node in (False, True):
        with pytest.raises(NotProven, match="give rpc_url a node of your own"):
            nowhere.node_to_believe(None, exchanges_node)
    assert nowhere.node_to_believe("http://mine", False) == "http://mine"


def test_every_code_is_documented():
    for page, codes in (("reference/proofs.md", NotProvenCode), ("operating/exits.md", ExitFailedCode)):
        told = re.findall(r"^\| `([a-z_]+)` \|", (DOCS / page).read_text(), re.MULTILINE)
        assert set(get_args(codes)) <= set(told), page
        assert all(told.count(code) == 1 for code in get_args(codes))
