"""Polymarket's order book (CLOB v2), with its own SDK's signatures. The account is the wallet that holds money and shares.

The venue knows no client ids: an order's id is the hash of what was signed. So what is signed is kept before it is sent, and whoever
sends again sends the same bytes, which the venue takes once. Symbols are token ids. Nobody is short here: to bet against a token, buy
the opposite one.
"""

import json
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

import httpx
from py_clob_client_v2.signer import Signer

from core.market import Side
from core.quantities import MILLISECOND, SECOND, MicroUsdc, Nanos
from core.risk_template import Lifecycle
from core.tickets import OrderType, PriceE8, SizeE8, TimeInForce, no_worse, size_from
from venues.blocking import in_thread
from venues.driver import (
    Acknowledged,
    Cancelled,
    Fills,
    Mid,
    OrderState,
    OrderStatus,
    Position,
    Reason,
    Refused,
    VenueOrder,
)
from venues.errors import Reading, Unavailable, Unknown
from venues.mids import mids_of
from venues.pages import newer
from venues.polymarket_http import Clob, HttpRefusal
from venues.polymarket_resolutions import Resolutions
from venues.polymarket_signing import CHAIN_ID, Terms, Wallet
from venues.polymarket_stream import stirs
from venues.polymarket_wire import (
    FAILED_TRADE,
    LISTED_S,
    LOT,
    VENUE,
    Book,
    Fees,
    Part,
    amounts,
    book_of,
    client_id,
    fee,
    fees_of,
    gone_state,
    listed_by,
    open_state,
    parts_of,
    positions_of,
    refused_for,
    salt,
    settled,
    state,
    unsettled,
)
from venues.sent_orders import Sent, SentOrders

PUBLIC_URL: Final = "https://clob.polymarket.com"
PUBLIC_DATA_URL: Final = "https://data-api.polymarket.com"
TIMEOUT_S: Final = 10.0
LIVES_S: Final = 30
"""An order that shall not wait is cancelled at once; should this process end in between, it is gone by itself after so long."""
EARLY_S: Final = 60
"""The venue ends orders so long before the expiration that they name."""
FIRST_PAGE: Final = "MA=="
LAST_PAGE: Final = "LTE="
POSITIONS_PAGE: Final = 500


