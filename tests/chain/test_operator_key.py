"""The operator's key replaced by the commands that people run, and a batch that nobody knows given up."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from solders.keypair import Keypair
from typer.testing import CliRunner

from chain.rpc import FINALIZED
from cli.main import app


@pytest.fixture
def perpdex(hasty: Any, tmp_path: Path) -> Any:
    """The command as a person runs it: exit code, and what it said."""

    async def run(*arguments: str) -> tuple[int, str]:
        settings = {
            "SOLANA_RPC_URL": hasty.node.url,
            "ESCROW_ADMIN": str(hasty.operator.pubkey),
            "PERPDEX_DATA": str(tmp_path / "data"),
            "API_URL": "http://127.0.0.1:1",
        }
        done = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=settings)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.output

    return run


def key_file(path: Path, key: Keypair) -> str:
    path.touch(mode=0o600)
    path.write_text(key.to_json())
    return str(path)


async def test_the_operators_key_is_replaced_after_the_timelock(
    hasty: Any, hasty_admin: Keypair, perpdex: Any, tmp_path: Path
) -> None:
    new, other = Keypair(), Keypair()
    admin, stranger = key_file(tmp_path / "admin.json", hasty_admin), key_file(tmp_path / "other.json", other)
    async with httpx.AsyncClient() as http:
        call = {"jsonrpc": "2.0", "id": 1, "method": "requestAirdrop", "params": [str(other.pubkey()), 10**9]}
        await http.post(hasty.node.url, json=call)
    code, said = await perpdex("escrow", "propose-operator", str(new.pubkey()), "--admin", stranger)
    assert (code, "the admin is" in said) == (1, True)
    code, said = await perpdex("escrow", "propose-operator", str(new.pubkey()), "--admin", admin)
    assert (code, f"operator {new.pubkey()}" in said) == (0, True), said
    code, said = await perpdex("escrow", "propose-operator", str(other.pubkey()), "--admin", admin)
    assert (code, "pending" in said) == (1, True)
    assert (await perpdex("escrow", "cancel-proposal", "--admin", admin))[0] == 0
    assert (await perpdex("escrow", "execute-proposal", "--payer", stranger))[0] == 1
    assert (await perpdex("escrow", "propose-operator", str(new.pubkey()), "--admin", admin))[0] == 0
    before = await hasty.escrow.view.escrow_state(FINALIZED)

    while (await perpdex("escrow", "execute-proposal", "--payer", stranger))[0]:
        await asyncio.sleep(0.2)
    after = await hasty.escrow.view.escrow_state(FINALIZED)
    assert (after.operator, after.proposal) == (new.pubkey(), None)
    assert (after.admin, after.guardian, after.settings.limits) == (
        before.admin,
        before.guardian,
        before.settings.limits,
    )
    code, said = await perpdex("escrow", "status")
    assert (code, str(new.pubkey()) in said, "open batch: none" in said) == (0, True, True)


async def test_no_batch_is_given_up_while_nobody_knows_that_settlement_is_held(
    hasty: Any, perpdex: Any
) -> None:
    await hasty.land(hasty.escrow.build_open_batch(hasty.operator, 1, bytes(32), 1), FINALIZED)
    for command in ("abort", "carry"):
        code, said = await perpdex("settlement", command)
        assert (code, "nothing was done" in said) == (1, True)
    assert (await hasty.escrow.view.escrow_state(FINALIZED)).open_batch == 1
