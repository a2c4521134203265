"""Random histories: whatever agents and operator do, money and positions add up, and replay gives the same state."""

from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core import events as e
from core.accounts import CLEARING, INSURANCE
from core.batches import BatchStatus
from core.funding import HOUR, FundingTerms
from core.liquidation import LiquidationTerms
from core.liquidation_events import Deleveraged, LiquidationSliced, TakenOver
from core.market import MarketStatus
from core.open_interest import WINDOW_MIN, JumpAlarm
from core.quantities import SECOND
from core.validity import Validity
from matcher import commands as c
from matcher.image import dump, load, state_hash
from matcher.limits import TTL_CLASSES
from matcher.state import net_of_owner

AGENTS = st.integers(16, 26)
"""Eight agents, two sub-accounts that are there from the beginning, and one that may come about."""
MARKETS = st.sampled_from([1, 1, 1, 2, 7])
PRICES = st.one_of(
    st.integers(594_000, 606_000), st.integers(297_000, 303_000), st.sampled_from([-1, 0, 1, 10**12, 10**13])
)
SIZES = st.one_of(st.integers(1, 200_000), st.sampled_from([-5, 0, 10**12, 10**12 + 1]))
KEYS = st.sampled_from([f"k{number}" for number in range(40)] + ["", "x" * 65])
SIDES = st.sampled_from([1, -1, 1, -1, 0])
REQUESTS = st.integers(0, 60)
MINUTE = 60 * SECOND
POSITION_CAP = 50_000
"""Of market 1, in lots: low enough for the agents' money to reach it."""
ALARM = JumpAlarm(1_000, WINDOW_MIN, True)
AMOUNTS = st.sampled_from([-1, 0, 1, 10**8, 10**9, 10**12])
LEVELS = st.lists(st.tuples(PRICES, SIZES), max_size=3).map(tuple)


