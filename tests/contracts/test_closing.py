"""Accounts and pages are given up: when, what happens to their place, and where the rent goes."""

import json
from pathlib import Path

import pytest
from solders.system_program import TransferParams, transfer

IDL = Path(__file__).parents[2] / "contracts" / "solana" / "escrow" / "idl.json"
ERRORS = {error["name"]: error["code"] for error in json.loads(IDL.read_text())["errors"]}
SLOTS = 105


def sealed(escrow) -> None:
    """A batch that moves the smallest amount."""
    id = escrow.state().sealed_batch + 1
    assert escrow.open_batch(id, 1) is None
    assert escrow.settle(id, bytes([2, 3, 3, 2])) is None
    assert escrow.seal(id) is None


@pytest.fixture
def second(escrow):
    """A second page in which owner 2 has slot 0, empty."""
    assert escrow.by(escrow.operator, "create_page", 1, index=1) is None
    assert [name for name, _ in escrow.events()] == ["PageCreated"]
    assert escrow.open(2, 30, index=1) is None
    return escrow


def test_only_an_empty_account_closes_and_once(second):
    escrow = second
    assert escrow.owns(0, "close_account", 2) == ERRORS["BalanceNotZero"]
    assert escrow.owns(2, "close_account", 0, index=1) is None
    [(name, data)] = escrow.events()
    assert (name, data.page, data.account, data.free_after) == ("AccountClosed", 1, 30, 1)
    assert escrow.owns(2, "close_account", 0, index=1) == ERRORS["AccountClosed"]


def test_treasury_and_insurance_do_not_close(bare):
    bare.treasury = bare.insurance = bare.owners[0].pubkey()
    assert bare.initialize() is None
    for slot in (0, 1):
        assert bare.owns(0, "close_account", slot) == ERRORS["AccountReserved"]


def test_a_place_is_given_again_after_the_batch_that_follows_those_under_way(second):
    escrow = second
    for account in range(100, 100 + SLOTS - 1):
        assert escrow.open(3, account, index=1) is None
    assert escrow.open_batch(1, 1) is None
    assert escrow.owns(2, "request_withdrawal", 0, 5, index=1) is None
    exit_at = escrow.slots(1)[0].exit_at
    assert escrow.owns(2, "close_account", 0, index=1) is None
    dropped, closed = escrow.events()
    assert (dropped[0], dropped[1].slot, dropped[1].amount, dropped[1].exit_at) == (
        "WithdrawalRequestCancelled",
        0,
        5,
        exit_at,
    )
    assert (closed[0], closed[1].account) == ("AccountClosed", 30)
    assert (escrow.slots(1)[0].closed_batch, escrow.slots(1)[0].exit_at) == (2, 0)
    assert escrow.settle(1, bytes([2, 3, 3, 2])) is None
    assert escrow.seal(1) is None
    assert escrow.reuse(3, 300, 0, index=1) == ERRORS["SlotTaken"]
    sealed(escrow)
    assert escrow.open(3, 300, index=1) == ERRORS["PageFull"]
    assert escrow.reuse(3, 101, 0, index=1) == ERRORS["AccountExists"]
    assert escrow.reuse(3, 0, 0, index=1) == ERRORS["BadArguments"]
    assert escrow.reuse(3, 300, 1, index=1) == ERRORS["SlotTaken"]
    assert escrow.reuse(3, 300, SLOTS, index=1) == ERRORS["SlotUnused"]
    thief = escrow.build(
        "reuse_slot", escrow.owners[3].pubkey(), 300, 0, index=1, operator=escrow.admin.pubkey()
    )
    assert escrow.send([thief], escrow.admin) == ERRORS["NotOperator"]
    assert escrow.reuse(3, 300, 0, index=1) is None
    [(name, data)] = escrow.events()
    assert (name, data.slot, data.account) == ("AccountOpened", 0, 300)
    slot = escrow.slots(1)[0]
    assert (slot.owner, slot.closed_batch, slot.loss_limit) == (
        bytes(escrow.owners[3].pubkey()),
        0,
        2**32 - 1,
    )
    assert escrow.reuse(3, 301, 0, index=1) == ERRORS["SlotTaken"]


