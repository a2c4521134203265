"""Whatever is liquidated, money adds up, nobody ends below zero, and replay comes to the same."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import events as e
from core import liquidation_events as le
from core.debt_events import DebtCovered
from core.exit_events import DeltasUnapplied, ExitClaimed, ExitMatured, ExitReleased
from core.loss_limit_events import LossLimitsSeen
from core.operator_events import DelistingAnnounced, MarketSettled, SharingOrdered
from core.subaccount_events import Transferred
from matcher.image import dump, load, state_hash

HISTORIES = {
    "seed": st.integers(0, 2**32),
    "greedy": st.booleans(),
    "fund": st.sampled_from([0, 10**8, 10**11]),
    "floor": st.sampled_from([0, 10**8]),
}


@settings(max_examples=35, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(**HISTORIES)
def test_a_crash_leaves_nobody_below_zero_and_replays_the_same(
    new_history, below, replayed, seed, greedy, fund, floor
):
    history = new_history(seed, greedy, fund, floor)
    for number in range(300):
        history.step(number)
    history.finish()
    world, state = history.world, history.world.state
    assert below(state) == []
    for id in state.owned:
        risk = state.margin_of(state.accounts[id])
        assert risk.equity >= 0
        assert not risk.liquidatable
    assert state_hash(replayed(world.journal)) == state_hash(state)
    assert dump(load(dump(state))) == dump(state)


def test_these_histories_have_every_step_in_them(new_history):
    kinds, shared = set(), 82  # Hardly any history leaves a debt that only an operator ends.
    for seed in (*range(12), shared):
        history = new_history(seed, fund=(0, 10**8, 10**11)[seed % 3])
        for number in range(300):
            history.step(number)
        history.finish()
        kinds |= history.kinds
    assert kinds >= {
        le.MarginWarned,
        le.LiquidationStarted,
        le.LiquidationSliced,
        le.TakenOver,
        le.Deleveraged,
        le.LiquidationEnded,
        le.LiquidationPaused,
        le.PriceAwaited,
        e.HourEnded,
        e.FundingSettled,
        MarketSettled,
        DebtCovered,
        ExitMatured,
        ExitClaimed,
        ExitReleased,
        DeltasUnapplied,
        LossLimitsSeen,
        DelistingAnnounced,
        e.MarkUpdated,
        Transferred,
        SharingOrdered,
    }