def commands(now: int, first_id: int) -> st.SearchStrategy[c.Command]:
    """Any command, sane or hostile, as seen from `now`; ids are near those that exist."""
    ids = REQUESTS.map(lambda number: first_id + number)
    soon = st.sampled_from([now - 1, now + SECOND // 2, now + 60 * SECOND, now + 61 * SECOND])
    return st.one_of(
        st.builds(
            c.OpenRequest,
            account=AGENTS,
            key=KEYS,
            market=MARKETS,
            side=SIDES,
            size=SIZES,
            limit=PRICES,
            ttl=st.sampled_from([*TTL_CLASSES, 7]),
            auto=st.booleans(),
            all_or_none=st.booleans(),
            reduce_only=st.booleans(),
            show_side=st.booleans(),
        ),
        st.builds(c.SetQuotes, account=AGENTS, market=MARKETS, bids=LEVELS, asks=LEVELS, expires=soon),
        st.builds(
            c.SetQuotes,
            account=AGENTS,
            market=st.just(1),
            bids=st.just(((599_900, 30_000),)),
            asks=st.just(((600_100, 30_000),)),
            expires=st.just(now + SECOND),
        ),
        st.builds(
            c.OpenRequest,
            account=AGENTS,
            key=KEYS,
            market=st.just(1),
            side=st.sampled_from([1, -1]),
            size=st.just(POSITION_CAP),
            limit=st.sampled_from([590_000, 610_000]),
            ttl=st.just(SECOND),
        ),
        st.builds(
            c.SetQuotes,
            account=AGENTS,
            market=st.just(2),
            bids=st.just(((299_950, 50_000),)),
            asks=st.just(((300_050, 50_000),)),
            expires=st.just(now + SECOND),
        ),
        st.builds(
            c.AnswerRequest,
            account=AGENTS,
            request=ids,
            bid=PRICES,
            ask=PRICES,
            size=SIZES,
            min_fill=SIZES,
            expires=soon,
        ),
        st.builds(c.PassRequest, account=AGENTS, request=ids),
        st.builds(c.AcceptQuote, account=AGENTS, request=ids, quote=ids),
        st.builds(c.CancelRequest, account=AGENTS, request=ids),
        st.builds(c.CancelQuote, account=AGENTS, request=ids),
        st.builds(c.CancelAll, account=AGENTS),
        st.builds(c.CancelAfter, account=AGENTS, deadline=soon),
        st.builds(c.Subscribe, account=AGENTS, markets=st.sampled_from([(1,), (1, 2), (), (9,)])),
        st.builds(
            c.SetProtection,
            account=AGENTS,
            market=MARKETS,
            window=st.just(SECOND),
            size=st.integers(0, 10_000),
            net=st.integers(0, 10_000),
            freeze=st.just(SECOND),
        ),
        st.builds(
            c.UpdateIndex,
            market=MARKETS,
            price=PRICES,
            confidence=st.just(0),
            published=st.just(now),
            source=st.just("t"),
            validity=st.sampled_from(Validity),
        ),
        st.builds(
            c.CreditDeposit,
            account=AGENTS | st.just(INSURANCE),
            amount=st.sampled_from([-1, 0, 1, 10**9, 10**15]),
            key=KEYS,
        ),
        st.builds(
            c.ReserveWithdrawal, account=AGENTS, amount=st.sampled_from([-1, 0, 1, 10**9, 10**12]), key=KEYS
        ),
        st.builds(
            c.FinishWithdrawal, withdrawal=st.integers(0, 9), paid=st.booleans(), signature=st.just("s")
        ),
        st.builds(
            c.RequestExit,
            account=AGENTS,
            amount=st.sampled_from([0, 10**8, 10**10, 10**12]),
            exit_at=st.just((now + MINUTE) // SECOND),
        ),
        st.builds(c.ReleaseExit, account=AGENTS, claimed=st.sampled_from([0, 0, 10**8])),
        st.builds(c.ReduceForExit, account=AGENTS, claimed=st.sampled_from([0, 10**8, 10**10])),
        st.builds(
            c.ClaimExit,
            account=AGENTS | st.just(INSURANCE),
            amount=st.sampled_from([0, 10**8, 10**10]),
            key=KEYS,
        ),
        st.builds(
            c.TakeUnapplied,
            batch=st.integers(0, 9),
            page=st.integers(0, 1),
            unapplied=st.lists(st.tuples(st.integers(0, 9), AMOUNTS), max_size=3).map(tuple),
        ),
        st.builds(c.CutSettlement, batch=st.integers(0, 9)),
        st.builds(c.AdvanceBatch, batch=st.integers(0, 9), status=st.sampled_from([*BatchStatus, 9])),
        st.builds(c.SetInsuranceFloor, floor=st.sampled_from([-1, 0, 10**9])),
        st.builds(c.SellInventory, market=MARKETS),
        st.builds(
            c.SettleFunding, market=MARKETS, hour=st.integers(-2, 2).map(lambda ago: now // HOUR - ago)
        ),
        st.builds(c.SetTier, account=AGENTS, tier=st.integers(-1, 2)),
        st.builds(c.SetMarketStatus, market=MARKETS, status=st.sampled_from([*MarketStatus, 1, 1])),
        st.builds(
            c.SetLimits,
            market=MARKETS,
            position_cap=st.sampled_from([None, 0, POSITION_CAP]),
            open_interest_cap=st.sampled_from([None, 1, 10**7]),
            taker_fee=st.sampled_from([None, 0, 500, 10_001]),
            alarm=st.sampled_from([None, JumpAlarm(10_000, WINDOW_MIN), JumpAlarm(1_000, WINDOW_MIN, True)]),
            liquidation=st.sampled_from(
                [None, LiquidationTerms(slice_share=700_000), LiquidationTerms(fee=-1)]
            ),
            funding=st.sampled_from([None, FundingTerms(interest=0), FundingTerms(cap=-1)]),
            index_max_age=st.sampled_from([None, 0, 30 * SECOND]),
            greedy_deleveraging=st.sampled_from([None, False, True]),
        ),
        st.builds(c.DelistMarket, market=MARKETS, force=st.sampled_from([False, False, False, True])),
        st.builds(c.HoldWithdrawals, st.booleans()),
        st.builds(c.OpenSubAccount, account=AGENTS, market=MARKETS),
        st.builds(c.Transfer, account=AGENTS, giver=AGENTS, receiver=AGENTS, amount=AMOUNTS, key=KEYS),
        st.builds(c.HoldSettlement, st.booleans()),
        st.just(c.Advance()),
    )


def trading(now: int, number: int, market: int, index: int) -> st.SearchStrategy[c.Command]:
    """Commands that usually succeed around the market's index, so that positions and marks come about."""
    away = st.integers(1, 3_000)
    size = st.one_of(st.integers(1, 2_000), st.integers(1, 300_000))
    return st.one_of(
        st.builds(
            lambda account, bid, ask, lots: c.SetQuotes(
                account, market, ((index - bid, lots),), ((index + ask, lots),), now + 20 * SECOND
            ),
            AGENTS,
            away,
            away,
            size,
        ),
        st.builds(
            lambda account, side, lots: c.OpenRequest(
                account, f"t{number}", market, side, lots, index + side * 3_000, SECOND
            ),
            AGENTS,
            st.sampled_from([1, -1]),
            size,
        ),
        st.builds(
            lambda moved, validity: c.UpdateIndex(market, index + moved, 0, now, "t", validity),
            st.sampled_from([0, 30, -30, 3_000, -3_000]),
            st.one_of(st.just(Validity.VALID), st.sampled_from(Validity)),
        ),
        st.sampled_from(
            [c.Advance(), c.SettleFunding(market, now // HOUR), c.SettleFunding(market, now // HOUR)]
        ),
        st.builds(
            lambda pair, amount, back: c.Transfer(pair[0], *pair[:: -1 if back else 1], amount, f"t{number}"),
            st.sampled_from([(17, 24), (16, 25)]),
            AMOUNTS,
            st.booleans(),
        ),
    )


def as_the_chain_tells(state, command):
    """Claims and shortfalls that can be: the chain pays no more than it holds, and holds back from one what another lacks."""
    if isinstance(command, c.ClaimExit):
        held = state.accounts.get(command.account)
        return replace(command, amount=min(command.amount, held.settled if held is not None else 0))
    if isinstance(command, c.TakeUnapplied) and len(command.unapplied) > 1:
        (one, amount), (other, _) = command.unapplied[:2]
        debtor, creditor = (
            state.accounts.get(state.slots.get((command.page, slot))) for slot in (one, other)
        )
        if debtor is not None and creditor is not None and debtor is not creditor:
            short = max(0, min(amount, creditor.settled))
            told = ((one, debtor.unapplied - short), (other, creditor.unapplied + short))
            return replace(command, unapplied=told)
    return replace(command, unapplied=()) if isinstance(command, c.TakeUnapplied) else command


def open_sub_accounts(world):
    """Two, one in each market, with something in them: what the other agents do they do as well."""
    for market, parent in ((1, 17), (2, 16)):
        sub = world.play(c.OpenSubAccount(parent, market))[0].account
        world.play(c.Transfer(parent, parent, sub, 5 * 10**10, "stake"))


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)
@given(data=st.data(), length=st.integers(50, 200))
def test_no_history_makes_money_and_replay_gives_the_same_state(new_world, replayed, data, length):
    world = new_world()
    for owner in range(1, 7):
        world.agent(owner, deposit=10**11)
    for name in ("b", "c"):
        world.agent(1, deposit=10**9, name=name)
    open_sub_accounts(world)
    world.play(c.ListMarket(replace(world.state.markets[1], position_cap=POSITION_CAP)))
    for number in range(length):
        world.now += data.draw(st.sampled_from([0, 1, SECOND // 10, SECOND, SECOND, 20 * MINUTE]))
        world.end_hours()
        before = state_hash(world.state) if data.draw(st.integers(0, 20)) == 0 else None
        first = (world.state.epoch << 32) + 1
        if data.draw(st.booleans()):
            market = data.draw(st.sampled_from([1, 2]))
            command = data.draw(trading(world.now, number, market, world.state.indexes[market].price))
        else:
            command = data.draw(commands(world.now, first + max(0, world.state.book.next_id - first - 30)))
        command = as_the_chain_tells(world.state, command)
        held, closing, nets = sizes(world.state), only_shrink(world.state), nets_of_owners(world.state)
        outcome = world.do(command)
        check_openings(world.state, held, outcome)
        check_closing(world.state, held, closing, outcome)
        if before is not None and not isinstance(outcome, list):
            assert state_hash(world.state) == before
        check_caches(world)
        check_growth_beyond_caps(world.state, nets, outcome)
    assert state_hash(replayed(world.journal)) == state_hash(world.state)
    loaded = load(dump(world.state))
    assert dump(loaded) == dump(world.state)
    assert loaded.open_interest == world.state.open_interest
    assert (loaded.marks, loaded.fills_until) == (world.state.marks, world.state.fills_until)
    assert loaded.values_until == world.state.values_until
    assert loaded.breakers == world.state.breakers


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    trades=st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from([1, -1]), st.integers(1, POSITION_CAP)),
        min_size=10,
        max_size=40,
    )
)
def test_no_history_takes_an_owner_beyond_a_position_cap(new_world, trades):
    world = new_world()
    world.play(c.ListMarket(replace(world.state.markets[1], position_cap=POSITION_CAP)))
    accounts = [world.agent(1, 10**12, name=name) for name in "abc"]
    accounts += [world.agent(owner, 10**12) for owner in (2, 3)]
    for number, (account, side, size) in enumerate(trades):
        for maker in accounts:
            world.quotes(maker, [(599_900, 20_000)], [(600_100, 20_000)])
        world.request(accounts[account], f"k{number}", side, size, 600_000 + side * 1_000)
        check_position_caps(world)


def nets_of_owners(state):
    """Net lots by owner and market."""
    return {
        (owner, market): net_of_owner(owned[0], market)
        for owner, owned in state.owners.items()
        for market in state.markets
    }


def closed_by_force(state, outcome):
    """Owners of whom a position was closed that they did not choose to: of hedged accounts, that leaves the other side."""
    accounts = set()
    for event in outcome if isinstance(outcome, list) else []:
        if isinstance(event, LiquidationSliced | TakenOver | Deleveraged):
            accounts.add(event.account)
        if isinstance(event, Deleveraged):
            accounts.update(part.other for part in event.parts)
    return {state.accounts[account].owner for account in accounts}


def check_position_caps(world):
    """Of no market an owner's accounts together hold more than its cap."""
    forced = closed_by_force(world.state, world.journal)
    for (owner, market), net in nets_of_owners(world.state).items():
        assert owner in forced or abs(net) <= world.state.markets[market].position_cap


def check_growth_beyond_caps(state, before, outcome):
    """Beyond a cap, which may have been lowered under what is held, an owner's net only shrinks."""
    forced = closed_by_force(state, outcome)
    for (owner, market), net in nets_of_owners(state).items():
        was = before.get((owner, market), 0)
        shrunk = abs(net) <= abs(was) and net * was >= 0
        assert owner in forced or abs(net) <= state.markets[market].position_cap or shrunk


def sizes(state):
    """Lots by account and market."""
    return {
        (account.id, market): position.size
        for account in state.accounts.values()
        for market, position in account.positions.items()
    }


def check_openings(state, before, outcome):
    """What was just allowed to grow or to turn around cannot be liquidated at the same mark."""
    fills = [event for event in outcome if isinstance(event, e.Filled)] if isinstance(outcome, list) else []
    after = sizes(state)
    for event in fills:
        for where in ((event.taker, event.market), (event.maker, event.market)):
            was, now = before.get(where, 0), after.get(where, 0)
            if abs(now) > abs(was) or was * now < 0:
                assert not state.margin_of(state.accounts[where[0]]).liquidatable


def only_shrink(state):
    """Markets in which nothing may be opened."""
    return {market for market, status in state.statuses.items() if status != MarketStatus.OPEN}


def check_closing(state, before, closing, outcome):
    """In a market that does not take what opens, a taker's position only shrinks, and in one that stands still nobody trades."""
    fills = [event for event in outcome if isinstance(event, e.Filled)] if isinstance(outcome, list) else []
    for event in fills:
        if event.market in closing:
            was, now = (
                before.get((event.taker, event.market), 0),
                sizes(state).get((event.taker, event.market), 0),
            )
            assert abs(now) < abs(was)
            assert was * now >= 0
            assert state.statuses[event.market] == MarketStatus.REDUCE_ONLY
    for market, status in state.statuses.items():
        if status >= MarketStatus.PAUSED:
            assert len(state.book.bids[market]) + len(state.book.asks[market]) == 0
            assert all(request.opened.market != market for request in state.book.requests.values())
        if status == MarketStatus.SETTLED:
            assert state.open_interest[market] == 0
            assert all(market not in account.positions for account in state.accounts.values())


def check_caches(world):
    """What the state keeps for speed equals what it is derived from."""
    state = world.state
    for market in state.markets:
        longs = [
            account.positions[market].size
            for account in state.accounts.values()
            if market in account.positions
        ]
        assert state.open_interest[market] == sum(size for size in longs if size > 0)
        assert state.marks[market] == state.mark_at(market, state.open_interest[market])
    for account in state.accounts.values():
        if account.valued == state.marked:
            margin = state.margin_of(account)
            assert (account.balance + account.gain, account.required) == (margin.equity, margin.initial)
    assert [(due, account) for due, _, account, _ in state.book.switch_deadlines] == sorted(
        (due, account) for account, due in state.book.switches.items()
    )
    assert set(state.book.standing_expires) <= set(state.book.standing_due)
    assert all(state.book.standing_due[of] <= until for of, until in state.book.standing_expires.items())
    for sign, ladders in ((1, state.book.asks), (-1, state.book.bids)):
        for ladder in ladders.values():
            ranks = [level.price * sign for level in ladder]
            assert ranks == sorted(ranks)
            assert all(level.size > 0 for level in ladder)
    assert {request.opened.request for request in state.book.requests.values()} == {
        id for keys in state.book.open_keys.values() for id in keys.values()
    }
    assert (
        sum(account.settled for account in state.accounts.values())
        == state.deposited - state.paid_out - state.reserved
    )
    assert all(account.settled >= 0 for account in state.accounts.values())
    if state.cut is not None:
        assert sum(state.cut.deltas.values()) == 0


def trading_command(rng: Random, world, number: int) -> c.Command:
    """Mostly what agents and operator do all day, sometimes nonsense; prices near the index of market 1."""
    state, now = world.state, world.now
    account, index = rng.randrange(16, 25), state.indexes[1].price
    wild = rng.choice([-1, 0, 10**12 + 1])
    if state.statuses[1] != MarketStatus.OPEN and rng.random() < 0.1:
        return c.SetMarketStatus(1, MarketStatus.OPEN)
    match rng.choices(range(12), [30, 35, 8, 4, 4, 3, 4, 4, 1, 2, 3, 8])[0]:
        case 0:
            bid, ask = index - rng.randrange(1, 200), index + rng.randrange(1, 200)
            sizes = rng.randrange(1, 5_000), rng.randrange(1, 5_000)
            return c.SetQuotes(account, 1, ((bid, sizes[0]),), ((ask, sizes[1]),), now + 5 * SECOND)
        case 1:
            side = rng.choice((1, -1))
            size = rng.choice((rng.randrange(1, 8_000), POSITION_CAP))
            return c.OpenRequest(account, f"t{number}", 1, side, size, index + side * 1_000, TTL_CLASSES[0])
        case 2:
            validity = Validity.VALID if rng.random() < 0.8 else rng.choice([*Validity])
            return c.UpdateIndex(1, max(1, index + rng.randrange(-3_000, 3_001)), 0, now, "t", validity)
        case 3:
            return c.CreditDeposit(account, rng.choice((1, 10**9, wild)), f"d{rng.randrange(500)}")
        case 4:
            return c.ReserveWithdrawal(account, rng.choice((1, 10**8, wild)), f"w{rng.randrange(500)}")
        case 5:
            return c.FinishWithdrawal(rng.randrange(-1, state.last_withdrawal + 2), rng.random() < 0.5, "s")
        case 6:
            batch = state.cut.batch if state.cut is not None else 0
            return c.CutSettlement(batch + rng.choice((0, 1, 1, 2)))
        case 7:
            batch = state.cut.batch if state.cut is not None else 0
            reached = state.batches.get(batch, 0)
            return c.AdvanceBatch(batch, rng.choice([*BatchStatus, 9, *(reached + 1,) * 6]))
        case 8:
            owed = state.funding[1].owed(now)
            return c.SettleFunding(1, owed[0].number if owed else now // HOUR + rng.randrange(-2, 2))
        case 9:
            return rng.choice(
                (
                    c.SetMarketStatus(1, rng.choice([MarketStatus.REDUCE_ONLY, MarketStatus.PAUSED])),
                    c.SetLimits(1, open_interest_cap=rng.choice([5_000, 10**7]), alarm=ALARM),
                    c.SetLimits(1, liquidation=LiquidationTerms(slice_share=rng.randrange(1, 10**6))),
                    c.SetLimits(
                        1, funding=FundingTerms(velocity=rng.randrange(10**9)), greedy_deleveraging=True
                    ),
                    c.HoldWithdrawals(not state.breakers.held),
                    c.HoldSettlement(state.breakers.settlement is None),
                )
            )
        case 10:
            giver, receiver = rng.choice(((17, 24), (24, 17), (16, 25), (25, 16), (24, 25), (account, 24)))
            amount = rng.choice((1, 10**8, 10**9, wild))
            return c.Transfer(rng.choice((17, 17, 17, 16)), giver, receiver, amount, f"m{rng.randrange(500)}")
        case _:
            return rng.choice(
                (
                    c.CancelAll(account),
                    c.OpenRequest(account, f"h{number}", 1, 1, wild, index, TTL_CLASSES[0]),
                    c.SetQuotes(account, 1, ((index, wild),), (), now + SECOND),
                    c.Advance(),
                )
            )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_thousands_of_commands_that_trade_neither_make_nor_lose_money(new_world, replayed, seed):
    """Hypothesis chooses the seed; conservation is checked after every command, and that there was something to conserve."""
    rng, world = Random(seed), new_world()
    for owner in range(1, 7):
        world.agent(owner, deposit=10**11)
    for name in ("b", "c"):
        world.agent(1, deposit=10**11, name=name)
    open_sub_accounts(world)
    world.play(c.ListMarket(replace(world.state.markets[1], position_cap=POSITION_CAP)))
    for number in range(3_200):
        world.now += rng.choice((0, SECOND // 100, SECOND // 10))
        world.do(trading_command(rng, world, number))
        if number % 100 == 0:
            world.pass_time(rng.choice((SECOND, 10 * MINUTE, 25 * MINUTE)))
            world.index(1, world.state.indexes[1].price)
            check_caches(world)
            check_position_caps(world)
    assert world.state.last_fill > 300
    assert world.state.cut is not None
    assert world.state.paid_out > 0
    assert len(list(world.state.transfers[17])) > 2
    assert sum(event.accounts for event in world.journal if isinstance(event, e.FundingSettled)) > 5
    world.do(c.DelistMarket(1, force=True))
    assert world.state.statuses[1] == MarketStatus.SETTLED
    assert world.balance(CLEARING) == 0
    assert state_hash(replayed(world.journal)) == state_hash(world.state)
