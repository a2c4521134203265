"""The comparison of chain and books: any amount of money on its way is explained, and any other micro-unit is found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.reconciliation import (
    Booked,
    Books,
    Compared,
    Difference,
    Flight,
    OnChain,
    OnItsWay,
    Reserved,
    compare,
)

AMOUNT = st.integers(0, 10**12)


def booked(account, settled, *, balance=0, delta=0, owner="ada", place=(0, 2), unapplied=0):
    return Booked(account, owner, *place, balance, settled, delta, unapplied)


def books(*accounts, reserved=(), last=99):
    return Books({one.account: one for one in accounts}, {16: reserved}, last)


def flight(deposits=None, landed=True, claims=None, final=False):
    return Flight(deposits or {}, lambda page: landed, claims or {}, final)


def slot(balance, *, account=16, owner="ada", last=0, place=(0, 2), unapplied=0):
    return OnChain(*place, account, owner, balance, last, unapplied)


@st.composite
def money(draw):
    """An account with everything that may be on its way at once: its slot, the books, and what explains the slot's balance."""
    settled, coming, delta = draw(AMOUNT), draw(AMOUNT), draw(st.integers(-(10**9), 10**9))
    landed, last = draw(st.booleans()), draw(st.integers(0, 9))
    numbers = sorted(draw(st.sets(st.integers(1, 9), max_size=4)))
    reserved = [Reserved(number, draw(st.integers(1, 10**9))) for number in numbers]
    unpaid = 0
    for one in reserved:
        passed_over = one.withdrawal < last and draw(st.booleans())
        unpaid += one.amount if one.withdrawal > last or passed_over else 0
    claimed, known = draw(AMOUNT), draw(st.integers(-(10**9), 10**9))
    shown = known + (draw(st.integers(min(0, delta), max(0, delta))) if landed else 0)
    held = settled + coming + unpaid - (0 if landed else delta) - claimed + known - shown
    way = (coming, unpaid, 0 if landed else -delta, -claimed, known - shown)
    side = books(booked(16, settled, delta=delta, unapplied=known), reserved=reserved)
    return slot(held, last=last, unapplied=shown), side, flight({16: coming}, landed, {16: claimed}), way


@given(money())
def test_whatever_is_on_its_way_is_no_difference(case):
    where, side, on_its_way, way = case
    found = compare([where], on_its_way, side, side)
    assert (found.differences, found.moving, found.accounts) == ([], [], 1)
    told = [
        one.deposits + one.withdrawals + one.unlanded + one.claims + one.unapplied for one in found.on_its_way
    ]
    assert sum(told) == sum(way)


@given(money(), st.integers(-(10**6), 10**6).filter(bool))
def test_one_micro_unit_that_nothing_explains_is_found_with_what_each_side_says(case, off):
    where, side, on_its_way, _ = case
    # Where the chain does not tell whether a withdrawal was paid, either answer is one that explains.
    where = where._replace(last_withdrawal=0)
    clear = compare([where], on_its_way, side, side)
    base = clear.differences[0].engine if clear.differences else where.balance
    (found,) = compare([where._replace(balance=base + off)], on_its_way, side, side).differences
    assert found == Difference("balance_differs", 16, "ada", 0, 2, base + off, base, base)
    assert f"chain {base + off}, engine {base}, ledger {base}" in found.sentence()


@pytest.mark.parametrize(
    ("delta", "shown", "landed", "final"),
    [
        (0, 90, True, False),
        (-100, 90, True, False),
        (100, 101, True, False),
        (100, 90, False, False),
        (100, 90, True, True),
    ],
    ids=["not in the cut", "asked the other way", "more than asked", "not landed", "booked already"],
)
def test_what_our_last_cut_did_not_leave_undone_explains_nothing(delta, shown, landed, final):
    """A thief of the operator's key has one batch hold back what the next one takes for real: the sums look like ours."""
    side = books(booked(16, 100, delta=delta))
    there = 100 if landed else 100 - delta
    robbed = compare([slot(there - 90, unapplied=shown)], flight(landed=landed, final=final), side, side)
    assert [(one.why, one.chain, one.engine) for one in robbed.differences] == [
        ("balance_differs", there - 90, there)
    ]
    # Before he takes it, and after he gave it back.
    whole = compare([slot(there, unapplied=shown)], flight(landed=landed, final=final), side, side)
    assert [(one.why, one.chain, one.engine, one.ledger) for one in whole.differences] == [
        ("unapplied_differs", shown, 0, 0)
    ]


