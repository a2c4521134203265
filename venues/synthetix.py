"""Synthetix's perps on its venue of today, with its own SDK's signatures. The account is one sub-account of the key's.

Every request that changes something expires on its way. The venue wants nonces that only grow, so such requests of one key go one
after another.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, Final

import requests
from synthetix.signing import Signer

from core.quantities import MILLISECOND, SECOND, Nanos
from core.risk_template import Lifecycle
from core.tickets import OrderType, SizeE8, TimeInForce, no_worse, size_from
from venues import synthetix_history as history
from venues.blocking import in_thread, never_sent
from venues.driver import (
    Acknowledged,
    Cancelled,
    Fills,
    FundingPayments,
    Mid,
    OrderState,
    OrderStatus,
    Position,
    Reason,
    Refused,
    VenueOrder,
)
from venues.errors import Reading, Unavailable, Unknown
from venues.pages import newer
from venues.synthetix_wire import (
    VENUE,
    Market,
    client_order_id,
    fill_of,
    market_symbol,
    markets_of,
    mid_of,
    open_order_of,
    order_fields,
    past_order_of,
    payment_of,
    positions_of,
    price_cut,
    refused_for,
)

PUBLIC_URL: Final = "https://papi.synthetix.io/v1"
TIMEOUT_S: Final = 10.0
EXPIRES_MS: Final = 15_000
PAGE: Final = 1_000
LIST_EVERY: Final = 60 * SECOND


class _Refusal(Exception):
    """An answer that refuses a request as a whole. Without a code it is not the venue's own: what is in between may have handed on
    what it answers for."""

    def __init__(self, status: int, code: str, words: str) -> None:
        super().__init__(f"HTTP {status}: {code}: {words}")
        self.status, self.code, self.words = status, code, words


class _NotSigned(Exception):
    """Nothing was signed: the order's latest time had come, or what is signed now would be good for longer than it may be."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.words)
        self.refused = refused


