"""What the venues tell of vaults' accounts, into the ledger: fills and funding by their cursors, and positions where they differ."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from core.nav import RESOLVED
from core.quantities import MONEY_MAX, SECOND, Nanos
from core.tickets import PRICE_MAX, SIZE_MAX, Leg, NotATicket, leg
from ledger.venue_fills import Difference, Payment, TakenFill, VenueFills, empty_words, unpriced_words
from venues.budget import Turn, looking
from venues.driver import Driver, Fills, FundingPayments, Position, VenueFill
from venues.errors import OTHER_ACCOUNT, AccountMissing, Unavailable

if TYPE_CHECKING:
    # What knows prices takes long to load, and the worker starts without it.
    from venues.prices import LegPrice

_log = structlog.get_logger("orders")
LOOKS: Final = 3
"""So often a difference must be seen, with nothing filled in between, before it is one."""
BETWEEN_S: Final = 1.0
LATELY: Final = 300 * SECOND
"""Whoever had an order that ended so lately is asked after again before it is said to hold nothing."""

EMPTY_FOR: Final = 600 * SECOND
"""So long a venue must say that an account has nothing at all, where the ledger has something, before that is believed: a wrong
account, or a venue that has just started, says so too."""
UNSETTLED_FOR: Final = 600 * SECOND
"""What a venue has matched and not settled for so long holds back all that was filled after it, and it is a doubt."""
TAKEN_ACCOUNT: Final = "the account there is another vault's"

ENTRY: Final = "entry"
"""Whose word a price is that nobody knows but the venue, as the average that the position was opened at."""

Priced = Callable[[str, Leg], Awaitable["LegPrice | None"]]


class Drivers(Protocol):
    """Where drivers come from: `venues.registry.Registry`."""

    async def driver(self, vault: str, venue: str) -> Driver: ...


class VenueBooks:
    """Keeps the ledger's side of vaults' accounts at venues. `priced` says what that is worth which the venue has and no fill told."""

    def __init__(
        self,
        drivers: Drivers,
        fills: VenueFills,
        held: Callable[[str], Awaitable[Mapping[str, Mapping[str, int]]]],
        priced: Priced,
        clock: Callable[[], int],
        between_s: float = BETWEEN_S,
    ) -> None:
        self._drivers = drivers
        self._fills = fills
        self._held = held
        self._priced = priced
        self._clock = clock
        self._between_s = between_s

    async def begin(self, vault: str, venue: str) -> None:
        """Have reading begin behind all that the account did before the vault had it: whoever first sends there calls this before.

        What came of that is in the position that it began with, if in anything of the vault's. From then on that account is the
        vault's, and no other's. Raises `VenueError`, `AccountMissing` for another account than the vault's.
        """
        driver = await self._drivers.driver(vault, venue)
        account = driver.account
        known = await self._fills.account(vault, venue)
        if known == account:
            return
        fills = funding = ""
        if known is None:
            ask = _funding(driver)
            funding = "" if ask is None else await _end(ask)
            fills = await _end(driver.fills)
        kept = await self._fills.begin(vault, venue, account, fills, funding, self._clock())
        if kept != account:
            why = OTHER_ACCOUNT if kept is not None else TAKEN_ACCOUNT
            _log.error(why, vault=vault, venue=venue, account=account, known=kept)
            raise AccountMissing(venue, why)

    async def collect(self, vault: str, venue: str) -> int:
        """Record all fills that the venue tells by now; how many were new. Raises `VenueError`."""
        driver, new = await self._drivers.driver(vault, venue), 0
        await self.begin(vault, venue)
        while True:
            since, _ = await self._fills.cursors(vault, venue)
            told = await driver.fills(since)
            if told.cursor == since:
                return new
            taken = [_taken(venue, one) for one in told.fills]
            added = await self._fills.record(vault, venue, since, taken, told.cursor, self._clock())
            # None: somebody else has read on, and from there it goes on here.
            new += len(added or ())
            if added is not None and not told.more:
                return new

    async def held_by_now(self, vault: str, leg: Leg) -> int:
        """A vault's position; where an order of it may have fills that nobody has read, with them. Raises `VenueError`."""
        if await self._fills.may_have_moved(vault, leg, self._clock() - LATELY):
            await self.collect(vault, leg.venue)
        return (await self._held(vault)).get(leg.venue, {}).get(leg.symbol, 0)

    async def collect_funding(self, vault: str, venue: str) -> None:
        """Record all that the venue tells by now of cash that moved without fills, where there is any. Raises `VenueError`."""
        driver = await self._drivers.driver(vault, venue)
        ask = _funding(driver)
        await self.begin(vault, venue)
        while ask is not None:
            _, since = await self._fills.cursors(vault, venue)
            told = await ask(since)
            if told.cursor == since:
                return
            payments = [
                Payment(one.id, one.symbol, one.amount, one.at, one.kind.value) for one in told.payments
            ]
            lost, now = _forgotten(driver, since), self._clock()
            moved = await self._fills.record_funding(vault, venue, since, payments, told.cursor, now, lost)
            if lost and moved:
                _log.error("a venue does not tell what a vault was paid any more", vault=vault, venue=venue, why=lost)  # fmt: skip
            if moved and not told.more:
                return

    async def collect_all(self, vault: str, venue: str) -> None:
        """Record all fills and payments that the venue tells by now, and that it has told them. Raises `VenueError`, also where it
        holds fills back for long."""
        begun = self._clock()
        await self.collect(vault, venue)
        await self.collect_funding(vault, venue)
        await self._settling(vault, venue)
        await self._fills.seen(vault, venue, begun)

    async def silent(self, found: Mapping[tuple[str, str], str]) -> None:
        """Keep of which accounts, by vault and venue, the venues do not tell and why; no others."""
        await self._fills.silent(found, self._clock())

    async def reconcile(self, vault: str, venue: str) -> list[Difference]:
        """As `collect_all` and `compare` together. Raises `VenueError`."""
        begun = self._clock()
        await self.collect_funding(vault, venue)
        found = await self.compare(vault, venue)
        await self._settling(vault, venue)
        await self._fills.seen(vault, venue, begun)
        return found

    async def compare(self, vault: str, venue: str) -> list[Difference]:
        """Bring the ledger's positions to the venue's, which is right; what differed. Raises `VenueError`.

        Fills may be told later than they move a position, so a difference counts when it is the same at several looks, and while the
        venue itself says that some are to come, there is none.
        """
        driver = await self._drivers.driver(vault, venue)
        seen: dict[str, tuple[int, int]] | None = None
        for look in range(LOOKS):
            if look:
                await asyncio.sleep(self._between_s)
            new = await self.collect(vault, venue)
            asked = self._clock()
            theirs = await driver.positions()
            for symbol in theirs:
                _named(venue, symbol)
            if theirs:
                await self._fills.not_empty(vault, venue)
            ours = (await self._held(vault)).get(venue, {})
            differing = _differing(ours, theirs)
            if not differing:
                await self._fills.unpriced(vault, venue, {}, self._clock())
                return []
            if look and (new or differing != seen):
                # Something moves: the next comparison will tell.
                return []
            if await self._unsettled(driver, vault, venue) is not None:
                # What is in the positions already will be a fill yet, or will never have been.
                return []
            seen = differing
        return await self._correct(vault, venue, differing, theirs, asked)

    async def _settling(self, vault: str, venue: str) -> None:
        """Raises `Unavailable` where the venue holds back since long what was filled: nothing that came after it is told either."""
        since = await self._unsettled(await self._drivers.driver(vault, venue), vault, venue)
        waits = 0 if since is None else self._clock() - since
        if waits > UNSETTLED_FOR:
            what = f"a fill has not settled for {waits // (60 * SECOND)} minutes, and none after it is told"
            raise Unavailable(venue, what)

    async def _unsettled(self, driver: Driver, vault: str, venue: str) -> Nanos | None:
        """Since when the venue has a fill that it does not tell yet, at venues that have such."""
        ask: Callable[[str], Awaitable[Nanos | None]] | None = getattr(driver, "unsettled", None)
        if ask is None:
            return None
        since, _ = await self._fills.cursors(vault, venue)
        return await ask(since)

    async def _correct(
        self,
        vault: str,
        venue: str,
        differing: Mapping[str, tuple[int, int]],
        theirs: Mapping[str, Position],
        asked: int,
    ) -> list[Difference]:
        """Take positions over at their prices. One without stays as it is, and is kept as a doubt: at nothing, its whole value would
        be won or lost. So do those that are gone all at once, but where their markets have ended, until that was so for long when the
        venue was `asked`."""
        found, unpriced, empty = [], {}, {}
        now = self._clock()
        since = None if theirs else await self._fills.empty_since(vault, venue)
        doubtful = not theirs and (since is None or asked - since < EMPTY_FOR)
        for symbol, (mine, yours) in differing.items():
            with looking(Turn.SOON):
                told = await self._priced(vault, Leg(venue, symbol))
            if told is not None:
                price, standing = int(told.price), told.standing.value
            elif symbol in theirs and theirs[symbol].entry_price:
                price, standing = int(theirs[symbol].entry_price or 0), ENTRY
            else:
                unpriced[symbol] = unpriced_words(mine, yours)
                _log.error("a vault has another position than its fills add up to, and nobody knows its price",
                           vault=vault, venue=venue, symbol=symbol, ours=mine, theirs=yours)  # fmt: skip
                continue
            if doubtful and standing != RESOLVED:
                empty[symbol] = empty_words(mine)
                _log.error("a venue says that a vault has nothing there at all",
                           vault=vault, venue=venue, symbol=symbol, ours=mine)  # fmt: skip
                continue
            difference = Difference(symbol, mine, yours, price, standing)
            if await self._fills.correct(vault, venue, difference, self._clock()):
                _log.error("a venue has another position than its fills add up to", vault=vault, venue=venue,
                           symbol=symbol, ours=mine, theirs=yours, price=price)  # fmt: skip
                found.append(difference)
        await self._fills.unpriced(vault, venue, unpriced, now, empty)
        return found


