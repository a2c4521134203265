"""Owners that leave without the operator: what they asked for stays free, is closed for in time, and is paid once."""

import pytest

from core import events as e
from core.accounts import INSURANCE, TREASURY
from core.custody_events import StrayClaimed
from core.exit_events import DeltasUnapplied, ExitClaimed, ExitReleased, ExitRequested
from core.exits import sell_by
from core.quantities import MONEY_MAX, SECOND
from matcher import commands as c
from matcher.decide_exits import closing, quoting
from matcher.image import dump, load
from matcher.rejections import Rejection, Repeated

USDC = 1_000_000
DELAY = 3_600 * SECOND


def at_delay(world) -> int:
    """Second of the chain's clock at which what is asked for now may be claimed."""
    return (world.now + DELAY) // SECOND


def leave(world, account: int, amount: int) -> list[e.Event]:
    return world.play(c.RequestExit(account, amount, at_delay(world)))


def trade(world, buyer: int, seller: int, lots: int, key: str = "open"):
    """`buyer` takes `lots` from `seller` at the index."""
    world.quotes(seller, [], [(600_000, lots)])
    return ask(world, buyer, key, 1, lots, 600_000)


def ask(world, account: int, key: str, side: int, lots: int, limit: int) -> str:
    """How a request ended, or why it was refused."""
    outcome = world.request(account, key, side, lots, limit)
    return outcome.code.value if isinstance(outcome, Rejection) else world.closed(outcome).outcome


def test_what_was_asked_for_is_free_for_nothing_else(world):
    agent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    # 2.0 BTC at 60,000 need 2,400 USDC of initial margin at 50 times.
    assert trade(world, agent, other, 20_000) == "filled"
    leave(world, agent, 7_500 * USDC)
    assert trade(world, agent, other, 20_000, "more") == "insufficient_margin"
    assert world.refuse(c.ReserveWithdrawal(agent, 1_000 * USDC, "w")) == "withdrawal_too_large"
    assert world.refuse(c.SetQuotes(agent, 1, ((599_000, 20_000),), (), world.now + SECOND)) == (
        "insufficient_margin"
    )
    # Getting smaller is always allowed.
    world.quotes(other, [(600_000, 20_000)], [])
    assert ask(world, agent, "less", -1, 20_000, 600_000) == "filled"


def test_a_request_is_told_again_only_where_quotes_stand_or_it_is_time_to_close(world):
    agent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    leave(world, agent, USDC)
    request = world.state.exits[agent]
    late = world.now + DELAY // 2

    def looks() -> tuple[bool, bool, bool]:
        now = closing(world.state, request, world.now)
        return quoting(world.state, request), now, closing(world.state, request, late)

    assert looks() == (False, False, False)
    world.quotes(agent, [(599_000, 100)], [])
    assert looks() == (True, False, False)
    world.quotes(agent, [], [])
    trade(world, agent, other, 100)
    assert looks() == (False, False, True)


def test_an_account_that_leaves_whole_may_only_reduce_even_at_a_loss(world):
    agent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    trade(world, agent, other, 20_000)
    leave(world, agent, MONEY_MAX)
    assert trade(world, agent, other, 1, "more") == "insufficient_margin"
    world.quotes(other, [(599_990, 30_000)], [])
    # Not beyond nothing either.
    assert ask(world, agent, "turn", -1, 30_000, 599_990) == "insufficient_margin"
    world.quotes(other, [(599_990, 30_000)], [])
    assert ask(world, agent, "less", -1, 20_000, 599_990) == "filled"
    assert world.held(agent) == (0, 0)


def test_quotes_that_the_rest_does_not_cover_are_cancelled_and_the_others_stand(world):
    agent = world.agent(1, 10_000 * USDC)
    world.play(c.Subscribe(agent, (1, 2)))
    world.quotes(agent, [(599_000, 60_000)], [(601_000, 60_000)])
    world.quotes(agent, [(299_000, 100)], [(301_000, 100)], market=2)
    other = world.agent(2)
    request = world.opened(world.request(other, "asks", 1, 70_000, 600_500, auto=False))
    world.play(c.AnswerRequest(agent, request.request, 599_000, 600_900, 70_000, 1, world.now + SECOND))
    told = leave(world, agent, 9_000 * USDC)
    assert [type(event) for event in told] == [ExitRequested, e.QuotesPulled, e.QuoteWithdrawn]
    assert told[1].market == 1
    assert (agent, 2) in world.state.book.standing
    # A repeat, as after every look at the chain, makes no record.
    before = world.state.seq
    assert world.play(c.RequestExit(agent, 9_000 * USDC, told[0].exit_at)) == []
    assert world.state.seq == before