class Synthetix:
    """`url` ends in `/v1`. With `dry_run` orders are made, checked and signed, and then not sent: each is acknowledged as one of which
    nothing filled, in the same way every time, and the venue never hears of it."""

    venue: Final = VENUE
    lifecycle: Final = Lifecycle.ACTIVE

    def __init__(
        self,
        key: str,
        account: int,
        url: str,
        clock: Callable[[], int],
        dry_run: bool = False,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._signer = Signer(key)
        self._account = account
        self._url = url.rstrip("/")
        self._clock = clock
        self._dry_run = dry_run
        self._timeout_s = timeout_s
        self._session = requests.Session()
        self._changing = asyncio.Lock()
        self._nonce = 0
        self._markets: dict[str, Market] = {}
        self._list_after = 0

    @property
    def account(self) -> str:
        return str(self._account)

    def client_id(self, ticket_id: str) -> str:
        return client_order_id(ticket_id)

    async def submit(self, order: VenueOrder) -> Acknowledged | Refused:
        market = await self._market(order.symbol)
        if market is None:
            return Refused(Reason.SYMBOL_UNKNOWN, f"there is no market {market_symbol(order.symbol)}")
        if market.closing and not order.reduce_only:
            return Refused(Reason.VENUE_CLOSE_ONLY, f"{market_symbol(order.symbol)} is closing")
        if order.time_in_force is TimeInForce.FOK:
            return Refused(Reason.NOT_SUPPORTED, "the venue has no fill-or-kill")
        if order.limit_price is not None and order.order_type is OrderType.MARKET:
            order = replace(order, limit_price=no_worse(order.limit_price, order.side, market.price_step))
        if order.size % market.size_step or (order.limit_price or 0) % market.price_step:
            return Refused(Reason.ORDER_INVALID, "size and price must be multiples of the market's steps")
        fields = order_fields(order)
        if self._dry_run:
            try:
                self._placing(order, fields)
            except _NotSigned as why:
                return why.refused
            return Acknowledged(_state(order, f"dry-run-{order.client_id}", OrderStatus.CANCELLED, SizeE8(0)))
        if (times := order.new_leverage) is not None:
            refused = await self._set_leverage(order, times)
            if refused is not None:
                return refused
        status = await self._status(lambda: self._placing(order, fields))
        return status if isinstance(status, Refused) else await self._acknowledged(order, status)

    async def cancel(self, client_id: str, symbol: str) -> Cancelled | Refused:
        status = await self._status(
            lambda: self._signer.sign_cancel_orders_by_cloid(self._account, [client_id], **self._terms(None))
        )
        if isinstance(status, Refused):
            return status
        if "canceled" not in status:
            raise self._unknown(f"a cancel was answered {str(status)[:200]}")
        return Cancelled(client_id)

    async def order(self, client_id: str, symbol: str, since: int = 0) -> OrderState | None:
        # First those that wait: an order goes from there to the history, and never back.
        waiting = await self._read("getOpenOrders")
        with Reading(VENUE):
            for row in waiting:
                if row["order"].get("clientId") == client_id:
                    return open_order_of(row)
        past = await self._read("getOrderHistory", clientOrderId=client_id, limit=PAGE)
        with Reading(VENUE):
            # Whether or not the venue heeds the filter.
            mine = [row for row in past if row["order"].get("clientId") == client_id]
            if not mine and len(past) >= PAGE:
                raise ValueError("the history is longer than an answer, and was not filtered")
            return past_order_of(mine[0]) if mine else None

    async def fills(self, cursor: str) -> Fills:
        """Fills of `synthetix_history.MEMORY` at most: what an account filled before, and nobody had asked for until now, is found by
        comparing positions."""
        with Reading(VENUE):
            since = history.first_asked(cursor, self._clock())
        trades: dict[str, dict[str, Any]] = {}
        more = True
        while more:
            # Newest first: what fills meanwhile only moves rows back, where they come a second time.
            answer = await self._read("getTrades", startTime=since, limit=PAGE, offset=len(trades))
            with Reading(VENUE):
                before = len(trades)
                trades |= {str(row["tradeId"]): row for row in answer["trades"]}
                more = answer["hasMore"]
                if more and len(trades) == before:
                    raise ValueError("the venue says that there is more, and gives the same again")
        with Reading(VENUE):
            rows = list(reversed(trades.values()))
            found, cursor = newer(
                rows, cursor, lambda row: int(row["timestamp"]), lambda row: str(row["tradeId"])
            )
            return Fills([fill_of(row) for row in found], cursor, more=False)

    async def funding(self, cursor: str) -> FundingPayments:
        """All payments up to now that the venue remembers. The cursor moves on where nothing is paid, so that one older than that
        memory says that nobody has asked for so long."""
        now = self._clock()
        with Reading(VENUE):
            since = history.first_asked(cursor, now)

        async def asked(window: history.Window) -> list[dict[str, Any]]:
            first, last = window
            answer = await self._read("getFundingPayments", startTime=first, endTime=last, limit=PAGE)
            with Reading(VENUE):
                return list(answer["fundingHistory"])

        rows = []
        with Reading(VENUE):
            for window in history.windows(since, now // MILLISECOND):
                rows += await history.whole(window, asked, PAGE, _paid_at)
            found, cursor = newer(rows, cursor, _paid_at, lambda row: str(row["paymentId"]))
            if not found:
                cursor = history.moved_on(cursor, now)
            return FundingPayments([payment_of(row) for row in found], cursor, more=False)

    def forgotten(self, cursor: str) -> str:
        return history.forgotten(cursor, self._clock())

    async def positions(self) -> dict[str, Position]:
        rows = await self._read("getPositions")
        with Reading(VENUE):
            return positions_of(rows)

    async def mids(self, symbols: Collection[str]) -> dict[str, Mid]:
        if not symbols:
            return {}
        prices = await self._public("getMarketPrices")
        with Reading(VENUE):
            rows = {symbol: prices.get(market_symbol(symbol)) for symbol in symbols}
            mids = {symbol: mid_of(row) for symbol, row in rows.items() if row is not None}
            return {symbol: mid for symbol, mid in mids.items() if mid is not None}

    async def close(self) -> None:
        await in_thread(self._session.close)

    # --- what is asked ---

    def _placing(self, order: VenueOrder, fields: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = self._signer.sign_place_orders(self._account, [fields], **self._terms(order))
        return made

    def _terms(self, order: VenueOrder | None) -> dict[str, int]:
        """The nonce of what is signed now, and for how long from that on the venue takes it: for some seconds from now, and not after
        the order's latest time. Raises `_NotSigned`.

        The venue reckons from the nonce, which never goes back. A clock that was ahead and was put right has left it ahead, so what
        is left until the wanted end is signed, and nothing where none is left.
        """
        now, ends = self._clock(), self._clock() // MILLISECOND + EXPIRES_MS
        if order is not None and order.not_after is not None:
            late, ends = order.late(now), min(ends, order.not_after // MILLISECOND)
            if late is not None:
                raise _NotSigned(late)
        self._nonce = max(now // MILLISECOND, self._nonce + 1)
        if ends <= self._nonce:
            words = "nothing can be signed that is good for so short: the clock was ahead, or there is no time left"
            raise _NotSigned(Refused(Reason.BUSY, words))
        return {"nonce": self._nonce, "expires_after_ms": ends - self._nonce}

    async def _market(self, symbol: str) -> Market | None:
        """A market's steps; for a symbol that is not known the venue is asked again, but not all the time."""
        if symbol not in self._markets and self._clock() >= self._list_after:
            rows = await self._public("getMarkets")
            with Reading(VENUE):
                self._markets = markets_of(rows)
            self._list_after = self._clock() + LIST_EVERY
        return self._markets.get(symbol)

    async def _set_leverage(self, order: VenueOrder, times: int) -> Refused | None:
        try:
            answer = await self._change(
                lambda: self._signer.sign_update_leverage(
                    self._account,
                    market_symbol(order.symbol),
                    str(times),
                    **self._terms(order),
                )
            )
        except Unknown as lost:
            raise Unavailable(VENUE, f"the leverage may not be set, and no order was sent: {lost}") from lost
        return answer if isinstance(answer, Refused) else None

    async def _acknowledged(self, order: VenueOrder, status: dict[str, Any]) -> Acknowledged:
        price = None
        try:
            if "filled" in status:
                filled = status["filled"]
                done, price = size_from(filled["totalSize"]), price_cut(filled["avgPrice"])
                if done == order.size:
                    state = _state(order, filled["order"]["venueId"], OrderStatus.FILLED, done)
                    return Acknowledged(state, price)
            elif "resting" not in status and "canceled" not in status:
                raise ValueError("neither filled nor resting")
        except (KeyError, TypeError, ValueError) as wrong:
            raise self._unknown(f"an order was answered {str(status)[:200]}: {wrong!r}") from wrong
        try:
            known = await self.order(order.client_id, order.symbol)
        except Unavailable as silent:
            raise self._unknown(
                f"an order was taken, and then nobody said how it stands: {silent}"
            ) from silent
        if known is None:
            raise self._unknown("an order was taken that the venue does not know yet")
        return Acknowledged(known, price)

    # --- the wire ---

    async def _status(self, sign: Callable[[], dict[str, Any]]) -> Any:
        """The one status of a request about one order, or the refusal."""
        answer = await self._change(sign)
        if isinstance(answer, Refused):
            return answer
        try:
            (status,) = answer["statuses"]
            if "error" in status:
                return refused_for(str(status.get("errorCode", "")), str(status["error"]))
        except (KeyError, TypeError, ValueError) as wrong:
            raise self._unknown(f"not the venue's answer: {str(answer)[:200]}") from wrong
        return status

    async def _change(self, sign: Callable[[], dict[str, Any]]) -> Any:
        """Send what changes something. Raises `Unknown`, or `Unavailable` where the venue certainly never got it."""
        ends = 0

        def send() -> Any:
            nonlocal ends
            body = sign()
            ends = int(body["expiresAfter"])
            return self._sent("/trade", body)

        async with self._changing:
            try:
                return await in_thread(send)
            except _NotSigned as why:
                return why.refused
            except _Refusal as refused:
                if refused.status == 429:
                    return Refused(Reason.RATE_LIMITED, str(refused))
                if refused.status < 500 and refused.code:
                    return refused_for(refused.code, refused.words)
                raise self._unknown(str(refused), ends) from refused
            except requests.RequestException as lost:
                if never_sent(lost):
                    raise Unavailable(VENUE, f"no connection: {lost!r}") from lost
                raise self._unknown(f"no answer: {lost!r}", ends) from lost
            except ValueError as nonsense:
                raise self._unknown(f"not the venue's answer: {nonsense!r}", ends) from nonsense

    async def _read(self, action: str, **params: Any) -> Any:
        """A private list. Reading is signed too."""
        return await self._asked(
            "/trade", lambda: self._signer.sign_action(self._account, action, params or None), action
        )

    async def _public(self, action: str) -> Any:
        return await self._asked("/info", lambda: {"params": {"action": action}}, action)

    async def _asked(self, path: str, make: Callable[[], dict[str, Any]], action: str) -> Any:
        try:
            return await in_thread(lambda: self._sent(path, make()))
        except (requests.RequestException, _Refusal, ValueError) as error:
            raise Unavailable(VENUE, f"no answer to {action}: {error!r}") from error

    def _sent(self, path: str, body: dict[str, Any]) -> Any:
        """The response in the venue's envelope. Raises `_Refusal`, `ValueError` for what is no such envelope."""
        answer = self._session.post(self._url + path, json=body, timeout=self._timeout_s)
        try:
            said = answer.json()
        except ValueError:
            if answer.status_code >= 400:
                raise _Refusal(answer.status_code, "", answer.text[:200]) from None
            raise
        match said:
            case {"status": "ok", "response": response} if answer.status_code < 400:
                return response
            case {"status": "error", "error": {"code": str(code), "message": str(words)}}:
                raise _Refusal(answer.status_code, code, words)
        if answer.status_code >= 400:
            raise _Refusal(answer.status_code, "", str(said)[:200])
        raise ValueError(str(said)[:200])

    def _unknown(self, what: str, ends_ms: int = 0) -> Unknown:
        """`ends_ms` is until when the venue takes what was signed; 0 where it has answered, and may know of it a little later."""
        until = ends_ms or self._clock() // MILLISECOND + EXPIRES_MS
        return Unknown(VENUE, what, Nanos(until * MILLISECOND))


def _paid_at(row: dict[str, Any]) -> int:
    return int(row["paymentTime"])


def _state(order: VenueOrder, venue_id: str, status: OrderStatus, filled: SizeE8) -> OrderState:
    terms = order.symbol, order.side, status, order.size, filled
    return OrderState(order.client_id, venue_id, *terms)
