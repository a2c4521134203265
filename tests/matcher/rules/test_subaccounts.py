"""Sub-accounts: what opens one, what it may not do, and how collateral comes and goes."""

import pytest

from core.concerns import concerns
from core.event import Event
from core.quantities import SECOND
from core.subaccount_events import SubAccountOpened, Transferred
from core.validity import Validity
from matcher import commands as c
from matcher import transfers
from matcher.gates import below_zero
from matcher.image import dump, load, state_hash
from matcher.limits import KEYS_KEPT
from matcher.rejections import Repeated

DEPOSIT = 10_000_000_000


@pytest.fixture
def parent(world):
    return world.agent(1, DEPOSIT)


@pytest.fixture
def sub(world, parent):
    return opened(world, parent)


def opened(world, parent, market=1):
    return world.play(c.OpenSubAccount(parent, market))[0].account


def give(giver, receiver, amount, key="t", account=None):
    return c.Transfer(giver if account is None else account, giver, receiver, amount, key)


def test_a_sub_account_has_its_parents_owner_and_tier_and_a_name_and_no_slot(world, parent):
    world.play(c.SetTier(parent, 1))
    record = world.play(c.OpenSubAccount(parent, 2))[0]
    sub = world.state.accounts[record.account]
    assert record == SubAccountOpened(world.now, parent + 1, parent, 2, "a/ETH-PERP")
    assert (sub.owner, sub.tier, sub.name) == (world.state.accounts[parent].owner, 1, "a/ETH-PERP")
    assert (sub.page, sub.balance, sub.settled, sub.market) == (-1, 0, 0, 2)
    assert sub.root is world.state.accounts[parent]
    world.play(c.SetTier(parent, 0))
    assert sub.tier == 0
    assert [world.state.accounts[id].number for id in (parent, sub.id)] == [6, 1]


def test_there_is_one_for_each_market_and_asking_again_returns_it(world, parent):
    first = world.play(c.OpenSubAccount(parent, 1))
    assert world.do(c.OpenSubAccount(parent, 1)) == Repeated(tuple(first))
    assert opened(world, parent, 2) == parent + 2
    world.play(c.DelistMarket(1, force=True))
    assert isinstance(world.do(c.OpenSubAccount(parent, 1)), Repeated)
    another = world.agent(2)
    assert world.refuse(c.OpenSubAccount(another, 1)) == "market_settled"
    assert world.refuse(c.OpenSubAccount(another, 9)) == "market_unknown"


def test_a_name_that_a_sub_account_has_is_not_taken_for_an_agent(world, parent, sub):
    named = world.play(c.RegisterAgent(world.state.accounts[parent].owner, "a/BTC-PERP"))[0]
    assert named.account not in (parent, sub)


