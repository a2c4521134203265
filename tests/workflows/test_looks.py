"""What looks in a row come to: what is on its way has time to arrive, and what others send late stops nobody."""

import pytest

from activities.reconciliation import CREDIT_PATIENCE, Looks, Reconciliation
from activities.standing import READS
from core.reconciliation import Compared, Difference

QUIET = Compared(accounts=1)


def look(why="", deposits=10, engine_deposits=10):
    return Reconciliation(0, why, deposits, deposits, 0, deposits, 0, engine_deposits, 0, 0)


def differs(*accounts):
    return Compared(differences=[Difference("balance_differs", one, "", 0, 2, 1, 2, 2) for one in accounts])


def test_deposits_that_come_faster_than_they_are_credited_are_told_and_hold_nothing():
    looks = Looks()
    for more in range(CREDIT_PATIENCE - 1):
        assert not looks.conclude(look("deposits_pending", 10 + more, 5), QUIET, "")
    last = look("deposits_pending", 99, 9)
    assert looks.conclude(last, QUIET, "")
    assert (last.balanced, last.pending) == (True, "deposits_pending")
    assert last.sentence().startswith("finalized deposits are not credited yet")


def test_what_came_in_since_the_first_look_is_on_its_way():
    looks = Looks()
    assert not looks.conclude(look("deposits_pending", 10, 5), QUIET, "")
    second = look("deposits_pending", 20, 10)
    assert looks.conclude(second, QUIET, "")
    assert (second.balanced, second.pending) == (True, "")


def test_an_account_that_moves_is_looked_at_again_before_anything_is_said():
    looks = Looks()
    assert not looks.conclude(look(), Compared(moving=[16]), "")
    assert looks.conclude(look(), QUIET, "")
    late = Looks()
    for _ in range(CREDIT_PATIENCE):
        assert not late.conclude(look("deposits_pending", 10, 5), Compared(moving=[16]), "")


def test_a_difference_is_one_when_the_same_account_differs_every_time():
    looks = Looks()
    for account in (16, 17, *[18] * (READS - 1)):
        assert not looks.conclude(look("accounts_differ"), differs(account), "")
    assert looks.conclude(look("accounts_differ"), differs(18, 19), "")


@pytest.mark.cell("reconcile: hold", "RPC lies")
def test_a_chain_that_a_node_shows_wrongly_for_less_than_all_reads_holds_nothing():
    """Its accounts are not there, or are as they were."""
    for untrue in (look("engine_over_credited", 0, 10), look("engine_over_credited", 5, 10)):
        looks = Looks()
        for _ in range(READS - 1):
            assert not looks.conclude(untrue, QUIET, "")
        true = look()
        assert looks.conclude(true, QUIET, "")
        assert true.balanced
