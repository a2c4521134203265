"""What bounds the operator: outflow of co-signed withdrawals, loss limits, and what settlement does when a slot has too little."""

import json
from pathlib import Path

import pytest

from chain.deltas import encode_deltas

IDL = Path(__file__).parents[2] / "contracts" / "solana" / "escrow" / "idl.json"
ERRORS = {error["name"]: error["code"] for error in json.loads(IDL.read_text())["errors"]}
USDC = 1_000_000
WINDOW, LIMIT_DELAY, EXIT_DELAY = 600, 900, 3_600
HOUR, DAY = 3_600, 86_400
UNLIMITED = 2**32 - 1


def batch(escrow, *pairs):
    """A whole batch on page 0."""
    id = escrow.state().sealed_batch + 1
    assert escrow.open_batch(id, 1) is None, escrow.logs
    assert escrow.settle(id, encode_deltas(pairs)) is None, escrow.logs
    events = escrow.events()
    assert escrow.seal(id) is None, escrow.logs
    return events


@pytest.fixture
def rich(escrow):
    """Owner 0 has 200 USDC in slot 2, owner 1 the small change of the fixture in slot 3."""
    escrow.wallet(escrow.owners[0], 1_000 * USDC)
    assert escrow.deposit(0, 2, 200 * USDC - 1_000) is None
    return escrow


# Outflow: the larger of 1 USDC and 1 % an hour, of 3 USDC and 10 % a day.


def test_co_signed_withdrawals_stop_at_the_hours_share(rich):
    rich.wait(HOUR - rich.now % HOUR)
    held = 200 * USDC + 1_000
    share = held // 100
    assert rich.withdraw(0, 2, share - 5, 1) is None
    assert rich.withdraw(0, 2, 6, 2) == ERRORS["OutflowLimited"]
    assert rich.deposit(0, 2, 100 * USDC) is None
    assert rich.withdraw(0, 2, 6, 2) == ERRORS["OutflowLimited"]
    assert rich.withdraw(0, 2, 5, 2) is None
    rich.wait(HOUR - 1)
    assert rich.withdraw(1, 3, 1, 3) == ERRORS["OutflowLimited"]
    rich.wait(1)
    assert rich.withdraw(1, 3, 1, 3) is None


