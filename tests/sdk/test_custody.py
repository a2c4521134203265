"""Which program, escrow and mint an agent deals with, when the exchange, the caller, a file and the chain have their say."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from msgspec.structs import replace
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from chain.localnet.genesis import PROGRAM_ID
from perpdex_sdk import AddressRefused, Agent, MessageRefused, NotProven, Unreachable
from perpdex_sdk.answers import Escrow
from perpdex_sdk.custody import NAMES, Custody, custody, known_name
from perpdex_sdk.funds import TOKEN_PROGRAM, vault_address

KEYS = [str(Pubkey(bytes([number] * 32))) for number in range(1, 6)]
TOLD = Escrow(*KEYS[:4], "http://127.0.0.1:1")
OTHER = KEYS[4]
URL = "https://dex.example:8080/"
NOTHING_GIVEN = dict.fromkeys(NAMES)


async def settled(
    told: Escrow = TOLD, folder: Path | None = None, node: str | None = None, url: str = URL, **given: str
) -> Custody:
    return await custody(url, told, {**NOTHING_GIVEN, **given}, node, folder)


async def test_what_is_named_first_is_kept_and_said_once(tmp_path: Path, caplog: Any) -> None:
    first = await settled(folder=tmp_path)
    (said,) = caplog.messages
    assert all(part in said for part in (TOLD.program, TOLD.escrow, TOLD.mint, str(tmp_path)))
    caplog.clear()
    assert await settled(folder=tmp_path) == first
    assert not caplog.records
    # The vault follows from the rest, whatever is said of it.
    assert first.escrow.vault == str(vault_address(TOLD.program, TOLD.escrow)) != TOLD.vault
    assert await settled(replace(TOLD, vault=OTHER), tmp_path) == first
    assert (tmp_path / known_name(URL)).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", NAMES)
async def test_what_changes_is_refused_until_the_caller_says_otherwise(name: str, tmp_path: Path) -> None:
    await settled(folder=tmp_path)
    changed = replace(TOLD, **{name: OTHER})
    for _ in range(2):
        with pytest.raises(AddressRefused) as refused:
            await settled(changed, tmp_path)
        assert refused.value.code == "address_changed"
        for part in (f"the {name} {OTHER}", getattr(TOLD, name), str(tmp_path), "deposit nothing"):
            assert part in str(refused.value)
    confirmed = {"program": changed.program, name: OTHER}
    await settled(changed, tmp_path, **confirmed)
    await settled(changed, tmp_path)
    with pytest.raises(AddressRefused):
        await settled(TOLD, tmp_path)
    # Another exchange has a file of its own.
    await settled(TOLD, tmp_path, url="https://other.example")


@pytest.mark.parametrize("name", NAMES)
async def test_what_the_caller_gave_needs_no_file(name: str) -> None:
    given = {one: getattr(TOLD, one) for one in NAMES}
    assert (await settled(**given)).escrow.escrow == TOLD.escrow
    with pytest.raises(AddressRefused, match="address_changed"):
        await settled(**{**given, name: OTHER})


async def test_an_escrow_without_its_program_says_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without its program"):
        await settled(folder=tmp_path, escrow=TOLD.escrow)
    await settled(folder=tmp_path)
    await settled(folder=tmp_path, escrow=TOLD.escrow)


@pytest.mark.parametrize("name", NAMES)
async def test_what_is_no_address_is_refused_and_not_kept(name: str, tmp_path: Path) -> None:
    with pytest.raises(AddressRefused, match="address_invalid"):
        await settled(replace(TOLD, **{name: "nonsense"}), tmp_path)
    assert not list(tmp_path.iterdir())


async def test_a_damaged_file_is_not_taken_for_none(tmp_path: Path) -> None:
    await settled(folder=tmp_path)
    (tmp_path / known_name(URL)).write_text("{}")
    with pytest.raises(NotProven):
        await settled(folder=tmp_path)


@pytest.mark.parametrize("more", [{}, {"cluster": "devnet"}])
async def test_a_later_versions_file_is_refused_and_left_alone(more: dict[str, str], tmp_path: Path) -> None:
    await settled(folder=tmp_path)
    kept = tmp_path / known_name(URL)
    later = json.dumps({**json.loads(kept.read_text()), **more, "format": 2})
    kept.write_text(later)
    with pytest.raises(NotProven, match="has the format 2, which this program does not know"):
        await settled(folder=tmp_path, program=TOLD.program, escrow=TOLD.escrow, mint=TOLD.mint)
    assert kept.read_text() == later


async def test_an_own_node_must_have_the_escrow_its_mint_and_its_vault(escrow: Any, tmp_path: Path) -> None:
    client, operator, url = escrow
    at = client.addresses
    told = Escrow(str(PROGRAM_ID), str(at.escrow), str(at.vault), str(client.mint), "http://127.0.0.1:1")
    for wrong in (
        {"mint": OTHER},
        {"program": str(TOKEN_PROGRAM)},
        {"escrow": str(operator.pubkey)},
        {"escrow": OTHER},
        {"escrow": str(at.page(0))},
    ):
        with pytest.raises(AddressRefused, match="escrow_not_on_chain"):
            await settled(replace(told, **wrong), tmp_path, url)
    with pytest.raises(Unreachable):
        await settled(told, tmp_path, "http://127.0.0.1:1")
    assert not list(tmp_path.glob("known-*"))
    found = await settled(told, tmp_path, url, program=told.program, escrow=told.escrow)
    assert (found.escrow, found.node) == (told, url)


def account(owner: str, data: bytes) -> dict[str, Any]:
    return {"owner": owner, "data": [base64.b64encode(data).decode(), "base64"]}


def key(address: str) -> bytes:
    return bytes(Pubkey.from_string(address))


VAULT = str(vault_address(TOLD.program, TOLD.escrow))
MARK = hashlib.sha256(b"account:Escrow").digest()[:8]
THERE = MARK + bytes(168) + key(TOLD.mint) + key(VAULT) + bytes(4_640)
HELD = key(TOLD.mint) + key(TOLD.escrow) + bytes(101)
TOKENS = str(TOKEN_PROGRAM)


@pytest.mark.parametrize(
    "found",
    [
        [account(TOLD.program, THERE), account(OTHER, HELD)],
        [account(TOLD.program, THERE), account(TOKENS, key(OTHER) + HELD[32:])],
        [account(TOLD.program, THERE), account(TOKENS, HELD[:32] + key(OTHER) + HELD[64:])],
        [account(TOLD.program, THERE), None],
        [account(TOLD.program, THERE[:208] + key(OTHER) + THERE[240:]), account(TOKENS, HELD)],
        [account(TOLD.program, bytes(8) + THERE[8:]), account(TOKENS, HELD)],
        [account(TOLD.program, THERE[:200]), account(TOKENS, HELD)],
        [None, account(TOKENS, HELD)],
    ],
)
async def test_a_vault_is_the_escrows_or_none(found: list[Any]) -> None:
    async def answer(request: web.Request) -> web.Response:
        assert (await request.json())["params"][0] == [TOLD.escrow, VAULT]
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": {"value": server.found}})

    app = web.Application()
    app.router.add_post("/", answer)
    async with TestServer(app) as server:
        server.found = [account(TOLD.program, THERE), account(TOKENS, HELD)]
        assert (await settled(node=str(server.make_url("/")))).escrow.vault == VAULT
        server.found = found
        with pytest.raises(AddressRefused, match="escrow_not_on_chain"):
            await settled(node=str(server.make_url("/")))


async def test_an_exchange_with_other_addresses_gets_no_signature(exchange: Any, tmp_path: Path) -> None:
    url, file = exchange.server.http_url, tmp_path / "agent.json"
    with pytest.raises(AddressRefused):
        await Agent.connect(url, file, "careful", program=OTHER)
    assert not exchange.engine.state.owned
    agent = await Agent.connect(url, file, "careful")
    try:
        known = tmp_path / "agent.kept" / known_name(url)
        assert agent.escrow.escrow in known.read_text()
        # What the exchange names later is asked for no more, and an answer of its counts for nothing.
        known.write_text(known.read_text().replace(agent.escrow.escrow, OTHER))
        with pytest.raises(AddressRefused, match=OTHER):
            await Agent.connect(url, file, "careful")
        with pytest.raises(MessageRefused):
            await agent.rest.sign_in(Keypair(), "careful", OTHER)
        assert len(exchange.engine.state.owned) == 1
    finally:
        await agent.close()