def _funding(driver: Driver) -> Callable[[str], Awaitable[FundingPayments]] | None:
    """What asks for payments, at venues that have any."""
    return getattr(driver, "funding", None)


def _forgotten(driver: Driver, cursor: str) -> str:
    """What was paid behind a cursor and is told no more, at venues that forget."""
    ask: Callable[[str], str] | None = getattr(driver, "forgotten", None)
    return "" if ask is None else ask(cursor)


async def _end(ask: Callable[[str], Awaitable[Fills | FundingPayments]]) -> str:
    """The cursor behind all that there is."""
    cursor, more = "", True
    while more and (told := await ask(cursor)).cursor != cursor:
        cursor, more = told.cursor, told.more
    return cursor


def _differing(ours: Mapping[str, int], theirs: Mapping[str, Position]) -> dict[str, tuple[int, int]]:
    found = {}
    for symbol in sorted({*ours, *theirs}):
        mine = ours.get(symbol, 0)
        yours = theirs[symbol].size if symbol in theirs else 0
        if mine != yours:
            found[symbol] = (mine, int(yours))
    return found


def _taken(venue: str, fill: VenueFill) -> TakenFill:
    """Raises `Unavailable` for what cannot be one: recorded, nobody could value the vault any more."""
    _named(venue, fill.symbol)
    names = (fill.id, fill.client_id or "", fill.venue_order_id)
    counted = 0 < fill.size <= SIZE_MAX and 0 <= fill.price <= PRICE_MAX and abs(fill.fee) <= MONEY_MAX
    if not (counted and all(name.isprintable() for name in names)):
        raise Unavailable(venue, f"it tells of {fill}, which is no fill")
    return TakenFill(
        *(fill.id, fill.client_id or "", fill.venue_order_id, fill.symbol),
        *(int(fill.side), fill.size, fill.price, fill.fee, fill.at),
    )


def _named(venue: str, symbol: str) -> None:
    """Raises `Unavailable` for a name that no symbol can have."""
    try:
        leg(venue, symbol)
    except NotATicket as error:
        raise Unavailable(venue, f"it tells of a position or a fill: {error}") from None
    if not symbol.isprintable():
        raise Unavailable(venue, f"it tells of a symbol {symbol!r}")