def test_a_place_is_given_again_in_a_page_that_is_not_full(second):
    escrow = second
    assert escrow.open(3, 31, index=1) is None
    assert escrow.owns(2, "close_account", 0, index=1) is None
    sealed(escrow)
    assert escrow.reuse(3, 32, 2, index=1) == ERRORS["SlotUnused"]
    assert escrow.reuse(3, 32, 0, index=1) is None
    assert escrow.open(3, 33, index=1) is None
    assert [slot.account for slot in escrow.slots(1)] == [32, 31, 33]


def test_a_place_that_was_credited_after_its_closing_stays_its_owners(second):
    escrow = second
    for account in range(100, 100 + SLOTS - 1):
        assert escrow.open(3, account, index=1) is None
    assert escrow.owns(2, "close_account", 0, index=1) is None
    assert escrow.open_batch(1, 2) is None
    assert escrow.settle(1, bytes([2, 3])) is None
    assert escrow.settle(1, bytes([0, 2]), index=1) is None
    assert escrow.seal(1) is None
    assert escrow.reuse(3, 300, 0, index=1) == ERRORS["SlotTaken"]
    escrow.wallet(escrow.owners[2], 0)
    assert escrow.owns(2, "request_withdrawal", 0, 1, index=1) is None
    escrow.wait(3_600)
    assert escrow.owns(2, "claim_withdrawal", 0, index=1) is None
    assert escrow.reuse(3, 300, 0, index=1) is None


def test_the_last_page_closes_when_nobody_has_a_place_and_its_rent_goes_back(second):
    escrow = second
    payer = {"index": 1, "payer": escrow.operator.pubkey()}
    assert escrow.by(escrow.operator, "close_page", **payer) == ERRORS["PageInUse"]
    assert escrow.owns(2, "close_account", 0, index=1) is None
    assert escrow.by(escrow.operator, "close_page", **payer) == ERRORS["PageInUse"]
    sealed(escrow)
    thief = escrow.owners[3]
    wrong = {"index": 1, "payer": thief.pubkey()}
    assert escrow.by(escrow.operator, "close_page", **wrong) == ERRORS["WrongPayer"]
    assert escrow.by(thief, "close_page", operator=thief.pubkey(), **payer) == ERRORS["NotOperator"]
    assert escrow.by(escrow.operator, "close_page") == ERRORS["PageOutOfOrder"]
    assert escrow.open_batch(2, 1) is None
    assert escrow.by(escrow.operator, "close_page", **payer) == ERRORS["BatchOpen"]
    assert escrow.by(escrow.operator, "abort_batch", 2) is None
    rent = escrow.svm.get_account(escrow.page(1)).lamports
    before = escrow.svm.get_account(escrow.operator.pubkey()).lamports
    assert escrow.by(escrow.operator, "close_page", **payer) is None, escrow.logs
    assert [name for name, _ in escrow.events()] == ["PageClosed"]
    assert escrow.svm.get_account(escrow.operator.pubkey()).lamports == before + rent - 5_000
    assert escrow.state().pages == 1
    gone = escrow.svm.get_account(escrow.page(1))
    assert gone is None or gone.lamports == 0
    assert escrow.by(escrow.operator, "create_page", 1, index=1) is None
    assert escrow.slots(1) == []


def test_a_closed_page_does_not_come_back_to_life_in_the_same_transaction(second):
    escrow = second
    assert escrow.owns(2, "close_account", 0, index=1) is None
    sealed(escrow)
    close = escrow.build("close_page", index=1)
    refund = transfer(
        TransferParams(from_pubkey=escrow.operator.pubkey(), to_pubkey=escrow.page(1), lamports=10**9)
    )
    assert escrow.send([close, refund], escrow.operator) is None, escrow.logs
    left = escrow.svm.get_account(escrow.page(1))
    assert (len(left.data), str(left.owner)) == (0, "1" * 32)
    assert escrow.open(2, 31, index=1) == ERRORS["WrongOwner"]
    assert escrow.by(escrow.operator, "create_page", 1, index=1) is None, escrow.logs
    assert escrow.open(2, 31, index=1) is None


def test_a_page_made_anew_does_not_take_a_batch_again(second):
    escrow = second
    assert escrow.owns(2, "close_account", 0, index=1) is None
    sealed(escrow)
    assert escrow.by(escrow.operator, "close_page", index=1) is None
    assert escrow.by(escrow.operator, "create_page", 1, index=1) is None
    page = escrow.program.coder.accounts.decode(escrow.svm.get_account(escrow.page(1)).data)
    assert (page.last_batch, page.payer) == (escrow.state().sealed_batch, escrow.operator.pubkey())
