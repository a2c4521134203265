"""Random histories: whatever agents and operator do, money and positions add up, and replay gives the same state.

What may come is built once, as seen from instant 0 and id 0: Hypothesis takes far longer to build it than an exchange to play it.
"""

from typing import Final, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core.accounts import INSURANCE, OF_EXCHANGE, TREASURY
from core.batches import BatchStatus
from core.funding import HOUR, FundingTerms
from core.liquidation import LiquidationTerms
from core.market import MarketStatus
from core.open_interest import WINDOW_MIN, JumpAlarm
from core.quantities import SECOND
from core.validity import Validity
from matcher import commands as c
from matcher.gates import below_zero
from matcher.image import dump, load, state_hash
from matcher.limits import TTL_CLASSES

AGENTS = st.integers(16, 26)
OWN = st.sampled_from([TREASURY, INSURANCE])
"""Eight agents, two sub-accounts that are there from the beginning, and one that may come about."""
MARKETS = st.sampled_from([1, 1, 1, 2, 7])
PRICES = st.one_of(
    st.integers(594_000, 606_000), st.integers(297_000, 303_000), st.sampled_from([-1, 0, 1, 10**12, 10**13])
)
SIZES = st.one_of(st.integers(1, 200_000), st.sampled_from([-5, 0, 10**12, 10**12 + 1]))
KEYS = st.sampled_from([f"k{number}" for number in range(40)] + ["", "x" * 65])
SIDES = st.sampled_from([1, -1, 1, -1, 0])
IDS = st.integers(0, 60)
SOON = st.sampled_from([-1, SECOND // 2, 60 * SECOND, 61 * SECOND])
POSITION_CAP = 50_000
"""Of market 1, in lots: low enough for the agents' money to reach it."""
AMOUNTS = st.sampled_from([-1, 0, 1, 10**8, 10**9, 10**12])
OWNER = "So11111111111111111111111111111111111111112"
LEVELS = st.lists(st.tuples(PRICES, SIZES), max_size=3).map(tuple)


def standing(market: int, middle: int, away: int, lots: int) -> st.SearchStrategy[c.Command]:
    """Quotes that many can trade with, for a second."""
    return st.builds(
        c.SetQuotes,
        account=AGENTS,
        market=st.just(market),
        bids=st.just(((middle - away, lots),)),
        asks=st.just(((middle + away, lots),)),
        expires=st.just(SECOND),
    )


REQUESTING: Final = (
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
    st.builds(c.AcceptQuote, account=AGENTS, request=IDS, quote=IDS),
    st.builds(c.CancelRequest, account=AGENTS, request=IDS),
)
QUOTING: Final = (
    st.builds(c.SetQuotes, account=AGENTS, market=MARKETS, bids=LEVELS, asks=LEVELS, expires=SOON),
    standing(1, 600_000, 100, 30_000),
    standing(2, 300_000, 50, 50_000),
    st.builds(
        c.AnswerRequest,
        account=AGENTS,
        request=IDS,
        bid=PRICES,
        ask=PRICES,
        size=SIZES,
        min_fill=SIZES,
        expires=SOON,
    ),
    st.builds(c.PassRequest, account=AGENTS, request=IDS),
    st.builds(c.CancelQuote, account=AGENTS, request=IDS),
    st.builds(c.CancelAll, account=AGENTS),
    st.builds(c.CancelAfter, account=AGENTS, deadline=SOON),
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
)
MONEY: Final = (
    st.builds(
        c.CreditDeposit,
        account=AGENTS | OWN,
        amount=st.sampled_from([-1, 0, 1, 10**9, 10**15]),
        key=KEYS,
    ),
    st.builds(
        c.CreditDeposits,
        st.lists(
            st.builds(
                c.CreditDeposit, AGENTS | st.just(INSURANCE), st.sampled_from([0, 1, 10**9, 10**15]), KEYS
            ),
            max_size=3,
        ).map(tuple),
    ),
    st.builds(
        c.ReserveWithdrawal, account=AGENTS, amount=st.sampled_from([-1, 0, 1, 10**9, 10**12]), key=KEYS
    ),
    st.builds(c.FinishWithdrawal, withdrawal=st.integers(0, 9), paid=st.booleans(), signature=st.just("s")),
    st.builds(c.OpenSubAccount, account=AGENTS, market=MARKETS),
    st.builds(c.Transfer, account=AGENTS, giver=AGENTS, receiver=AGENTS, amount=AMOUNTS, key=KEYS),
    st.builds(
        c.RequestExit,
        account=AGENTS | OWN,
        amount=st.sampled_from([0, 10**8, 10**10, 10**12]),
        exit_at=st.just(60),
    ),
    st.builds(c.ReleaseExit, account=AGENTS | OWN, claimed=st.sampled_from([0, 0, 10**8])),
    st.builds(c.ReduceForExit, account=AGENTS | OWN, claimed=st.sampled_from([0, 10**8, 10**10])),
    st.builds(
        c.ClaimExit,
        account=AGENTS | OWN,
        amount=st.sampled_from([0, 10**8, 10**10]),
        key=KEYS,
    ),
    st.builds(
        c.TakeUnapplied,
        batch=st.integers(0, 9),
        page=st.integers(0, 1),
        unapplied=st.lists(st.tuples(st.integers(0, 9), AMOUNTS), max_size=3).map(tuple),
    ),
    st.builds(
        c.AcceptChain,
        slots=st.lists(
            st.builds(c.HeldSlot, account=AGENTS, settled=st.just(0), holds=AMOUNTS, unapplied=AMOUNTS),
            max_size=3,
        ).map(tuple),
        left_over=AMOUNTS,
        astray=st.sampled_from([0, 0, 5]),
        lost=st.sampled_from([0, 0, 10**8, -1]),
    ),
    st.builds(
        c.SeeExitDelay,
        seconds=st.sampled_from([0, 60, 259_200]),
        limit_delay=st.sampled_from([0, 60, 86_400]),
    ),
    st.builds(c.SeeStray, key=st.sampled_from(["s", "t", ""]), claimed=st.sampled_from([-1, 0, 10**8])),
    st.builds(c.CutSettlement, batch=st.integers(0, 9)),
    st.builds(c.AdvanceBatch, batch=st.integers(0, 9), status=st.sampled_from([*BatchStatus, 9])),
    st.builds(c.SettleFunding, market=MARKETS, hour=st.integers(-2, 2)),
)
OPERATING: Final = (
    st.builds(
        c.UpdateIndex,
        market=MARKETS,
        price=PRICES,
        confidence=st.just(0),
        published=st.just(0),
        source=st.just("t"),
        validity=st.sampled_from(Validity),
    ),
    st.builds(c.SetInsuranceFloor, floor=st.sampled_from([-1, 0, 10**9])),
    st.builds(c.SellInventory, market=MARKETS),
    st.builds(c.ShareDebt, account=AGENTS | st.sampled_from([INSURANCE, TREASURY])),
    st.builds(c.SetTier, account=AGENTS, tier=st.integers(-1, 2)),
    st.builds(c.SetMarketStatus, market=MARKETS, status=st.sampled_from([*MarketStatus, 1, 1])),
    st.builds(
        c.SetLimits,
        market=MARKETS,
        position_cap=st.sampled_from([None, 0, POSITION_CAP]),
        open_interest_cap=st.sampled_from([None, 1, 10**7]),
        taker_fee=st.sampled_from([None, 0, 500, 10_001]),
        alarm=st.sampled_from([None, JumpAlarm(10_000, WINDOW_MIN), JumpAlarm(1_000, WINDOW_MIN, True)]),
        liquidation=st.sampled_from([None, LiquidationTerms(slice_share=700_000), LiquidationTerms(fee=-1)]),
        funding=st.sampled_from([None, FundingTerms(interest=0), FundingTerms(cap=-1)]),
        index_max_age=st.sampled_from([None, 0, 30 * SECOND]),
        greedy_deleveraging=st.sampled_from([None, False, True]),
    ),
    st.builds(c.DelistMarket, market=MARKETS, force=st.sampled_from([False, False, False, True])),
    st.builds(c.HoldWithdrawals, st.booleans()),
    st.builds(c.HoldSettlement, st.booleans()),
    st.builds(c.RetryBatch, st.integers(0, 3)),
    st.builds(c.RegisterAgent, owner=st.sampled_from([OWNER, "nobody"]), name=st.sampled_from(["a", "b"])),
    st.builds(c.BindSlot, account=AGENTS, page=st.integers(-1, 1), slot=st.integers(0, 12)),
    st.builds(c.RevokeSessions, account=AGENTS),
    st.builds(c.ReviewAccount, account=AGENTS),
    st.builds(
        c.SeeLossLimits,
        batch=st.integers(0, 9),
        landed=st.booleans(),
        slots=st.lists(st.builds(c.LimitedSlot, AGENTS, AMOUNTS, AMOUNTS, AMOUNTS), max_size=3).map(tuple),
    ),
    st.just(c.StartEpoch()),
    st.just(c.Advance()),
)
ANY: Final = st.one_of(*REQUESTING, *QUOTING, *MONEY, *OPERATING)
"""Any command, sane or hostile: `placed` brings it to the exchange as it is."""
UNITS: Final = {"expires": 1, "deadline": 1, "published": 1, "exit_at": SECOND, "hour": HOUR}
"""Fields that are instants, with the nanoseconds that they count in."""


def placed(command: c.Command, now: int, first_id: int) -> c.Command:
    """A command with its instants counted from `now` and the ids it names from `first_id`, near those that exist."""
    fields = command.__struct_fields__
    moved = {name: getattr(command, name) + now // unit for name, unit in UNITS.items() if name in fields}
    moved |= {name: getattr(command, name) + first_id for name in ("request", "quote") if name in fields}
    return replace(command, **moved)


class Here(NamedTuple):
    """Where a command of a trader is about to be given: the `number` of the command makes its key, `index` is in ticks."""

    now: int
    number: int
    market: int
    index: int


def quotes(here: Here, account: int, bid: int, ask: int, lots: int) -> c.Command:
    bids, asks = ((here.index - bid, lots),), ((here.index + ask, lots),)
    return c.SetQuotes(account, here.market, bids, asks, here.now + 20 * SECOND)


def request(here: Here, account: int, side: int, lots: int) -> c.Command:
    limit = here.index + side * 3_000
    return c.OpenRequest(account, f"t{here.number}", here.market, side, lots, limit, SECOND)


def move(here: Here, moved: int, validity: Validity) -> c.Command:
    return c.UpdateIndex(here.market, here.index + moved, 0, here.now, "t", validity)


def advance(here: Here) -> c.Command:
    return c.Advance()


def pay_funding(here: Here) -> c.Command:
    return c.SettleFunding(here.market, here.now // HOUR)


def transfer(here: Here, parent: int, sub: int, back: bool, amount: int) -> c.Command:
    return c.Transfer(parent, *((sub, parent) if back else (parent, sub)), amount, f"t{here.number}")


AWAY = st.integers(1, 3_000)
LOTS = st.one_of(st.integers(1, 2_000), st.integers(1, 300_000))
TRADING: Final = st.one_of(
    st.tuples(st.just(quotes), AGENTS, AWAY, AWAY, LOTS),
    st.tuples(st.just(request), AGENTS, st.sampled_from([1, -1]), LOTS),
    st.tuples(
        st.just(move),
        st.sampled_from([0, 30, -30, 3_000, -3_000]),
        st.one_of(st.just(Validity.VALID), st.sampled_from(Validity)),
    ),
    st.tuples(st.sampled_from([advance, pay_funding, pay_funding])),
    st.builds(
        lambda pair, back, amount: (transfer, *pair, back, amount),
        st.sampled_from([(17, 24), (16, 25)]),
        st.booleans(),
        AMOUNTS,
    ),
)
"""What usually succeeds around a market's index, so that positions and marks come about: a kind of command, and its arguments."""


def _as_a_thief_leaves_it(state, command):
    slots = []
    for one in {one.account: one for one in command.slots}.values():
        settled = state.accounts[one.account].settled if one.account in state.accounts else 0
        slots.append(replace(one, settled=settled, holds=min(one.holds, settled)))
    taken = sum(one.settled - one.holds for one in slots)
    lost = max(0, min(command.lost, taken))
    return replace(command, slots=tuple(slots), lost=lost, left_over=state.custody.left_over + taken - lost)


def as_the_chain_tells(state, command):
    """What can be: the chain pays no more than it holds, holds back from one what another lacks, and what a thief took is left over or
    lost."""
    if isinstance(command, c.AcceptChain):
        return _as_a_thief_leaves_it(state, command)
    if isinstance(command, c.ClaimExit):
        held = state.accounts.get(command.account)
        return replace(command, amount=min(command.amount, held.settled if held is not None else 0))
    deltas = state.cut.deltas if state.cut is not None else {}
    if isinstance(command, c.TakeUnapplied) and command.unapplied and deltas:
        debtor, creditor = (state.accounts[pick(deltas, key=deltas.get)] for pick in (min, max))
        short = max(
            0, min(command.unapplied[0][1], -deltas[debtor.id], deltas[creditor.id], creditor.settled)
        )
        if debtor.page == creditor.page:
            told = ((debtor.slot, debtor.unapplied - short), (creditor.slot, creditor.unapplied + short))
            return replace(command, batch=state.cut.batch, page=debtor.page, unapplied=told)
    return replace(command, unapplied=()) if isinstance(command, c.TakeUnapplied) else command


LONG: Final = 20 * 60 * SECOND
PAUSES: Final = st.sampled_from([0, 0, 1, *[SECOND // 10] * 4, SECOND, SECOND, LONG])
"""Nanoseconds between two commands; nothing trades after a long one until prices are fresh again."""


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
def test_no_history_makes_money_and_replay_gives_the_same_state(
    new_world, crowd, replayed, check_caches, data, length
):
    world = new_world()
    agents = crowd(world, further=10**9, position_cap=POSITION_CAP)
    for number in range(length):
        pause = data.draw(PAUSES)
        world.now += pause
        world.end_hours()
        if pause == LONG and data.draw(st.booleans()):
            for market, index in list(world.state.indexes.items()):
                world.index(market, index.price)
        before = state_hash(world.state) if data.draw(st.integers(0, 20)) == 0 else None
        first = (world.state.epoch << 32) + 1
        if data.draw(st.booleans()):
            market = data.draw(st.sampled_from([1, 2]))
            kind, *drawn = data.draw(TRADING)
            command = kind(Here(world.now, number, market, world.state.indexes[market].price), *drawn)
        else:
            near = first + max(0, world.state.book.next_id - first - 30)
            command = placed(data.draw(ANY), world.now, near)
        outcome = agents.do(as_the_chain_tells(world.state, command))
        if before is not None and not isinstance(outcome, list):
            assert state_hash(world.state) == before
        check_caches(world)
    assert state_hash(replayed(world.journal)) == state_hash(world.state)
    loaded = load(dump(world.state))
    assert dump(loaded) == dump(world.state)
    assert loaded.open_interest == world.state.open_interest
    assert (loaded.marks, loaded.fills_until) == (world.state.marks, world.state.fills_until)
    assert loaded.conditions == world.state.conditions
    assert loaded.values_until == world.state.values_until
    assert loaded.breakers == world.state.breakers
    watched = loaded.owned | OF_EXCHANGE
    owing = [id for id in sorted(watched) if loaded.margin_of(loaded.accounts[id]).equity < 0]
    for state in (loaded, world.state):
        while state.watch.behind:
            state.watch.look(state)
        assert below_zero(state) == owing


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    trades=st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from([1, -1]), st.integers(1, POSITION_CAP)),
        min_size=10,
        max_size=40,
    )
)
def test_no_history_takes_an_owner_beyond_a_position_cap(new_world, check_position_caps, trades):
    world = new_world()
    world.play(c.ListMarket(replace(world.state.markets[1], position_cap=POSITION_CAP)))
    accounts = [world.agent(1, 10**12, name=name) for name in "abc"]
    accounts += [world.agent(owner, 10**12) for owner in (2, 3)]
    for number, (account, side, size) in enumerate(trades):
        for maker in accounts:
            world.quotes(maker, [(599_900, 20_000)], [(600_100, 20_000)])
        world.request(accounts[account], f"k{number}", side, size, 600_000 + side * 1_000)
        check_position_caps(world)
