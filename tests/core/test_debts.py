"""Who pays a debt that no position can pay any more."""

from hypothesis import given
from hypothesis import strategies as st

from core.debts import Cover, Payer, Tie, cover


def test_the_fund_pays_first_then_the_treasury_then_others():
    payers = [Payer(16, 1_000, 0, True)]
    assert cover(100, 500, 500, payers).fund == 100
    paid = cover(100, 60, 30, payers)
    assert (paid.fund, paid.treasury, paid.shares, paid.left) == (60, 30, [(16, 10)], 0)


def test_those_who_hold_positions_share_first_what_their_initial_requirement_leaves():
    payers = [Payer(16, 1_000, 0, False), Payer(17, 1_000, 900, True), Payer(18, 1_000, 700, True)]
    assert cover(40, 0, 0, payers).shares == [(17, 10), (18, 30)]
    assert cover(400, 0, 0, payers).shares == [(17, 100), (18, 300)]
    assert cover(400 + 160, 0, 0, payers) == Cover(0, 0, [(17, 100), (18, 300)], 160)


def test_who_holds_nothing_and_what_positions_need_only_pay_if_an_operator_has_so_decided():
    payers = [Payer(16, 1_000, 0, False), Payer(17, 1_000, 900, True), Payer(18, 1_000, 700, True)]
    assert cover(900, 0, 0, payers).left == 500
    assert cover(900, 0, 0, payers, depositors_share=True).shares == [(16, 500), (17, 100), (18, 300)]
    everything = cover(1_400 + 160, 0, 0, payers, depositors_share=True)
    assert everything.shares == [(16, 1_000), (17, 100 + 90), (18, 300 + 70)]


def test_the_debtors_family_pays_everything_it_has_before_its_owner_and_both_before_anybody_else():
    payers = [
        Payer(16, 1_000, 100, True, Tie.OWNER),
        Payer(17, 1_000, 0, True),
        Payer(18, 1_000, 400, True, Tie.FAMILY),
        Payer(19, 1_000, 0, False, Tie.OWNER),
        Payer(20, 200, 0, False, Tie.FAMILY),
    ]
    assert cover(800, 500, 500, payers).shares == [(18, 600), (20, 200)]
    assert cover(1_200 + 1_900, 500, 500, payers).shares == [(16, 900), (18, 1_000), (19, 1_000), (20, 200)]
    paid = cover(3_200 + 300, 200, 50, payers)
    assert (paid.fund, paid.treasury, paid.shares[1]) == (200, 50, (17, 50))


def test_what_a_fund_below_its_floor_has_is_nothing_and_what_is_missing_is_left():
    paid = cover(100, -5, -1, [Payer(16, 30, 0, True), Payer(17, -7, 10, True)])
    assert (paid.fund, paid.treasury, paid.shares, paid.left) == (0, 0, [(16, 30)], 70)


@given(
    debt=st.integers(1, 10**15),
    fund=st.integers(-(10**9), 10**15),
    treasury=st.integers(0, 10**12),
    payers=st.lists(
        st.tuples(
            st.integers(-(10**12), 10**15), st.integers(0, 10**14), st.booleans(), st.sampled_from(Tie)
        ),
        max_size=20,
    ),
    everybody=st.booleans(),
)
def test_every_unit_is_paid_once_in_order_and_nobody_below_zero_for_it(
    debt, fund, treasury, payers, everybody
):
    who = [Payer(16 + number, *payer) for number, payer in enumerate(payers)]
    paid = cover(debt, fund, treasury, who, everybody)
    shares = dict(paid.shares)
    assert paid.fund + paid.treasury + sum(shares.values()) + paid.left == debt
    assert len(shares) == len(paid.shares)
    for payer in who:
        assert 0 <= shares.get(payer.account, 0) <= max(0, payer.equity)
    most = {
        payer.account: max(0, payer.equity)
        if payer.tie < Tie.STRANGER or everybody
        else max(0, min(payer.equity, payer.equity - payer.initial)) * payer.holds
        for payer in who
    }
    assert all(amount <= most[account] for account, amount in shares.items())
    if paid.left:
        assert sum(shares.values()) == sum(most.values())
    for last in who:
        if shares.get(last.account):
            before = [payer for payer in who if payer.tie < last.tie]
            assert all(shares.get(payer.account, 0) == max(0, payer.equity) for payer in before)
            if last.tie is Tie.STRANGER:
                assert (paid.fund, paid.treasury) == (max(0, fund), max(0, treasury))
