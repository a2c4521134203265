"""Hours of trading among ten accounts: thousands of commands neither make nor lose money, and at the end nothing is left open."""

from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import events as e
from core.accounts import CLEARING
from core.batches import BatchStatus
from core.funding import HOUR, FundingTerms
from core.liquidation import LiquidationTerms
from core.market import MarketStatus
from core.open_interest import WINDOW_MIN, JumpAlarm
from core.quantities import SECOND
from core.validity import Validity
from matcher import commands as c
from matcher.image import state_hash
from matcher.limits import TTL_CLASSES
from matcher.state import Exchange

MINUTE = 60 * SECOND
POSITION_CAP = 50_000
"""Of market 1, in lots: low enough for the agents' money to reach it."""
ALARM = JumpAlarm(1_000, WINDOW_MIN, True)


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
            return operators_command(rng, state)
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


def operators_command(rng: Random, state: Exchange) -> c.Command:
    return rng.choice(
        (
            c.SetMarketStatus(1, rng.choice([MarketStatus.REDUCE_ONLY, MarketStatus.PAUSED])),
            c.SetLimits(1, open_interest_cap=rng.choice([5_000, 10**7]), alarm=ALARM),
            c.SetLimits(1, liquidation=LiquidationTerms(slice_share=rng.randrange(1, 10**6))),
            c.SetLimits(1, funding=FundingTerms(velocity=rng.randrange(10**9)), greedy_deleveraging=True),
            c.HoldWithdrawals(not state.breakers.held),
            c.HoldSettlement(state.breakers.settlement is None),
        )
    )


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_thousands_of_commands_that_trade_neither_make_nor_lose_money(
    new_world, crowd, replayed, check_caches, check_position_caps, seed
):
    """Hypothesis chooses the seed; conservation is checked after every command, and that there was something to conserve."""
    rng, world = Random(seed), new_world()
    crowd(world, further=10**11, position_cap=POSITION_CAP)
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
