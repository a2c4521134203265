"""What a kind world spares the exchange: a fund that begins with nothing, late funding, makers that only disturb, prices in doubt."""

import pytest

from core.funding import HOUR
from core.market import DEFAULT_MARKETS
from core.quantities import SECOND
from core.validity import Action, Validity, allowed
from stress.publishers import BEHIND, FAST, Publishers
from stress.tape import Tape


def test_an_empty_fund_breaks_nothing_and_others_pay(scenario, lived):
    report = lived(scenario(insurance=0))
    assert report.broken() == []
    first, last = report.samples[0], report.samples[-1]
    assert first.insurance == 0
    assert last.deleveragings > last.takeovers
    assert report.losses.gave > 0
    assert report.losses.paid_in == 0


def test_hours_paid_late_are_all_paid_and_every_amount_is_explained(scenario, lived):
    report = lived(scenario(hours=2, accounts=100, funding_late=HOUR))
    assert report.events["FundingSettled"] == 4
    assert report.broken() == []


def test_hours_paid_late_leave_nobody_below_zero(scenario, lived):
    assert lived(scenario(hours=2, accounts=150, funding_late=HOUR)).broken() == []


def test_makers_that_only_disturb_break_nothing(scenario, lived):
    kind, disturbed = (lived(scenario(accounts=150, spoilers=pairs)) for pairs in (0, 3))
    assert (kind.broken(), disturbed.broken()) == ([], [])
    # One set and one pull, of six makers in two markets at each of 720 steps.
    assert disturbed.commands - kind.commands > 12_000
    assert disturbed.state_hash != kind.state_hash


def test_a_crash_through_the_router_breaks_nothing(scenario, lived):
    report = lived(scenario(accounts=150, fall=520_000, routed=True))
    assert report.broken() == []
    assert report.unbelieved > 0
    assert report.refused["index_unavailable"] > 0
    assert report.samples[-1].liquidations > 0


def test_owners_that_bound_their_losses_and_leave_alone_while_a_market_ends_break_nothing(scenario, lived):
    report = lived(scenario(accounts=150, hours=2, leaving=40))
    assert report.broken() == []
    happened = report.events
    for kind in (
        "LossLimitsSeen",
        "DeltasUnapplied",
        "ExitRequested",
        "ExitMatured",
        "ExitClaimed",
        "ExitReleased",
    ):
        assert happened[kind] > 0, kind
    assert happened["MarketSettled"] == 1
    assert report.samples[-1].liquidations > 0


def test_the_same_hard_scenario_gives_the_same_state(scenario, lived):
    hard = scenario(accounts=60, insurance=0, spoilers=1, routed=True, leaving=20)
    assert lived(hard).state_hash == lived(hard).state_hash


BTC = DEFAULT_MARKETS[0]


@pytest.fixture
def told():
    """The judgements of an hour of prices five seconds apart, the last beat of twelve being the worst."""

    def judge(*prices):
        series = (*prices, *[prices[-1]] * (720 - len(prices) - 12), *[prices[-1] * 5 // 4] * 12)
        tape = Tape("t", 1_700_000_000 * SECOND, 5 * SECOND, (BTC,), (series,))
        publishers = Publishers(tape, 1)
        return [publishers.step(n, tape.start + n * tape.step)[0] for n in range(720)]

    return judge


def test_a_move_counts_once_a_second_one_makes_it_and_nobody_alone_moves_the_index(told):
    steps = told(600_000, 600_000, 601_000, 601_000, 640_000, 640_000, 640_000)
    assert [(step.price, step.source) for step in steps[1:4]] == [
        (600_000, FAST), (600_000, BEHIND), (601_000, FAST),
    ]  # fmt: skip
    # Alone against two that say otherwise, for as long as they lag.
    assert (steps[4].price, steps[4].source) == (601_000, BEHIND)
    assert (steps[5].price, steps[5].source) == (640_000, FAST)
    assert allowed(steps[4].validity, Action.FILL)


def test_while_the_fast_one_is_silent_the_next_is_believed(told):
    steps = told(600_000)
    # Its last price counts for ten seconds more.
    assert {step.source for step in steps[-9:]} == {BEHIND}
    assert {step.validity for step in steps[-9:]} == {Validity.VALID}
