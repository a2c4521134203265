"""What a symbol at a venue is worth: the first of a chain of sources that is fresh enough, and which one it was.

The venue's own middle or, where the market has ended, what it ended at, then oracles in their order, then the last good price within
its age, then nothing: a price that nobody knows is refused, not guessed. Recorded and made-up prices count only where they are given
as `demo`, come last, are marked as such, and are never remembered as good.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from core.nav import RESOLVED
from core.printable import printable
from core.quantities import SECOND, Nanos
from core.tickets import DEFAULT_VENUE, PRICE_MAX, Leg, PriceE8, leg_from
from oracles.polling import Polled, Read, SourceFailed, reading
from oracles.price import Price, to_ticks
from oracles.route import MINUTE
from venues.budget import patience
from venues.driver import Mid
from venues.errors import VenueError

MID_AGE_MAX: Final = Nanos(30 * SECOND)
"""Of a venue's middle: books of quiet symbols change that seldom."""
LAST_AGE_MAX: Final = Nanos(10 * MINUTE)
"""How long nobody has to confirm a good price. Of an oracle that publishes by the hour it may be of long before."""
AHEAD_MAX: Final = Nanos(5 * SECOND)
"""How far another's clock may be ahead of ours."""
PATIENCE_S: Final = 5.0
"""A source that is asked and has not answered by then has no price."""
UNIT: Final = "0.00000001"


class Standing(StrEnum):
    """Where in the chain a price was found. Stable; shown wherever the price is."""

    VENUE = "venue"
    RESOLVED = RESOLVED
    """The venue's word on a market that has ended: of all prices the only one that may be 0, and it stays."""
    ORACLE = "oracle"
    LAST_GOOD = "last_good"
    DEMO = "demo"


@dataclass(frozen=True)
class LegPrice:
    """A price, of when it is, and whose word it is."""

    price: PriceE8
    at: Nanos
    source: str
    standing: Standing


@dataclass(frozen=True)
class NoPrice:
    """Nobody knows one. `tried` has one sentence for each source that was asked."""

    tried: tuple[str, ...]


Mids = Callable[[Collection[str]], Awaitable[Mapping[str, Mid]]]
"""Middles of some of a venue's symbols, as `Driver.mids` tells them."""
Demo = Callable[[Leg], LegPrice | None]
"""A recorded or made-up price of now."""


@dataclass
class _Search:
    """What was asked for, and how far it has got."""

    leg: Leg
    tried: list[str] = field(default_factory=list)
    found: LegPrice | None = None

    def offer(self, price: LegPrice, now: Nanos, age_max: Nanos) -> None:
        """Take a price, unless it is none, too old, or of a time that has not come."""
        if not 0 < price.price <= PRICE_MAX:
            self.tried.append(f"{price.source}: {str(price.price)[:40]} is no price")
        elif now - price.at > age_max:
            self.tried.append(f"{price.source}: {(now - price.at) // SECOND} s old")
        elif price.at - now > AHEAD_MAX:
            self.tried.append(f"{price.source}: {(price.at - now) // SECOND} s in the future")
        else:
            self.found = price


