"""The escrow's client against the compiled program: every instruction, every read, events, deposits, co-signed withdrawals."""

import base64
import hashlib
import json
import struct
from types import SimpleNamespace
from typing import Any

import pytest
from solana.rpc.async_api import AsyncClient
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature

from chain.addresses import EscrowAddresses
from chain.deltas import MAGNITUDE_MAX, SLOTS_PER_PAGE
from chain.deposits import deposits_of
from chain.escrow import EscrowClient
from chain.events import (
    BatchOpened,
    BatchSealed,
    Deposited,
    LogsTruncated,
    PageSettled,
    Withdrawn,
    parse_events,
)
from chain.idl import IDL_FILE, error_name
from chain.keys import KeypairSigner
from chain.layout import LayoutMismatch, Slot, decode_escrow, decode_page, decode_token_amount
from chain.localnet.genesis import PROGRAM_ID
from chain.rpc import FINALIZED, ChainUnavailable
from chain.send import Refused
from chain.transactions import SignatureRefused

ROOT = bytes(range(32))


async def events_of(world: Any, signature: str) -> list[Any]:
    receipt = await world.escrow.view.receipt(signature)
    return list(parse_events(receipt.logs, world.escrow.addresses))


async def test_a_new_escrow_has_a_page_for_treasury_and_insurance(world: Any) -> None:
    state = await world.escrow.view.escrow_state()
    assert (state.admin, state.operator) == (world.operator.pubkey,) * 2
    assert (state.pages, state.sealed_batch, state.open_batch, state.deposits) == (1, 0, 0, 0)
    snapshot = await world.escrow.view.snapshot()
    assert [(slot.account, slot.balance) for slot in snapshot.pages[0].slots] == [(1, 0), (2, 0)]
    assert await world.escrow.view.vault_amount() == 0
    assert await world.escrow.view.page(1) is None
    assert await world.escrow.view.slot_of(16) is None


async def test_a_batch_from_deposits_to_seal(world: Any) -> None:
    escrow, operator = world.escrow, world.operator
    agent = await world.agent(16, 10_000_000)
    await world.land(escrow.build_create_page(operator, 1, price=2_000_000))
    other = await world.agent(17, 10_000_000, page=1)
    await world.land(escrow.build_deposit(agent, 0, 2, 6_000_000))
    await world.land(escrow.build_deposit(other, 1, 0, 4_000_000))
    opened = await world.land(escrow.build_open_batch(operator, 1, ROOT, 2))
    assert await events_of(world, opened.signature) == [BatchOpened(1, ROOT, 2)]
    debits = await world.land(escrow.build_settle_page(operator, 1, 0, [(0, 250), (2, -1_000_250)]))
    assert await events_of(world, debits.signature) == [PageSettled(1, 0, 1_000_250, 250, 0, 0, ())]
    middle = await escrow.view.escrow_state()
    assert (middle.open_batch, middle.clearing, middle.pages_settled, middle.root) == (1, 1_000_000, 1, ROOT)
    assert middle.sealed_root(1) is None
    await world.land(escrow.build_settle_page(operator, 1, 1, [(0, 1_000_000)]))
    sealed = await world.land(escrow.build_seal_batch(operator, 1), FINALIZED)
    assert await events_of(world, sealed.signature) == [BatchSealed(1, ROOT, 2, 2_000_500, 0)]
    snapshot = await escrow.view.snapshot()
    assert snapshot.vault == snapshot.promised == 10_000_000
    assert snapshot.state.sealed_root(1) == ROOT
    assert snapshot.state.sealed_root(0) is None
    assert [page.last_batch for page in snapshot.pages] == [1, 1]
    place = await escrow.view.slot_of(17, FINALIZED)
    assert (place.page, place.slot) == (1, Slot(0, other.pubkey, 17, 5_000_000, 0))


async def test_refusals_carry_the_programs_names(world: Any) -> None:
    escrow, operator = world.escrow, world.operator
    agent = await world.agent(16, 100)

    async def code(building: Any) -> str:
        fate = await world.fate(building)
        assert isinstance(fate, Refused)
        assert any(str(PROGRAM_ID) in line for line in fate.logs)
        return fate.code

    assert await code(escrow.build_open_account(operator, 0, agent.pubkey, 16)) == "AccountExists"
    assert await code(escrow.build_open_account(agent, 0, agent.pubkey, 17)) == "NotOperator"
    assert await code(escrow.build_create_page(operator, 3)) == "PageOutOfOrder"
    assert await code(escrow.build_deposit(agent, 0, 1, 5)) == "NotSlotOwner"
    assert await code(escrow.build_deposit(agent, 0, 2, 101)) == "Custom(1)"
    assert await code(escrow.build_withdraw(operator, agent, 0, 2, 1, 1)) == "InsufficientBalance"
    assert await code(escrow.build_open_batch(operator, 2, ROOT, 1)) == "BatchOutOfOrder"
    assert await code(escrow.build_settle_page(operator, 1, 0, [(2, 1)])) == "NoBatchOpen"
    assert await code(escrow.build_seal_batch(operator, 1)) == "NoBatchOpen"


