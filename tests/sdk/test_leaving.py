"""Leaving with an exit kit, the owner's key and a node: no exchange, no operator."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, TransferParams, create_account, transfer
from solders.transaction import Transaction
from spl.token.constants import TOKEN_PROGRAM_ID
from spl.token.instructions import (
    CloseAccountParams,
    InitializeAccountParams,
    close_account,
    initialize_account,
)

from chain.addresses import wallet_of
from chain.keys import KeypairSigner
from chain.limits import DEFAULT_LIMITS, Limits
from chain.localnet.genesis import PROGRAM_ID
from chain.rpc import FINALIZED
from chain.send import Landed, send_until
from chain.transactions import SignedTransaction
from fault_proxy import Fault, FaultProxy
from perpdex_sdk import (
    ChainRefused,
    ExitFailed,
    NotProven,
    Unreachable,
    asked,
    exit_kit,
    exits,
    leave,
    own_slot,
)
from perpdex_sdk.answers import Escrow, Place
from perpdex_sdk.funds import BUDGET_PROGRAM, deposit_instruction
from perpdex_sdk.loss_limit import bound_losses
from perpdex_sdk.own_slot import send, set_loss_limit
from perpdex_sdk.priority import UNITS, Offer
from perpdex_sdk.rpc import Rpc

ROOT = Path(__file__).parents[2]


@pytest.fixture
def escrow_limits() -> Limits:
    return replace(DEFAULT_LIMITS, exit_delay=2, limit_delay=1)


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exits, "LOOK_EVERY_S", 0.1)


class Owner:
    """With 5,000 micro-USDC in slot 2, some SOL, and its kit."""

    def __init__(self, escrow: Any) -> None:
        self.client, self.operator, self.url = escrow
        self.key = Keypair()
        self.signer = KeypairSigner(self.key)
        at = str(self.client.addresses.escrow)
        where = Escrow(str(PROGRAM_ID), at, str(self.client.addresses.vault), str(self.client.mint), self.url)
        self.kit = exit_kit.kit_of(self.key.pubkey(), 16, where, Place(0, 2), None)

    async def land(self, building: Any) -> None:
        fate = await send_until(self.client.client, await building, FINALIZED, poll_s=0.01)
        assert isinstance(fate, Landed), fate

    async def slot(self) -> Any:
        return (await self.client.view.slot_of(16)).slot


@pytest.fixture
async def owner(escrow: Any) -> Owner:
    owner = Owner(escrow)
    async with httpx.AsyncClient() as http:
        for method, much in (("requestAirdrop", 10**12), ("perpdexMintTestUsdc", 5_000)):
            call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": [str(owner.key.pubkey()), much]}
            assert "error" not in (await http.post(owner.url, json=call)).json()
    await owner.land(owner.client.build_open_account(owner.operator, 0, owner.key.pubkey(), 16))
    await owner.land(owner.client.build_deposit(owner.signer, 0, 2, 5_000))
    return owner


@pytest.mark.parametrize("days", [-3, 3])
async def test_it_asks_waits_and_claims_everything_whatever_this_machines_clock_says(
    owner: Owner, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    told: list[str] = []
    true = time.time
    monkeypatch.setattr(time, "time", lambda: true() + days * 86_400)
    async with asyncio.timeout(30):
        left = await leave.leave(owner.kit, owner.key, owner.url, told=told.append)
    monkeypatch.undo()
    assert left.paid == 5_000
    assert (await owner.slot()).balance == 0
    assert await owner.client.view.vault_amount() == 0
    assert "5000 micro-USDC" in told[-1]
    for step in (leave.leave, leave.ask):
        with pytest.raises(ExitFailed, match="empty") as empty:
            await step(owner.kit, owner.key, owner.url)
        assert (empty.value.code, empty.value.number) == ("slot_empty", 0)


def test_an_offer_doubles_from_a_start_up_to_the_most() -> None:
    offers = [Offer(0, 5_000), Offer(300, 1_000), Offer(7_000, 5_000), Offer(0, 0)]
    seen = []
    for offer in offers:
        prices = [offer.price]
        for _ in range(4):
            offer.raise_it()
            prices.append(offer.price)
        seen.append(prices)
    assert seen == [
        [0, 1_000, 2_000, 4_000, 5_000],
        [300, 1_000, 1_000, 1_000, 1_000],
        [7_000, 7_000, 7_000, 7_000, 7_000],
        [0, 0, 0, 0, 0],
    ]


def test_an_offer_that_cannot_be_paid_goes_back_to_the_last_that_could_then_to_none() -> None:
    offer, prices = Offer(300, 10_000), []
    for _ in range(2):
        offer.raise_it()
    while offer.lower_it():
        prices.append(offer.price)
        offer.raise_it()
        prices.append(offer.price)
    assert prices == [1_000, 1_000, 0, 0]
    assert not Offer(0, 10_000).lower_it()
    never_sent = Offer(300, 10_000)
    assert (never_sent.lower_it(), never_sent.price) == (True, 0)


async def test_a_thin_wallet_leaves_at_the_price_that_it_could_still_pay(
    owner: Owner, proxy: FaultProxy
) -> None:
    told: list[str] = []
    key = owner.key.pubkey()
    rpc = Rpc(owner.url)
    much = (await owner.client.client.get_balance(key)).value - 6_000_000 - 5_000
    to = owner.operator.pubkey
    gift = transfer(TransferParams(from_pubkey=key, to_pubkey=to, lamports=much))
    await send(rpc, owner.key, gift)
    await rpc.close()
    # The first request expires, and the next one lands at twice its price; so much for a claim is more than there is.
    proxy.fail("getEpochInfo", Fault.LIE, times=6)
    left = await leave.leave(
        owner.kit, owner.key, proxy.url, told=told.append, price=20_000_000, price_max=40_000_000
    )
    assert left.paid == 5_000
    assert "too little SOL for that offer; it is sent again and offers 20000000 micro-lamports" in told[-1]
    # 40 lamports for each of 60,000 units, 20 for each of 120,000.
    assert (await owner.client.client.get_balance(key)).value == 6_000_000 - 2 * (5_000 + 2_400_000)


async def test_looks_that_tell_nothing_raise_no_price(
    owner: Owner, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent once is doubtful once, however often it is looked for."""
    monkeypatch.setattr("perpdex_sdk.rpc.PATIENCE", 0.3)
    monkeypatch.setattr("perpdex_sdk.rpc.POLL", 0.1)
    # The request lands, and for a while no node tells so.
    proxy.fail("getSignatureStatuses", Fault.BUSY, times=9)
    left = await leave.leave(owner.kit, owner.key, proxy.url, price=100)
    receipt = await owner.client.view.receipt(left.signature)
    # Raised once, from 100 to 1,000 for each of 120,000 units.
    assert (proxy.waiting(), receipt.fee) == (0, 5_000 + 120)