class VenuePriceRouter:
    """`mids` has every venue there is, and None for one without a book of its own, which is priced by oracles alone.

    `oracles` know prices by the names of assets; `asset` says which one a leg is, None for a leg that no oracle prices. How old prices
    are is told by `clock`; for how long they were had, and when to ask again, by `elapsed`, which never steps back.
    """

    def __init__(
        self,
        mids: Mapping[str, Mids | None],
        oracles: Sequence[Polled],
        asset: Callable[[Leg], str | None],
        clock: Callable[[], int],
        demo: Demo | None = None,
        default_venue: str = DEFAULT_VENUE,
        patience_s: float = PATIENCE_S,
        elapsed: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._mids = dict(mids)
        self._oracles = [_Oracle(source, elapsed, patience_s) for source in oracles]
        self._asset = asset
        self._clock = clock
        self._elapsed = elapsed
        self._demo = demo
        self._default_venue = default_venue
        self._patience_s = patience_s
        self._last: dict[Leg, tuple[LegPrice, int]] = {}

    async def get_index_prices(
        self, symbols: Collection[str], venue: str | None = None
    ) -> dict[str, LegPrice | NoPrice]:
        """The price of each of `symbols`, under the name it was asked by: ``hyper::ETH``, or ``ETH`` at `venue`.

        Raises `NotATicket` for what names no leg.
        """
        searches = {text: _Search(leg_from(text, venue or self._default_venue)) for text in symbols}
        await self._ask_venues(list(searches.values()))
        await self._ask_oracles([one for one in searches.values() if one.found is None])
        elapsed = self._elapsed()
        for search in searches.values():
            self._remember_or_recall(search, elapsed)
        return {text: one.found or NoPrice(tuple(one.tried)) for text, one in searches.items()}

    async def mid(self, leg: Leg) -> Mid | None:
        """The price of one leg as a middle, None when there is none: what `venues.mock_gold` quotes around."""
        found = (await self.get_index_prices([str(leg)]))[str(leg)]
        return None if isinstance(found, NoPrice) else Mid(found.price, found.at)

    async def _ask_venues(self, searches: list[_Search]) -> None:
        by_venue: dict[str, list[_Search]] = {}
        for search in searches:
            by_venue.setdefault(search.leg.venue, []).append(search)
        await asyncio.gather(*(self._ask_venue(venue, some) for venue, some in by_venue.items()))

    async def _ask_venue(self, venue: str, searches: list[_Search]) -> None:
        mids = self._mids.get(venue)
        source = f"{venue} mid"
        if mids is None:
            if venue not in self._mids:
                for search in searches:
                    search.tried.append(f"there is no venue {venue}")
            return
        found: Mapping[str, Mid] = {}
        why = "has no middle of it"
        try:
            async with patience(self._patience_s):
                found = await mids({search.leg.symbol for search in searches})
        except TimeoutError:
            why = "no answer in time"
        except VenueError as error:
            why = str(error)
        now = Nanos(self._clock())
        for search in searches:
            mid = found.get(search.leg.symbol)
            if mid is None:
                search.tried.append(f"{source}: {why}")
            elif mid.final and 0 <= mid.price <= PRICE_MAX:
                search.found = LegPrice(mid.price, mid.at, f"{venue} resolution", Standing.RESOLVED)
            else:
                search.offer(LegPrice(mid.price, mid.at, source, Standing.VENUE), now, MID_AGE_MAX)

    async def _ask_oracles(self, searches: list[_Search]) -> None:
        """In their order; all of them are asked at once, since the first one may have to be waited for."""
        # A venue that is not there has no prices, whatever oracles say of its symbols.
        wanted = [(one, self._asset(one.leg)) for one in searches if one.leg.venue in self._mids]
        wanted = [(search, asset) for search, asset in wanted if asset is not None]
        if not wanted:
            return
        reads = await asyncio.gather(*(oracle.read() for oracle in self._oracles))
        now = Nanos(self._clock())
        for oracle, read in zip(self._oracles, reads, strict=True):
            for search, asset in wanted:
                if search.found is None and asset is not None:
                    oracle.offer(search, asset, read, now)

    def _remember_or_recall(self, search: _Search, elapsed: int) -> None:
        if search.found is not None:
            self._last[search.leg] = search.found, elapsed
            return
        if search.leg in self._last:
            last, seen_at = self._last[search.leg]
            if last.standing is Standing.RESOLVED:
                search.found = last
            elif elapsed - seen_at <= LAST_AGE_MAX:
                search.found = LegPrice(last.price, last.at, last.source, Standing.LAST_GOOD)
            else:
                search.tried.append(f"{last.source}: was good {(elapsed - seen_at) // SECOND} s ago")
        if search.found is None and self._demo is not None and search.leg.venue in self._mids:
            search.found = self._demo(search.leg)


class _Oracle:
    """A source that is asked by one at a time, no more often than it has something new, and after a refusal not before it said."""

    def __init__(self, source: Polled, elapsed: Callable[[], int], patience_s: float) -> None:
        self._source = source
        self._elapsed = elapsed
        self._patience_s = patience_s
        self._asking = asyncio.Lock()
        self._again_at: int | None = None
        self._read: Read | str = ""

    async def read(self) -> Read | str:
        """What it said last, or why it said nothing."""
        async with self._asking:
            now = self._elapsed()
            if self._again_at is None or now >= self._again_at:
                wait_s = self._source.every_s
                try:
                    self._read = await reading(self._source.label, self._source.latest(), self._patience_s)
                except SourceFailed as error:
                    self._read = printable(f"{error.code}: {error}")
                    wait_s = max(wait_s, error.wait_s)
                self._again_at = now + int(wait_s * SECOND)
            return self._read

    def offer(self, search: _Search, asset: str, read: Read | str, now: Nanos) -> None:
        label = self._source.label
        limits = self._source.limits(asset)
        if limits is None:
            search.tried.append(f"{label}: does not price {asset}")
            return
        told = read if isinstance(read, str) else read.get(asset, "said nothing of it")
        if isinstance(told, Price) and told.less_certain_than(limits.max_confidence) and told.value > 0:
            told = "too uncertain"
        if isinstance(told, Price):
            price = LegPrice(PriceE8(to_ticks(told, UNIT)), told.published_at, limits.source, Standing.ORACLE)
            search.offer(price, now, limits.ages.margin)
        else:
            search.tried.append(f"{label}: {told}")
