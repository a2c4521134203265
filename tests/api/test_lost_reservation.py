"""A reservation whose first answer is lost, while the door stays shut for some time: the withdrawal is paid all the same, and once.

Engine, API, ledger, chain and workflow are real; what is in between loses and refuses.
"""

import asyncio
import base64
import json
import os
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from solana.rpc.async_api import AsyncClient
from solders.keypair import Keypair
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.engine_door import EngineDoor
from activities.landing import Lander
from activities.withdrawals import WithdrawalActivities
from api.errors import CATALOGUE
from api.withdrawals import TemporalWithdrawals
from chain.addresses import wallet_of
from chain.escrow import EscrowClient
from chain.keys import KeypairSigner
from chain.limits import DEFAULT_LIMITS
from chain.localnet.genesis import PROGRAM_ID, USDC_MINT
from chain.rpc import FINALIZED
from chain.send import Landed, send_until
from ledger.queries import Queries
from ledger.settlement import Settlement
from nearby_chain import NearbyChain
from workflows.steps import AGENT, PAYMENTS
from workflows.withdrawals import WithdrawalWorkflow

QUEUE = "lost-reservation"
TOKEN = "operator-token-of-the-tests-0123456789"
DEPOSIT, AMOUNT = 5_000_000, 3_000_000
SHUT = ("operator_only", "stopping")
"""What the door says after the answer that was lost, before it answers again."""


class Between:
    """A way to the API on which the first answer to a reservation is lost, and the next tries are refused without being asked."""

    def __init__(self, url: str) -> None:
        self.api = httpx.AsyncClient(base_url=url)
        self.shut = list(SHUT)
        self.tries = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        reserves = body and json.loads(body).get("type") == "ReserveWithdrawal"
        self.tries += bool(reserves)
        if reserves and self.tries > 1 and self.shut:
            code = self.shut.pop(0)
            entry = CATALOGUE[code]
            refused = {"code": code, "message": entry.sentence, "retryable": entry.retryable}
            await self._answer(send, entry.status, json.dumps({"error": refused}).encode())
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"] if name != b"host"}
        answer = await self.api.request(scope["method"], scope["path"], content=body, headers=headers)
        if reserves and self.tries == 1:
            raise ConnectionResetError("the answer is lost")
        await self._answer(send, answer.status_code, answer.content)

    async def _answer(self, send: Any, status: int, body: bytes) -> None:
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Chain:
    """An escrow in which the account has slot 2, with what was deposited."""

    def __init__(self, process: NearbyChain, client: AsyncClient) -> None:
        self.url, self.operator = process.url, KeypairSigner(Keypair())
        self.escrow = EscrowClient(client, PROGRAM_ID, self.operator.pubkey, USDC_MINT)

    async def call(self, method: str, *params: Any) -> Any:
        async with httpx.AsyncClient() as http:
            body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            return (await http.post(self.url, json=body)).json()["result"]

    async def land(self, building: Any) -> None:
        fate = await send_until(self.escrow.client, await building, FINALIZED, poll_s=0.01)
        assert isinstance(fate, Landed), fate

    async def begin(self, owner: KeypairSigner, account: int) -> None:
        for key in (self.operator, owner):
            await self.call("requestAirdrop", str(key.pubkey), 10**12)
        await self.call("perpdexMintTestUsdc", str(owner.pubkey), DEPOSIT)
        key, escrow = self.operator.pubkey, self.escrow
        others = {"operator": key, "guardian": key, "treasury": Keypair().pubkey()}
        await self.land(
            escrow.build_initialize(
                self.operator, insurance=Keypair().pubkey(), limits=DEFAULT_LIMITS, **others
            )
        )
        await self.land(escrow.build_open_account(self.operator, 0, owner.pubkey, account))
        await self.land(escrow.build_deposit(owner, 0, 2, DEPOSIT))


@pytest.fixture
async def chain(tmp_path: Path) -> AsyncIterator[Chain]:
    process = NearbyChain(tmp_path / "chain", slot_ms=20, finality=2)
    process.start()
    client = AsyncClient(process.url)
    yield Chain(process, client)
    await client.close()
    process.kill()