async def test_a_wallet_that_would_be_left_with_too_little_is_told_apart(owner: Owner) -> None:
    rpc, key = Rpc(owner.url), owner.key.pubkey()
    much = (await owner.client.client.get_balance(key)).value - 893_000 - 5_000
    gift = transfer(TransferParams(from_pubkey=key, to_pubkey=owner.operator.pubkey, lamports=much))
    await send(rpc, owner.key, gift)
    with pytest.raises(ExitFailed) as failed:
        await send(rpc, owner.key, own_slot.request_withdrawal(owner.kit.escrow, owner.kit.place, key, 1))
    assert "InsufficientFundsForRent" in str(failed.value)
    assert (failed.value.short, failed.value.code) == (True, "short_of_sol")
    await rpc.close()


async def test_what_expired_is_sent_again_at_twice_the_price(owner: Owner, proxy: FaultProxy) -> None:
    told: list[str] = []
    # Two looks each say that it can land no more: as it is sent, as it is looked for again, and as to what became of it.
    proxy.fail("getEpochInfo", Fault.LIE, times=6)
    left = await leave.leave(owner.kit, owner.key, proxy.url, told=told.append, price=777)
    assert proxy.waiting() == 0
    assert left.paid == 5_000
    assert "sent again and offers 1554 micro-lamports per compute unit" in told[0]
    found = (await owner.client.client.get_signatures_for_address(owner.key.pubkey(), limit=2)).value
    receipts = [await owner.client.view.receipt(str(one.signature)) for one in found]
    # 60,000 units are asked for by the request, 120,000 by the claim that makes the token account; rounded up.
    assert [one.fee for one in receipts] == [5_000 + 187, 5_000 + 94]
    assert all(one.units < UNITS * number for one, number in zip(receipts, (2, 1), strict=True))


