"""A vault's desk: tickets to any venue under one key, and what became of them."""

import uuid
from decimal import Decimal
from typing import Any

from perpdex_sdk.desk_answers import VaultEvents, VenueOrder, VenuePositions
from perpdex_sdk.errors import ExchangeError
from perpdex_sdk.rest import Rest
from perpdex_sdk.trading import text

TIMEOUT = 30.0
"""Seconds; longer than the exchange waits for a venue."""


class Desk:
    """Made with the key of `Rest.quant_key`. Sizes and prices are decimal strings or `Decimal`s, never floats.

    A client id names an order for ever: the same one again is the same order, and is answered with what became of it. So a call that
    raised `Unreachable`, or `Refused` with `orders_unavailable`, is repeated with the same one and never places a second order. Where
    none is given one is made here, before anything is sent: it is in the answer, and the `client_id` of whatever is raised. Who may be
    ended in between gives one of its own, for nobody else knows it then. What the vault's rules refuse raises `Refused`, what the
    venue refuses is the order's `status` and `code`.
    """

    def __init__(self, url: str, key: str) -> None:
        self._rest = Rest(url, TIMEOUT, token=key)

    async def close(self) -> None:
        await self._rest.close()

    async def open(
        self,
        symbol: str,
        side: str,
        size: Decimal | str,
        client_id: str = "",
        *,
        venue: str | None = None,
        limit: Decimal | str | None = None,
        time_in_force: str = "gtc",
        leverage: int | None = None,
        reduce_only: bool = False,
    ) -> VenueOrder:
        """Send a ticket: at the market, or to `limit` where one is given. Without `venue` it is for the vault's default one."""
        body = {
            "symbol": symbol,
            "side": side,
            "size": text(size),
            "venue": venue,
            "order_type": "market" if limit is None else "limit",
            "limit_price": None if limit is None else text(limit),
            "time_in_force": time_in_force,
            "leverage": leverage,
            "reduce_only": reduce_only,
            "client_id": client_id or uuid.uuid4().hex,
        }
        return await self._order("open", body)

    async def close_position(
        self,
        symbol: str,
        client_id: str = "",
        *,
        venue: str | None = None,
        size: Decimal | str | None = None,
    ) -> VenueOrder:
        """Close a position at the market, or `size` of it."""
        part = None if size is None else text(size)
        body = {"symbol": symbol, "venue": venue, "size": part, "client_id": client_id or uuid.uuid4().hex}
        return await self._order("close", body)

    async def cancel(self, client_id: str) -> VenueOrder:
        """Take an order back; one that had ended is answered as it ended."""
        return await self._order("cancel", {"client_id": client_id})

    async def order(self, client_id: str) -> VenueOrder:
        """What became of an order; `refused` with its code also where the rules refused. Asks only, and sends nothing.

        Raises `Refused` with `venue_order_unknown` while nobody has heard of it: a call that was lost may still be on its way.
        """
        return await self._rest.call("GET", f"/api/v1/quant/orders/{client_id}", VenueOrder)

    async def positions(self) -> VenuePositions:
        return await self._rest.call("GET", "/api/v1/quant/positions", VenuePositions)

    async def events(self, after: int, limit: int = 500) -> VaultEvents:
        """Up to `limit` events after that number: orders, fills, positions and differences, without gaps."""
        return await self._rest.call("GET", f"/api/v1/quant/events?after={after}&limit={limit}", VaultEvents)

    async def _order(self, what: str, body: dict[str, Any]) -> VenueOrder:
        try:
            return await self._rest.call("POST", f"/api/v1/quant/orders/{what}", VenueOrder, body)
        except ExchangeError as error:
            error.client_id = body["client_id"]
            raise
