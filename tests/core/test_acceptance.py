"""What is to be taken over from the chain follows from the comparison, and makes it agree."""

import pytest

from core.acceptance import Acceptance, Ahead, Held, Obstacle, acceptance, paid_and_reserved
from core.reconciliation import Booked, Books, Flight, OnChain, Reserved, compare

IDLE = Flight({}, lambda page: True)


def slot(index: int, account: int, balance: int, last: int = 0, unapplied: int = 0) -> OnChain:
    return OnChain(0, index, account, f"owner-{account}", balance, last, unapplied)


def books(*accounts: tuple[int, int, int], reserved=None, strangers=frozenset(), foreign=0) -> Books:
    """(slot, account, settled) of each."""
    booked = {
        account: Booked(account, f"owner-{account}", 0, index, 500, settled, 0, 0, foreign)
        for index, account, settled in accounts
    }
    return Books(booked, reserved or {}, 7, strangers)


def accepted(slots, ours, ahead=(0, 0, 0), clearing=0, left_over=0, withdrawn=None, flight=IDLE):
    return acceptance(slots, flight, ours, Ahead(*ahead), clearing, left_over, withdrawn or {})


def test_loot_in_an_accounts_own_slot_is_a_change_of_both_slots():
    slots = [slot(2, 16, 60), slot(3, 17, 140, unapplied=-5), slot(4, 18, 10)]
    found = accepted(slots, books((2, 16, 100), (3, 17, 100), (4, 18, 10)))
    assert found == Acceptance((Held(16, 100, 60, 0, 0), Held(17, 100, 140, -5, 0)), 0, 0, 0, ())


def test_what_a_thief_wrote_down_as_not_done_explains_nothing_and_is_taken_over():
    slots = [slot(2, 16, 10, unapplied=90), slot(3, 17, 90, unapplied=-90), slot(4, 18, 50, unapplied=1)]
    ours = books((2, 16, 100), (3, 17, 0), (4, 18, 50))
    assert [one.account for one in compare(slots, IDLE, ours, None).differences] == [16, 17, 18]
    held = (Held(16, 100, 10, 90, 0), Held(17, 0, 90, -90, 0), Held(18, 50, 50, 1, 0))
    assert accepted(slots, ours) == Acceptance(held, 0, 0, 0, ())


def test_what_was_burnt_is_left_over():
    assert accepted([slot(2, 16, 60)], books((2, 16, 100)), clearing=40) == Acceptance(
        (Held(16, 100, 60, 0, 0),), 40, 0, 0, ()
    )


def test_loot_in_a_slot_that_nobody_knows_is_astray_and_lost_and_compared_no_more():
    slots = [slot(2, 16, 60), slot(9, 4_711, 45)]
    ours = books((2, 16, 100))
    assert [one.account for one in compare(slots, IDLE, ours, None).differences] == [16, 4_711]
    # He paid 5 of his own into it.
    assert accepted(slots, ours, (5, 0, 0)) == Acceptance((Held(16, 100, 60, 0, 0),), 0, 40, 40, ((0, 9),))
    after = books((2, 16, 60), strangers=frozenset({(0, 9)}))
    compared = compare(slots, IDLE, after, None)
    assert (compared.differences, [one.account for one in compared.strays]) == ([], [4_711])
    # He claims what is there: it was gone before.
    assert accepted(slots[:1], after, (5, 45, 0)) == Acceptance((), 0, 40, 0, ((0, 9),))


def test_a_withdrawal_of_the_thiefs_must_be_found_unless_it_may_be_a_strangers():
    slots = [slot(2, 16, 60), slot(3, 17, 15, last=10**9)]
    ours = books((2, 16, 100), (3, 17, 0))
    refused = accepted(slots, ours, (0, 0, 25))
    assert isinstance(refused, Obstacle)
    assert "25 micro-USDC left by co-signed withdrawals" in refused.sentence
    found = accepted(slots, ours, (0, 0, 25), withdrawn={17: 25})
    assert found == Acceptance((Held(16, 100, 60, 0, 0), Held(17, 0, 15, 0, 10**9)), 0, 0, 0, ())
    assert compare(slots, IDLE, ours, None).moving == [17]
    after = books((2, 16, 60), (3, 17, 15), foreign=10**9)
    assert not compare(slots, IDLE, after, None).moving
    stranger = [slot(2, 16, 60), slot(9, 4_711, 15, last=10**9)]
    assert accepted(stranger, books((2, 16, 100)), (0, 0, 25)) == Acceptance(
        (Held(16, 100, 60, 0, 0),), 0, 15, 40, ((0, 9),)
    )


def test_what_is_on_its_way_is_none_of_it():
    flight = Flight({16: 30, 18: 5}, lambda page: True, {17: 20})
    slots = [slot(2, 16, 90), slot(3, 17, 80), slot(4, 18, 5)]
    ours = books((2, 16, 100), (3, 17, 100), (4, 18, 0))
    found = accepted(slots, ours, (35, 20, 0), clearing=40, flight=flight)
    assert found == Acceptance((Held(16, 100, 60, 0, 0),), 40, 0, 0, ())


def test_reserved_withdrawals_that_the_chain_has_paid_are_counted_once():
    ours = books((2, 16, 100), reserved={16: [Reserved(6, 10), Reserved(7, 20)]})
    assert paid_and_reserved([slot(2, 16, 110, last=7)], ours) == 20
    assert paid_and_reserved([slot(2, 16, 120, last=5)], ours) == 0


@pytest.mark.parametrize(
    ("slots", "ahead", "said"),
    [
        ([slot(3, 16, 100)], (0, 0, 0), "not in the slot"),
        ([], (0, 0, 0), "not in the slot"),
        ([slot(2, 16, 100)], (0, 0, -1), "-1 micro-USDC left"),
        ([slot(2, 16, 100)], (5, 0, 0), "is not there"),
    ],
)
def test_what_cannot_be_explained_is_not_taken_over(slots, ahead, said):
    refused = accepted(slots, books((2, 16, 100)), ahead)
    assert isinstance(refused, Obstacle)
    assert said in refused.sentence
