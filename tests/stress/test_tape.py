"""Where a run's prices come from: which part of a recording, on which grid, and that nothing sharp is lost."""

import pytest

from core.quantities import SECOND
from oracles.recording import RecordingFailed
from stress.tape import made_up, recorded

START = 1_700_000_000


@pytest.fixture
def recording(tmp_path):
    """Writes a recording of (seconds after the start, price) and returns its path."""

    def written(name, rows, columns="timestamp,price"):
        path = tmp_path / name
        path.write_text("\n".join([columns, *(f"{START + at},{price}" for at, price in rows), ""]))
        return path

    return written


def test_a_price_stands_until_the_next_and_the_furthest_of_several_counts(recording):
    path = recording("BTCUSDT-trades.csv", [(0, 100), (1, 101), (1, 108), (1, 101), (3, 90), (10, 90)])
    tape = recorded([path], 4)
    assert (tape.step, tape.start) == (SECOND // 2, START * SECOND)
    # A lone trade far away is seen for one step, then the last one counts again.
    assert tape.prices == ((1000, 1000, 1080, 1010, 1010, 1010, *[900] * 14),)


def test_the_steepest_hours_are_cut_out_with_more_before_than_after(recording):
    columns = "timestamp,open,high,low,close"
    rows = [(minute * 60, "100,100,100,100" if minute < 1_000 else "80,80,80,80") for minute in range(1_440)]
    tape = recorded([recording("SOLUSDT-1m.csv", rows, columns)], 3)
    assert len(tape) * tape.step == 3 * 3_600 * SECOND
    assert tape.beat * tape.step == 60 * SECOND
    fell = (1_000 * 60 * SECOND + START * SECOND - tape.start) // tape.step
    assert (tape.prices[0][fell - 1], tape.prices[0][fell]) == (100_000, 80_000)
    assert fell == len(tape) * 2 // 3
    assert tape.worst == fell // tape.beat * tape.beat
    assert max(tape.ranges()) == 250_000


def test_a_candle_is_lived_through_by_its_extremes_on_the_longer_way(recording):
    columns = "timestamp,open,high,low,close"
    falls, rises, still = "100,102,90,95", "95,99.5,80,97", "97,98,96,97"
    path = recording("SOLUSDT-1m.csv", [(0, falls), (60, rises), (120, still), (180, still)], columns)
    (prices,) = recorded([path], 1).prices
    assert prices[:36:3] == (
        *(100_000, 90_000, 102_000, 95_000),
        *(95_000, 99_500, 80_000, 97_000),
        *(97_000, 96_000, 98_000, 97_000),
    )
    assert all(len(set(prices[at : at + 3])) == 1 for at in range(0, 36, 3))


def test_a_candle_that_is_none_is_refused(recording):
    rows = [(minute * 60, "100,101,99,100" if minute < 5 else "100,101,99,98") for minute in range(9)]
    with pytest.raises(RecordingFailed, match="line 7: no candle"):
        recorded([recording("SOLUSDT-1m.csv", rows, "timestamp,open,high,low,close")], 1)


def test_markets_share_the_time_that_all_of_them_have(recording):
    btc = recording("BTCUSDT-trades.csv", [(0, 100), (60, 101)])
    eth = recording("ETHUSDT-trades.csv", [(20, 10), (40, 11), (90, 12)])
    tape = recorded([btc, eth], 1)
    assert [market.symbol for market in tape.markets] == ["BTC-PERP", "ETH-PERP"]
    assert (tape.start, len(tape)) == ((START + 20) * SECOND, 80)
    assert {tape.prices[1][0], tape.prices[1][-1]} == {1_000, 1_100}
    with pytest.raises(RecordingFailed, match="no time in common"):
        recorded([recording("SOLUSDT-trades.csv", [(70, 1), (90, 1)]), btc], 1)


def test_made_up_crashes_fall_as_far_as_asked_and_come_from_their_seed():
    tape = made_up(3, 120, 400_000)
    assert tape == made_up(3, 120, 400_000)
    assert tape != made_up(4, 120, 400_000)
    for series in tape.prices:
        middle = len(series) // 2
        assert max(series[:middle]) < min(series[:middle]) * 1.1
        assert 0.5 < min(series) / series[0] < 0.7
        assert 1.15 < series[-1] / min(series) < 1.45
    assert all(min(series) > 0 for series in made_up(3, 60, 900_000).prices)
