"""Funding in the exchange: premiums while time passes, and hours that are paid once, in order, at what was known when they ended."""

import pytest
from msgspec.structs import replace

from core import events as e
from core.accounts import CLEARING, INSURANCE, TREASURY
from core.funding import HOUR, SAMPLES_PER_HOUR, FundingTerms, charge_per_lot, payment
from core.funding_events import headline, paid_by
from core.funding_hour import SAMPLE_EVERY, Basis, hour_of
from core.liquidation_events import LiquidationStarted
from core.market import MarketStatus
from core.postings import postings
from core.quantities import MILLISECOND, SECOND
from core.rates import PERCENT
from core.validity import Validity
from matcher import commands as c
from matcher.funding import HOURS_KEPT, UNPAID_MAX
from matcher.image import dump, load, state_hash
from matcher.rejections import Repeated
from matcher.state import conserved

INDEX = 600_000
LOT = 10
"""Micro-USDC per tick and lot of the market used here."""


def begin(world):
    """Go to the first instant of an hour; returns its number."""
    number = hour_of(world.now)
    world.now = number * HOUR
    world.index(1, INDEX)
    world.index(2, 300_000)
    world.pass_time(0)
    return number + 1


def trade(world):
    """Two makers and a taker that is long 1,000 lots, all of them from the first maker."""
    makers = [world.agent(1), world.agent(2)]
    taker = world.agent(3)
    world.quotes(makers[0], [(INDEX - 10, 1_000)], [(INDEX + 10, 1_000)])
    world.request(taker, "first", 1, 1_000, INDEX + 10)
    world.quotes(makers[0], [], [(INDEX + 50, 1)])
    return (*makers, taker)


@pytest.fixture
def hour(world):
    return begin(world)


@pytest.fixture
def trading(world, hour):
    return trade(world)


def stand(world, makers, bid, ask, size=10_000):
    for maker in makers:
        world.quotes(maker, [(bid, size)], [(ask, size)])


def sample(world, samples, makers=(), bid=INDEX - 10, ask=INDEX + 10, price=INDEX):
    """So many more premiums, with quotes and an index price that are kept up."""
    for _ in range(samples):
        if makers:
            stand(world, makers, bid, ask)
        world.index(1, price)
        world.pass_time(SAMPLE_EVERY)


def an_hour(world):
    """Later, with a premium."""
    world.now += HOUR
    world.index(1, INDEX)
    world.pass_time(0)


def pays(size, paid):
    """What `size` lots paid in an hour, before the treasury's share."""
    return payment(size, charge_per_lot(paid.index * LOT, paid.hourly))


def settle(world, hour, market=1):
    return world.play(c.SettleFunding(market, hour))[0]


def premiums(world, market=1):
    return [
        event for event in world.journal if isinstance(event, e.PremiumSampled) and event.market == market
    ]


