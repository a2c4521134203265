"""Random histories: whatever agents and operator do, money and positions add up, and replay gives the same state."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import events as e
from core.batches import BatchStatus
from core.quantities import SECOND
from matcher import commands as c
from matcher.image import dump, load, state_hash
from matcher.limits import TTL_CLASSES

AGENTS = st.integers(16, 23)
MARKETS = st.sampled_from([1, 1, 1, 2, 7])
PRICES = st.one_of(
    st.integers(594_000, 606_000), st.integers(297_000, 303_000), st.sampled_from([-1, 0, 1, 10**12, 10**13])
)
SIZES = st.one_of(st.integers(1, 200_000), st.sampled_from([-5, 0, 10**12, 10**12 + 1]))
KEYS = st.sampled_from([f"k{number}" for number in range(40)] + ["", "x" * 65])
SIDES = st.sampled_from([1, -1, 1, -1, 0])
REQUESTS = st.integers(0, 60)
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
            bids=st.just(((599_900, 50_000),)),
            asks=st.just(((600_100, 50_000),)),
            expires=st.just(now + SECOND),
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
        ),
        st.builds(
            c.CreditDeposit, account=AGENTS, amount=st.sampled_from([-1, 0, 1, 10**9, 10**15]), key=KEYS
        ),
        st.builds(
            c.ReserveWithdrawal, account=AGENTS, amount=st.sampled_from([-1, 0, 1, 10**9, 10**12]), key=KEYS
        ),
        st.builds(
            c.FinishWithdrawal, withdrawal=st.integers(0, 9), paid=st.booleans(), signature=st.just("s")
        ),
        st.builds(c.CutSettlement, batch=st.integers(0, 9)),
        st.builds(c.AdvanceBatch, batch=st.integers(0, 9), status=st.sampled_from([*BatchStatus, 9])),
        st.builds(c.SetTier, account=AGENTS, tier=st.integers(-1, 2)),
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
            lambda moved: c.UpdateIndex(market, index + moved, 0, now, "t"),
            st.sampled_from([0, 30, -30, 3_000, -3_000]),
        ),
    )


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
    for number in range(length):
        world.now += data.draw(st.sampled_from([0, 1, SECOND // 10, SECOND]))
        before = state_hash(world.state) if data.draw(st.integers(0, 20)) == 0 else None
        first = (world.state.epoch << 32) + 1
        if data.draw(st.booleans()):
            market = data.draw(st.sampled_from([1, 2]))
            command = data.draw(trading(world.now, number, market, world.state.indexes[market].price))
        else:
            command = data.draw(commands(world.now, first + max(0, world.state.book.next_id - first - 30)))
        held = sizes(world.state)
        outcome = world.do(command)
        check_openings(world.state, held, outcome)
        if before is not None and not isinstance(outcome, list):
            assert state_hash(world.state) == before
        check_caches(world)
    assert state_hash(replayed(world.journal)) == state_hash(world.state)
    loaded = load(dump(world.state))
    assert dump(loaded) == dump(world.state)
    assert loaded.open_interest == world.state.open_interest
    assert (loaded.marks, loaded.fills_until) == (world.state.marks, world.state.fills_until)


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