async def test_a_poor_payer_is_refused_by_the_clusters_name(world: Any) -> None:
    poor = KeypairSigner(Keypair())
    fate = await world.fate(world.escrow.build_deposit(poor, 0, 2, 1))
    assert isinstance(fate, Refused)
    assert fate.code == "AccountNotFound"


def test_every_code_of_the_description_has_a_name() -> None:
    codes = [error["code"] for error in json.loads(IDL_FILE.read_text())["errors"]]
    assert codes == list(range(6000, 6000 + len(codes)))
    assert error_name(6022) == "InsufficientBalance"
    assert error_name(1) == "Custom(1)"


async def test_deposits_are_found_once_in_order_from_any_cursor(world: Any) -> None:
    escrow = world.escrow
    empty = await escrow.view.deposits_since(None)
    assert empty.deposits == ()
    agent = await world.agent(16, 10_000)
    landed = [
        await world.land(escrow.build_deposit(agent, 0, 2, amount), FINALIZED) for amount in (10, 20, 30)
    ]
    scan = await escrow.view.deposits_since(empty.cursor)
    assert scan.complete
    assert scan.cursor == landed[-1].signature
    assert [found.signature for found in scan.deposits] == [one.signature for one in landed]
    assert [found.deposit for found in scan.deposits] == [
        Deposited(0, 2, agent.pubkey, 16, amount, number) for number, amount in enumerate((10, 20, 30), 1)
    ]
    rest = await escrow.view.deposits_since(landed[0].signature)
    assert [found.deposit.amount for found in rest.deposits] == [20, 30]
    assert (await escrow.view.deposits_since(scan.cursor)).deposits == ()
    piece = await escrow.view.deposits_since(empty.cursor, limit=2)
    assert (len(piece.deposits), piece.complete) == (2, False)
    assert len((await escrow.view.deposits_since(piece.cursor)).deposits) == 1
    # Withdrawals name the vault too, and are no deposits.
    await world.land(escrow.build_withdraw(world.operator, agent, 0, 2, 5, 1), FINALIZED)
    after = await escrow.view.deposits_since(scan.cursor)
    assert after.deposits == ()
    assert after.cursor != scan.cursor


async def test_a_deposit_cannot_hide_behind_cut_logs(world: Any, client: AsyncClient) -> None:
    agent = await world.agent(16, 10_000)
    landed = await world.land(world.escrow.build_deposit(agent, 0, 2, 77), FINALIZED)
    signature = Signature.from_string(landed.signature)
    found = (await client.get_transaction(signature, "base64", "finalized", 0)).value
    whole = await deposits_of(found, landed.signature, world.escrow.addresses, world.escrow.view._slots())
    meta = found.transaction.meta
    cut = SimpleNamespace(
        log_messages=[*meta.log_messages[:2], "Log truncated"],
        inner_instructions=meta.inner_instructions,
        loaded_addresses=meta.loaded_addresses,
    )
    inner = SimpleNamespace(meta=cut, transaction=found.transaction.transaction)
    shown = SimpleNamespace(slot=found.slot, transaction=inner)
    (one,) = await deposits_of(shown, landed.signature, world.escrow.addresses, world.escrow.view._slots())
    assert (one.signature, one.index, one.slot) == (whole[0].signature, 0, found.slot)
    assert one.deposit == Deposited(0, 2, agent.pubkey, 16, 77, 0)

    async def given_away(page: Pubkey, slot: int) -> Any:
        return 0, Slot(slot, OTHER, 17, 0, 0)

    async def gone(page: Pubkey, slot: int) -> Any:
        return None

    for reader in (given_away, gone):
        (one,) = await deposits_of(shown, landed.signature, world.escrow.addresses, reader)
        assert one.deposit == Deposited(0, 2, agent.pubkey, 0, 77, 0)
    with pytest.raises(LogsTruncated):
        list(parse_events(cut.log_messages, world.escrow.addresses))