def test_it_trades_its_market_only(world, parent, sub):
    world.play(give(parent, sub, DEPOSIT // 2))
    asked = c.OpenRequest(sub, "k", 2, 1, 10, 300_000, SECOND)
    quoted = c.SetQuotes(sub, 2, ((1, 1),), (), world.now + SECOND)
    protected = c.SetProtection(sub, 2, SECOND, 1, 1, SECOND)
    for command in (asked, quoted, protected, c.Subscribe(sub, (1, 2))):
        assert world.refuse(command) == "sub_account_market"
    world.play(c.Subscribe(sub, (1,)))
    world.play(c.Subscribe(sub, ()))
    world.play(c.SetProtection(sub, 1, SECOND, 1, 1, SECOND))
    maker = world.agent(2)
    world.quotes(maker, [], [(600_000, 100)])
    assert world.closed(world.request(sub, "k", 1, 100, 600_000)).filled == 100
    assert world.held(sub)[0] == 100
    assert world.held(parent) == (0, 0)


def test_everything_else_is_its_parents(world, parent, sub):
    for command in (
        c.OpenSubAccount(sub, 1),
        give(sub, parent, 1, account=sub),
        c.ReserveWithdrawal(sub, 1, "w"),
        c.BindSlot(sub, 3, 3),
        c.SetTier(sub, 1),
        c.RevokeSessions(sub),
    ):
        assert world.refuse(command) == "sub_account_only_trades"
    assert world.refuse(c.CreditDeposit(sub, 1, "d")) == "account_unknown"


def test_parent_and_sub_accounts_never_trade_with_each_other(world, parent, sub):
    world.play(give(parent, sub, DEPOSIT // 2))
    world.quotes(sub, [], [(600_000, 100)])
    assert world.closed(world.request(parent, "k", 1, 100, 600_000)).filled == 0
    world.play(c.Subscribe(sub, (1,)))
    assert world.closed(world.request(parent, "l", 1, 100, 500_000)).outcome == "unfilled"


def test_the_owners_cap_counts_sub_accounts(world, parent, sub):
    world.play(give(parent, sub, DEPOSIT // 2))
    maker = world.agent(2)
    world.play(c.SetLimits(1, position_cap=150))
    world.quotes(maker, [], [(600_000, 150)])
    world.request(parent, "k", 1, 100, 600_000)
    assert world.request(sub, "k", 1, 100, 600_000).code == "position_cap"
    assert world.closed(world.request(sub, "l", 1, 50, 600_000)).filled == 50


def test_collateral_goes_both_ways_and_is_everybodys_own(world, parent, sub):
    there, back = give(parent, sub, 700, "there"), give(sub, parent, 200, "back", parent)
    assert world.play(there) == [Transferred(world.now, "there", parent, sub, 700)]
    assert concerns(world.play(back)[0]) == (sub, parent)
    assert (world.balance(parent), world.balance(sub)) == (DEPOSIT - 500, 500)
    assert (world.state.accounts[parent].settled, world.state.accounts[sub].settled) == (DEPOSIT, 0)


def test_a_key_moves_collateral_once(world, parent, sub):
    first = world.play(give(parent, sub, 700))
    world.now += KEYS_KEPT
    assert world.do(give(parent, sub, 700)) == Repeated(tuple(first))
    assert world.refuse(give(parent, sub, 701)) == "key_conflict"
    assert world.refuse(give(sub, parent, 700, account=parent)) == "key_conflict"
    other = world.agent(2)
    world.play(give(other, opened(world, other), 700))
    assert world.balance(sub) == 700


def test_keys_are_kept_for_a_day_and_of_it_the_newest(world, parent, sub, monkeypatch):
    world.play(give(parent, sub, 1, "old"))
    world.now += KEYS_KEPT + 1
    world.play(give(parent, sub, 1, "first"))
    assert isinstance(world.play(give(parent, sub, 1, "old"))[0], Event)
    monkeypatch.setattr(transfers, "TRANSFERS_KEPT", 2)
    world.play(give(parent, sub, 1, "newest"))
    assert [kept.key for kept in world.state.transfers[parent]] == ["old", "newest"]
    world.play(give(parent, sub, 1, "first"))
    assert world.balance(sub) == 5


@pytest.mark.parametrize(
    ("amount", "key"),
    [(0, "k"), (-1, "k"), (1, ""), (1, "x" * 65)],
    ids=["zero", "negative", "no key", "long key"],
)
def test_a_transfer_needs_a_positive_amount_and_a_key(world, parent, sub, amount, key):
    assert world.refuse(give(parent, sub, amount, key)) == "bad_value"


def test_a_transfer_is_between_the_caller_and_a_sub_account_of_its(world, parent, sub):
    other = world.agent(2)
    theirs, second = opened(world, other), opened(world, parent, 2)
    for giver, receiver in (
        (parent, other),
        (other, sub),
        (parent, theirs),
        (theirs, parent),
        (parent, parent),
        (sub, second),
        (sub, 999),
        (1, parent),
    ):
        assert world.refuse(give(giver, receiver, 1, account=parent)) == "sub_account_unknown"


def test_no_more_is_given_than_margin_leaves_free(world, parent, sub):
    maker = world.agent(2)
    assert world.refuse(give(parent, sub, DEPOSIT + 1)) == "transfer_too_large"
    world.play(give(parent, sub, DEPOSIT // 2, "stake"))
    world.quotes(maker, [], [(600_000, 5_000)])
    world.request(sub, "k", 1, 5_000, 600_000)
    world.index(1, 606_000)
    free = world.state.margin_of(world.state.accounts[sub]).withdrawable
    assert 0 < free < DEPOSIT // 2
    assert world.refuse(give(sub, parent, free + 1, account=parent)) == "transfer_too_large"
    world.play(give(sub, parent, free, account=parent))
    assert world.refuse(give(sub, parent, 1, "more", parent)) == "transfer_too_large"
    assert not world.state.margin_of(world.state.accounts[sub]).liquidatable


def test_nothing_is_given_at_a_mark_that_is_not_believed_but_may_be_received(world, parent, sub):
    maker = world.agent(2)
    world.play(give(parent, sub, DEPOSIT // 2))
    world.quotes(maker, [], [(600_000, 100)])
    world.request(sub, "k", 1, 100, 600_000)
    world.index(1, 600_000, validity=Validity.DISPUTED)
    assert world.refuse(give(sub, parent, 1, "back", parent)) == "index_unavailable"
    world.play(give(parent, sub, 1, "more"))


def test_while_somebody_is_below_zero_only_who_holds_nothing_gives(world, parent, sub):
    maker, trader = world.agent(2, 10**13), world.agent(3, 1_300_000_000)
    world.play(give(parent, sub, DEPOSIT // 2))
    world.quotes(maker, [], [(600_000, 10_100)])
    world.request(trader, "k", 1, 10_000, 600_000)
    world.request(sub, "k", 1, 100, 600_000)
    world.index(1, 580_000)
    world.play(c.CutSettlement(1))
    assert below_zero(world.state) == [trader]
    assert world.refuse(give(sub, parent, 1, "back", parent)) == "withdrawals_gated"
    world.play(give(parent, sub, 1, "more"))
    world.index(1, 600_000)
    world.play(give(sub, parent, 1, "back", parent))


def test_an_operators_hold_on_withdrawals_does_not_hold_transfers(world, parent, sub):
    world.play(c.HoldWithdrawals(True, who="ada", why="odd fills"))
    world.play(give(parent, sub, 1))


def test_a_snapshot_and_a_replay_bring_the_family_back(world, parent, sub, replayed):
    first = world.play(give(parent, sub, 700))
    for state in (load(dump(world.state)), replayed(world.journal)):
        assert state_hash(state) == state_hash(world.state)
        held = state.accounts[sub]
        assert (held.parent, held.market, held.balance) == (state.accounts[parent], 1, 700)
        assert state.accounts[parent].subs == (held,)
        assert state.accounts[parent].owned == [state.accounts[parent], held]
        assert list(state.transfers[parent]) == first
        assert set(state.names.values()) == {parent}


def test_pulling_quotes_pulls_those_of_the_account_alone(world, parent, sub):
    world.play(give(parent, sub, DEPOSIT // 2))
    for one in (parent, sub):
        world.quotes(one, [(599_000, 10)], [])
    world.play(c.CancelAll(parent))
    assert [level.account for level in world.state.book.bids[1]] == [sub]
    world.play(c.CancelAfter(sub, world.now + SECOND))
    world.quotes(parent, [(599_000, 10)], [])
    world.pass_time(2 * SECOND)
    assert [level.account for level in world.state.book.bids[1]] == [parent]
