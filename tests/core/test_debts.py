"""Who pays a debt that no position can pay any more."""

from hypothesis import given
from hypothesis import strategies as st

from core.debts import Payer, cover


def test_the_fund_pays_first_then_the_treasury_then_others():
    payers = [Payer(16, 1_000, 0, True)]
    assert cover(100, 500, 500, payers).fund == 100
    paid = cover(100, 60, 30, payers)
    assert (paid.fund, paid.treasury, paid.shares, paid.left) == (60, 30, [(16, 10)], 0)


def test_those_who_hold_positions_share_first_and_keep_their_initial_requirement():
    payers = [Payer(16, 1_000, 0, False), Payer(17, 1_000, 900, True), Payer(18, 1_000, 700, True)]
    assert cover(40, 0, 0, payers).shares == [(17, 10), (18, 30)]
    assert cover(400, 0, 0, payers).shares == [(17, 100), (18, 300)]
    assert cover(500, 0, 0, payers).shares == [(16, 100), (17, 100), (18, 300)]
    assert cover(1_400 + 160, 0, 0, payers).shares == [(16, 1_000), (17, 100 + 90), (18, 300 + 70)]


def test_what_a_fund_below_its_floor_has_is_nothing_and_what_is_missing_is_left():
    paid = cover(100, -5, -1, [Payer(16, 30, 0, False), Payer(17, -7, 10, True)])
    assert (paid.fund, paid.treasury, paid.shares, paid.left) == (0, 0, [(16, 30)], 70)


@given(
    debt=st.integers(1, 10**15),
    fund=st.integers(-(10**9), 10**15),
    treasury=st.integers(0, 10**12),
    payers=st.lists(
        st.tuples(st.integers(-(10**12), 10**15), st.integers(0, 10**14), st.booleans()), max_size=20
    ),
)
def test_every_unit_is_paid_once_and_nobody_below_zero_for_it(debt, fund, treasury, payers):
    who = [Payer(16 + number, *payer) for number, payer in enumerate(payers)]
    paid = cover(debt, fund, treasury, who)
    shares = dict(paid.shares)
    assert paid.fund + paid.treasury + sum(shares.values()) + paid.left == debt
    assert len(shares) == len(paid.shares)
    for payer in who:
        assert 0 <= shares.get(payer.account, 0) <= max(0, payer.equity)
    if paid.left:
        assert sum(shares.values()) == sum(max(0, payer.equity) for payer in who)
