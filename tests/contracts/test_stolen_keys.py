"""What a thief of each key gets, computed in advance, and taken as fast as the program lets him."""

import json
from pathlib import Path

import pytest

from chain.deltas import encode_deltas
from core.netting import net
from core.pages import plan_pages

IDL = Path(__file__).parents[2] / "contracts" / "solana" / "escrow" / "idl.json"
ERRORS = {error["name"]: error["code"] for error in json.loads(IDL.read_text())["errors"]}
USDC = 1_000_000
WINDOW, LIMIT_DELAY, EXIT_DELAY, TIMELOCK, HOUR, DAY = 600, 900, 3_600, 7_200, 3_600, 86_400
HOLD = (TIMELOCK - EXIT_DELAY) // 2
BALANCE, LIMIT = 100 * USDC, 4 * USDC
VICTIMS, THIEF = (2, 3), 4


def delta(slot: int, amount: int) -> bytes:
    value = abs(amount) << 1 | (amount < 0)
    out = [slot]
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


@pytest.fixture
def robbed(escrow):
    """Two victims with 100 USDC and a loss limit of 4 USDC a window each, and a thief's slot; a window, an hour and a day begin."""
    for number, slot in enumerate(VICTIMS):
        escrow.wallet(escrow.owners[number], BALANCE)
        assert escrow.deposit(number, slot, BALANCE - 1_000) is None
        assert escrow.owns(number, "set_loss_limit", slot, LIMIT // USDC) is None
    escrow.wallet(escrow.owners[2], 0)
    assert escrow.open(2, 66) is None
    escrow.wait(LIMIT_DELAY)
    escrow.wait(DAY - escrow.now % DAY)
    return escrow


def rob(escrow) -> None:
    """A batch that wants everything of everybody."""
    id = escrow.state().sealed_batch + 1
    assert escrow.open_batch(id, 1) is None
    wanted = b"".join(delta(slot, -BALANCE) for slot in VICTIMS) + delta(THIEF, len(VICTIMS) * BALANCE)
    assert escrow.settle(id, wanted) is None, escrow.logs
    assert escrow.seal(id) is None


@pytest.mark.parametrize("windows", [1, 3, 25, 40])
def test_the_operators_key_takes_the_loss_limits_until_the_guardian_pauses(robbed, windows):
    escrow = robbed
    for _ in range(windows):
        rob(escrow)
        rob(escrow)
        escrow.wait(WINDOW)
    assert escrow.by(escrow.guardian, "set_pause", True) is None
    assert escrow.open_batch(escrow.state().sealed_batch + 1, 1) == ERRORS["Paused"]
    lost = len(VICTIMS) * min(BALANCE, windows * LIMIT)
    assert escrow.balances() == [0, 0, BALANCE - lost // 2, BALANCE - lost // 2, lost]
    # What is left of it, the victims take out, whatever the thief does. What he asked for and was not given looks like a loss of
    # theirs, and keeps them for the hold and no longer.
    for number, slot in enumerate(VICTIMS):
        assert escrow.owns(number, "request_withdrawal", slot, 2**64 - 1) is None
    escrow.wait(EXIT_DELAY + HOLD - 1)
    kept = ERRORS["LossOutstanding"] if lost < len(VICTIMS) * BALANCE else None
    assert escrow.owns(0, "claim_withdrawal", 2) == kept
    assert escrow.owns(1, "claim_withdrawal", 3) == kept
    escrow.wait(1)
    for number, slot in enumerate(VICTIMS if kept else ()):
        assert escrow.owns(number, "claim_withdrawal", slot) is None
    assert escrow.tokens(escrow.vault) == lost


def test_with_the_guardians_key_too_nothing_stops_him_until_another_operator_is_in_force(robbed):
    """Every pause is lifted at once; the windows that he gets are those that the timelock touches."""
    escrow = robbed
    assert escrow.propose(operator=escrow.owners[3].pubkey()) is None
    windows = TIMELOCK // WINDOW
    for _ in range(windows):
        assert escrow.by(escrow.admin, "execute_proposal") == ERRORS["ProposalNotReady"]
        for paused in (True, False):
            assert escrow.by(escrow.guardian, "set_pause", paused) is None
        rob(escrow)
        escrow.wait(WINDOW)
    assert escrow.by(escrow.admin, "execute_proposal") is None
    lost = min(BALANCE, windows * LIMIT)
    assert escrow.balances()[2:] == [BALANCE - lost, BALANCE - lost, len(VICTIMS) * lost]
    assert escrow.open_batch(escrow.state().sealed_batch + 1, 1) == ERRORS["NotOperator"]


def settle_back(escrow, amount: int) -> None:
    """What the rightful operator, who has the same key, can do about it while the thief waits."""
    id = escrow.state().sealed_batch + 1
    assert escrow.open_batch(id, 1) is None
    back = b"".join(delta(slot, amount // len(VICTIMS)) for slot in VICTIMS) + delta(THIEF, -amount)
    assert escrow.settle(id, back) is None, escrow.logs
    assert escrow.seal(id) is None


def test_loot_without_a_limit_can_be_settled_back_until_the_exit_delay_is_over(robbed):
    escrow = robbed
    rob(escrow)
    loot = len(VICTIMS) * LIMIT
    assert escrow.owns(2, "request_withdrawal", THIEF, 2**64 - 1) is None
    escrow.wait(EXIT_DELAY - 1)
    settle_back(escrow, loot)
    assert escrow.balances() == [0, 0, BALANCE, BALANCE, 0]
    escrow.wait(1)
    assert escrow.owns(2, "claim_withdrawal", THIEF) is None
    assert escrow.tokens(escrow.wallet(escrow.owners[2], 0)) == 0


def test_a_thief_who_bounds_his_own_losses_first_keeps_all_of_it_and_waits_for_the_hold(robbed):
    """Settling back takes nothing from behind a limit of nothing; it only marks the slot, which delays the claim for the hold."""
    escrow = robbed
    assert escrow.owns(2, "set_loss_limit", THIEF, 0) is None
    escrow.wait(LIMIT_DELAY)
    escrow.wait(DAY - escrow.now % DAY)
    rob(escrow)
    loot = len(VICTIMS) * LIMIT
    assert escrow.owns(2, "request_withdrawal", THIEF, 2**64 - 1) is None
    settle_back(escrow, loot)
    assert escrow.balances() == [0, 0, BALANCE - LIMIT, BALANCE - LIMIT, loot]
    escrow.wait(EXIT_DELAY + HOLD - 1)
    assert escrow.owns(2, "claim_withdrawal", THIEF) == ERRORS["LossOutstanding"]
    escrow.wait(1)
    assert escrow.owns(2, "claim_withdrawal", THIEF) is None
    assert escrow.tokens(escrow.wallet(escrow.owners[2], 0)) == loot


def test_a_thief_who_has_the_key_takes_the_mark_off_again_and_leaves_after_the_exit_delay(robbed):
    """A credit ends the mark, and he can settle one to himself as often as the rightful operator asks for the loot."""
    escrow = robbed
    assert escrow.owns(2, "set_loss_limit", THIEF, 0) is None
    escrow.wait(LIMIT_DELAY)
    escrow.wait(DAY - escrow.now % DAY)
    rob(escrow)
    assert escrow.owns(2, "request_withdrawal", THIEF, 2**64 - 1) is None
    settle_back(escrow, len(VICTIMS) * LIMIT)
    assert escrow.short() == [THIEF]
    escrow.wait(EXIT_DELAY)
    rob(escrow)
    assert THIEF not in escrow.short()
    assert escrow.owns(2, "claim_withdrawal", THIEF) is None


def test_what_a_thief_burns_stops_no_batch_and_is_given_back_by_one_that_sums_to_it(robbed):
    """He leaves his batch open; the next is carried, and the cut after that starts from what the chain holds.

    What a loss limit keeps from the batch in between, it gives out of what is left over.
    """
    escrow = robbed
    assert escrow.open_batch(1, 1) is None
    assert escrow.settle(1, b"".join(delta(slot, -BALANCE) for slot in VICTIMS)) is None
    assert escrow.seal(1) == ERRORS["ClearingNotZero"]
    assert escrow.by(escrow.operator, "carry_batch", 1) is None
    assert escrow.open_batch(2, 1) is None
    assert escrow.settle(2, delta(2, -10) + delta(3, 10)) is None
    assert escrow.seal(2) == ERRORS["ClearingNotZero"]
    assert escrow.by(escrow.operator, "carry_batch", 2) is None
    left_over = len(VICTIMS) * LIMIT - 10
    assert escrow.state().clearing == left_over
    settled = dict(enumerate(escrow.balances()))
    equity = {0: 0, 1: 0, 2: BALANCE - 10, 3: BALANCE + 10, THIEF: 0}
    (plan,) = plan_pages(
        ((0, slot, amount) for slot, amount in net(settled, equity, left_over=left_over).items()), left_over
    )
    assert escrow.open_batch(3, 1) is None
    assert escrow.settle(3, encode_deltas(list(plan.deltas))) is None, escrow.logs
    assert escrow.seal(3) is None
    assert dict(enumerate(escrow.balances())) == equity
    assert escrow.state().clearing == 0


def test_with_the_operators_key_the_loot_leaves_at_the_outflow_limit(robbed):
    """The larger of 1 USDC and 1 % an hour, and of 3 USDC and 10 % a day; all else takes the exit delay."""
    escrow = robbed
    for _ in range(25):
        rob(escrow)
        escrow.wait(WINDOW)
    escrow.wait(DAY - escrow.now % DAY)
    day_cap, taken = 2 * BALANCE // 10, 0
    for number in range(1, 24):
        hour_cap = (2 * BALANCE - taken) // 100
        assert escrow.withdraw(2, THIEF, hour_cap + 1, number) == ERRORS["OutflowLimited"]
        if amount := min(hour_cap, day_cap - taken):
            assert escrow.withdraw(2, THIEF, amount, number) is None
        taken += amount
        escrow.wait(HOUR)
    assert escrow.state().withdrawals == taken == day_cap


def test_the_guardians_key_costs_what_was_lost_since_the_last_batch(robbed):
    """A pause longer than the exit delay: who lost meanwhile leaves with the balance from before, and who gained is not paid."""
    escrow, loss = robbed, BALANCE - 10 * USDC
    assert escrow.by(escrow.guardian, "set_pause", True) is None
    assert escrow.owns(0, "request_withdrawal", 2, 2**64 - 1) is None
    escrow.wait(EXIT_DELAY)
    assert escrow.open_batch(1, 1) == ERRORS["Paused"]
    assert escrow.owns(0, "claim_withdrawal", 2) is None
    assert escrow.by(escrow.guardian, "set_pause", False) is None
    assert escrow.open_batch(1, 1) is None
    assert escrow.settle(1, delta(2, -loss) + delta(3, loss)) is None
    assert escrow.seal(1) is None
    assert escrow.balances()[2:4] == [0, BALANCE]
    assert [slot.unapplied for slot in escrow.slots()[2:4]] == [-loss, loss]


def test_the_guardians_key_stops_batches_and_nothing_else(robbed):
    escrow = robbed
    assert escrow.by(escrow.guardian, "set_pause", True) is None
    assert escrow.withdraw(0, 2, USDC, 1) is None
    assert escrow.owns(1, "request_withdrawal", 3, 2**64 - 1) is None
    escrow.wait(EXIT_DELAY)
    assert escrow.owns(1, "claim_withdrawal", 3) is None
    assert escrow.propose(guardian=escrow.owners[3].pubkey()) is None
    escrow.wait(TIMELOCK)
    assert escrow.by(escrow.owners[3], "execute_proposal") is None
    by_new = {"guardian": escrow.owners[3].pubkey()}
    assert escrow.by(escrow.owners[3], "set_pause", False, **by_new) is None
    rob(escrow)


def test_the_admins_key_takes_only_from_those_who_stay(robbed):
    """Whoever asks to leave within timelock less exit delay of the proposal is gone before the thief is the operator."""
    escrow, thief = robbed, robbed.owners[2]
    assert escrow.propose(operator=thief.pubkey(), loss_window=60) is None
    escrow.wait(TIMELOCK - EXIT_DELAY)
    assert escrow.owns(0, "request_withdrawal", 2, 2**64 - 1) is None
    escrow.wait(EXIT_DELAY - 1)
    assert escrow.by(thief, "execute_proposal") == ERRORS["ProposalNotReady"]
    escrow.wait(1)
    assert escrow.owns(0, "claim_withdrawal", 2) is None
    assert escrow.by(thief, "execute_proposal") is None
    escrow.operator = thief
    rob(escrow)
    assert escrow.balances() == [0, 0, 0, BALANCE - LIMIT, LIMIT]
