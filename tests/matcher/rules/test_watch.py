"""The watch beside a look at every account: the same are found at every mark, and a mark costs only whom it crosses."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.liquidation import warning_in_force
from core.liquidation_events import MarginWarned
from core.quantities import SECOND
from matcher import commands as c
from matcher.apply import apply
from matcher.image import dump, load

ACCOUNTS = 6
MOVES = st.sampled_from([-40, -15, -6, -3, -1, 1, 3, 6, 15, 40])
"""Of a mark, in parts per thousand."""


@pytest.fixture
def market_of_leveraged(new_world):
    """A world with a deep maker, and accounts of which each may open what its money allows."""

    def make(deposits):
        world = new_world()
        maker = world.agent(1, 10**15)
        accounts = [world.agent(number, deposit) for number, deposit in enumerate(deposits, 2)]
        return world, maker, accounts

    return make


def trade(world, maker, account, market, lots):
    """Trade `lots` (signed) at the index, if margin allows; the maker's quotes are gone after it."""
    index = world.state.indexes[market].price
    world.quotes(maker, [(index - 1, 10**9)], [(index + 1, 10**9)], market)
    side = 1 if lots > 0 else -1
    world.request(account, f"t{world.state.seq}", side, abs(lots), index + side, market=market)
    world.play(c.CancelAll(maker))


def naive(state):
    """Who is to be liquidated and whose warning level is another, by looking at every account."""
    liquidatable, warned = set(), set()
    for id in state.owned:
        account = state.accounts[id]
        risk = state.margin_of(account)
        if risk.liquidatable:
            liquidatable.add(id)
        elif warning_in_force(account.warned, risk.equity, risk.maintenance) != account.warned:
            warned.add(id)
    return liquidatable, warned


def standing(state, id):
    risk = state.margin_of(state.accounts[id])
    return risk.equity, risk.maintenance


def found(state):
    state.watch.look(state)
    return state.watch.due, set(state.watch.warned)


ACTIONS = st.one_of(
    st.tuples(
        st.just("trade"),
        st.integers(0, ACCOUNTS - 1),
        st.sampled_from([1, 2]),
        st.integers(-97, 97) | st.sampled_from([90, -90]),
    ),
    st.tuples(st.just("mark"), st.just(0), st.sampled_from([1, 2]), MOVES),
    st.tuples(st.just("mark"), st.just(0), st.sampled_from([1, 2]), MOVES),
    st.tuples(st.just("warn"), st.just(0), st.just(0), st.just(0)),
    st.tuples(st.just("deposit"), st.integers(0, ACCOUNTS - 1), st.just(0), st.integers(1, 30)),
    st.tuples(st.just("withdraw"), st.integers(0, ACCOUNTS - 1), st.just(0), st.integers(1, 30)),
    st.tuples(st.just("warn"), st.just(0), st.just(0), st.just(0)),
    st.tuples(st.just("load"), st.just(0), st.just(0), st.just(0)),
)


def act(world, maker, accounts, action):
    kind, number, market, amount = action
    world.now += SECOND // 10
    state = world.state
    match kind:
        case "trade" if amount:
            mark, free = state.marks[market], state.margin_of(state.accounts[accounts[number]]).available
            most = max(0, free) * 10**6 // (mark.value_per_lot * mark.initial)
            trade(world, maker, accounts[number], market, most * amount // 100 or 1)
        case "mark":
            world.index(market, state.indexes[market].price * (1_000 + amount) // 1_000)
        case "deposit":
            world.play(c.CreditDeposit(accounts[number], amount * 10**6, f"d{state.seq}"))
        case "withdraw":
            world.do(c.ReserveWithdrawal(accounts[number], amount * 10**6, f"w{state.seq}"))
        case "warn":
            for id in found(state)[1]:
                level = warning_in_force(state.accounts[id].warned, *standing(state, id))
                world.journal.append(MarginWarned(world.now, id, level, *standing(state, id)))
                apply(state, world.journal[-1])
        case "load":
            world.state = load(dump(state))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    deposits=st.lists(st.integers(10**7, 10**9), min_size=ACCOUNTS, max_size=ACCOUNTS),
    actions=st.lists(ACTIONS, min_size=5, max_size=60),
)
def test_the_same_accounts_are_found_as_by_looking_at_all(market_of_leveraged, deposits, actions):
    """Nobody is liquidated here, so that accounts come back from below maintenance too."""
    world, maker, accounts = market_of_leveraged(deposits)
    for action in actions:
        act(world, maker, accounts, action)
        liquidatable, warned = naive(world.state)
        due, to_warn = found(world.state)
        assert due == liquidatable
        if action[0] in ("mark", "load"):
            assert to_warn == warned
    rebuilt = load(dump(world.state))
    assert found(rebuilt)[0] == found(world.state)[0]
