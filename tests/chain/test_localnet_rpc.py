"""JSON-RPC as ordinary clients speak it: unmodified `AsyncClient`, `AsyncToken`, and hand-written calls, hostile ones too."""

import asyncio
import base64
from typing import Any

import pytest
from solana.rpc.async_api import AsyncClient
from solana.rpc.core import RPCException
from solana.rpc.types import DataSliceOpts, MemcmpOpts, TxOpts
from solders import system_program
from solders.compute_budget import set_compute_unit_price
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.rpc.errors import SendTransactionPreflightFailureMessage
from solders.signature import Signature
from solders.transaction import Transaction
from spl.token.async_client import AsyncToken
from spl.token.constants import TOKEN_PROGRAM_ID
from spl.token.instructions import get_associated_token_address

from chain.localnet.genesis import PROGRAM_ID, USDC_MINT

SOL = 10**9


async def until(client: AsyncClient, signature: Signature, commitment: str = "confirmed") -> None:
    await client.confirm_transaction(signature, commitment, sleep_seconds=0.01)


async def paid(client: AsyncClient, lamports: int = 10 * SOL) -> Keypair:
    keypair = Keypair()
    await until(client, (await client.request_airdrop(keypair.pubkey(), lamports)).value)
    return keypair


async def transfer(client: AsyncClient, payer: Keypair, lamports: int) -> Transaction:
    blockhash = (await client.get_latest_blockhash("confirmed")).value.blockhash
    params = system_program.TransferParams(
        from_pubkey=payer.pubkey(), to_pubkey=Keypair().pubkey(), lamports=lamports
    )
    instructions = [set_compute_unit_price(1_000_000), system_program.transfer(params)]
    return Transaction(
        [payer], Message.new_with_blockhash(instructions, payer.pubkey(), blockhash), blockhash
    )


async def test_it_says_what_it_is(node: Any, client: AsyncClient) -> None:
    assert node.call("getHealth") == "ok"
    assert node.call("getVersion")["perpdexLocalnet"] is True
    assert (await client.get_version()).value.solana_core
    assert node.http.get(f"{node.url}/health").text == "ok"
    assert (await client.get_account_info(PROGRAM_ID, "processed")).value.executable


async def test_slots_pass_and_agree_with_each_other(node: Any, client: AsyncClient) -> None:
    first = (await client.get_slot("processed")).value
    info = (await client.get_epoch_info("finalized")).value
    latest = (await client.get_latest_blockhash("finalized")).value
    await asyncio.sleep(0.1)
    assert (await client.get_slot("processed")).value > first
    assert (await client.get_block_height("processed")).value > first
    assert info.absolute_slot == info.block_height >= first - 2
    assert latest.last_valid_block_height >= info.block_height + 150
    assert node.call("isBlockhashValid", str(latest.blockhash), {"commitment": "processed"})["value"] is True
    assert node.call("isBlockhashValid", "1" * 32, {"commitment": "processed"})["value"] is False
    assert len(node.call("getRecentPrioritizationFees")) > 0


async def test_a_transfer_goes_from_processed_to_finalized(client: AsyncClient) -> None:
    payer = await paid(client)
    transaction = await transfer(client, payer, SOL)
    fee = (await client.get_fee_for_message(transaction.message, "processed")).value
    sent = (await client.send_transaction(transaction, TxOpts(skip_confirmation=True))).value
    assert sent == transaction.signatures[0]
    await until(client, sent, "finalized")
    status = (await client.get_signature_statuses([sent, Signature.default()])).value
    assert str(status[0].confirmation_status).endswith("Finalized")
    assert status[1] is None
    found = (await client.get_transaction(sent, "json", "finalized")).value
    assert found.transaction.meta.fee == fee
    assert (await client.get_balance(payer.pubkey())).value == 9 * SOL - fee
    for encoding in ("base58", "base64"):
        again = (await client.get_transaction(sent, encoding, "finalized")).value
        assert bytes(again.transaction.transaction) == bytes(transaction)


