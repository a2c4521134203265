"""A batch whose root the escrow keeps no longer, proven by the transaction of the real program that sealed it."""

from typing import Any

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from solders.keypair import Keypair

from chain.keys import KeypairSigner
from chain.localnet.genesis import PROGRAM_ID
from chain.rpc import FINALIZED
from chain.send import Landed, send_until
from core import merkle
from core.merkle import account_leaf, account_path, batch_root, root
from perpdex_sdk import NotProven
from perpdex_sdk.answers import Escrow, Proof, Step
from perpdex_sdk.proofs import ProvenBalance, proven_balance

ACCOUNTS = [account_leaf(1, account, 90, 90) for account in (1, 16)]
ROOT = batch_root(root([]), root(ACCOUNTS))
EMPTY = bytes(32)


@pytest.mark.parametrize("left_over", [0, 5], ids=["sealed", "carried"])
async def test_the_seal_of_the_real_program_proves_an_old_batch(escrow: Any, left_over: int) -> None:
    client, operator, url = escrow
    owner = KeypairSigner(Keypair())

    async def land(building: Any) -> str:
        fate = await send_until(client.client, await building, FINALIZED, poll_s=0.01)
        assert isinstance(fate, Landed), fate
        return fate.signature

    async with httpx.AsyncClient() as http:

        async def call(method: str, *params: Any) -> Any:
            body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            return (await http.post(url, json=body)).json()

        await call("requestAirdrop", str(owner.pubkey), 10**12)
        await call("perpdexMintTestUsdc", str(owner.pubkey), 100)
        await land(client.build_open_account(operator, 0, owner.pubkey, 16))
        await land(client.build_deposit(owner, 0, 2, 100))
        at = str(client.addresses.escrow)
        forgotten = await call("getAccountInfo", at, {"encoding": "base64", "commitment": "finalized"})
        opened = await land(client.build_open_batch(operator, 1, ROOT, 1))
        await land(client.build_settle_page(operator, 1, 0, [(0, 10), (2, -10 - left_over)]))
        build_seal = client.build_carry_batch if left_over else client.build_seal_batch
        sealed = await land(build_seal(operator, 1))

        async def answer(request: web.Request) -> web.Response:
            """The chain, but for the roots that the escrow account keeps: as after 128 more batches."""
            asked = await request.json()
            if asked["method"] == "getAccountInfo":
                return web.json_response(forgotten)
            return web.json_response((await http.post(url, json=asked)).json())

        app = web.Application()
        app.router.add_post("/", answer)
        async with TestServer(app) as server:
            later = str(server.make_url("/"))
            where = Escrow(str(PROGRAM_ID), at, str(client.addresses.vault), str(client.mint), url)
            path = [Step(left, one.hex()) for left, one in account_path(merkle.proof(ACCOUNTS, 1), root([]))]
            proof = Proof(1, ACCOUNTS[1].hex(), path, ROOT.hex(), sealed)
            proven = ProvenBalance(1, ROOT.hex(), 16, 90, 90)
            assert await proven_balance(proof, 1, 16, where, url) == proven
            assert await proven_balance(proof, 1, 16, where, later) == proven
            for seal in (None, opened):
                with pytest.raises(NotProven):
                    await proven_balance(Proof(1, proof.leaf, path, proof.root, seal), 1, 16, where, later)
