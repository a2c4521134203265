"""Asking for ever: again after each failure, later each time, never sooner than the source allows."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.quantities import Nanos
from oracles.polling import Backoff, SourceFailed, poll, reading
from oracles.price import Price
from oracles.refusal import Reason, Refused

GOOD = Price("BTC-PERP", 1, 0, 0, Nanos(1), "there")


class Scripted:
    """Answers and fails as told, then stops the polling."""

    label = "there"
    every_s = 1.0

    def __init__(self, *script: Exception | None) -> None:
        self.script = list(script)

    def limits(self, symbol: str):
        return None

    async def latest(self):
        if not self.script:
            raise asyncio.CancelledError
        step = self.script.pop(0)
        if step is not None:
            raise step
        return {"BTC-PERP": GOOD}


async def polled(*script: Exception | None) -> tuple[list[float], list[str], int]:
    """The waits, the codes of failures, and how many answers were taken."""
    waits, codes, taken = [], [], []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    with pytest.raises(asyncio.CancelledError):
        await poll(
            Scripted(*script), taken.append, lambda error: codes.append(error.code), sleep, (4.0, 16.0)
        )
    return waits, codes, len(taken)


async def test_failures_wait_longer_each_time_and_an_answer_ends_that():
    down = SourceFailed("down", "No.")
    waits, codes, taken = await polled(*[down] * 4, None, down, None)
    ranges = [(2, 4), (4, 8), (8, 16), (8, 16), (0.9, 1.1), (2, 4), (0.9, 1.1)]
    assert len(waits) == len(ranges)
    for waited, (least, most) in zip(waits, ranges, strict=True):
        assert least <= waited <= most
    assert codes == ["down"] * 5
    assert taken == 2


async def test_a_source_that_says_how_long_is_not_asked_sooner():
    waits, _, _ = await polled(SourceFailed("rate_limited", "Later.", 60.0), None)
    assert waits[0] == 60.0


async def test_what_nobody_expected_and_what_was_refused_are_the_sources_trouble_and_end_nothing():
    waits, codes, taken = await polled(
        RecursionError("deep"), OverflowError("1e999"), Refused(Reason.WRONG_PROOF, "a leaf"), None
    )
    assert codes == ["broken", "broken", "wrong_proof"]
    assert taken == 1
    assert 8 <= waits[2] <= 16


async def test_an_answer_that_never_ends_is_given_up():
    async def endless() -> None:
        while True:
            await asyncio.sleep(0.001)

    with pytest.raises(SourceFailed) as error:
        await reading("there", endless(), 0.02)
    assert error.value.code == "timeout"


@given(st.floats(0.01, 10), st.floats(1, 100), st.integers(1, 50))
def test_a_backoff_stays_within_its_bounds_and_is_spread(first, factor, count):
    backoff = Backoff(first, first * factor)
    for number in range(count):
        full = min(first * factor, first * 2**number)
        assert full / 2 <= backoff.next() <= full
    backoff.reset()
    assert backoff.next() <= first
    assert backoff.next(1_000_000) == 1_000_000


def test_two_clients_that_fail_together_do_not_come_back_together():
    assert len({Backoff(8, 8).next() for _ in range(20)}) > 10
