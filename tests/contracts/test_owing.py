"""Who owes a loss that its own loss limit keeps from settlement does not leave before those who are owed it; but it leaves."""

import json
from pathlib import Path

import pytest

from chain.deltas import encode_deltas

IDL = Path(__file__).parents[2] / "contracts" / "solana" / "escrow" / "idl.json"
ERRORS = {error["name"]: error["code"] for error in json.loads(IDL.read_text())["errors"]}
USDC = 1_000_000
WINDOW, LIMIT_DELAY, EXIT_DELAY, TIMELOCK = 600, 900, 3_600, 7_200
HOLD = (TIMELOCK - EXIT_DELAY) // 2
BALANCE, LIMIT, LOST = 100 * USDC, 10, 90 * USDC
UNLIMITED, EVERYTHING = 2**32 - 1, 2**64 - 1


def batch(escrow, *pairs):
    """A whole batch on page 0, as the exchange sends it: each delta is all that is due."""
    id = escrow.state().sealed_batch + 1
    assert escrow.open_batch(id, 1) is None, escrow.logs
    assert escrow.settle(id, encode_deltas(pairs)) is None, escrow.logs
    assert escrow.seal(id) is None, escrow.logs


def claim(escrow):
    return escrow.owns(0, "claim_withdrawal", 2)


@pytest.fixture
def owing(escrow):
    """Owner 0 has 100 USDC and a limit of 10 a window, lost 90 to owner 1, and asked for everything; its time has come."""
    escrow.wallet(escrow.owners[0], BALANCE)
    assert escrow.deposit(0, 2, BALANCE - 1_000) is None
    assert escrow.owns(0, "set_loss_limit", 2, LIMIT) is None
    escrow.wait(LIMIT_DELAY)
    escrow.wait(WINDOW - escrow.now % WINDOW)
    batch(escrow, (2, -LOST), (3, LOST))
    assert escrow.owns(0, "request_withdrawal", 2, EVERYTHING) is None
    escrow.wait(EXIT_DELAY)
    return escrow


def test_a_limit_does_not_let_the_loser_leave_before_the_winner_is_paid(owing):
    assert owing.short() == [2]
    assert claim(owing) == ERRORS["LossOutstanding"]
    assert owing.balances()[2:] == [90 * USDC, 10 * USDC + 1_000]
    assert owing.slots()[2].exit_at == owing.now, "what was asked for stands"


def test_every_mark_that_is_set_or_cleared_is_in_the_pages_event(owing):
    """A bit for each slot of the page, also for those that the batch does not move."""
    seen = []
    lost, won, others = ((2, -LOST), (3, LOST)), ((2, 1), (3, -1)), ((0, 1), (3, -1))
    for id, pairs in enumerate((lost, won, lost, others), 2):
        assert owing.open_batch(id, 1) is None, owing.logs
        assert owing.settle(id, encode_deltas(pairs)) is None, owing.logs
        name, data = owing.events()[0]
        seen.append((name, bytes(data.short), owing.short()))
        assert owing.seal(id) is None, owing.logs
    marked, clear = ("PageSettled", bytes([4, *bytes(13)]), [2]), ("PageSettled", bytes(14), [])
    assert seen == [marked, clear, marked, marked]


def test_raising_the_limit_frees_the_loser_as_soon_as_a_page_took_the_loss_and_not_before(owing):
    assert owing.owns(0, "set_loss_limit", 2, UNLIMITED) is None
    assert claim(owing) == ERRORS["LossOutstanding"]
    batch(owing, (2, -80 * USDC), (3, 80 * USDC))
    assert owing.short() == []
    assert claim(owing) is None, owing.logs
    assert owing.balances()[2:] == [0, BALANCE - 10 * USDC + 1_000]
    assert owing.state().exits == 10 * USDC


def test_each_window_pays_a_part_and_the_rest_is_kept_for_the_hold_and_no_longer(owing):
    owed = 80 * USDC
    for _ in range(HOLD // WINDOW):
        batch(owing, (2, -owed), (3, owed))
        assert claim(owing) == ERRORS["LossOutstanding"]
        owing.wait(WINDOW)
        owed -= LIMIT * USDC
    assert claim(owing) is None, owing.logs
    assert owing.state().exits == BALANCE - 4 * LIMIT * USDC
    # What was not paid makes no page fail: it stays owed, and a deposit pays it.
    batch(owing, (2, -owed), (3, owed))
    assert owing.short() == [], "there is nothing to keep"
    owing.wallet(owing.owners[0], 5 * USDC)
    owing.wait(WINDOW)
    assert owing.deposit(0, 2, 5 * USDC) is None
    batch(owing, (2, -owed), (3, owed))
    assert owing.balances()[2] == 0


def test_a_loser_that_won_it_back_leaves_in_time(owing):
    batch(owing, (2, USDC), (3, -USDC))
    assert owing.short() == []
    assert claim(owing) is None
    assert owing.state().exits == 91 * USDC


def test_nobody_keeps_a_loser_longer_than_the_hold(owing):
    """Neither a pause, nor an open batch, nor an operator who goes on asking for more than there is."""
    owing.wait(HOLD - 1)
    batch(owing, (2, -BALANCE), (3, BALANCE))
    assert owing.open_batch(owing.state().sealed_batch + 1, 1) is None
    assert owing.by(owing.guardian, "set_pause", True) is None
    assert claim(owing) == ERRORS["LossOutstanding"]
    owing.wait(1)
    assert claim(owing) is None, owing.logs


def test_who_asks_when_settings_are_proposed_has_left_before_they_are_in_force_owing_or_not(owing):
    assert owing.owns(0, "cancel_withdrawal_request", 2) is None
    assert owing.propose(exit_delay=86_400, timelock=90 * 86_400) is None
    assert owing.owns(0, "request_withdrawal", 2, EVERYTHING) is None
    owing.wait(EXIT_DELAY + HOLD)
    assert owing.by(owing.admin, "execute_proposal") == ERRORS["ProposalNotReady"]
    assert claim(owing) is None, owing.logs


def test_a_slot_that_is_given_to_another_owes_nothing(owing):
    """A forged mark on a closed slot, as nothing that the program does leaves one there."""
    for number in range(4, 105):
        assert owing.open(3, 1_000 + number) is None
    assert owing.owns(3, "close_account", 104) is None
    batch(owing, (2, -LOST), (3, LOST))
    page = bytearray(owing.svm.get_account(owing.page(0)).data)
    page[88 + 104 // 8] |= 1 << 104 % 8
    owing.put(owing.page(0), bytes(page))
    assert owing.short() == [2, 104]
    assert owing.reuse(1, 5_000, 104) is None
    assert owing.short() == [2]


def test_who_owes_and_claims_only_when_longer_settings_are_in_force_waits_for_their_hold(owing):
    exit_at = owing.slots()[2].exit_at
    day = 86_400
    assert owing.propose(exit_delay=day, timelock=3 * day) is None
    owing.wait(TIMELOCK)
    assert owing.now > exit_at + HOLD
    assert owing.by(owing.admin, "execute_proposal") is None, owing.logs
    assert claim(owing) == ERRORS["LossOutstanding"]
    owing.wait(exit_at + day - owing.now)
    assert claim(owing) is None, owing.logs
