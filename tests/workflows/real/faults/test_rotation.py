"""The operator's key is replaced under a running exchange, by the commands that people run and a worker that is started anew."""

import asyncio
import sys
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from chain.keys import KeypairSigner
from chain.limits import DEFAULT_LIMITS, Limits
from chain.rpc import FINALIZED
from cli.main import app
from workflows.rotation import ROTATION_ID, RotationWorkflow, Stage

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module")
def network_limits() -> Limits:
    return replace(DEFAULT_LIMITS, exit_delay=1, limit_delay=1, timelock=4)


async def test_a_new_key_settles_what_agents_go_on_trading(network, agree, until):
    old, new = network.operator, KeypairSigner.load_or_create(network.directory / "new.json")
    await network.give(new.pubkey, 1)
    settings = {**network.settings, "ESCROW_ADMIN": str(old.pubkey)}

    async def perpdex(*arguments: str) -> tuple[int, str]:
        # In a thread, for every command runs a loop of its own.
        done = await asyncio.to_thread(CliRunner().invoke, app, ["escrow", *arguments], env=settings)
        return done.exit_code, done.output

    admin = f"file:{network.directory}/keys/operator.json"
    code, said = await perpdex("rotation", "status")
    assert (code, "no rotation was ever started" in said) == (1, True), said
    code, said = await perpdex("propose", "operator", str(new.pubkey), "--admin", admin)
    assert code == 0, said
    code, said = await perpdex("rotation", "start", str(new.pubkey), "--why", "its year is over")
    assert code == 0, said
    handle = network.client.get_workflow_handle_for(RotationWorkflow.run, ROTATION_ID)

    async def waits_for_the_key() -> bool:
        return (await handle.query(RotationWorkflow.state)).stage == Stage.KEY

    await until(waits_for_the_key)
    assert "its year is over" in (await network.door.state()).settlement_held
    state = await network.escrow.view.escrow_state(FINALIZED)
    assert (state.operator, state.open_batch) == (new.pubkey, 0)
    code, said = await perpdex("rotation", "key-changed")
    assert (code, f"the worker signs with {old.pubkey}" in said) == (1, True), said

    network.worker.end()
    code, said = await perpdex("rotation", "status")
    assert (code, f"set OPERATOR_KEY to where {new.pubkey} is kept" in said) == (1, True), said
    network.worker = network.process(
        "new-worker",
        [sys.executable, "worker.py"],
        SOLANA_RPC_URL=network.proxy.url,
        ESCROW_ADMIN=str(old.pubkey),
        OPERATOR_KEY=f"file:{network.directory}/new.json",
    )
    network.worker.start()

    async def fits() -> bool:
        return (await perpdex("rotation", "key-changed"))[0] == 0

    await until(fits)
    ended = await handle.result()
    assert (ended.stage, ended.stays_held) == (Stage.DONE, "")
    assert (await network.door.state()).settlement_held == ""
    code, said = await perpdex("rotation", "abandon")
    assert (code, "no rotation is under way" in said) == (1, True), said
    await network.settled()
    await agree()
