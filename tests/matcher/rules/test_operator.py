"""Registration, deposits, withdrawals, cuts: each happens once, and never makes money."""

import msgspec
from msgspec.structs import replace

from core import events as e
from core.accounts import CLEARING, INSURANCE, TREASURY
from core.batches import BatchStatus
from core.market import market
from core.quantities import MONEY_MAX
from matcher import commands as c
from matcher.decide import decide
from matcher.image import Image, dump, load
from matcher.limits import DEPOSITS_MAX, WITHDRAWALS_OPEN_MAX
from matcher.rejections import Repeated


def test_registering_twice_returns_the_same_account(world):
    first = world.agent(1)
    owner = world.state.accounts[first].owner
    again = world.do(c.RegisterAgent(owner, "a"))
    assert isinstance(again, Repeated)
    assert again.events[0].account == first
    assert world.play(c.RegisterAgent(owner, "b"))[0].account == first + 1


def test_bad_owners_and_names_are_refused(world):
    good = world.state.accounts[world.agent(1)].owner
    for owner, name in (
        (good, ""),
        (good, "x" * 65),
        (good, "a\n"),
        ("", "a"),
        ("0" * 40, "a"),
        ("é" * 32, "a"),
        (good[:-9], "a"),
    ):
        assert world.refuse(c.RegisterAgent(owner, name)) == "bad_value"


def test_a_deposit_is_credited_once_per_key(world):
    agent = world.agent(1, deposit=0)
    world.play(c.CreditDeposit(agent, 5, "signature:0"))
    assert isinstance(world.do(c.CreditDeposit(agent, 5, "signature:0")), Repeated)
    assert world.balance(agent) == 5
    for amount in (0, -1, MONEY_MAX + 1):
        assert world.refuse(c.CreditDeposit(agent, amount, f"other:{amount}")) == "bad_value"
    left = MONEY_MAX - world.state.deposited
    assert world.refuse(c.CreditDeposit(agent, left + 1, "too much")) == "bad_value"
    world.play(c.CreditDeposit(agent, left, "all there may be"))
    assert world.balance(agent) == 5 + left


def test_many_deposits_are_credited_at_once_each_once_per_key(world):
    one, other = world.agent(1, deposit=0), world.agent(2, deposit=0)
    deposits = (
        c.CreditDeposit(one, 5, "a:0"),
        c.CreditDeposit(other, 7, "a:1"),
        c.CreditDeposit(one, 2, "b"),
    )
    world.play(c.CreditDeposit(other, 7, "a:1"))
    credited = world.play(c.CreditDeposits(deposits))
    assert [(event.account, event.amount, event.key) for event in credited] == [
        (one, 5, "a:0"),
        (one, 2, "b"),
    ]
    assert world.do(c.CreditDeposits(deposits)) == []
    assert (world.balance(one), world.balance(other)) == (7, 7)


def test_a_hundred_deposits_are_the_most_at_once(world):
    agent = world.agent(1, deposit=0)
    world.play(c.CreditDeposits(tuple(c.CreditDeposit(agent, 1, f"{n}") for n in range(DEPOSITS_MAX))))
    assert world.balance(agent) == DEPOSITS_MAX


def test_of_many_deposits_none_is_credited_where_one_cannot_be(world):
    agent = world.agent(1, deposit=0)
    fine = c.CreditDeposit(agent, 5, "fine")
    world.play(c.CreditDeposit(agent, 1, "k"))
    left = MONEY_MAX - world.state.deposited
    for wrong, code in (
        ((), "bad_value"),
        ((fine, c.CreditDeposit(agent, 0, "nothing")), "bad_value"),
        ((fine, c.CreditDeposit(4_000, 5, "nobody's")), "account_unknown"),
        ((fine, c.CreditDeposit(agent, 2, "k")), "key_conflict"),
        ((fine, fine), "key_conflict"),
        ((fine, c.CreditDeposit(agent, left - 4, "too much together")), "bad_value"),
        (tuple(c.CreditDeposit(agent, 1, f"{n}") for n in range(DEPOSITS_MAX + 1)), "bad_value"),
    ):
        assert world.refuse(c.CreditDeposits(wrong)) == code
    assert world.balance(agent) == 1
    world.play(c.CreditDeposits((fine, c.CreditDeposit(agent, left - 5, "all there may be"))))
    assert world.state.deposited == MONEY_MAX