async def test_every_transaction_of_an_owner_fits_with_the_highest_price(owner: Owner) -> None:
    escrow, place, key = owner.kit.escrow, owner.kit.place, owner.key.pubkey()
    each = [
        [deposit_instruction(escrow, place, key, 2**63)],
        [own_slot.request_withdrawal(escrow, place, key, own_slot.EVERYTHING)],
        [own_slot.cancel_withdrawal_request(escrow, place, key)],
        [set_loss_limit(escrow, place, key, 7)],
        [own_slot.create_token_account(escrow, key), own_slot.claim_withdrawal(escrow, place, key)],
    ]
    rpc = Rpc(owner.url)
    for instructions in each:
        raw = (await own_slot.signed(rpc, owner.key, *instructions, price=2**64 - 1)).raw
        message = Transaction.from_bytes(raw).message
        units, price = (bytes(one.data) for one in message.instructions[:2])
        named = {message.account_keys[one.program_id_index] for one in message.instructions[:2]}
        assert (len(raw) <= 1_232, named) == (True, {BUDGET_PROGRAM})
        assert units == b"\2" + (UNITS * len(instructions)).to_bytes(4, "little")
        assert price == b"\3" + b"\xff" * 8
    await rpc.close()


async def test_a_part_is_asked_for_taken_back_and_asked_for_again(owner: Owner) -> None:
    asked = await leave.ask(owner.kit, owner.key, owner.url, 1_000)
    assert asked.pending == 1_000
    # Whoever starts again goes on with what stands, and does not take it for something else.
    assert (await leave.ask(owner.kit, owner.key, owner.url, 1_000)).pending == 1_000
    with pytest.raises(ExitFailed, match=r"^0\.001 USDC is asked for already") as other:
        await leave.leave(owner.kit, owner.key, owner.url)
    assert (other.value.code, other.value.number) == ("another_amount_asked", 0)
    await leave.take_back(owner.kit, owner.key, owner.url)
    assert (await owner.slot()).exit_at == 0
    left = await leave.leave(owner.kit, owner.key, owner.url, 2_000)
    assert (left.paid, (await owner.slot()).balance) == (2_000, 3_000)


@pytest.fixture
async def proxy(owner: Owner) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(owner.url) as proxy:
        yield proxy


async def test_a_part_that_was_paid_is_not_asked_for_again_when_the_receipt_is_lost(
    owner: Owner, proxy: FaultProxy, tmp_path: Path
) -> None:
    kept = asked.beside(tmp_path / "kit.json")
    proxy.fail("getTransaction", Fault.REFUSE, times=1_000)
    leaving = asyncio.create_task(leave.leave(owner.kit, owner.key, proxy.url, 2_000, kept=kept))
    async with asyncio.timeout(60):
        while (await owner.slot()).balance == 5_000:
            await asyncio.sleep(0.05)
    assert not leaving.done()
    leaving.cancel()
    await asyncio.wait([leaving])
    proxy.heal()

    with pytest.raises(ExitFailed, match=r"^0\.002 USDC was asked for before") as before:
        await leave.leave(owner.kit, owner.key, proxy.url, 1_000, kept=kept)
    assert before.value.code == "asked_before"
    left = await leave.leave(owner.kit, owner.key, proxy.url, 2_000, kept=kept)
    assert (left.paid, (await owner.slot()).balance) == (2_000, 3_000)
    assert (await owner.slot()).exit_at == 0
    # Nor the next time, until its owner says that it has heard.
    assert await leave.leave(owner.kit, owner.key, proxy.url, 2_000, kept=kept) == left
    asked.forget(kept)
    assert (await leave.leave(owner.kit, owner.key, proxy.url, 2_000, kept=kept)).paid == 2_000