class Polymarket:
    """`key` signs. `wallet` holds what is traded where that is not the key's own address, and `wallet_kind` is the venue's number for
    what kind of wallet it is. `sent` is the file of orders that were signed, which all processes with this account share.
    """

    venue: Final = VENUE
    lifecycle: Final = Lifecycle.ACTIVE

    def __init__(
        self,
        key: str,
        url: str,
        data_url: str,
        stream_url: str,
        sent: Path,
        clock: Callable[[], int],
        wallet: str | None = None,
        wallet_kind: int = 0,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        signer = Signer(key, CHAIN_ID)
        self._signing = Wallet(signer, wallet, wallet_kind)
        self._wallet = self._signing.address
        self._clob = Clob(signer, url, clock, timeout_s)
        self._data_url = data_url.rstrip("/")
        self._stream_url = stream_url.rstrip("/")
        self._sent = SentOrders(sent, self._wallet.lower())
        self._clock = clock
        self._fees: dict[str, Fees] = {}
        self._resolutions = Resolutions(self._clob)

    @property
    def account(self) -> str:
        return self._wallet.lower()

    def client_id(self, ticket_id: str) -> str:
        return client_id(ticket_id)

    async def submit(self, order: VenueOrder) -> Acknowledged | Refused:
        """The same client id again sends what was signed for it, and nothing else, until that has expired."""
        sent = await in_thread(lambda: self._sent.by_client_id(order.client_id))
        # Before the question: an order that expires until its answer is here may have been taken in between.
        asked = self._clock()
        if sent is not None:
            if (sent.symbol, sent.side) != (order.symbol, order.side):
                return Refused(Reason.CLIENT_ID_USED, "another order was signed under this client id")
            known = await self._state(sent)
            if known is not None:
                return Acknowledged(known)
        if sent is None or 0 < sent.expires <= asked - LISTED_S * SECOND:
            made = await self._made(order)
            if isinstance(made, Refused):
                return made
            sent = await in_thread(lambda: self._sent.keep(made))
        # What takes time is done before the clock is looked at.
        await self._clob.entered()
        late = order.late(self._clock())
        if late is not None:
            return late
        answer = await self._post(sent)
        return answer if isinstance(answer, Refused) else await self._acknowledged(sent, answer)

    async def cancel(self, client_id: str, symbol: str) -> Cancelled | Refused:
        sent = await in_thread(lambda: self._sent.by_client_id(client_id))
        if sent is None:
            return Refused(Reason.ORDER_UNKNOWN, "no order was ever signed under this client id")
        return await self._cancel(sent)

    async def order(self, client_id: str, symbol: str, since: int = 0) -> OrderState | None:
        """None also for an order that is still on its way: to send it again is harmless, for it is the same.

        One that the venue does not show any more waits as long as a trade of it may still be listed.
        """
        sent = await in_thread(lambda: self._sent.by_client_id(client_id))
        return None if sent is None else await self._state(sent)

    async def fills(self, cursor: str) -> Fills:
        """Those that are settled on the chain: what was matched may still fail, and then it never was."""
        with Reading(VENUE):
            since = int(cursor.partition("|")[0] or 0)
        # Newest first: of one second, the order is the list's.
        parts = {part.id: part for part in reversed(await self._parts(since))}
        with Reading(VENUE):
            told: dict[str, list[Part]] = {}
            for part in settled(list(parts.values())):
                told.setdefault(part.told, []).append(part)
            rows = [{"name": name, "second": of[0].second, "parts": of} for name, of in told.items()]
            found, cursor = newer(
                rows, cursor, lambda row: int(row["second"]), lambda row: str(row["name"]), LISTED_S
            )
        fills = []
        for part in (part for row in found for part in row["parts"]):
            fills.append(part.fill(await self._client_of(part.order_id), await self._cost(part)))
        return Fills(fills, cursor, more=False)

    async def unsettled(self, cursor: str) -> Nanos | None:
        with Reading(VENUE):
            since = int(cursor.partition("|")[0] or 0)
        return min((part.at for part in unsettled(await self._parts(since))), default=None)

    async def positions(self) -> dict[str, Position]:
        """From the venue's data interface, which follows the chain some seconds behind."""
        rows: list[dict[str, Any]] = []
        while True:
            where = f"{self._data_url}/positions?user={self._wallet}&sizeThreshold=0"
            page = await self._clob.read(f"{where}&limit={POSITIONS_PAGE}&offset={len(rows)}")
            with Reading(VENUE):
                rows += page
                if len(page) < POSITIONS_PAGE:
                    return positions_of(rows)

    async def mids(self, symbols: Collection[str]) -> dict[str, Mid]:
        return await mids_of(symbols, self._mid)

    async def stirs(self) -> AsyncGenerator[None]:
        """Of orders' and trades' changes; see `venues.polymarket_stream`."""
        async with aclosing(stirs(self._stream_url, await self._clob.entered())) as news:
            async for _ in news:
                yield

    async def close(self) -> None:
        await self._clob.close()

    # --- orders ---

    async def _made(self, order: VenueOrder) -> Sent | Refused:
        """The order as it is signed, or why the venue would not have it."""
        if order.new_leverage not in (None, 1):
            return Refused(Reason.LEVERAGE_INVALID, "shares are paid in full")
        if order.time_in_force is TimeInForce.FOK:
            return Refused(Reason.NOT_SUPPORTED, "fill-or-kill buys for a sum there, and not a size")
        book = await self._book(order.symbol)
        if isinstance(book, Refused):
            return book
        size = await self._reduced(order) if order.reduce_only else order.size
        if size == 0:
            return Refused(Reason.WOULD_NOT_REDUCE, "there are no shares of it to sell")
        price = order.limit_price or book.worst(order.side)
        if price is None:
            return Refused(Reason.NO_LIQUIDITY, "the book has no middle")
        if order.order_type is OrderType.MARKET:
            price = no_worse(price, order.side, book.tick)
        if size % LOT or price % book.tick or not 0 < price < 10**8:
            return Refused(
                Reason.ORDER_INVALID,
                "sizes are whole hundredths, prices of the market's ticks below a dollar",
            )
        if size < book.least:
            return Refused(Reason.TOO_SMALL, "the size is lower than the market's minimum")
        return await in_thread(lambda: self._signed(order, size, price, book.neg_risk))

    async def _reduced(self, order: VenueOrder) -> SizeE8:
        """As much of the order as there is to sell; of a purchase nothing, for nobody is short."""
        if order.side is Side.BUY:
            return SizeE8(0)
        held = (await self.positions()).get(order.symbol)
        return SizeE8(0) if held is None else SizeE8(min(order.size, held.size // LOT * LOT))

    def _signed(self, order: VenueOrder, size: SizeE8, price: PriceE8, neg_risk: bool) -> Sent:
        now = self._clock()
        gives, takes = amounts(order.side, size, price)
        until = 0
        if _at_once(order):
            last = now + LIVES_S * SECOND
            until = min(last, order.not_after or last) // SECOND + EARLY_S
        terms = Terms(
            order.symbol,
            order.side,
            gives,
            takes,
            now // MILLISECOND,
            until,
            salt(order.client_id, now),
        )
        body, name = self._signing.signed(terms, neg_risk, order.time_in_force is TimeInForce.POST_ONLY)
        expires = Nanos((until - EARLY_S) * SECOND) if until else Nanos(0)
        kept = (order.symbol, order.side, size, json.dumps(body), Nanos(now), expires)
        return Sent(order.client_id, name, *kept)

    async def _acknowledged(self, sent: Sent, answer: dict[str, Any]) -> Acknowledged | Refused:
        """What the venue said of an order that it took; one that shall not wait is ended, and followed while nobody knows how."""
        try:
            taken, given = (size_from(answer.get(name) or "0") for name in ("takingAmount", "makingAmount"))
        except (ValueError, TypeError) as wrong:
            raise self._unknown(sent, f"an order was answered {answer}") from wrong
        shares, money = (taken, given) if sent.side is Side.BUY else (given, taken)
        sent = await in_thread(lambda: self._sent.was_taken(sent, shares))
        price = PriceE8(money * 10**8 // shares) if shares else None
        if shares == sent.size:
            return Acknowledged(state(sent, OrderStatus.FILLED, shares), price)
        cancelled = False
        if sent.expires:
            try:
                cancelled = isinstance(await self._cancel(sent), Cancelled)
            except Unavailable as silent:
                raise self._unknown(sent, f"an order may still wait: {silent}") from silent
        try:
            known = await self._state(sent)
        except Unavailable as silent:
            raise self._unknown(sent, f"nobody said how an order stands: {silent}") from silent
        if known is None:
            raise self._unknown(sent, "an order was taken, and it is not known how it stands")
        if cancelled and known.status is OrderStatus.CANCELLED and known.filled == 0:
            return Refused(Reason.NO_LIQUIDITY, "nobody was there at this price, and the order was cancelled")
        # Where there was nothing to cancel somebody may have taken it in between: that is no refusal.
        return Acknowledged(known, price)

    async def _state(self, sent: Sent) -> OrderState | None:
        """How an order stands. The venue forgets those that filled: their trades say it, once they are listed."""
        # What is not listed then may be listed by the time when it is answered.
        asked = self._clock()
        row = await self._clob.private("GET", f"/data/order/{sent.order_id}")
        with Reading(VENUE):
            shown = open_state(sent, row) if isinstance(row, dict) and row else None
        if shown is not None:
            if not sent.taken or sent.gone or sent.told < shown.filled:
                await in_thread(lambda: self._sent.was_taken(sent, shown.filled))
            return shown
        parts = await self._parts(sent.at // SECOND - EARLY_S, sent.symbol)
        mine = {part.id: part for part in parts if part.order_id == sent.order_id}.values()
        failed = sum(part.size for part in mine if part.status == FAILED_TRADE)
        filled = SizeE8(sum(part.size for part in mine) - failed)
        again = await in_thread(lambda: self._sent.by_order_id(sent.order_id))
        if not mine and not (again is not None and again.taken):
            return None
        sent = await in_thread(lambda: self._sent.is_gone(sent, Nanos(self._clock())))
        return gone_state(sent, filled, SizeE8(failed), asked - sent.gone)

    async def _cancel(self, sent: Sent) -> Cancelled | Refused:
        answer = await self._clob.change("DELETE", "/order", {"orderID": sent.order_id}, None)
        if isinstance(answer, Refused):
            return answer
        with Reading(VENUE):
            if sent.order_id in answer["canceled"]:
                return Cancelled(sent.client_id)
            return Refused(Reason.ORDER_UNKNOWN, str(answer["not_canceled"].get(sent.order_id, "")))

    async def _post(self, sent: Sent) -> Any:
        credentials = await self._clob.entered()
        body = {**json.loads(sent.body), "owner": credentials.api_key}
        answer = await self._clob.change("POST", "/order", body, listed_by(sent.expires))
        if isinstance(answer, Refused) and answer.reason is Reason.CLIENT_ID_USED:
            # An earlier one of the same bytes has arrived: it is there.
            return {}
        if isinstance(answer, Refused):
            return answer
        if not answer.get("success") or answer.get("orderID") != sent.order_id:
            return refused_for(str(answer.get("errorMsg") or answer))
        return answer

    # --- lists ---

    async def _parts(self, since: int, symbol: str = "") -> list[Part]:
        """Ours of all trades from a second on."""
        parts: list[Part] = []
        page = FIRST_PAGE
        # A second earlier, for the venue does not say whether it counts the one that is named.
        query = f"maker_address={self._wallet}&after={max(0, since - 1)}"
        query += f"&asset_id={symbol}" if symbol else ""
        while page != LAST_PAGE:
            answer = await self._clob.private("GET", "/data/trades", f"{query}&next_cursor={page}")
            with Reading(VENUE):
                for row in answer["data"]:
                    parts += parts_of(row, self._wallet)
                page = answer["next_cursor"]
        return parts

    async def _client_of(self, order_id: str) -> str | None:
        """None for an order that was signed elsewhere."""
        known = await in_thread(lambda: self._sent.by_order_id(order_id))
        return None if known is None else known.client_id

    async def _cost(self, part: Part) -> MicroUsdc:
        """By the market's rule: trades do not say what they cost."""
        if part.market not in self._fees:
            row = await self._clob.read(f"{self._clob.url}/clob-markets/{part.market}")
            with Reading(VENUE):
                self._fees[part.market] = fees_of(row)
        fees = self._fees[part.market]
        free = fees.taker_only and not part.taker
        return MicroUsdc(0) if free else fee(fees, part.size, part.price)

    async def _mid(self, symbol: str) -> Mid | None:
        book = await self._book(symbol)
        mid = None if isinstance(book, Refused) else book.mid
        if mid is not None:
            return mid
        price = await self._resolutions.of(symbol)
        return None if price is None else Mid(price, Nanos(self._clock()), final=True)

    async def _book(self, symbol: str) -> Book | Refused:
        try:
            answer = await self._clob.answered("GET", f"{self._clob.url}/book?token_id={symbol}")
        except HttpRefusal as refused:
            if refused.own and refused.status in (400, 404):
                return Refused(Reason.SYMBOL_UNKNOWN, refused.words)
            raise Unavailable(VENUE, f"no book of {symbol}: {refused}") from refused
        except (httpx.HTTPError, ValueError) as lost:
            raise Unavailable(VENUE, f"no book of {symbol}: {lost!r}") from lost
        with Reading(VENUE):
            return book_of(answer)

    def _unknown(self, sent: Sent, what: str) -> Unknown:
        return Unknown(VENUE, what, listed_by(sent.expires))


def _at_once(order: VenueOrder) -> bool:
    return order.order_type is OrderType.MARKET or order.time_in_force is TimeInForce.IOC
