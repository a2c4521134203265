"""Netting: deltas sum to zero, nobody goes below zero, and what is deferred is paid by the next cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.deltas import MAGNITUDE_MAX, encode_deltas
from core.accounts import INSURANCE
from core.netting import DELTA_MAX, net


@st.composite
def books(draw):
    count = draw(st.integers(2, 12))
    settled = draw(st.lists(st.integers(0, 10**6), min_size=count, max_size=count))
    moves = draw(st.lists(st.integers(-(10**6), 10**6), min_size=count - 1, max_size=count - 1))
    equity = [value + move for value, move in zip(settled, [*moves, -sum(moves)], strict=True)]
    accounts = [INSURANCE, *range(16, 15 + count)]
    return dict(zip(accounts, settled, strict=True)), dict(zip(accounts, equity, strict=True))


@given(books())
def test_a_batch_makes_no_money_and_leaves_nobody_below_zero(book):
    settled, equity = book
    deltas = net(settled, equity)
    assert sum(deltas.values()) == 0
    after = {account: settled[account] + deltas.get(account, 0) for account in settled}
    assert min(after.values()) >= 0
    if min(equity.values()) >= 0:
        assert after == equity
    for account, value in equity.items():
        assert account == INSURANCE or after[account] <= max(0, value)
        assert account == INSURANCE or after[account] >= min(settled[account], max(0, value))


@given(books())
def test_what_was_deferred_is_paid_once_the_shortfall_is_gone(book):
    settled, equity = book
    deltas = net(settled, equity)
    after = {account: settled[account] + deltas.get(account, 0) for account in settled}
    healthy = {account: value + 10**7 for account, value in equity.items()}
    topped_up = {account: value + 10**7 for account, value in after.items()}
    again = net(topped_up, healthy)
    assert {account: topped_up[account] + again.get(account, 0) for account in healthy} == healthy


def test_the_insurance_fund_pays_before_winners_wait():
    settled = {INSURANCE: 50, 16: 100, 17: 100}
    assert net(settled, {INSURANCE: 50, 16: -30, 17: 230}) == {INSURANCE: -30, 16: -100, 17: 130}
    assert net(settled, {INSURANCE: 50, 16: -80, 17: 280}) == {INSURANCE: -50, 16: -100, 17: 150}


def test_totals_that_differ_are_refused():
    with pytest.raises(ValueError, match="same total"):
        net({16: 1}, {16: 2})
    with pytest.raises(ValueError, match="same accounts"):
        net({16: 1}, {17: 1})


def test_the_largest_delta_is_one_that_a_page_can_hold():
    assert DELTA_MAX == MAGNITUDE_MAX
    assert net({16: DELTA_MAX, 17: 0}, {16: 0, 17: DELTA_MAX}) == {16: -DELTA_MAX, 17: DELTA_MAX}
    encode_deltas([(0, -DELTA_MAX), (1, DELTA_MAX)])


def test_what_is_beyond_the_largest_delta_waits_for_the_next_batch():
    settled, equity = {16: 3 * DELTA_MAX, 17: 0, 18: 5}, {16: 1, 17: 3 * DELTA_MAX - 1, 18: 5}
    first = net(settled, equity)
    assert first == {16: -DELTA_MAX, 17: DELTA_MAX}
    settled = {account: settled[account] + first.get(account, 0) for account in settled}
    second = net(settled, equity)
    settled = {account: settled[account] + second.get(account, 0) for account in settled}
    assert net(settled, equity) == {16: -(DELTA_MAX - 1), 17: DELTA_MAX - 1}


def test_one_loser_beyond_the_largest_delta_makes_its_winners_wait_in_proportion():
    settled = {16: 2 * DELTA_MAX, 17: 0, 18: 0}
    equity = {16: 0, 17: DELTA_MAX - 2, 18: DELTA_MAX + 2}
    deltas = net(settled, equity)
    assert deltas[16] == -DELTA_MAX
    assert 0 <= deltas[18] - deltas[17] <= 2
    assert sum(deltas.values()) == 0


@st.composite
def families(draw):
    """A book whose slots are held for one or more accounts each."""
    settled, equity = draw(books())
    parents = {}
    for account in list(settled):
        for _ in range(0 if account == INSURANCE else draw(st.integers(0, 3))):
            sub, part = 100 + len(parents), draw(st.integers(-(10**6), 10**6))
            parents[sub] = account
            equity[sub], equity[account] = part, equity[account] - part
    return settled, equity, parents


@given(families())
def test_a_slot_settles_what_its_accounts_have_and_no_debt_is_paid_with_another_accounts_money(family):
    settled, equity, parents = family
    deltas = net(settled, equity, parents)
    assert sum(deltas.values()) == 0
    assert deltas.keys() <= settled.keys()
    for slot, held in settled.items():
        after = held + deltas.get(slot, 0)
        worth = sum(max(0, equity[one]) for one in equity if parents.get(one, one) == slot)
        assert after >= 0
        assert slot == INSURANCE or min(held, worth) <= after <= worth
        if min(equity.values()) >= 0:
            assert after == worth


def test_the_insurance_fund_pays_for_a_sub_account_in_debt_and_its_parents_slot_does_not():
    settled = {INSURANCE: 50, 16: 100, 17: 100}
    equity = {INSURANCE: 50, 16: 80, 30: -30, 17: 150}
    assert net(settled, equity, {30: 16}) == {INSURANCE: -30, 16: -20, 17: 50}
    with pytest.raises(ValueError, match="same accounts"):
        net(settled, equity)


@given(books(), st.sampled_from([DELTA_MAX // 10**6, DELTA_MAX // 10**5]))
def test_huge_moves_settle_in_several_batches_none_of_them_too_large(book, scale):
    settled, equity = ({account: value * scale for account, value in side.items()} for side in book)
    for _ in range(400):
        deltas = net(settled, equity)
        if not deltas:
            break
        assert sum(deltas.values()) == 0
        assert max(map(abs, deltas.values())) <= DELTA_MAX
        settled = {account: settled[account] + deltas.get(account, 0) for account in settled}
        assert min(settled.values()) >= 0
    assert net(settled, equity) == {}
    if min(equity.values()) >= 0:
        assert settled == equity