def test_the_treasury_and_the_insurance_fund_can_be_paid_into_and_clearing_can_not(world):
    for account in (TREASURY, INSURANCE):
        before = world.balance(account)
        world.play(c.CreditDeposit(account, 7, f"signature:{account}"))
        assert world.balance(account) == before + 7
    for account in (0, CLEARING, 4_000):
        assert world.refuse(c.CreditDeposit(account, 7, "no")) == "account_unknown"


def test_a_key_of_a_deposit_stands_for_one_account_and_amount(world, replayed):
    agent, other = world.agent(1, deposit=0), world.agent(2, deposit=0)
    (first,) = world.play(c.CreditDeposit(agent, 5, "k"))
    for state in (world.state, replayed(world.journal), load(dump(world.state))):
        world.state = state
        again = world.do(c.CreditDeposit(agent, 5, "k"))
        assert again == Repeated((replace(first, at=world.now),))
        assert world.refuse(c.CreditDeposit(agent, 6, "k")) == "key_conflict"
        assert world.refuse(c.CreditDeposit(other, 5, "k")) == "key_conflict"


def test_deposits_of_an_image_that_has_no_amounts_stand_for_any(world):
    agent, other = world.agent(1, deposit=0), world.agent(2, deposit=0)
    world.play(c.CreditDeposit(agent, 5, "k"))
    image = msgspec.msgpack.decode(dump(world.state))
    amounts = Image.__struct_fields__.index("deposit_amounts")
    assert image[amounts] == [5]
    world.state = load(msgspec.msgpack.encode(image[:amounts]))
    assert isinstance(world.do(c.CreditDeposit(agent, 6, "k")), Repeated)
    assert world.refuse(c.CreditDeposit(other, 5, "k")) == "key_conflict"


def test_a_deposit_needs_a_slot(world):
    account = world.play(c.RegisterAgent(world.state.accounts[world.agent(1)].owner, "new"))[0].account
    assert world.refuse(c.CreditDeposit(account, 5, "k")) == "account_unknown"


def test_slots_are_bound_once(world):
    first, second = world.agent(1), world.agent(2)
    page, slot = world.state.accounts[first].page, world.state.accounts[first].slot
    assert isinstance(world.do(c.BindSlot(first, page, slot)), Repeated)
    assert world.refuse(c.BindSlot(first, page, slot + 50)) == "slot_taken"
    third = world.play(c.RegisterAgent(world.state.accounts[second].owner, "new"))[0].account
    assert world.refuse(c.BindSlot(third, page, slot)) == "slot_taken"
    assert world.refuse(c.BindSlot(third, 0, 0)) == "slot_taken"


def test_a_withdrawal_is_reserved_then_paid_or_released_once(world):
    agent = world.agent(1, deposit=100)
    first = world.play(c.ReserveWithdrawal(agent, 60, "w1"))[0]
    assert isinstance(world.do(c.ReserveWithdrawal(agent, 60, "w1")), Repeated)
    assert world.refuse(c.ReserveWithdrawal(agent, 61, "w1")) == "key_conflict"
    assert world.refuse(c.ReserveWithdrawal(agent, 41, "w2")) == "withdrawal_too_large"
    second = world.play(c.ReserveWithdrawal(agent, 40, "w2"))[0]
    world.play(c.FinishWithdrawal(first.withdrawal, True, "sig"))
    world.play(c.FinishWithdrawal(second.withdrawal, False, ""))
    assert isinstance(world.do(c.FinishWithdrawal(first.withdrawal, True, "sig")), Repeated)
    assert world.refuse(c.FinishWithdrawal(first.withdrawal, False, "")) == "withdrawal_unknown"
    assert world.refuse(c.FinishWithdrawal(first.withdrawal, True, "another")) == "key_conflict"
    assert isinstance(world.do(c.FinishWithdrawal(first.withdrawal, True, "")), Repeated)
    assert (world.balance(agent), world.state.reserved, world.state.paid_out) == (40, 0, 60)


def test_a_withdrawal_keeps_where_it_goes(world, replayed):
    agent, elsewhere = world.agent(1, deposit=100), world.state.accounts[world.agent(2)].owner
    reserve = c.ReserveWithdrawal(agent, 60, "w1", destination=elsewhere)
    world.play(reserve)
    world.play(c.ReserveWithdrawal(agent, 1, "w2"))
    for state in (world.state, replayed(world.journal), load(dump(world.state))):
        world.state = state
        assert [one.destination for one in state.withdrawals.values()] == [elsewhere, ""]
        assert isinstance(world.do(reserve), Repeated)
        for other in ("", world.state.accounts[agent].owner):
            assert world.refuse(replace(reserve, destination=other)) == "key_conflict"
        assert isinstance(world.do(c.ReserveWithdrawal(agent, 1, "w2", destination=elsewhere)), Repeated)
    assert world.refuse(c.ReserveWithdrawal(agent, 1, "w3", destination="elsewhere")) == "bad_value"