def test_a_request_that_is_taken_back_frees_everything_and_one_whose_claim_is_on_its_way_does_not(world):
    agent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    leave(world, agent, MONEY_MAX)
    # The chain shows no request any more, and that somebody claimed what is not booked yet: it may have been this one.
    assert world.play(c.ReleaseExit(agent, 5 * USDC)) == []
    assert trade(world, agent, other, 20_000) == "insufficient_margin"
    assert isinstance(world.play(c.ReleaseExit(agent, 0))[0], ExitReleased)
    assert world.play(c.ReleaseExit(agent, 0)) == []
    assert trade(world, agent, other, 20_000, "again") == "filled"


def test_claims_from_slots_that_the_books_do_not_know_keep_nobody_waiting(world):
    agent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    trade(world, agent, other, 80_000)
    leave(world, agent, 8_000 * USDC)
    world.agent(3)
    world.pass_time(DELAY // 2)
    world.index(1, 600_000)
    stray = c.SeeStray("claim:thief:0", 1)
    # The chain has one micro-USDC more of claims than the books: of whom, nobody knows until it is told.
    assert world.play(c.ReduceForExit(agent, 1)) == world.play(c.ReleaseExit(agent, 1)) == []
    before = world.state.sums
    assert world.play(stray) == [StrayClaimed(world.now, 1, "claim:thief:0")]
    assert (world.state.sums, world.state.claimed, world.state.custody.claimed_astray) == (before, 0, 1)
    assert isinstance(world.do(stray), Repeated)
    # A view from before that claim is behind as any other, and one with a claim that is not booked waits as ever.
    for behind in (0, 2):
        assert world.play(c.ReduceForExit(agent, behind)) == world.play(c.ReleaseExit(agent, behind)) == []
    assert world.play(c.ReduceForExit(agent, 1))
    world.play(c.ClaimExit(other, 5, "claim:other:0"))
    assert world.play(c.ReleaseExit(agent, 1)) == []
    assert isinstance(world.play(c.ReleaseExit(agent, 6))[0], ExitReleased)


def test_what_is_booked_is_no_stray_s_whoever_has_the_slot_now(world):
    agent = world.agent(1, 10_000 * USDC)
    world.play(c.ClaimExit(agent, 7, "claim:a:0"))
    world.play(c.CreditDeposit(agent, 9, "b:0"))
    for key, amount in (("claim:a:0", 7), ("b:0", 0)):
        assert isinstance(world.do(c.SeeStray(key, amount)), Repeated)
    # What came into a slot of nobody's is not in the sum of claims: no record.
    assert world.play(c.SeeStray("c:0", 0)) == []
    assert world.state.custody.claimed_astray == 0
    for key, amount in (("", 1), ("d", -1), ("e", MONEY_MAX + 1)):
        assert world.refuse(c.SeeStray(key, amount)) == "bad_value"


def test_a_claim_told_of_as_a_stray_s_is_one_no_more_once_it_is_booked(world):
    agent = world.agent(1, 10_000 * USDC)
    leave(world, agent, 50)
    world.play(c.SeeStray("claim:a:0", 7))
    world.play(c.SeeStray("claim:thief:0", 2))
    assert isinstance(world.play(c.ClaimExit(agent, 7, "claim:a:0"))[0], ExitClaimed)
    assert (world.state.claimed, world.state.custody.stray_claims) == (7, {"claim:thief:0": 2})
    assert isinstance(world.do(c.SeeStray("claim:a:0", 7)), Repeated)
    # The chain's total is 9: exits are looked after again.
    leave(world, agent, 60)
    assert isinstance(world.play(c.ReleaseExit(agent, 9))[0], ExitReleased)


def test_a_claim_is_booked_once_and_ends_the_request(world):
    agent = world.agent(1, 10_000 * USDC)
    leave(world, agent, 4_000 * USDC)
    claim = c.ClaimExit(agent, 4_000 * USDC, "claim:signature:0")
    assert world.play(claim) == [ExitClaimed(world.now, agent, 4_000 * USDC, "claim:signature:0", ())]
    assert isinstance(world.do(claim), Repeated)
    account = world.state.accounts[agent]
    assert (account.balance, account.settled) == (6_000 * USDC, 6_000 * USDC)
    assert (world.state.claimed, world.state.paid_out) == (4_000 * USDC, 4_000 * USDC)
    assert not world.state.exits


@pytest.mark.parametrize("own", [TREASURY, INSURANCE])
def test_what_is_asked_of_the_exchanges_own_slots_is_an_event_like_any_other(world, own, replayed):
    """Whoever has the key of one of these slots is seen as soon as the chain shows it, and not when the money is gone."""
    world.play(c.CreditDeposit(own, 100, "own"))
    (asked,) = leave(world, own, 100)
    assert asked == ExitRequested(world.now, own, 100, at_delay(world), sell_by(at_delay(world)))
    assert leave(world, own, 100) == []
    assert world.state.exits == {own: asked}
    assert not quoting(world.state, asked)
    assert not closing(world.state, asked, world.now + DELAY)
    assert world.play(c.ReduceForExit(own, 0)) == []
    assert isinstance(world.play(c.ReleaseExit(own, 0))[0], ExitReleased)
    leave(world, own, 50)
    world.play(c.ClaimExit(own, 40, "claim:own:0"))
    assert (world.balance(own), world.state.exits) == (60, {})
    state = replayed(world.journal)
    assert dump(state) == dump(world.state) == dump(load(dump(state)))


def test_the_exchanges_own_accounts_claim_no_more_than_there_is(world):
    world.play(c.CreditDeposit(INSURANCE, 100, "fund"))
    world.play(c.ClaimExit(INSURANCE, 40, "claim:fund:0"))
    assert world.balance(INSURANCE) == 60
    assert world.refuse(c.ClaimExit(INSURANCE, 61, "claim:fund:1")) == "bad_value"
    assert world.refuse(c.RequestExit(4_000, 1, 1)) == "account_unknown"
    assert world.refuse(c.ClaimExit(4_000, 1, "k")) == "account_unknown"


def test_nothing_is_closed_before_half_of_the_delay_and_then_only_what_is_needed(world):
    agent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    trade(world, agent, other, 80_000)  # 9,600 USDC of margin
    leave(world, agent, 8_000 * USDC)
    bidder = world.agent(3)
    world.pass_time(DELAY // 2 - SECOND)
    world.index(1, 600_000)
    assert world.play(c.ReduceForExit(agent, 0)) == []
    # A batch lands, as ever: what the account lost is settled, and its request matures late.
    world.play(c.CutSettlement(1))
    world.finalize(1)
    world.pass_time(SECOND)
    closed = []
    for _ in range(40):
        world.index(1, 600_000)
        world.quotes(bidder, [(599_990, 100_000)], [])
        step = world.play(c.ReduceForExit(agent, 0))
        closed += [event for event in step if isinstance(event, e.Filled)]
        if not step:
            break
    lots, _ = world.held(agent)
    assert 0 < lots < 80_000
    assert {event.taker for event in closed} == {agent}
    assert world.state.margin_of(world.state.accounts[agent]).available >= 8_000 * USDC
    # An auction is the exchange's: it costs its account no fee.
    assert not any(event.fee for event in closed)


def test_who_leaves_whole_is_flat_before_the_claim_and_owes_nothing_after_it(world, replayed):
    agent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    trade(world, agent, other, 80_000)
    leave(world, agent, MONEY_MAX)
    bidder = world.agent(3)
    world.pass_time(DELAY // 2)
    for _ in range(80):
        world.index(1, 600_000)
        world.quotes(bidder, [(599_990, 100_000)], [])
        if not world.play(c.ReduceForExit(agent, 0)):
            break
    assert world.held(agent) == (0, 0)
    world.play(c.CutSettlement(1))
    world.finalize(1)
    account = world.state.accounts[agent]
    assert account.settled == account.balance
    world.play(c.ClaimExit(agent, account.settled, "claim:s:0"))
    assert (account.settled, account.balance) == (0, 0)
    state = replayed(world.journal)
    assert dump(state) == dump(world.state) == dump(load(dump(state)))


@pytest.fixture
def offered(world):
    """An owner that leaves, whose position a maker is asked for: the account, the maker, and the request."""
    agent, other, maker = world.agent(1, 10_000 * USDC), world.agent(2), world.agent(3)
    trade(world, agent, other, 80_000)
    leave(world, agent, 2_000 * USDC)
    world.play(c.Subscribe(maker, (1,)))
    world.pass_time(DELAY // 2)
    world.index(1, 600_000)
    (opened,) = world.play(c.ReduceForExit(agent, 0))
    assert (opened.account, opened.makers) == (agent, (maker,))
    return agent, maker, opened


def bid_at_the_limit(world, offered) -> list[e.Filled]:
    _, maker, opened = offered
    bid = c.AnswerRequest(maker, opened.request, opened.limit, 0, opened.size, 1, world.now + SECOND)
    return [event for event in world.play(bid) if isinstance(event, e.Filled)]


def test_what_an_owner_sells_to_leave_is_bounded_by_the_mark_at_the_close(world, offered):
    world.index(1, 600_100)
    assert bid_at_the_limit(world, offered) == []
    world.index(1, 600_000)
    (opened,) = world.play(c.ReduceForExit(offered[0], 0))
    assert bid_at_the_limit(world, (*offered[:2], opened))


def test_who_need_not_sell_any_more_when_the_auction_closes_sells_nothing(world, offered):
    agent, _, opened = offered
    assert isinstance(world.play(c.ReleaseExit(agent, 0))[0], ExitReleased)
    assert bid_at_the_limit(world, offered) == []
    assert world.held(agent)[0] == 80_000
    # Nor does who has become free of the position by what it was paid meanwhile.
    leave(world, agent, 2_000 * USDC)
    world.pass_time(DELAY // 2)
    world.index(1, 600_000)
    (opened,) = world.play(c.ReduceForExit(agent, 0))
    world.play(c.CreditDeposit(agent, 5_000 * USDC, "more"))
    assert bid_at_the_limit(world, (agent, offered[1], opened)) == []


def test_who_asks_anew_while_an_auction_is_open_has_half_of_the_new_delay_to_itself(world, offered):
    agent, *_ = offered
    leave(world, agent, 3_000 * USDC)
    assert bid_at_the_limit(world, offered) == []
    assert world.held(agent)[0] == 80_000
    assert world.play(c.ReduceForExit(agent, 0)) == []


def test_a_stale_look_at_the_chain_closes_nothing(world):
    agent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    trade(world, agent, other, 20_000)
    leave(world, agent, MONEY_MAX)
    world.pass_time(DELAY)
    world.index(1, 600_000)
    assert world.play(c.ReduceForExit(agent, 1)) == []
    assert world.play(c.ReduceForExit(other, 0)) == []


def test_sub_accounts_share_the_slot_so_they_share_what_is_asked_for(world):
    parent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    sub = world.play(c.OpenSubAccount(parent, 1))[0].account
    world.play(c.Transfer(parent, parent, sub, 6_000 * USDC, "t"))
    leave(world, parent, 5_000 * USDC)
    # 4,000 are the parent's, so 1,000 of the sub-account's 6,000 stay free: 5,000 carry 4.1 BTC at 50 times.
    world.quotes(other, [], [(600_000, 45_000)])
    assert ask(world, sub, "much", 1, 45_000, 600_000) == "insufficient_margin"
    assert trade(world, sub, other, 40_000, "less") == "filled"
    assert world.refuse(c.Transfer(parent, sub, parent, 1_100 * USDC, "back")) == "transfer_too_large"
    claimed = world.play(c.ClaimExit(parent, 5_000 * USDC, "claim:s:0"))[0]
    assert claimed.given == ((sub, 1_000 * USDC),)
    assert world.balance(parent) == 0
    assert world.state.accounts[parent].settled == 5_000 * USDC


def test_a_claim_beyond_what_there_is_leaves_a_debt_that_holds_withdrawals(world):
    agent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    trade(world, agent, other, 20_000)
    world.quotes(other, [(599_000, 20_000)], [])
    world.closed(world.request(agent, "loss", -1, 20_000, 599_000))
    lost = 10_000 * USDC - world.balance(agent)
    assert lost > 0
    # No batch came between the loss and the claim.
    world.play(c.ClaimExit(agent, 10_000 * USDC, "claim:s:0"))
    assert world.balance(agent) == -lost
    assert world.refuse(c.ReserveWithdrawal(other, 1, "w")) == "withdrawals_gated"
    world.play(c.CreditDeposit(INSURANCE, 1_000 * USDC, "fund"))
    world.play(c.CutSettlement(1))
    assert world.state.cut.deltas[INSURANCE] <= 1_000 * USDC - lost


def test_what_a_page_did_not_do_is_asked_for_again_by_the_next_cut(world):
    loser, winner = world.agent(1, 10_000 * USDC), world.agent(2)
    trade(world, loser, winner, 20_000)
    world.index(1, 599_000)
    world.play(c.CutSettlement(1))
    deltas = world.state.cut.deltas
    assert deltas[loser] < 0 < deltas[winner]
    slots = {one: world.state.accounts[one].slot for one in (loser, winner)}
    short = 50 * USDC
    told = world.play(c.TakeUnapplied(1, 0, ((slots[loser], -short), (slots[winner], short))))
    assert told == [DeltasUnapplied(world.now, 1, 0, ((loser, -short, -short), (winner, short, short)))]
    # Of what the batch did not ask for, others have the chain tell.
    wrong = ((slots[loser], -short + 1), (slots[winner], short + deltas[winner] + 1))
    assert world.play(c.TakeUnapplied(1, 0, wrong)) == []
    # The chain tells sums, so telling them twice changes nothing.
    assert world.play(c.TakeUnapplied(1, 0, ((slots[loser], -short), (slots[winner], short)))) == []
    world.finalize(1)
    world.play(c.CutSettlement(2))
    assert world.state.cut.deltas == {loser: -short, winner: short}
    assert world.refuse(c.TakeUnapplied(1, 0, ())) == "batch_out_of_order"
    assert world.refuse(c.TakeUnapplied(2, 0, ((99, 1),))) == "account_unknown"
