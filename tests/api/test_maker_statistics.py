"""Public statistics of makers, from the events alone."""

from msgspec.structs import replace

from api.listening import Listening
from api.statistics import MARKOUT_AFTER, ORDER_LIFE, MakerStatistics
from core import events as e
from core.market import DEFAULT_MARKETS
from core.quantities import MILLISECOND

BTC = DEFAULT_MARKETS[0]
MAKER, OTHER, TRADER = 16, 17, 18


def opened(at: int, request: int) -> e.RequestOpened:
    return e.RequestOpened(
        at, request, TRADER, "k", 0, 1, 1, 5, 10, at + 1, True, False, False, False, (MAKER, OTHER)
    )


def filled(at: int, side: int, price: int) -> e.Filled:
    return e.Filled(at, 1, 1, 1, 1, TRADER, MAKER, side, 5, price, 0, 0, 0, 0, 0, price)


def test_answers_passes_and_rejections_are_counted() -> None:
    listening = Listening()
    statistics = MakerStatistics({1: BTC}, listening)
    for number in (1, 2):
        listening.hear(0, opened(0, number))
    listening.hear(0, e.QuoteGiven(3 * MILLISECOND, 9, 1, MAKER, 0, 10, 5, 1, 100, 10))
    listening.hear(0, e.MakerPassed(4 * MILLISECOND, 2, MAKER))
    listening.hear(0, e.QuoteRejected(5 * MILLISECOND, MAKER, 1, 9, 1, "quote_out_of_band"))
    listening.hear(0, e.MakerFrozen(6 * MILLISECOND, MAKER, 1, 9))
    made, other = statistics.makers[MAKER], statistics.makers[OTHER]
    assert (made.asked, made.answered, made.passed, made.rejected, made.frozen) == (2, 1, 1, 1, 1)
    assert made.answer_time == 3 * MILLISECOND
    assert (other.asked, other.answered) == (2, 0)


def test_markout_is_the_indexs_move_in_the_makers_favour() -> None:
    listening = Listening()
    statistics = MakerStatistics({1: BTC}, listening)
    listening.hear(1, filled(0, side=1, price=1_000_000))  # the maker sold
    listening.hear(2, filled(1, side=-1, price=1_000_000))  # the maker bought
    early = e.IndexUpdated(MARKOUT_AFTER - 1, 1, 500_000, 0, 0, "x")
    listening.hear(3, early)
    assert statistics.makers[MAKER].markouts == 0
    listening.hear(4, e.IndexUpdated(MARKOUT_AFTER, 1, 1_010_000, 0, 0, "x"))
    made = statistics.makers[MAKER]
    assert (made.markouts, made.markout, made.fills) == (1, -10_000, 2)
    listening.hear(5, e.IndexUpdated(MARKOUT_AFTER + 1, 1, 1_010_000, 0, 0, "x"))
    assert (made.markouts, made.markout) == (2, 0)
    assert made.volume == 2 * 5 * 1_000_000 * BTC.value_per_tick_lot


def test_makers_are_ranked_by_volume_once_a_second() -> None:
    listening = Listening()
    statistics = MakerStatistics({1: BTC}, listening)
    listening.hear(1, opened(0, 1))
    assert statistics.ranked(0) == [MAKER, OTHER]
    listening.hear(2, replace(filled(1, side=1, price=10), maker=OTHER))
    assert statistics.ranked(ORDER_LIFE - 1) == [MAKER, OTHER]
    assert statistics.ranked(ORDER_LIFE) == [OTHER, MAKER]