@pytest.mark.parametrize("escrow_finality", [50])
async def test_a_chain_whose_blocks_take_long_to_be_final_alarms_nobody(owner: Owner, tmp_path: Path) -> None:
    told: list[str] = []
    kept = tmp_path / "asked.json"
    left = await leave.leave(owner.kit, owner.key, owner.url, 2_000, told=told.append, kept=kept)
    assert left.paid == 2_000
    assert len(told) == 2
    assert told[0] == "asked; waiting until that is final"
    assert "can be claimed at" in told[1]


async def test_who_gives_up_what_never_came_may_ask_for_another_amount(
    owner: Owner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kit, key = tmp_path / "kit.json", tmp_path / "key.json"
    exit_kit.save(kit, owner.kit)
    key.write_text(owner.key.to_json())
    kept = asked.beside(kit)
    asked.save(kept, asked.of(owner.kit, 2_000, str(owner.key.sign_message(b"never sent")), 1))

    async def command(*arguments: str) -> int:
        named = ("--kit", str(kit), "--keypair", str(key), "--rpc", owner.url)
        return await asyncio.to_thread(leave.main, [*named, *arguments])

    assert await command("--amount", "0.003") == leave.NOT_LEFT
    assert await command("--take-back") == leave.LEFT
    assert not kept.exists()
    assert await command("--amount", "0.003") == leave.LEFT
    # One that was paid, of which nobody heard.
    paid = asked.of(owner.kit, 3_000, seen_at=1)
    asked.save(kept, paid)
    assert await command("--take-back") == leave.LEFT
    assert "it was paid before: 0.003 USDC" in capsys.readouterr().out
    assert not kept.exists()


async def test_a_request_that_was_taken_back_by_other_means_or_never_landed_is_made_again(
    owner: Owner, tmp_path: Path
) -> None:
    kept = tmp_path / "asked.json"
    asked.save(kept, asked.of(owner.kit, 2_000, str(owner.key.sign_message(b"never sent")), 1))
    leaving = asyncio.create_task(leave.leave(owner.kit, owner.key, owner.url, 2_000, kept=kept))
    while not (found := asked.load(kept, owner.kit)) or not found.seen_at:
        await asyncio.sleep(0.05)
    leaving.cancel()
    await asyncio.wait([leaving])
    await leave.take_back(owner.kit, owner.key, owner.url)
    assert await exits.became(owner.kit, found, owner.url) is None
    assert (await leave.leave(owner.kit, owner.key, owner.url, 2_000, kept=kept)).paid == 2_000
    with pytest.raises(NotProven, match="account 16"):
        asked.load(kept, msgspec.structs.replace(owner.kit, account=17))


async def test_a_slot_that_was_far_ahead_at_one_look_hides_no_payment(
    owner: Owner, proxy: FaultProxy, tmp_path: Path
) -> None:
    kept = tmp_path / "asked.json"
    await leave.ask(owner.kit, owner.key, owner.url, 2_000)
    proxy.fail("getAccountInfo", Fault.AHEAD)
    proxy.fail("getTransaction", Fault.REFUSE, times=1_000)
    leaving = asyncio.create_task(leave.leave(owner.kit, owner.key, proxy.url, 2_000, kept=kept))
    while (await owner.slot()).balance == 5_000:
        await asyncio.sleep(0.05)
    leaving.cancel()
    await asyncio.wait([leaving])
    proxy.heal()
    assert (await leave.leave(owner.kit, owner.key, proxy.url, 2_000, kept=kept)).paid == 2_000
    assert (await owner.slot()).balance == 3_000


async def test_a_node_that_shows_neither_payment_nor_request_has_nothing_asked_of_it_again(
    owner: Owner, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "asked.json"
    # Seen as of a slot after which nothing of the owner's is on the chain.
    asked.save(kept, asked.of(owner.kit, 2_000, seen_at=(await exit_kit.on_chain(owner.kit, owner.url)).seen))
    monkeypatch.setattr(leave, "PATIENCE_S", 0.0)
    with pytest.raises(Unreachable, match="not there any more"):
        await leave.leave(owner.kit, owner.key, owner.url, 2_000, kept=kept)
    assert (await owner.slot()).exit_at == 0


async def test_passing_errors_of_a_node_are_waited_out(
    owner: Owner, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    def told(sentence: str) -> None:
        heard.append(sentence)
        if "in the slot" in sentence:
            for fault in (Fault.BUSY, Fault.LIMITED, Fault.GARBAGE):
                proxy.fail("getAccountInfo", fault)

    for fault in (Fault.BUSY, Fault.LIMITED):
        proxy.fail("getLatestBlockhash", fault, times=2)
    left = await leave.leave(owner.kit, owner.key, proxy.url, told=told)
    assert (left.paid, proxy.waiting()) == (5_000, 0)
    assert sum("asked again for 60 minutes" in one for one in heard) >= 2

    # One that has never answered is a wrong address, and one that stays away is told in the end.
    proxy.fail("getAccountInfo", Fault.BUSY)
    with pytest.raises(ChainRefused):
        await leave.leave(owner.kit, owner.key, proxy.url)
    await owner.land(owner.client.build_deposit(owner.signer, 0, 2, 1_000))
    monkeypatch.setattr(leave, "PATIENCE_S", 0.0)
    proxy.fail("getLatestBlockhash", Fault.BUSY, times=1_000)
    with pytest.raises(ChainRefused):
        await leave.leave(owner.kit, owner.key, proxy.url)


async def test_the_kits_own_calls_are_enough_for_any_tool(owner: Owner, tmp_path: Path) -> None:
    """Nothing is used of the SDK but what sends."""
    path = tmp_path / "kit.json"
    exit_kit.save(path, owner.kit)
    kept = json.loads(path.read_text())["way_out"]

    def call(name: str) -> Instruction:
        metas = [
            AccountMeta(Pubkey.from_string(one["key"]), one["signer"], one["writable"])
            for one in kept[name]["accounts"]
        ]
        return Instruction(
            Pubkey.from_string(kept[name]["program"]), bytes.fromhex(kept[name]["data"]), metas
        )

    rpc = Rpc(owner.url)
    try:
        await send(rpc, owner.key, call("ask"))
        exit_at = (await owner.slot()).exit_at
        while await owner.client.view.clock() < exit_at:
            await asyncio.sleep(0.05)
        await send(rpc, owner.key, call("token_account"), call("claim"))
    finally:
        await rpc.close()
    assert (await owner.slot()).balance == 0
    assert await owner.client.view.vault_amount() == 0


def replaced(kit: exit_kit.ExitKit, format: int) -> exit_kit.ExitKit:
    return msgspec.structs.replace(kit, format=format)


def test_a_kit_whose_way_out_was_altered_is_refused(tmp_path: Path) -> None:
    keys = [str(Pubkey(bytes([number] * 32))) for number in range(1, 7)]
    kit = exit_kit.kit_of(Pubkey.from_string(keys[4]), 16, Escrow(*keys[:4], "url"), Place(0, 2), None)
    assert kit.way_out is not None
    path, stolen = tmp_path / "kit.json", kit.way_out.claim.accounts[3].key
    exit_kit.save(path, kit)
    path.write_text(path.read_text().replace(stolen, keys[5]))
    with pytest.raises(NotProven, match="altered") as altered:
        exit_kit.load(path)
    assert altered.value.code == "kit_altered"
    path.write_bytes(b"{")
    with pytest.raises(NotProven) as damaged:
        exit_kit.load(path)
    assert damaged.value.code == "file_damaged"
    # What cannot be used is set aside, and does not keep a good one from being kept.
    for content, code in ((b"{", "file_damaged"), (msgspec.json.encode(replaced(kit, 3)), "file_newer")):
        path.write_bytes(content)
        exit_kit.save(path, kit)
        assert exit_kit.load(path) == kit
        assert (tmp_path / f"kit.json.{code}").read_bytes() == content
    for number in (2, 3):
        path.write_bytes(b"{%d" % number)
        exit_kit.save(path, kit)
        assert (tmp_path / f"kit.json.file_damaged.{number}").read_bytes() == b"{%d" % number
    assert (tmp_path / "kit.json.file_damaged").read_bytes() == b"{"
    # Kits of before there was a way out in them still lead out.
    old = msgspec.structs.replace(kit, way_out=None, format=1)
    path.write_bytes(msgspec.json.encode(old))
    assert exit_kit.load(path) == old


@pytest.mark.parametrize("escrow_limits", [DEFAULT_LIMITS])
async def test_nobody_leaves_before_the_delay_is_over(owner: Owner) -> None:
    await leave.ask(owner.kit, owner.key, owner.url)
    with pytest.raises(ExitFailed) as early:
        await leave.claim(owner.kit, owner.key, owner.url)
    assert (early.value.number, early.value.code) == (exits.NOT_READY, "program_refused")
    assert (await owner.slot()).balance == 5_000


async def test_a_token_account_that_was_closed_is_made_again(owner: Owner) -> None:
    target = wallet_of(owner.key.pubkey(), owner.client.mint)
    closing = close_account(
        CloseAccountParams(
            program_id=TOKEN_PROGRAM_ID, account=target, dest=owner.key.pubkey(), owner=owner.key.pubkey()
        )
    )
    rpc = Rpc(owner.url)
    await send(rpc, owner.key, closing)
    await rpc.close()
    left = await leave.leave(owner.kit, owner.key, owner.url)
    assert (left.paid, left.target) == (5_000, str(target))


async def token_account_of(owner: Owner, holder: Pubkey) -> Pubkey:
    """A token account at an address of its own, paid for by the owner."""
    made, client = Keypair(), owner.client.client
    latest = (await client.get_latest_blockhash()).value
    create = CreateAccountParams(
        from_pubkey=owner.key.pubkey(),
        to_pubkey=made.pubkey(),
        lamports=2_039_280,
        space=165,
        owner=TOKEN_PROGRAM_ID,
    )
    begin = InitializeAccountParams(TOKEN_PROGRAM_ID, made.pubkey(), owner.client.mint, holder)
    both = [create_account(create), initialize_account(begin)]
    signed = Transaction.new_signed_with_payer(both, owner.key.pubkey(), [owner.key, made], latest.blockhash)

    async def built() -> SignedTransaction:
        return SignedTransaction(bytes(signed), str(signed.signatures[0]), latest.last_valid_block_height)

    await owner.land(built())
    return made.pubkey()


async def test_another_token_account_of_the_owners_is_paid_and_nobody_elses(owner: Owner) -> None:
    theirs = await token_account_of(owner, Keypair().pubkey())
    mine = await token_account_of(owner, owner.key.pubkey())
    async with asyncio.timeout(30):
        with pytest.raises(ExitFailed) as failed:
            await leave.leave(owner.kit, owner.key, owner.url, to=theirs)
        assert failed.value.number == exits.NOT_OWNERS
        assert (await owner.slot()).balance == 5_000
        left = await leave.leave(owner.kit, owner.key, owner.url, to=mine)
    assert (left.paid, left.target) == (5_000, str(mine))
    assert (await owner.client.client.get_token_account_balance(mine)).value.amount == "5000"


async def test_a_key_of_somebody_else_signs_nothing(owner: Owner) -> None:
    for step in (leave.ask, leave.claim, leave.take_back, leave.leave):
        with pytest.raises(NotProven) as failed:
            await step(owner.kit, Keypair(), owner.url)  # type: ignore[operator]
        assert failed.value.code == "key_wrong"
    assert (await owner.slot()).exit_at == 0


async def test_an_owner_bounds_what_settlement_may_take(owner: Owner) -> None:
    rpc = Rpc(owner.url)
    try:
        await send(rpc, owner.key, set_loss_limit(owner.kit.escrow, owner.kit.place, owner.key.pubkey(), 7))
        assert (await owner.slot()).next_limit == 7_000_000
        await asyncio.sleep(2.5)
        assert (await owner.slot()).may_lose((await owner.slot()).next_limit_at, 60) == 5_000
        await send(
            rpc, owner.key, set_loss_limit(owner.kit.escrow, owner.kit.place, owner.key.pubkey(), None)
        )
        assert (await owner.slot()).loss_limit is None
    finally:
        await rpc.close()


async def test_a_limit_that_stands_is_not_sent_again(owner: Owner) -> None:
    await bound_losses(owner.kit, owner.key, 9, owner.url)
    before = await owner.slot()
    assert before.next_limit == 9_000_000
    while (await exit_kit.on_chain(owner.kit, owner.url)).loss_limit != 9:
        await asyncio.sleep(0.05)
    await asyncio.sleep(1.5)
    await bound_losses(owner.kit, owner.key, 9, owner.url)
    # A second one would have begun the delay anew.
    assert (await owner.slot()).next_limit_at == before.next_limit_at
    await bound_losses(owner.kit, owner.key, None, owner.url)
    assert (await owner.slot()).loss_limit is None


async def run(*arguments: str) -> tuple[int | None, str, str]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "perpdex_sdk.leave", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'sdk'}"},
    )
    out, err = await child.communicate()
    return child.returncode, out.decode(), err.decode()


async def test_the_command_leaves_and_says_why_it_does_not(owner: Owner, tmp_path: Path) -> None:
    kit, key, other = tmp_path / "kit.json", tmp_path / "key.json", tmp_path / "other.json"
    exit_kit.save(kit, owner.kit)
    key.write_text(owner.key.to_json())
    other.write_text(Keypair().to_json())
    common = ("--kit", str(kit), "--rpc", owner.url)
    assert (await run(*common, "--keypair", str(other)))[0] == leave.NOT_LEFT
    assert (await run(*common, "--keypair", str(key), "--amount", "0.0000001"))[0] == leave.NOT_LEFT
    code, _, err = await run("--kit", str(kit), "--keypair", str(key), "--rpc", "http://127.0.0.1:1")
    assert (code, "not known" in err) == (leave.UNKNOWN, True)
    await leave.ask(owner.kit, owner.key, owner.url, 1_000)
    code, _, err = await run(*common, "--keypair", str(key))
    assert (code, "0.001 USDC is asked for already" in err) == (leave.NOT_LEFT, True)
    assert (await run(*common, "--keypair", str(key), "--take-back"))[:2] == (
        leave.LEFT,
        "taken back: nothing is asked for\n",
    )
    code, _, err = await run(*common, "--keypair", str(key), "--price", "-1")
    assert (code, "-1 is no price" in err) == (leave.NOT_LEFT, True)
    code, out, err = await run(*common, "--keypair", str(key), "--price", "777")
    assert (code, err) == (leave.LEFT, "")
    assert "0.005 USDC paid" in out
    receipt = await owner.client.view.receipt(out.split()[-1])
    assert receipt.fee == 5_000 + 94
    assert (await owner.slot()).balance == 0


async def test_who_owes_a_loss_is_told_so_and_leaves_once_it_is_paid(
    owner: Owner, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leave, "NAP_S", 0.2)
    # No two lost answers in a row are borne with.
    monkeypatch.setattr(leave, "PATIENCE_S", 0.0)
    client, operator, told = owner.client, owner.operator, list[str]()
    rpc = Rpc(owner.url)

    async def limit(usdc: int | None) -> None:
        await send(
            rpc, owner.key, set_loss_limit(owner.kit.escrow, owner.kit.place, owner.key.pubkey(), usdc)
        )

    async def batch(id: int) -> None:
        await owner.land(client.build_open_batch(operator, id, bytes(32), 1))
        await owner.land(client.build_settle_page(operator, id, 0, [(0, 900), (2, -900)]))
        await owner.land(client.build_seal_batch(operator, id))

    await limit(0)
    limit_at = (await owner.slot()).next_limit_at
    while await client.view.clock() < limit_at:
        await asyncio.sleep(0.05)
    # Page 0 gives nothing away that it has not taken, so a short batch seals as well.
    await batch(1)
    leaving = asyncio.create_task(leave.leave(owner.kit, owner.key, proxy.url, told=told.append))
    while len(told) < 2:
        await asyncio.sleep(0.05)
    assert "raise the limit" in told[1]
    # Between two that are lost the program refuses, or the slot is read: neither is silence.
    for method in ("getAccountInfo", "getLatestBlockhash", "getAccountInfo"):
        proxy.fail(method, Fault.BUSY)
        looks = proxy.calls["getAccountInfo"]
        # Each look reads the slot and the clock, and whichever comes next may be lost: two whole ones are between any two.
        while (proxy.waiting() or proxy.calls["getAccountInfo"] < looks + 6) and not leaving.done():
            await asyncio.sleep(0.05)
    assert not leaving.done()
    await limit(None)
    await batch(2)
    assert (await leaving).paid == 4_100
    await rpc.close()
