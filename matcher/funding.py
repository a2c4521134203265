"""What the exchange keeps for funding: every market's running hour, and the hours that ended and have not been paid.

An hour is paid by the positions that were held when it ended, however late that is done: whoever comes later owes nothing for it and
earns nothing by it, or every late hour would be an offer to collect from it. Nothing is copied for that. While an hour is unpaid, the
size that an account had when the hour ended is noted at the account's first trade after it. What it owes is worked out from that
whenever somebody asks what it is worth, so paying late or early changes nobody's equity.
"""

from collections import deque
from collections.abc import Set
from typing import Final

from core.funding import HOUR, owed
from core.funding_events import FundingSettled, HourEnded, headline
from core.funding_hour import hour_of
from core.rates import Rate

HOURS_KEPT: Final = 168
"""Paid hours, of each market, whose first answer is kept: a week."""
UNPAID_MAX: Final = 24
"""Hours of a market that wait for who pays them: what has waited for a day is paid by the exchange itself."""


class Hour:
    """Sums of one market's hour; it is paid at `number` hours since the Unix epoch.

    `total` adds up `samples` premiums, `index` is that of the last of them: the index price that the hour is paid at, because it was
    known when the hour ended. `stood` has, for the first account of each owner that stood, in how many samples it did, and the lots
    that it stood with, added up; `made` has the net lots that each account's quotes were filled with. `moved` has the sizes at the
    end of the hour, in lots, of accounts that have traded since. `ended` is the record of its end, and what it costs; None before,
    and nothing is owed yet. From then on `makers` are the accounts that keep only a share of what they receive.
    """

    __slots__ = ("ended", "index", "made", "makers", "moved", "number", "samples", "stood", "total")

    def __init__(self, number: int) -> None:
        self.number = number
        self.samples = 0
        self.total = 0
        self.index = 0
        self.stood: dict[int, tuple[int, int]] = {}
        self.made: dict[int, int] = {}
        self.makers: Set[int] = frozenset()
        self.moved: dict[int, int] = {}
        self.ended: HourEnded | None = None

    def owed(self, account: int, size: int) -> int:
        """Micro-USDC that an account owes for the hour, at whose end it held `size` lots; negative: is to receive."""
        ended = self.ended
        if ended is None or not size:
            return 0
        return owed(size, ended.charge, account in self.makers, ended.treasury_share)

    def stand(self, account: int, lots: int) -> None:
        """An owner, named by its first account, stood in one more sample."""
        times, total = self.stood.get(account, (0, 0))
        self.stood[account] = times + 1, total + lots


class MarketFunding:
    """Funding of one market. Hours up to `settled` are done with; `unpaid` are those that ended since, oldest first.

    `rate` is the rate for eight hours after the last paid hour. `kept` are the records of paid hours, without their payments.
    An hour without any premium is not kept: nothing is owed for it.
    """

    __slots__ = ("ends", "kept", "rate", "running", "settled", "unpaid")

    def __init__(self) -> None:
        self.settled = 0
        self.rate = Rate(0)
        self.unpaid: deque[Hour] = deque()
        self.kept: dict[int, FundingSettled] = {}
        self.begin(0)

    def begin(self, number: int) -> None:
        """Another hour runs; `ends` is when, in nanoseconds."""
        self.running = Hour(number)
        self.ends = number * HOUR

    def reach(self, at: int) -> None:
        """It is `at`: the hour that has ended, if one has, waits to be paid."""
        if at < self.ends:
            return
        if self.running.samples:
            self.unpaid.append(self.running)
        self.begin(hour_of(at))

    def moves(self, account: int, size: int, at: int) -> None:
        """An account that holds `size` lots is about to trade."""
        if at >= self.ends:
            self.reach(at)
        if self.unpaid:
            self.unpaid[-1].moved.setdefault(account, size)

    def stop(self) -> None:
        """The market has ended: nobody owes anything for the hour that runs; hours that have ended stay to be paid."""
        self.running = Hour(self.running.number)

    def due(self) -> int:
        """When the next end of an hour is to be recorded; 0: there is none."""
        if self.unpaid and self.unpaid[-1].ended is None:
            return 1
        return self.ends if self.running.samples else 0

    def unended(self, at: int) -> Hour | None:
        """The oldest hour that has ended at `at` and whose end has no record yet."""
        return next((hour for hour in self.owed(at) if hour.ended is None), None)

    def end(self, event: HourEnded) -> None:
        """An hour has ended: it costs what the record says."""
        self.reach(event.at)
        for hour in self.unpaid:
            if hour.number == event.hour:
                hour.ended = event

    def owed_by(self, account: int, size: int) -> int:
        """Micro-USDC that an account which holds `size` lots now owes for hours that have ended; negative: is to receive."""
        total = 0
        for hour in reversed(self.unpaid):
            size = hour.moved.get(account, size)
            total += hour.owed(account, size)
        return total

    def last_rate(self) -> Rate:
        """The rate that the next hour to end starts from."""
        for hour in reversed(self.unpaid):
            if hour.ended is not None:
                return Rate(hour.ended.after)
        return self.rate

    def owed(self, at: int) -> list[Hour]:
        """Hours that have ended at `at` and are to be paid, oldest first."""
        running = self.running
        return [*self.unpaid, running] if running.samples and at >= self.ends else list(self.unpaid)

    def moved(self, number: int) -> dict[int, int]:
        """Sizes at the end of an unpaid hour, of accounts that have traded since."""
        sizes: dict[int, int] = {}
        for hour in reversed(self.unpaid):
            if hour.number < number:
                break
            sizes.update(hour.moved)
        return sizes

    def settle(self, event: FundingSettled) -> None:
        """An hour is paid."""
        self.reach(event.at)
        self.settled, self.rate = event.hour, Rate(event.after)
        if self.unpaid and self.unpaid[0].number == event.hour:
            self.unpaid.popleft()
        self.keep(headline(event))

    def keep(self, record: FundingSettled) -> None:
        self.kept[record.hour] = record
        if len(self.kept) > HOURS_KEPT:
            del self.kept[next(iter(self.kept))]
