"""What agents report is summed exactly, and percentiles are of the right rank."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.tally import LATENCIES_KEPT, Tally, VaultSaid, percentile


def answers(*outcomes: str, ms: float = 1.0, refused: dict[str, int] | None = None, unknown: int = 0) -> str:
    rows = [[17, f"k{number}", outcome, [], ms] for number, outcome in enumerate(outcomes)]
    return json.dumps({"type": "answers", "answers": rows, "refused": refused or {}, "unknown": unknown})


def test_requests_are_what_traders_asked_and_refusals_count_for_all():
    tally = Tally()
    tally.hear("trader", answers("filled", "partial", refused={"margin": 2}, unknown=1))
    tally.hear("trader", answers("filled", ms=3.0))
    tally.hear("maker", answers(refused={"quote_void": 4}))
    tallied = tally.so_far()
    assert tallied.requests == 6
    assert tallied.outcomes == {"filled": 2, "partial": 1}
    assert tallied.rejected == {"margin": 2, "quote_void": 4}
    assert tallied.unknown == 1
    assert tallied.requests_per_second == 6 / 5
    assert (tallied.latency.p50, tallied.latency.p99, tallied.latency.max) == (1.0, 3.0, 3.0)


def test_readiness_and_mismatches_are_by_role():
    tally = Tally()
    tally.hear("maker", json.dumps({"type": "ready", "role": "maker", "agents": [16]}))
    assert (tally.ready("maker"), tally.ready("trader")) == (True, False)
    tally.hear("maker", json.dumps({"type": "done", "role": "maker", "mismatches": 3}))
    assert tally.mismatches == {"maker": 3}


def test_agents_that_died_have_not_compared_their_books():
    tally = Tally()
    for role in ("maker", "trader"):
        tally.hear(role, answers("filled"))
    tally.hear("maker", json.dumps({"type": "done", "role": "maker", "mismatches": 0}))
    assert tally.not_compared({"makers": 0, "traders": -9}) == ("traders (exit code -9)",)
    assert tally.not_compared({"makers": 1, "traders": 0}) == (
        "makers (exit code 1)",
        "traders (exit code 0)",
    )
    tally.hear("trader", json.dumps({"type": "done", "role": "trader", "mismatches": 0}))
    assert tally.not_compared({"makers": 0, "traders": 0}) == ()


def test_the_longest_is_kept_when_its_place_is_not():
    tally = Tally()
    tally.hear("trader", answers("filled", ms=99.0))
    for _ in range(LATENCIES_KEPT // 1_000):
        tally.hear("trader", answers(*["filled"] * 1_000))
    latency = tally.so_far().latency
    assert (latency.p99, latency.max) == (1.0, 99.0)


def test_nothing_heard_is_nothing():
    latency = Tally().so_far().latency
    assert (latency.p50, latency.p99, latency.max) == (0.0, 0.0, 0.0)


def test_what_the_strategy_says_last_of_the_vault_is_kept():
    tally = Tally()
    assert tally.vault is None
    said = {"vault": "demo", "nav": None, "at": None, "demo_prices": [], "positions": {}, "orders": {}}
    tally.hear("strategy", json.dumps({"type": "vault", **said}))
    tally.hear(
        "strategy", json.dumps({"type": "vault", **said, "nav": "49999.5", "at": 1_700_000_000_000_000})
    )
    assert tally.vault == VaultSaid("demo", "49999.5", 1_700_000_000_000_000, [], {}, {})
    tally.hear("strategy", json.dumps({"type": "done", "role": "strategy", "mismatches": 0}))
    assert tally.not_compared({"strategy": 0}) == ()
    assert tally.not_compared({"strategy": -9}) == ("strategy (exit code -9)",)


@pytest.mark.parametrize("line", ['{"type": "song"}', "{}", "no json"])
def test_what_is_no_report_is_an_accident(line):
    with pytest.raises((ValueError, KeyError)):
        Tally().hear("trader", line)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 100))
def test_a_percentile_is_the_smallest_value_that_enough_do_not_exceed(values, percent):
    found = percentile(sorted(values), percent)
    assert 100 * sum(value <= found for value in values) >= percent * len(values)
    assert all(
        100 * sum(v <= value for v in values) < percent * len(values) for value in values if value < found
    )
