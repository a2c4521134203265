"""What stands behind a vault's orders where its leverage must be kept here, because the venue does not."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from activities.nav import LegPrices
from activities.venue_books import Drivers
from core.backing import Backing, Exposure, backing
from core.nav import PricedLeg
from core.quantities import MicroUsdc
from core.tickets import Leg, SizeE8, Ticket
from venues.errors import AccountMissing, VenueError

if TYPE_CHECKING:
    # What knows prices takes long to load, and the worker starts without it.
    from venues.prices import LegPrice

MARGIN_ACCOUNTS: Final = frozenset({"agents"})
"""Venues that know no leverage of an order, and say what an account there is worth."""
NO_ACCOUNTS: Final = frozenset({"mock_gold"})
"""Venues where a vault's money does not lie: all that it is worth stands behind its positions there."""


class Holdings(Protocol):
    """Where positions and cash come from: `ledger.venue_exposure.VenueExposure`."""

    async def exposures(self, vault: str, venue: str) -> dict[str, Exposure]: ...

    async def worth(self, vault: str) -> tuple[int, dict[Leg, int]]: ...


Backed = Callable[[str, Ticket], Awaitable[Backing | None]]
"""What stands behind a vault's ticket; None when nobody knows. Raises `AccountMissing`."""


class VaultBacking:
    """Over the ledger, prices and the venues that have accounts. Two tickets at one instant do not see each other here: whoever keeps
    them holds the second one against the first."""

    def __init__(self, holdings: Holdings, prices: LegPrices, drivers: Drivers) -> None:
        self._holdings = holdings
        self._prices = prices
        self._drivers = drivers

    def by_venue(self) -> Mapping[str, Backed]:
        """For those venues that do not keep a leverage themselves."""
        return dict.fromkeys(sorted(MARGIN_ACCOUNTS | NO_ACCOUNTS), self._of)

    async def _of(self, vault: str, ticket: Ticket) -> Backing | None:
        exposures = await self._holdings.exposures(vault, ticket.venue)
        symbols = {ticket.symbol, *exposures}
        cash, held = await self._holdings.worth(vault)
        legs = {Leg(ticket.venue, symbol) for symbol in symbols}
        if ticket.venue in NO_ACCOUNTS:
            legs |= held.keys()
        prices = await self._priced(legs)
        if prices is None:
            return None
        if ticket.venue in NO_ACCOUNTS:
            worth = sum(_priced(leg, size, prices[leg]).value for leg, size in held.items())
            equity = MicroUsdc(cash + worth)
        else:
            account = await self._account(vault, ticket.venue)
            if account is None:
                return None
            equity = account
        of_symbols = {symbol: prices[Leg(ticket.venue, symbol)].price for symbol in symbols}
        return backing(equity, of_symbols, exposures, ticket.symbol, ticket.side, ticket.size)

    async def _account(self, vault: str, venue: str) -> MicroUsdc | None:
        """What the account is worth by the venue's own word; None when it does not say."""
        try:
            driver = await self._drivers.driver(vault, venue)
            ask: Callable[[], Awaitable[MicroUsdc]] | None = getattr(driver, "equity", None)
            assert ask is not None, venue
            return await ask()
        except AccountMissing:
            raise
        except VenueError:
            return None

    async def _priced(self, legs: set[Leg]) -> "dict[Leg, LegPrice] | None":
        """None when one of them has no price."""
        # Here, for the same reason.
        from venues.prices import LegPrice

        found = await self._prices.get_index_prices([str(leg) for leg in sorted(legs)])
        priced = {leg: one for leg in legs if isinstance(one := found[str(leg)], LegPrice)}
        return priced if len(priced) == len(legs) else None


def _priced(leg: Leg, size: int, found: "LegPrice") -> PricedLeg:
    return PricedLeg(leg, SizeE8(size), found.price, found.at, found.source, found.standing.value)