async def test_history_is_paged_newest_first(node: Any, client: AsyncClient) -> None:
    payer = await paid(client)
    sent = []
    for index in range(5):
        transaction = await transfer(client, payer, SOL + index)
        sent.append((await client.send_transaction(transaction, TxOpts(skip_confirmation=True))).value)
    await until(client, sent[-1], "finalized")

    async def listed(**options: Any) -> list[Signature]:
        answer = await client.get_signatures_for_address(payer.pubkey(), commitment="finalized", **options)
        return [one.signature for one in answer.value]

    newest_first = sent[::-1]
    assert (await listed())[:5] == newest_first
    assert await listed(limit=2) == newest_first[:2]
    assert await listed(before=newest_first[1], until=newest_first[4]) == newest_first[2:4]
    assert await listed(before=newest_first[1], limit=1) == [newest_first[2]]
    refused = node.error("getSignaturesForAddress", str(payer.pubkey()), {"commitment": "processed"})
    assert refused["code"] == -32602


async def test_preflight_refuses_for_nothing_and_without_it_a_failure_pays(client: AsyncClient) -> None:
    payer = await paid(client)
    failing = await transfer(client, payer, 100 * SOL)
    with pytest.raises(RPCException) as refused:
        await client.send_transaction(failing, TxOpts(skip_confirmation=True))
    message = refused.value.args[0]
    assert isinstance(message, SendTransactionPreflightFailureMessage)
    assert message.data.err.err.code == 1
    assert any("insufficient lamports" in line for line in message.data.logs)
    assert (await client.get_balance(payer.pubkey(), "processed")).value == 10 * SOL
    sent = (await client.send_transaction(failing, TxOpts(skip_confirmation=True, skip_preflight=True))).value
    await until(client, sent)
    assert (await client.get_signature_statuses([sent])).value[0].err is not None
    assert (await client.get_balance(payer.pubkey(), "processed")).value < 10 * SOL
    with pytest.raises(RPCException, match="AlreadyProcessed"):
        await client.send_transaction(failing, TxOpts(skip_confirmation=True))


async def test_simulation_changes_nothing(node: Any, client: AsyncClient) -> None:
    payer = await paid(client)
    transaction = await transfer(client, payer, SOL)
    value = (await client.simulate_transaction(transaction, sig_verify=True)).value
    assert value.err is None
    assert value.units_consumed == 300
    encoded = base64.b64encode(bytes(transaction)).decode()
    options = {
        "encoding": "base64",
        "accounts": {"encoding": "base64", "addresses": [str(payer.pubkey())]},
        "replaceRecentBlockhash": True,
    }
    answer = node.call("simulateTransaction", encoded, options)["value"]
    assert answer["accounts"][0]["lamports"] < 9 * SOL
    assert answer["replacementBlockhash"]["lastValidBlockHeight"] > 150
    assert (await client.get_balance(payer.pubkey(), "processed")).value == 10 * SOL


async def test_tokens_by_the_ordinary_client(node: Any, client: AsyncClient) -> None:
    payer = await paid(client)
    token = await AsyncToken.create_mint(client, payer, payer.pubkey(), 9, TOKEN_PROGRAM_ID)
    account = await token.create_associated_token_account(payer.pubkey())
    # These wait for finality themselves, as on a cluster.
    sent = await token.mint_to(account, payer, 5_000_000_001, opts=TxOpts(preflight_commitment="processed"))
    await until(client, sent.value, "finalized")
    balance = (await token.get_balance(account)).value
    assert (balance.amount, balance.decimals, balance.ui_amount_string) == ("5000000001", 9, "5.000000001")
    assert (await client.get_token_supply(token.pubkey)).value.amount == "5000000001"
    owned = await token.get_accounts_by_owner(payer.pubkey())
    assert [one.pubkey for one in owned.value] == [account]


async def test_test_usdc_comes_from_the_faucet(node: Any, client: AsyncClient) -> None:
    owner = Keypair().pubkey()
    signature = node.call("perpdexMintTestUsdc", str(owner), 1_500_000)
    node.call("perpdexMintTestUsdc", str(owner), 1_500_000)
    await until(client, Signature.from_string(signature))
    wallet = get_associated_token_address(owner, USDC_MINT)
    assert (await client.get_token_account_balance(wallet, "processed")).value.amount == "3000000"
    meta = node.call("getTransaction", signature, {"commitment": "confirmed"})["meta"]
    assert meta["postTokenBalances"][0]["uiTokenAmount"]["uiAmountString"] == "1.5"
    for amount in (0, -1, 1 << 63, "1", True, None):
        assert node.error("perpdexMintTestUsdc", str(owner), amount)["code"] == -32602