def test_co_signed_withdrawals_stop_at_the_days_share(rich):
    rich.wait(DAY - rich.now % DAY)
    taken, number = 0, 0
    for _ in range(24):
        state = rich.state()
        left = 20 * USDC + 100 - taken
        share = max(USDC, (state.deposits - state.withdrawals) // 100)
        number += 1
        amount = min(share, left)
        if amount < share:
            assert rich.withdraw(0, 2, left + 1, number) == ERRORS["OutflowLimited"]
        if amount:
            assert rich.withdraw(0, 2, amount, number) is None, rich.logs
        taken += amount
        rich.wait(HOUR)
    assert taken == 20 * USDC + 100
    assert rich.withdraw(0, 2, 1, number + 1) is None


def test_a_small_vault_may_always_pay_the_floor(escrow):
    assert escrow.withdraw(0, 2, 1_000, 1) is None
    assert escrow.withdraw(1, 3, 1_000, 1) is None


# Loss limits.


def test_settlement_takes_no_more_than_the_limit_within_a_window(rich):
    rich.wait(WINDOW - rich.now % WINDOW)
    assert rich.owns(0, "set_loss_limit", 2, 10) is None
    rich.wait(LIMIT_DELAY)
    rich.wait(WINDOW - rich.now % WINDOW)
    batch(rich, (2, -4 * USDC), (3, 4 * USDC))
    [settled, (name, short)] = batch(rich, (2, -9 * USDC), (3, 9 * USDC))
    assert (settled[1].debits, settled[1].credits, settled[1].shortfall, settled[1].withheld) == (
        6 * USDC,
        6 * USDC,
        3 * USDC,
        3 * USDC,
    )
    assert name == "PageShort"
    assert [(one.slot, one.amount) for one in short.shorts] == [(2, -3 * USDC), (3, 3 * USDC)]
    assert [slot.unapplied for slot in rich.slots()] == [0, 0, -3 * USDC, 3 * USDC]
    rich.wait(WINDOW)
    assert len(batch(rich, (2, -3 * USDC), (3, 3 * USDC))) == 1
    assert rich.balances() == [0, 0, 187 * USDC, 13 * USDC + 1_000]


def test_what_settlement_gives_makes_room_again_and_what_it_holds_back_does_not(rich):
    rich.owns(0, "set_loss_limit", 2, 10)
    rich.wait(LIMIT_DELAY)
    rich.wait(WINDOW - rich.now % WINDOW)
    batch(rich, (2, -10 * USDC), (3, 10 * USDC))
    batch(rich, (2, 2 * USDC), (3, -2 * USDC))
    assert rich.slots()[2].loss_used == 8 * USDC
    # Slot 1 has nothing to give, so slot 2 gets nothing.
    batch(rich, (1, -50 * USDC), (2, 50 * USDC))
    assert rich.slots()[2].loss_used == 8 * USDC
    batch(rich, (2, -50 * USDC), (3, 50 * USDC))
    assert rich.slots()[2].loss_used == 10 * USDC
    assert rich.balances()[2] == 190 * USDC


def test_a_lower_limit_waits_and_a_higher_one_does_not(rich):
    assert rich.owns(0, "set_loss_limit", 2, 10) is None
    [(name, data)] = rich.events()
    assert (name, data.limit, data.effective_at) == ("LossLimitSet", 10, rich.now + LIMIT_DELAY)
    rich.wait(LIMIT_DELAY - 1)
    batch(rich, (2, -50 * USDC), (3, 50 * USDC))
    assert rich.balances()[2] == 150 * USDC
    rich.wait(1)
    batch(rich, (2, -50 * USDC), (3, 50 * USDC))
    assert rich.balances()[2] == 140 * USDC
    assert rich.owns(0, "set_loss_limit", 2, 30) is None
    assert rich.events()[0][1].effective_at == rich.now
    assert rich.owns(0, "set_loss_limit", 2, 20) is None
    assert rich.owns(0, "set_loss_limit", 2, 30) is None
    slot = rich.slots()[2]
    assert (slot.loss_limit, slot.next_limit, slot.next_limit_at) == (30, 0, 0)
    assert rich.owns(0, "set_loss_limit", 2, UNLIMITED) is None
    assert rich.slots()[2].loss_limit == UNLIMITED


# No action of one owner makes a page fail.


def leave(escrow):
    escrow.owns(0, "request_withdrawal", 2, 2**64 - 1)
    escrow.wait(EXIT_DELAY)
    assert escrow.owns(0, "claim_withdrawal", 2) is None


def leave_and_close(escrow):
    leave(escrow)
    assert escrow.owns(0, "close_account", 2) is None


def limit_to_nothing(escrow):
    escrow.owns(0, "set_loss_limit", 2, 0)
    escrow.wait(LIMIT_DELAY)


def ask(escrow):
    assert escrow.owns(0, "request_withdrawal", 2, 900) is None


def pay_in(escrow):
    assert escrow.deposit(0, 2, 7) is None


def withdraw(escrow):
    assert escrow.withdraw(0, 2, 990, 1) is None


@pytest.mark.parametrize(
    ("act", "there", "taken"),
    [
        (leave, 0, 0),
        (leave_and_close, 0, 0),
        (limit_to_nothing, 1_000, 0),
        (withdraw, 10, 10),
        (ask, 1_000, 500),
        (pay_in, 1_007, 500),
    ],
)
@pytest.mark.parametrize("when", ["before the batch opens", "within the batch"])
def test_whatever_an_owner_does_between_cut_and_settlement(escrow, act, there, taken, when):
    """The batch takes 500 from owner 0 and gives them to owner 1 and the treasury, whatever owner 0 did first."""
    if when == "before the batch opens":
        act(escrow)
    assert escrow.open_batch(1, 1) is None
    if when == "within the batch":
        act(escrow)
    assert escrow.settle(1, encode_deltas([(0, 100), (2, -500), (3, 400)])) is None, escrow.logs
    assert escrow.seal(1) is None, escrow.logs
    missing = 500 - taken
    treasury, other = max(0, 100 - missing), 400 - max(0, missing - 100)
    assert escrow.balances() == [treasury, 0, there - taken, 1_000 + other]
    assert escrow.slots()[2].unapplied == taken - 500
    assert sum(escrow.balances()) == escrow.tokens(escrow.vault)
    # The next batch asks again. What was missing is taken and given once it is there and the limit lets it; who has left and closed
    # its account has nothing, and takes no deposit.
    asked = [(0, 100 - treasury), (2, -missing), (3, 400 - other)]
    assert escrow.open_batch(2, 1) is None
    if act is limit_to_nothing:
        assert escrow.owns(0, "set_loss_limit", 2, 1) is None
    elif missing and act is not leave_and_close:
        assert escrow.deposit(0, 2, missing) is None
    assert escrow.settle(2, encode_deltas([one for one in asked if one[1]] or [(2, -1), (3, 1)])) is None
    assert escrow.seal(2) is None
    at_the_end = {
        leave_and_close: [0, 0, 0, 1_000],
        limit_to_nothing: [100, 0, 500, 1_400],
        ask: [100, 0, 499, 1_401],
        pay_in: [100, 0, 506, 1_401],
    }
    assert escrow.balances() == at_the_end.get(act, [100, 0, 0, 1_400])
    assert sum(escrow.balances()) == escrow.tokens(escrow.vault)


def test_credits_reach_an_account_that_was_closed_and_can_be_claimed(escrow):
    leave_and_close(escrow)
    assert escrow.deposit(0, 2, 5) == ERRORS["AccountClosed"]
    batch(escrow, (2, 40), (3, -40))
    assert escrow.slots()[2].balance == 40
    leave(escrow)
    assert escrow.balances()[2] == 0


def test_shortfalls_of_one_page_are_held_back_from_another(escrow):
    assert escrow.by(escrow.operator, "create_page", 1, index=1) is None
    assert escrow.open(2, 30, index=1) is None
    escrow.open_batch(1, 2)
    leave(escrow)
    assert escrow.settle(1, encode_deltas([(2, -500), (3, -300)])) is None
    state = escrow.state()
    assert (state.clearing, state.shortfall, state.withheld) == (300, 500, 0)
    assert escrow.settle(1, encode_deltas([(0, 900)]), index=1) == ERRORS["ClearingNegative"]
    assert escrow.settle(1, encode_deltas([(0, 800)]), index=1) is None
    assert escrow.events()[0][1].withheld == 500
    assert escrow.seal(1) is None
    [(_, sealed)] = escrow.events()
    assert (sealed.gross, sealed.shortfall) == (600, 500)
    assert escrow.balances(1) == [300]


def test_pages_in_the_wrong_order_are_refused_and_not_held_back(escrow):
    assert escrow.by(escrow.operator, "create_page", 1, index=1) is None
    assert escrow.open(2, 30, index=1) is None
    escrow.open_batch(1, 2)
    assert escrow.settle(1, encode_deltas([(0, 10)]), index=1) == ERRORS["ClearingNegative"]
    assert escrow.settle(1, encode_deltas([(2, -10)])) is None
    assert escrow.settle(1, encode_deltas([(0, 10)]), index=1) is None
    assert escrow.seal(1) is None