@pytest.fixture
async def environment() -> AsyncIterator[WorkflowEnvironment]:
    server = os.path.join(sysconfig.get_path("scripts"), "temporal-test-server")
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=server, data_converter=pydantic_data_converter
    )
    async with environment:
        keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
        request = AddSearchAttributesRequest(search_attributes={AGENT.name: keyword})
        await environment.client.operator_service.add_search_attributes(request)
        yield environment


@asynccontextmanager
async def listening(app: Any) -> AsyncIterator[str]:
    config = uvicorn.Config(app, port=0, interface="asgi3", lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = server.force_exit = True
    await serving


@asynccontextmanager
async def projected(exchange: Any) -> AsyncIterator[Any]:
    """The ledger follows the journal all the time, as the projector does."""

    async def follow() -> None:
        while True:
            exchange.ledger.pool()
            await asyncio.sleep(0.05)

    following = asyncio.create_task(follow())
    yield exchange.ledger.pool()
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


@pytest.mark.cell("reserve", "reply lost")
async def test_what_was_reserved_is_paid_once_however_long_the_door_stays_shut(
    new_exchange: Any, environment: WorkflowEnvironment, chain: Chain
) -> None:
    client = environment.client
    exchange = await new_exchange(withdrawals=TemporalWithdrawals(client, QUEUE))
    agent = await exchange.agent(deposit=DEPOSIT)
    owner = KeypairSigner(agent.keypair)
    await chain.begin(owner, agent.account)
    between = Between(exchange.server.http_url)
    async with listening(between) as url, projected(exchange) as pool:
        door, ledger, queries = EngineDoor(url, TOKEN), Settlement(pool), Queries(pool)
        lander = Lander(ledger, chain.escrow, poll_s=0.02)
        steps = WithdrawalActivities(door, ledger, queries, chain.escrow, lander, chain.operator, 0)
        first, then = [steps.reserve, steps.build_message], [steps.pay, steps.finish]
        async with (
            Worker(client, task_queue=QUEUE, workflows=[WithdrawalWorkflow], activities=first),
            Worker(client, task_queue=QUEUE + PAYMENTS, activities=then),
        ):
            body = {"amount": "3", "key": "w1"}
            begun = await exchange.http.post("/api/v1/withdrawals", json=body, headers=agent.headers)
            path = f"/api/v1/withdrawals/{begun.json()['id']}"

            async def until(status: str) -> dict[str, Any]:
                async with asyncio.timeout(30):
                    while True:
                        view = (await exchange.http.get(path, headers=agent.headers)).json()
                        assert view["status"] not in ("refused", "released"), view
                        if view["status"] == status and (view["message"] or status == "paid"):
                            return dict(view)
                        # The pauses between two tries are skipped.
                        await environment.sleep(0.5)

            message = base64.b64decode((await until("awaiting_signature"))["message"])
            signature = {"signature": str(agent.keypair.sign_message(message))}
            await exchange.http.post(path + "/signature", json=signature, headers=agent.headers)
            paid = await until("paid")
        await door.close()
    await between.api.aclose()
    assert (between.shut, between.tries) == ([], len(SHUT) + 2)
    state = exchange.engine.state
    (number,) = state.finished_withdrawals
    assert (state.finished_withdrawals[number].paid, state.withdrawals) == (True, {})
    assert state.finished_withdrawals[number].signature == paid["signature"]
    assert state.accounts[agent.account].balance == DEPOSIT - AMOUNT
    snapshot = await chain.escrow.view.snapshot(FINALIZED)
    (slot,) = (one for one in snapshot.pages[0].slots if one.account == agent.account)
    assert (slot.balance, slot.last_withdrawal) == (DEPOSIT - AMOUNT, number)
    assert snapshot.vault == DEPOSIT - AMOUNT
    assert await chain.escrow.view.tokens([wallet_of(owner.pubkey, USDC_MINT)]) == [AMOUNT]