async def test_a_withdrawal_needs_both_signatures_and_is_paid_once(world: Any) -> None:
    escrow, operator = world.escrow, world.operator
    agent = await world.agent(16, 100)
    await world.land(escrow.build_deposit(agent, 0, 2, 100))
    message = await escrow.withdraw_message(operator.pubkey, agent.pubkey, 0, 2, 60, 5)
    with pytest.raises(SignatureRefused, match="does not match"):
        await escrow.combine_withdraw(message, operator, agent.pubkey, await agent.sign(b"something else"))
    with pytest.raises(SignatureRefused, match="not those that the message asks for"):
        await escrow.combine_withdraw(message, operator, operator.pubkey, await agent.sign(message.message))
    signed = await escrow.combine_withdraw(message, operator, agent.pubkey, await agent.sign(message.message))
    landed = await world.land(_given(signed))
    assert await events_of(world, landed.signature) == [Withdrawn(0, 2, agent.pubkey, 16, 60, 5)]
    for number in (5, 4):
        again = await world.fate(escrow.build_withdraw(operator, agent, 0, 2, 1, number))
        assert isinstance(again, Refused)
        assert again.code == "WithdrawalRepeated"
    place = await escrow.view.slot_of(16)
    assert (place.slot.balance, place.slot.last_withdrawal) == (40, 5)
    assert await escrow.view.vault_amount() == 40


async def _given(value: Any) -> Any:
    return value


async def test_the_largest_page_fits_one_transaction(world: Any) -> None:
    deltas = [(slot, -MAGNITUDE_MAX) for slot in range(SLOTS_PER_PAGE)]
    signed = await world.escrow.build_settle_page(world.operator, 2**63, 0, deltas, price=2**40)
    assert len(signed.raw) <= 1232


@pytest.mark.parametrize("decode", [decode_escrow, decode_page, decode_token_amount])
@pytest.mark.parametrize("size", [0, 8, 165, 166, 4880, 10_184])
def test_other_accounts_are_not_mistaken_for_ours(decode: Any, size: int) -> None:
    if decode is decode_token_amount and size == 165:
        return
    with pytest.raises(LayoutMismatch):
        decode(bytes(size))


async def test_reading_what_is_not_there(node: Any, client: AsyncClient) -> None:
    nobody = EscrowClient(client, PROGRAM_ID, Pubkey.new_unique(), Pubkey.new_unique())
    assert await nobody.view.escrow_state() is None
    assert await nobody.view.pages() == ()
    assert await nobody.view.slot_of(16) is None
    assert await nobody.view.receipt(str(Signature.default())) is None
    with pytest.raises(ChainUnavailable):
        await nobody.view.snapshot()


OWNER = Pubkey.from_bytes(b"owner".ljust(32))
AT = EscrowAddresses(PROGRAM_ID, OWNER)
EVENT = hashlib.sha256(b"event:Deposited").digest()[:8] + struct.pack(
    "<32sIH32sQQQ", bytes(AT.escrow), 0, 2, bytes(OWNER), 16, 5, 1
)
DATA = f"Program data: {base64.b64encode(EVENT).decode()}"
OTHER = Pubkey.from_bytes(b"other".ljust(32))
OURS = f"Program {PROGRAM_ID} invoke [1]"


def test_events_are_read_while_our_program_runs() -> None:
    lines = [OURS, f"Program {OTHER} invoke [2]", f"Program {OTHER} success", DATA]
    assert list(parse_events(lines, AT)) == [Deposited(0, 2, OWNER, 16, 5, 1)]


def test_a_page_that_an_older_program_settled_is_read_without_marks() -> None:
    settled = hashlib.sha256(b"event:PageSettled").digest()[:8] + struct.pack(
        "<32sQIQQQQ", bytes(AT.escrow), 7, 1, 40, 30, 20, 10
    )
    lines = [OURS, *(f"Program data: {base64.b64encode(one).decode()}" for one in (settled, EVENT))]
    assert list(parse_events(lines, AT)) == [
        PageSettled(7, 1, 40, 30, 20, 10, ()),
        Deposited(0, 2, OWNER, 16, 5, 1),
    ]


@pytest.mark.parametrize(
    "said", ["Program log: success", "Program log: failed: no", f"Program log: Program {PROGRAM_ID} success"]
)
def test_no_words_that_a_program_logs_end_it(said: str) -> None:
    assert list(parse_events([OURS, said, DATA], AT)) == [Deposited(0, 2, OWNER, 16, 5, 1)]
    nested = [OURS, f"Program {OTHER} invoke [2]", said, DATA]
    assert list(parse_events(nested, AT)) == []


@pytest.mark.parametrize(
    "lines",
    [
        [DATA],
        [f"Program {OTHER} invoke [1]", DATA, f"Program {OTHER} success"],
        [OURS, f"Program {OTHER} invoke [2]", DATA],
        [OURS, f"Program {PROGRAM_ID} success", DATA],
        [f"Program {OTHER} invoke [1]", f"Program log: Program {PROGRAM_ID} invoke [2]", DATA],
        [OURS, f"Program {PROGRAM_ID} failed: custom program error: 0x1", DATA],
    ],
)
def test_events_of_other_programs_do_not_count(lines: list[str]) -> None:
    assert list(parse_events(lines, AT)) == []
