"""A provider's key stands in the node's address: it is in no error, no log, and nothing that Temporal would keep."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from solana.rpc.async_api import AsyncClient
from solders.keypair import Keypair
from structlog.testing import capture_logs
from temporalio.api.failure.v1 import Failure
from temporalio.converter import DataConverter

from chain.rpc import ChainUnavailable, ask
from chain.send import send_until
from chain.transactions import SignedTransaction
from cli.escrow import create_escrow
from cli.processes import StackFailed
from oracles.asking import posted
from oracles.polling import SourceFailed
from settings import Settings

KEY = "SECRETKEY"
LOST, SILENT = "the answer to a submission is lost", "the node gave no answer, asking again"


@pytest.fixture(params=[429, 500, None])
async def keyed(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The address of a node that asks for fewer calls, fails, or is not there; with a key in all places where providers have it.

    All it knows is that it has not seen a signature, so that bytes are handed to it.
    """

    async def refuse(asked: web.Request) -> web.Response:
        call = await asked.json()
        if call["method"] != "getSignatureStatuses":
            return web.Response(status=request.param)
        result = {"context": {"slot": 1}, "value": [None]}
        return web.json_response({"jsonrpc": "2.0", "result": result, "id": call["id"]})

    app = web.Application()
    app.router.add_post("/{path:.*}", refuse)
    server = TestServer(app)
    await server.start_server(access_log=None)
    place = server.make_url(f"/v2/{KEY}").with_query({"api-key": KEY}).with_user(KEY).with_password(KEY)
    if request.param is None:
        await server.close()
    yield str(place)
    await server.close()


def kept(error: BaseException) -> bytes:
    """What Temporal keeps of an error."""
    failure, converter = Failure(), DataConverter.default
    converter.failure_converter.to_failure(error, converter.payload_converter, failure)
    return failure.SerializeToString()


async def test_no_answer_tells_the_address(keyed: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    signed = SignedTransaction(b"raw", str(Keypair().sign_message(b"x")), 10)
    async with AsyncClient(keyed, timeout=1) as client:
        with pytest.raises(ChainUnavailable) as failed:
            await ask(client.get_epoch_info())
        with capture_logs() as said, pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await send_until(client, signed, poll_s=0.01)
    assert {one["event"] for one in said} <= {LOST, SILENT}
    assert said
    for told in (str(failed.value), repr(said), caplog.text):
        assert KEY not in told
    assert KEY.encode() not in kept(failed.value)
    assert b"no usable answer" in kept(failed.value)


async def test_a_price_source_that_cannot_be_reached_does_not_tell_its_address(keyed: str) -> None:
    async with httpx.AsyncClient() as http:
        with pytest.raises(SourceFailed) as failed:
            await posted(http, keyed, "The node", 1.0, content=b"{}")
    assert KEY not in str(failed.value)


async def test_commands_and_starts_name_the_host_only(keyed: str, command: Any, tmp_path: Any) -> None:
    code, said = await command("escrow", "show", SOLANA_RPC_URL=keyed, ESCROW_ADMIN=str(Keypair().pubkey()))
    assert (code, KEY in said, "http://127.0.0.1:" in said) == (2, False, True), said
    settings = Settings(perpdex_data=tmp_path, solana_rpc_url=keyed, database_url=keyed)
    with pytest.raises(StackFailed) as failed:
        await create_escrow(settings, print)
    assert "http://127.0.0.1:" in str(failed.value)
    assert KEY not in f"{failed.value}{settings!r}"
