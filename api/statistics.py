"""Public statistics of makers since this process started: how they answer, what they fill, what they refuse, and markout."""

from collections import defaultdict, deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from api.listening import Listening
from core import events as e
from core.events import Event
from core.market import Market
from core.quantities import MILLION, SECOND

MARKOUT_AFTER: Final = 5 * SECOND
ORDER_LIFE: Final = SECOND
"""Sorting all makers is too much for every call of anyone on the engine's loop."""
PENDING_MAX: Final = 10_000
"""Fills of one market that wait for their markout; beyond it the oldest go unmeasured."""


class Maker:
    """Counters of one account. Times in nanoseconds, values in micro-USDC, markouts in parts per million, summed."""

    __slots__ = (
        "answer_time",
        "answered",
        "asked",
        "fills",
        "frozen",
        "markout",
        "markouts",
        "passed",
        "rejected",
        "volume",
    )

    def __init__(self) -> None:
        self.asked = 0
        self.answered = 0
        self.passed = 0
        self.answer_time = 0
        self.fills = 0
        self.volume = 0
        self.rejected = 0
        self.frozen = 0
        self.markout = 0
        self.markouts = 0


class MakerStatistics:
    """Listens to the exchange. Markout: how far the index had moved in the maker's favour five seconds after a fill."""

    def __init__(self, markets: dict[int, Market], listening: Listening) -> None:
        """`markets` is the exchange's own table, which may grow."""
        self.makers: defaultdict[int, Maker] = defaultdict(Maker)
        self._ranked: list[int] = []
        self._ranked_until: int | None = None
        self._opened: dict[int, int] = {}
        self._pending: dict[int, deque[tuple[int, int, int, int]]] = {}
        self._markets = markets
        for kind, counted in COUNTED.items():
            listening.to((kind,), partial(counted, self))

    def ranked(self, now: int) -> list[int]:
        """Makers by volume, largest first, as of at most a second before `now` (monotonic nanoseconds)."""
        if self._ranked_until is None or now >= self._ranked_until:
            self._ranked = sorted(self.makers, key=lambda id: (-self.makers[id].volume, id))
            self._ranked_until = now + ORDER_LIFE
        return self._ranked

    def _opened_request(self, seq: int, event: e.RequestOpened) -> None:
        self._opened[event.request] = event.at
        makers = self.makers
        for maker in event.makers:
            makers[maker].asked += 1

    def _passed(self, seq: int, event: e.MakerPassed) -> None:
        self.makers[event.account].passed += 1

    def _closed(self, seq: int, event: e.RequestClosed) -> None:
        self._opened.pop(event.request, None)

    def _rejected(self, seq: int, event: e.QuoteRejected) -> None:
        self.makers[event.account].rejected += 1

    def _frozen(self, seq: int, event: e.MakerFrozen) -> None:
        self.makers[event.account].frozen += 1

    def _answered(self, seq: int, event: e.QuoteGiven) -> None:
        maker = self.makers[event.account]
        maker.answered += 1
        maker.answer_time += event.at - self._opened.get(event.request, event.at)

    def _filled(self, seq: int, event: e.Filled) -> None:
        maker = self.makers[event.maker]
        maker.fills += 1
        maker.volume += self._markets[event.market].notional(event.price, event.size)
        pending = self._pending.setdefault(event.market, deque(maxlen=PENDING_MAX))
        pending.append((event.at + MARKOUT_AFTER, event.maker, -event.side, event.price))

    def _mark_out(self, seq: int, event: e.IndexUpdated) -> None:
        pending = self._pending.get(event.market)
        while pending and pending[0][0] <= event.at:
            _, account, side, price = pending.popleft()
            maker = self.makers[account]
            maker.markout += (
                (event.price - price) * side * MILLION // price
            )  # rounded down: against the maker
            maker.markouts += 1


COUNTED: Final[dict[type[Event], Callable[[MakerStatistics, int, Any], None]]] = {
    e.RequestOpened: MakerStatistics._opened_request,
    e.QuoteGiven: MakerStatistics._answered,
    e.MakerPassed: MakerStatistics._passed,
    e.RequestClosed: MakerStatistics._closed,
    e.Filled: MakerStatistics._filled,
    e.QuoteRejected: MakerStatistics._rejected,
    e.MakerFrozen: MakerStatistics._frozen,
    e.IndexUpdated: MakerStatistics._mark_out,
}