async def test_accounts_of_a_program_by_filter(node: Any, client: AsyncClient) -> None:
    owners = [Keypair().pubkey() for _ in range(3)]
    for owner in owners:
        node.call("perpdexMintTestUsdc", str(owner), 7)
    filters = [165, MemcmpOpts(offset=32, bytes=str(owners[1]))]
    found = await client.get_program_accounts(TOKEN_PROGRAM_ID, "processed", "base64", filters=filters)
    assert [one.pubkey for one in found.value] == [get_associated_token_address(owners[1], USDC_MINT)]
    cut = DataSliceOpts(offset=64, length=8)
    short = await client.get_program_accounts(TOKEN_PROGRAM_ID, "processed", "base64", cut, filters)
    assert short.value[0].account.data == (7).to_bytes(8, "little")
    wallet = str(found.value[0].pubkey)
    for encoding in ("base64", "jsonParsed"):
        account = node.call("getAccountInfo", wallet, {"encoding": encoding, "commitment": "processed"})
        assert len(base64.b64decode(account["value"]["data"][0])) == 165
    assert node.error("getAccountInfo", wallet, {"commitment": "processed"})["code"] == -32600
    assert node.error("getProgramAccounts", str(TOKEN_PROGRAM_ID), {"filters": [1]})["code"] == -32602


def test_a_hundred_accounts_in_one_call_and_not_one_more(node: Any) -> None:
    keys = [str(Pubkey.new_unique()) for _ in range(101)]
    assert node.call("getMultipleAccounts", keys[:100])["value"] == [None] * 100
    assert node.error("getMultipleAccounts", keys) == {
        "code": -32602,
        "message": "Too many inputs provided; max 100",
    }


def test_errors_have_a_nodes_codes(node: Any) -> None:
    assert node.error("getNothing")["code"] == -32601
    assert node.error("getBalance")["code"] == -32602
    assert node.error("getBalance", "not a key")["code"] == -32602
    assert node.error("getBalance", str(USDC_MINT), {"commitment": "max"})["code"] == -32602
    assert node.error("getSlot", {"minContextSlot": 1 << 40})["code"] == -32016
    assert node.error("sendTransaction", "!!!", {"encoding": "base64"})["code"] == -32602
    assert node.error("sendTransaction", "AAAA", {"encoding": "hex"})["code"] == -32602
    assert node.error("getSignatureStatuses", ["x"])["code"] == -32602
    assert node.error("getSignatureStatuses", [str(Signature.default())] * 257)["code"] == -32602
    assert node.error("requestAirdrop", str(USDC_MINT), 10**14)["code"] == -32602
    assert node.error("getTokenAccountBalance", str(USDC_MINT))["code"] == -32602


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"[]", -32600),
        (b"1", -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"getSlot"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"getSlot","params":{"a":1}}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"getSlot","params":["\xff"]}', -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"getMultipleAccounts","params":[[null]]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"getBalance","params":["\\ud800"]}', -32700),
        (
            b'{"jsonrpc":"2.0","id":1,"method":"getTokenAccountsByOwner","params":["11111111111111111111111111111111",{"mint":3}]}',
            -32602,
        ),
    ],
)
def test_nonsense_is_answered_with_a_code(node: Any, body: bytes, code: int) -> None:
    answer = node.http.post(node.url, content=body).json()
    assert answer["error"]["code"] == code


def test_calls_come_in_batches_and_notifications_get_no_answer(node: Any) -> None:
    call = {"jsonrpc": "2.0", "method": "getHealth"}
    answers = node.raw([{**call, "id": 7}, call, {**call, "id": "x", "method": "no"}, 5])
    assert [answer.get("result", answer.get("error", {}).get("code")) for answer in answers] == [
        "ok",
        -32601,
        -32600,
    ]
    assert [answer["id"] for answer in answers] == [7, "x", None]
    assert node.http.post(node.url, json=call).content == b""


def test_bodies_are_limited(node: Any) -> None:
    assert node.http.post(node.url, content=b" " * 51_201).status_code == 413
    assert node.http.get(node.url).status_code == 405


def test_a_transaction_beyond_the_size_limit_is_refused_over_the_wire(node: Any) -> None:
    encoded = base64.b64encode(bytes(1233)).decode()
    error = node.error("sendTransaction", encoded, {"encoding": "base64"})
    assert error["code"] == -32602
    assert "too large: 1233 bytes" in error["message"]