def test_a_side_that_was_not_asked_is_not_blamed():
    ledger = books(booked(16, 10))
    assert compare([slot(10)], flight(), None, ledger).differences == []
    (found,) = compare([slot(9)], flight(), None, ledger).differences
    assert (found.chain, found.engine, found.ledger) == (9, None, 10)
    lost = books(booked(16, None))
    assert compare([slot(10)], flight(), books(booked(16, 10)), lost).differences == []


def test_each_side_can_be_the_one_that_is_wrong():
    right, wrong = books(booked(16, 10)), books(booked(16, 11))
    for engine, ledger in ((right, wrong), (wrong, right)):
        (found,) = compare([slot(10)], flight(), engine, ledger).differences
        assert found.why == "balance_differs"
        assert (found.engine, found.ledger) == tuple(side.accounts[16].settled for side in (engine, ledger))
    (found,) = compare([slot(9)], flight(), right, right).differences
    assert (found.chain, found.engine, found.ledger) == (9, 10, 10)


def test_books_that_disagree_about_a_balance_are_told_with_both():
    engine, ledger = books(booked(16, 10, balance=5)), books(booked(16, 10, balance=6))
    (found,) = compare([slot(10)], flight(), engine, ledger).differences
    assert (found.why, found.chain, found.engine, found.ledger) == ("books_differ", 10, 5, 6)


def test_a_slot_that_is_another_owners_or_missing_is_a_difference():
    side = books(booked(16, 10))
    (found,) = compare([slot(10, owner="eve")], flight(), side, side).differences
    assert (found.why, found.owner) == ("slot_differs", "eve")
    (found,) = compare([], flight(), side, side).differences
    assert (found.why, found.chain, found.engine) == ("slot_differs", None, 10)
    (found,) = compare([slot(10, place=(0, 3))], flight(), side, side).differences
    assert found.why == "slot_differs"


def test_a_slot_that_was_opened_and_paid_into_before_it_is_bound_is_on_its_way():
    nobody = books()
    found = compare([slot(7)], flight({16: 7}), nobody, nobody)
    assert (found.differences, found.on_its_way) == ([], [OnItsWay(16, 7, 0, 0)])
    (found,) = compare([slot(7)], flight({16: 6}), nobody, nobody).differences
    assert (found.chain, found.engine, found.ledger) == (7, 6, 6)
    assert compare([], flight(), books(booked(16, 0)), books()).differences == []


def test_an_account_whose_withdrawal_came_and_went_meanwhile_is_looked_at_again():
    side = books(booked(16, 10), last=4)
    found = compare([slot(3, last=5)], flight(), side, side)
    assert (found.moving, found.differences, found.accounts) == ([16], [], 0)


def test_a_withdrawal_that_the_books_do_not_know_at_a_later_look_is_none_of_the_exchanges():
    side = books(booked(16, 10), last=4)
    stolen = slot(3, last=2**32 - 1)
    seen = compare([stolen], flight(), side, side).ahead
    for _ in range(3):
        compared = compare([stolen], flight(), side, side, seen)
        (found,), seen = compared.differences, compared.ahead
        assert (found.why, found.chain, found.engine) == ("balance_differs", 3, 10)
    # He paid it in again. What was taken over is known.
    (found,) = compare([stolen._replace(balance=10)], flight(), side, side, seen).differences
    assert (found.why, found.chain, found.engine) == ("withdrawal_differs", 2**32 - 1, 4)
    after = books(booked(16, 3)._replace(foreign=2**32 - 1), last=4)
    assert compare([stolen], flight(), after, after, seen) == Compared(accounts=1)


def test_a_withdrawal_that_the_books_know_at_a_later_look_was_under_way():
    before, after = books(booked(16, 10), last=4), books(booked(16, 3), last=6)
    seen = compare([slot(3, last=5)], flight(), before, before).ahead
    assert compare([slot(3, last=5)], flight(), after, after, seen) == Compared(accounts=1)
    # Another one came and went meanwhile.
    assert compare([slot(1, last=7)], flight(), after, after, seen).moving == [16]


def test_a_second_slot_of_an_account_is_a_stray_wherever_it_is():
    ours, second = slot(500), slot(3, owner="thief", place=(1, 0))
    side = books(booked(16, 500))
    for slots in ([ours, second], [second, ours]):
        found = compare(slots, flight(), side, side)
        assert (found.differences, found.strays) == ([], [second])
    gone = compare([second], flight(), side, side)
    assert [one.why for one in gone.differences] == ["slot_differs"]
    assert gone.strays == []