def test_a_small_withdrawal_is_only_for_who_takes_everything(world):
    agent = world.agent(1, deposit=2_500_000)
    small = c.ReserveWithdrawal(agent, 999_999, "small", minimum=1_000_000)
    assert world.refuse(small) == "withdrawal_too_small"
    world.play(c.ReserveWithdrawal(agent, 1_000_000, "at its edge", minimum=1_000_000))
    world.play(c.ReserveWithdrawal(agent, 1_000_000, "the same again", minimum=1_000_000))
    assert (
        world.refuse(c.ReserveWithdrawal(agent, 499_999, "most", minimum=1_000_000)) == "withdrawal_too_small"
    )
    world.play(c.ReserveWithdrawal(agent, 500_000, "the rest", minimum=1_000_000))


def test_an_account_with_a_position_is_not_emptied_by_a_small_withdrawal(world):
    maker, trader = world.agent(1), world.agent(2)
    world.quotes(maker, [(599_900, 500)], [(600_100, 500)])
    world.request(trader, "a", 1, 100, 601_000)
    all_of_it = c.ReserveWithdrawal(trader, world.balance(trader), "w", minimum=world.balance(trader) + 1)
    assert world.refuse(all_of_it) == "withdrawal_too_small"


def test_an_account_has_few_withdrawals_open(world):
    agent, other = world.agent(1), world.agent(2)
    numbers = [
        world.play(c.ReserveWithdrawal(agent, 10, f"w{number}"))[0].withdrawal
        for number in range(WITHDRAWALS_OPEN_MAX)
    ]
    one_more = c.ReserveWithdrawal(agent, 10, "one more")
    assert world.refuse(one_more) == "too_many_withdrawals_open"
    assert isinstance(world.do(c.ReserveWithdrawal(agent, 10, "w0")), Repeated)
    world.play(c.ReserveWithdrawal(other, 10, "another account's"))
    # A start from the snapshot counts them too.
    assert decide(load(dump(world.state)), one_more, world.now).code == "too_many_withdrawals_open"
    world.play(c.FinishWithdrawal(numbers[0], True, "signature"))
    world.play(one_more)
    world.play(c.FinishWithdrawal(numbers[1], False, ""))
    world.play(c.ReserveWithdrawal(agent, 10, "and another"))


def test_profit_cannot_be_drawn_out_against_itself(world):
    maker, trader = world.agent(1, deposit=10**13), world.agent(2, deposit=1_300_000_000)
    world.quotes(maker, [], [(600_000, 10**6)])
    world.request(trader, "k", 1, 10_000, 600_000)
    world.index(1, 605_000)
    margin = world.state.margin_of(world.state.accounts[trader])
    tenth = 605_000 * 10_000 * 10 // 10
    assert margin.withdrawable == max(0, margin.equity - tenth)
    assert world.refuse(c.ReserveWithdrawal(trader, margin.withdrawable + 1, "w")) == "withdrawal_too_large"


def test_nothing_is_withdrawn_on_a_mark_that_is_too_old(world):
    maker, trader, idle = world.agent(1), world.agent(2), world.agent(3)
    world.quotes(maker, [(299_900, 500)], [(300_100, 500)], market=2)
    world.request(trader, "a", 1, 100, 301_000, market=2)
    age = world.state.markets[2].index_max_age
    world.now += age
    world.index(1, 600_000)
    reserved = world.play(c.ReserveWithdrawal(trader, 1_000, "at its edge"))[0]
    world.now += 1
    for account in (maker, trader):
        refused = world.do(c.ReserveWithdrawal(account, 1_000, "late"))
        assert (refused.code, refused.retryable) == ("index_unavailable", True)
    assert world.do(c.ReserveWithdrawal(trader, 1_000, "at its edge")) == Repeated((reserved,))
    world.play(c.ReserveWithdrawal(idle, 1_000, "holds nothing"))
    world.index(2, 300_000)
    world.play(c.ReserveWithdrawal(trader, 1_000, "late"))