def test_a_premium_is_sampled_in_every_window_of_five_seconds(world, hour):
    begun, due = len(premiums(world)), []
    while len(due) < 20:
        world.index(1, INDEX)
        world.now = world.state.next_deadline()
        due += [
            event.due
            for event in world.pass_time(0)
            if isinstance(event, e.DeadlinePassed) and event.market == 1
        ]
    assert [event.at for event in premiums(world)[begun:]] == due
    assert [at // SAMPLE_EVERY - due[0] // SAMPLE_EVERY for at in due] == list(range(20))
    assert len({at % SAMPLE_EVERY for at in due}) == 20
    assert {event.hour for event in premiums(world)[begun:]} == {hour}


def test_windows_that_are_missed_are_not_made_up_for(world, hour):
    begun = len(premiums(world))
    world.now += 62 * SECOND
    world.index(1, INDEX)
    world.pass_time(0)
    assert [event.at for event in premiums(world)[begun:]] == [world.now]
    assert world.now < world.state.next_deadline() <= world.now + 2 * SAMPLE_EVERY


def test_quotes_that_stand_a_millisecond_in_five_seconds_set_no_hour(world, hour):
    """They may choose the moment, but not which: each of 720 chances is one in 5,000."""
    makers = [world.agent(1), world.agent(2)]
    world.state.book.secret = b"drawn at the start"
    seen = []
    for _ in range(SAMPLES_PER_HOUR - 1):
        world.index(1, INDEX)
        window = world.now // SAMPLE_EVERY + 1
        seen += world.pass_time(window * SAMPLE_EVERY - MILLISECOND - world.now)
        stand(world, makers, INDEX + 20_000, INDEX + 21_000)
        seen += world.pass_time(MILLISECOND)
        for maker in makers:
            world.play(c.CancelAll(maker))
    taken = [event for event in seen if isinstance(event, e.PremiumSampled) and event.market == 1]
    assert len(taken) >= SAMPLES_PER_HOUR - 2
    assert sum(event.premium > 0 for event in taken) <= 2


def test_a_premium_says_what_it_was_made_of(world, hour):
    makers = [world.agent(1), world.agent(2)]
    stand(world, makers[:1], INDEX + 600, INDEX + 1_200)
    sampled = premiums_of(world.pass_time(SAMPLE_EVERY))
    assert (sampled.premium, sampled.bid, sampled.ask) == (0, 0, 0)
    assert (sampled.makers, sampled.stood) == (1, ((makers[0], 10_000),))
    stand(world, makers, INDEX + 600, INDEX + 1_200)
    sampled = premiums_of(world.pass_time(SAMPLE_EVERY))
    assert (sampled.premium, sampled.index) == (PERCENT // 10, INDEX)
    assert (sampled.bid, sampled.ask) == ((INDEX + 600) * 10**6, (INDEX + 1_200) * 10**6)
    assert (sampled.makers, sampled.stood) == (2, ((makers[0], 10_000), (makers[1], 10_000)))
    stand(world, makers, INDEX - 1_200, INDEX - 600)
    sampled = premiums_of(world.pass_time(SAMPLE_EVERY))
    assert (sampled.premium, sampled.makers) == (-PERCENT // 10, 2)
    world.play(c.CancelAll(makers[0]))
    world.play(c.CancelAll(makers[1]))
    sampled = premiums_of(world.pass_time(SAMPLE_EVERY))
    assert (sampled.premium, sampled.bid, sampled.ask, sampled.makers) == (0, 0, 0, 0)


def premiums_of(events, market=1):
    (sampled,) = [event for event in events if isinstance(event, e.PremiumSampled) and event.market == market]
    return sampled


def test_quotes_that_nobody_could_trade_against_make_no_premium(world, hour):
    makers = [world.agent(1), world.agent(2)]
    stand(world, makers, INDEX + 600, INDEX + 1_200)
    # The index leaves the band around the price at which the quotes were given: they are void.
    world.index(1, INDEX - 7_000)
    sampled = premiums_of(world.pass_time(SAMPLE_EVERY))
    assert (sampled.premium, sampled.makers) == (0, 0)
    # Less than the impact notional (25,000 USDC at 50 times) is no depth.
    world.index(1, INDEX)
    stand(world, makers, INDEX + 600, INDEX + 1_200, size=2_081)
    assert premiums_of(world.pass_time(SAMPLE_EVERY)).premium == 0
    stand(world, makers, INDEX + 600, INDEX + 1_200, size=2_082)
    assert premiums_of(world.pass_time(SAMPLE_EVERY)).premium == PERCENT // 10


@pytest.mark.parametrize("untrusted", ["paused", "uncertain", "unpriced"])
def test_no_premium_is_sampled_where_none_could_be_believed(world, hour, untrusted):
    if untrusted == "paused":
        world.play(c.SetMarketStatus(1, MarketStatus.PAUSED))
    elif untrusted == "uncertain":
        world.index(1, INDEX, confidence=INDEX // 10)
    else:
        world.play(c.ListMarket(replace(world.state.markets[1], id=1 + 2, symbol="NEW-PERP")))
    market = 3 if untrusted == "unpriced" else 1
    before = len(premiums(world, market))
    world.pass_time(SAMPLE_EVERY)
    assert len(premiums(world, market)) == before
    assert len(premiums(world, 2)) > 0


def test_the_premium_decides_the_rate_and_who_pays(world, hour, trading):
    first, second, taker = trading
    sample(world, SAMPLES_PER_HOUR, (first, second), bid=INDEX + 600, ask=INDEX + 1_200)
    before = [world.balance(account) for account in trading]
    paid = settle(world, hour)
    mean = PERCENT // 10 * (SAMPLES_PER_HOUR - 1) // SAMPLES_PER_HOUR
    assert (paid.basis, paid.samples, paid.premium) == (Basis.PREMIUM, SAMPLES_PER_HOUR, mean)
    assert paid.rate == mean - PERCENT // 20
    assert paid.hourly == paid.rate // 8
    assert paid.after == paid.rate
    long = pays(1_000, paid)
    assert long > 0
    kept = -pays(-1_000, paid) * 9 // 10
    assert paid.payments == ((first, -kept), (taker, long))
    assert paid.treasury + paid.insurance == long - kept
    after = [world.balance(account) for account in trading]
    assert [new - old for new, old in zip(after, before, strict=True)] == [kept, 0, -long]
    assert (paid.accounts, paid.paid, paid.makers) == (2, long, 2)


def test_funding_postings_are_what_the_balances_did(world, hour, trading):
    accounts = (*trading, TREASURY, INSURANCE)
    sample(world, SAMPLES_PER_HOUR, trading[:2], price=INDEX + 7)
    before = {account: world.balance(account) for account in accounts}
    moved = dict.fromkeys(accounts, 0)
    for posting in postings(settle(world, hour)):
        for account, amount in ((posting.debit, -posting.amount), (posting.credit, posting.amount)):
            moved[account] = moved.get(account, 0) + amount
    assert moved.pop(CLEARING) == 0
    assert moved == {account: world.balance(account) - before[account] for account in accounts}
    assert all(moved[account] for account in (trading[0], trading[2], TREASURY, INSURANCE))


def test_an_hour_is_paid_once_and_a_repeat_is_told_the_first_answer(world, hour, trading):
    sample(world, SAMPLES_PER_HOUR, trading[:2])
    paid = settle(world, hour)
    before = state_hash(world.state)
    repeated = world.do(c.SettleFunding(1, hour))
    assert repeated == Repeated((headline(paid),))
    assert state_hash(world.state) == before


def test_an_hour_is_not_paid_before_it_ends(world, hour, trading):
    world.now = hour * HOUR - 1
    assert world.refuse(c.SettleFunding(1, hour)) == "funding_not_due"
    assert world.refuse(c.SettleFunding(9, hour)) == "market_unknown"
    world.now += 1
    world.index(1, INDEX)
    assert settle(world, hour).samples > 0


def three_hours(world, *, late):
    """Three hours with other premiums, index prices and positions in each, paid as they end or all of them at the end."""
    hour = begin(world)
    first, second, taker = trade(world)
    paid = []
    for number in range(3):
        price = INDEX + 300 * number
        sample(world, SAMPLES_PER_HOUR, (first, second), price + 900 * number, price + 3_000, price)
        if not late:
            paid.append(settle(world, hour + number))
        side = -1 if number else 1
        world.play(c.CancelAll(first))
        world.quotes(second, [(price - 10, 300)], [(price + 10, 300)])
        world.request(taker, f"then {number}", side, 300, price + side * 10)
    if late:
        assert world.refuse(c.SettleFunding(1, hour + 1)) == "funding_out_of_order"
        assert world.refuse(c.SettleFunding(1, hour + 2)) == "funding_out_of_order"
        paid = [settle(world, hour + number) for number in range(3)]
    return [replace(event, at=0) for event in paid]


def test_missed_hours_are_paid_in_order_by_what_was_known_when_each_ended(new_world):
    in_time, caught_up = (three_hours(new_world(), late=late) for late in (False, True))
    assert caught_up == in_time
    assert [event.open_interest for event in caught_up] == [1_000, 1_300, 1_000]
    assert [event.index for event in caught_up] == [INDEX, INDEX + 300, INDEX + 600]
    assert len({event.rate for event in caught_up}) == 3


def test_whoever_comes_after_an_hour_has_no_part_in_it(world, hour, trading):
    first, second, taker = trading
    latecomer = world.agent(4)
    sample(world, SAMPLES_PER_HOUR, (first, second), INDEX + 600, INDEX + 1_200)
    world.play(c.CancelAll(first))
    world.quotes(second, [(INDEX - 10, 5_000)], [(INDEX + 10, 5_000)])
    world.request(latecomer, "short", -1, 3_000, INDEX - 10)
    world.request(taker, "out", -1, 1_000, INDEX - 10)
    assert world.held(taker) == (0, 0)
    paid = settle(world, hour)
    assert [account for account, _ in paid.payments] == [first, taker]
    assert (paid_by(paid, latecomer), paid_by(paid, second)) == (0, 0)
    assert paid_by(paid, taker) == pays(1_000, paid)
    assert paid.open_interest == 1_000


def test_without_two_owners_standing_the_rate_follows_the_skew(world, hour, trading):
    first, _, taker = trading
    other = world.agent(1, name="b")
    sample(world, SAMPLES_PER_HOUR, (first, other), INDEX + 600, INDEX + 1_200)
    paid = settle(world, hour)
    assert (paid.basis, paid.makers) == (Basis.SKEW, 1)
    velocity = world.state.markets[1].funding.velocity
    assert (paid.skew, paid.open_interest) == (1_000, 1_000)
    assert (paid.rate, paid.after) == (velocity // 2, velocity)
    assert paid_by(paid, taker) > 0
    sample(world, SAMPLES_PER_HOUR, (first,))
    again = settle(world, hour + 1)
    assert (again.rate, again.after) == (velocity * 3 // 2, velocity * 2)


def test_who_only_answers_requests_is_a_maker_of_the_hour_in_which_it_was_filled(world, hour):
    maker, taker = world.agent(1), world.agent(2)
    world.play(c.Subscribe(maker, (1,)))
    opened = world.request(taker, "r", -1, 1_000, INDEX - 100)[0]
    world.play(c.AnswerRequest(maker, opened.request, INDEX - 50, 0, 1_000, 1, world.now + SECOND))
    assert world.held(maker)[0] == 1_000
    sample(world, SAMPLES_PER_HOUR)
    paid = settle(world, hour)
    assert (paid.basis, paid.makers, paid.skew) == (Basis.SKEW, 0, -1_000)
    assert paid.rate < 0
    assert paid_by(paid, maker) == -(-pays(1_000, paid) * 9 // 10)
    sample(world, SAMPLES_PER_HOUR)
    assert settle(world, hour + 1).skew == 0


@pytest.mark.parametrize("validity", Validity)
def test_an_hour_is_paid_at_its_last_index_however_far_today_s_is_believed(world, hour, trading, validity):
    sample(world, SAMPLES_PER_HOUR, trading[:2])
    world.index(1, INDEX + 1_000, validity=validity)
    paid = settle(world, hour)
    assert (paid.index, paid.accounts) == (INDEX, 2)


def test_an_hour_in_which_nothing_was_seen_costs_nobody_anything(world, hour, trading):
    sample(world, SAMPLES_PER_HOUR, trading[:2], INDEX + 600, INDEX + 1_200)
    rate = settle(world, hour).after
    world.index(1, INDEX, confidence=INDEX // 10)
    world.pass_time(2 * HOUR)
    world.index(1, INDEX)
    assert settle(world, hour + 1).samples == 1
    after = world.state.funding[1].rate
    empty = settle(world, hour + 2)
    assert (empty.basis, empty.samples, empty.hourly, empty.payments) == (Basis.NOTHING, 0, 0, ())
    assert empty.after == world.state.funding[1].rate == after != rate


def test_hours_without_a_premium_may_be_passed_over(world, hour):
    world.now += 5 * HOUR
    world.index(1, INDEX)
    settle(world, hour)
    settle(world, hour + 3)
    assert world.refuse(c.SettleFunding(1, hour + 2)) == "funding_settled"
    assert world.refuse(c.SettleFunding(1, 0)) == "funding_settled"


def test_hours_that_nobody_pays_for_a_day_are_paid_by_the_exchange(world, hour, trading, replayed):
    for _ in range(UNPAID_MAX + 2):
        an_hour(world)
    funding = world.state.funding[1]
    assert [funding.unpaid[0].number, funding.unpaid[-1].number] == [hour + 2, hour + UNPAID_MAX + 1]
    paid = [event for event in world.journal if isinstance(event, e.FundingSettled)]
    assert [one.hour for one in paid] == [hour, hour + 1]
    assert world.do(c.SettleFunding(1, hour + 1)).events[0].hour == hour + 1
    assert all(one.payments for one in paid)
    assert conserved(world.state)
    assert state_hash(replayed(world.journal)) == state_hash(world.state)


def test_the_answers_of_a_week_are_kept(world, hour, trading):
    for number in range(HOURS_KEPT + 1):
        an_hour(world)
        assert settle(world, hour + number).hour == hour + number
    assert len(world.state.funding[1].kept) == HOURS_KEPT
    assert world.refuse(c.SettleFunding(1, hour)) == "funding_settled"


def test_parameters_stay_while_funding_is_unpaid(world, hour, trading):
    first, _, taker = trading
    other = replace(world.state.markets[1], funding=FundingTerms(interest=0))
    assert world.refuse(c.ListMarket(other)) == "market_in_use"
    sample(world, SAMPLES_PER_HOUR, trading[:2])
    world.play(c.CancelAll(trading[1]))
    world.quotes(first, [(INDEX - 10, 1_000)], [])
    world.request(taker, "out", -1, 1_000, INDEX - 10)
    assert world.held(taker) == (0, 0)
    assert world.refuse(c.ListMarket(other)) == "market_in_use"
    settle(world, hour)
    world.play(c.ListMarket(other))
    assert world.state.markets[1].funding.interest == 0


def test_a_restart_within_an_unpaid_hour_changes_nothing(world, replayed, hour, trading):
    first, second, taker = trading
    sample(world, SAMPLES_PER_HOUR + 10, (first, second), INDEX + 600, INDEX + 1_200)
    world.quotes(second, [(INDEX - 10, 400)], [])
    world.request(taker, "part", -1, 400, INDEX - 10)
    states = [world.state, load(dump(world.state)), replayed(world.journal)]
    records = []
    for state in states:
        world.state = state
        world.journal = [None] * state.seq
        world.play(c.StartEpoch())
        records.append(settle(world, hour))
        assert conserved(state)
    assert records[0] == records[1] == records[2]
    assert paid_by(records[0], taker) == pays(1_000, records[0])
    assert len({state_hash(state) for state in states}) == 1


def test_a_balance_may_go_below_zero_by_funding(world, hour):
    """A profit that is not realized backs the position, and the balance pays."""
    maker, other, taker = world.agent(1), world.agent(2), world.agent(3, deposit=130_000_000)
    world.quotes(maker, [], [(INDEX, 1_000)])
    world.request(taker, "all", 1, 1_000, INDEX)
    price = INDEX * 2
    world.index(1, price)
    for number in range(2):
        sample(world, SAMPLES_PER_HOUR, (maker, other), price + 58_000, price + 59_000, price)
        assert settle(world, hour + number).hourly > PERCENT // 2
    assert world.balance(taker) < 0
    assert world.state.margin_of(world.state.accounts[taker]).equity > 0


def test_an_hour_that_takes_an_account_below_maintenance_starts_its_liquidation_before_it_is_paid(
    world, hour
):
    maker, other, taker = world.agent(1), world.agent(2), world.agent(3, deposit=130_000_000)
    world.quotes(maker, [], [(INDEX, 1_000)])
    world.request(taker, "all", 1, 1_000, INDEX)
    for number in range(2):
        begun = [event for event in world.journal if isinstance(event, LiquidationStarted)]
        assert not begun
        sample(world, SAMPLES_PER_HOUR, (maker, other), INDEX + 29_000, INDEX + 29_500)
        # Without quotes the mark goes to the index.
        world.play(c.CancelAll(maker))
        world.play(c.CancelAll(other))
        for _ in range(12):
            world.now += 5 * SECOND
            world.index(1, INDEX)
        world.pass_time(0)
        assert len(world.state.funding[1].unpaid) == number + 1
    begun = [event for event in world.journal if isinstance(event, LiquidationStarted)]
    assert [event.account for event in begun] == [taker]
