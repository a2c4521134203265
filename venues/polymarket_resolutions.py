"""What tokens count for whose markets have ended at Polymarket. That stays, so each is asked for once."""

import httpx

from core.tickets import PriceE8
from venues.errors import Reading, Unavailable
from venues.polymarket_http import Clob, HttpRefusal
from venues.polymarket_wire import VENUE, resolution_of


class Resolutions:
    """By the venue's own answers on its markets."""

    def __init__(self, clob: Clob) -> None:
        self._clob = clob
        self._known: dict[str, PriceE8] = {}

    async def of(self, token: str) -> PriceE8 | None:
        """What each of a token counts for; None where its market goes on, or never was. Raises `Unavailable`."""
        if token in self._known:
            return self._known[token]
        try:
            found = await self._clob.answered("GET", f"{self._clob.url}/markets-by-token/{token}")
            with Reading(VENUE):
                condition = found["condition_id"]
            market = await self._clob.answered("GET", f"{self._clob.url}/markets/{condition}")
        except HttpRefusal as refused:
            if refused.status in (400, 404):
                return None
            raise Unavailable(VENUE, f"no market of {token}: {refused}") from refused
        except (httpx.HTTPError, ValueError) as lost:
            raise Unavailable(VENUE, f"no market of {token}: {lost!r}") from lost
        with Reading(VENUE):
            price = resolution_of(market, token)
        if price is not None:
            self._known[token] = price
        return price