def test_a_cut_settles_every_account_to_its_equity_and_sums_to_zero(world):
    maker, trader = world.agent(1), world.agent(2)
    world.quotes(maker, [(599_900, 500)], [(600_100, 500)])
    world.request(trader, "a", 1, 100, 601_000)
    world.index(1, 601_000)
    cut = world.play(c.CutSettlement(1))[0]
    assert isinstance(cut, e.SettlementCut)
    fee = -(-600_100 * 100 * 10 * 500 // 1_000_000)
    gain = (601_000 - 600_100) * 100 * 10
    assert world.state.cut.deltas == {TREASURY: fee, maker: -gain, trader: gain - fee}
    assert world.do(c.CutSettlement(1)) == Repeated((cut,))
    assert world.refuse(c.CutSettlement(2)) == "batch_out_of_order"
    assert world.refuse(c.CutSettlement(3)) == "batch_out_of_order"
    for skipped in (BatchStatus.CONFIRMED, BatchStatus.FINAL):
        assert world.refuse(c.AdvanceBatch(1, skipped, ("s",))) == "batch_out_of_order"
    world.finalize(1)
    assert isinstance(world.do(c.AdvanceBatch(1, BatchStatus.SUBMITTED)), Repeated)
    world.play(c.CutSettlement(2))
    assert world.state.cut.deltas == {}
    assert world.refuse(c.AdvanceBatch(2, BatchStatus.SUBMITTED)) == "batch_out_of_order"
    world.play(c.AdvanceBatch(2, BatchStatus.FINAL))
    assert world.state.accounts[trader].settled == 100_000_000_000 + gain - fee


def test_a_withdrawal_between_cuts_does_not_disturb_the_next_one(world):
    maker, trader = world.agent(1), world.agent(2)
    world.quotes(maker, [(599_900, 500)], [(600_100, 500)])
    world.request(trader, "a", 1, 100, 601_000)
    world.play(c.ReserveWithdrawal(trader, 1_000_000, "w"))
    world.play(c.CutSettlement(1))
    assert sum(world.state.cut.deltas.values()) == 0
    world.play(c.FinishWithdrawal(1, False, ""))
    world.finalize(1)
    world.play(c.CutSettlement(2))
    assert world.state.cut.deltas == {}


def test_a_bankrupt_account_settles_to_zero_and_the_insurance_fund_pays_first(world):
    maker, trader = world.agent(1, deposit=10**13), world.agent(2, deposit=1_300_000_000)
    world.play(c.CreditDeposit(trader, 1, "x"))
    world.quotes(maker, [], [(600_000, 10**6)])
    world.request(trader, "k", 1, 10_000, 600_000)
    world.index(1, 580_000)
    equity = world.state.margin_of(world.state.accounts[trader]).equity
    assert equity < 0
    world.play(c.CutSettlement(1))
    accounts = world.state.accounts
    assert accounts[trader].settled == 0
    assert accounts[INSURANCE].settled == 0
    winners = (maker, TREASURY)
    owed = sum(world.state.margin_of(accounts[id]).equity for id in winners)
    assert sum(accounts[id].settled for id in winners) == owed + equity
    world.index(1, 600_000)
    world.finalize(1)
    world.play(c.CutSettlement(2))
    assert accounts[maker].settled == world.state.margin_of(accounts[maker]).equity


def test_an_index_never_goes_back_or_comes_from_the_future(world):
    now = world.now
    assert world.refuse(c.UpdateIndex(1, 1, 0, now - 1, "t")) == "index_goes_back"
    assert world.refuse(c.UpdateIndex(1, 1, 0, now + 1_000_000_001, "t")) == "bad_value"
    assert world.refuse(c.UpdateIndex(1, 0, 0, now, "t")) == "bad_value"
    assert world.refuse(c.UpdateIndex(9, 1, 0, now, "t")) == "market_unknown"


def test_a_market_in_use_keeps_its_parameters(world):
    maker, trader = world.agent(1), world.agent(2)
    other = market(
        1, "BTC-PERP", "1", "0.0001", max_leverage=50, position_cap="1", open_interest_cap="1", feed=""
    )
    world.quotes(maker, [], [(600_100, 500)])
    world.request(trader, "a", 1, 100, 601_000)
    assert world.refuse(c.ListMarket(other)) == "market_in_use"
    assert world.play(c.ListMarket(world.state.markets[1])) == []


def test_commands_of_unknown_or_system_accounts_are_refused(world):
    for account in (0, TREASURY, INSURANCE, 3, 4_000):
        assert world.refuse(c.CancelAll(account)) == "account_unknown"
        assert world.refuse(c.OpenRequest(account, "k", 1, 1, 1, 1, 10**9)) == "account_unknown"
