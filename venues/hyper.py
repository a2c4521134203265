"""Hyperliquid's perps, with its own SDK's signatures and HTTP. The account is `address`; the key may be that of an agent of it.

Prices and sizes go out as the exact strings that are signed; the SDK's floats are never used. Every order expires on its way, so a
lost one is certain not to come later than `Unknown.until` says.
"""

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from typing import Any, Final

import aiohttp
import requests
from eth_account.signers.local import LocalAccount
from hyperliquid.api import API
from hyperliquid.utils.constants import MAINNET_API_URL
from hyperliquid.utils.signing import order_wires_to_order_action

from core.market import Side
from core.quantities import MILLISECOND, SECOND, Nanos
from core.risk_template import Lifecycle
from core.tickets import OrderType, PriceE8, TimeInForce, size_from
from venues.blocking import in_thread, never_sent
from venues.budget import Budget
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
from venues.errors import NotAsked, Reading, Unavailable, Unknown
from venues.hyper_weights import ACTION, FOR_LOOKING, LIGHT, weight_of, weight_of_rows
from venues.hyper_wire import (
    TIFS,
    VENUE,
    Asset,
    assets_of,
    cloid,
    fill_id,
    fill_of,
    is_refusal,
    is_spot,
    mid_of,
    open_orders_of,
    order_of,
    order_wire,
    payment_id,
    payment_of,
    positions_of,
    price_cut,
    refused_in,
    signed,
    taken_price,
    worst_price,
)
from venues.mids import mids_of
from venues.pages import newer

TIMEOUT_S: Final = 10.0
EXPIRES_MS: Final = 15_000
"""An order that reaches the venue later than so long after it was signed is not taken: longer than anybody waits for the answer."""
PING_S: Final = 30.0
LIST_EVERY: Final = 60 * SECOND
OPEN_ORDERS: Final = {"type": "frontendOpenOrders"}
PAGE_MIN: Final = 500
"""An answer with fewer rows ended with the list: it has up to 2,000 fills, or 500 payments."""
ONE_BY_ONE: Final = weight_of(OPEN_ORDERS) // LIGHT
"""To ask for so many orders weighs no more than to ask for all that are open."""


class _Nonces:
    """Milliseconds that no two actions of a key have, whichever drivers of this process sign with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, int] = {}

    def next(self, signer: str, now_ms: int) -> int:
        with self._lock:
            self._last[signer] = nonce = max(now_ms, self._last.get(signer, 0) + 1)
            return nonce


_NONCES: Final = _Nonces()
_BUDGETS: Final[dict[str, Budget]] = {}
"""By address of the venue: it counts what comes from this machine, whichever account asks."""


class _HttpError(Exception):
    """An HTTP answer that is an error.

    `own` tells that the venue says so itself, which then did nothing. Anything in between may have handed on what it answers for.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"HTTP {status}: {text[:200]}")
        self.status = status
        self.own = status < 500 and is_refusal(text)


class _Api(API):  # type: ignore[misc]  # The SDK has no types.
    def _handle_exception(self, response: requests.Response) -> None:
        """The SDK's own fails over answers that are not its JSON."""
        if response.status_code >= 400:
            raise _HttpError(response.status_code, response.text)


class Hyper:
    """`url` other than the public one signs as for a test network, as the SDK does. `vault` is a vault or sub-account to act for."""

    venue: Final = VENUE
    lifecycle: Final = Lifecycle.ACTIVE

    def __init__(
        self,
        wallet: LocalAccount,
        url: str,
        clock: Callable[[], int],
        address: str | None = None,
        vault: str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._wallet = wallet
        self._url = url.rstrip("/")
        self._clock = clock
        self._address = (vault or address or wallet.address).lower()
        self._vault = vault.lower() if vault else None
        self._timeout_s = timeout_s
        self._api = _Api(self._url, timeout_s)
        self._budget = _BUDGETS.setdefault(self._url, Budget(VENUE, FOR_LOOKING))
        self._assets: dict[str, Asset] = {}
        self._list_after = 0

    @property
    def account(self) -> str:
        return self._address

    def client_id(self, ticket_id: str) -> str:
        return cloid(ticket_id)

    async def submit(self, order: VenueOrder) -> Acknowledged | Refused:
        asset = await self._asset(order.symbol)
        if asset is None:
            return Refused(Reason.SYMBOL_UNKNOWN, f"there is no perp {order.symbol}")
        if order.time_in_force is TimeInForce.FOK:
            return Refused(Reason.NOT_SUPPORTED, "the venue has no fill-or-kill")
        limit = order.limit_price or await self._worst(order.symbol, order.side, asset)
        if limit is not None and order.order_type is OrderType.MARKET:
            limit = taken_price(limit, order.side, asset.sz_decimals)
        if limit is None:
            return Refused(Reason.NO_LIQUIDITY, f"the book of {order.symbol} has no middle")
        if order.new_leverage is not None:
            refused = await self._set_leverage(asset, order)
            if refused is not None:
                return refused
        tif = "Ioc" if order.order_type is OrderType.MARKET else TIFS[order.time_in_force]
        wire = order_wire(asset.number, order, limit, tif)
        status = await self._act(order_wires_to_order_action([wire]), order)
        return status if isinstance(status, Refused) else await self._acknowledged(order, status)

    async def cancel(self, client_id: str, symbol: str) -> Cancelled | Refused:
        asset = await self._asset(symbol)
        if asset is None:
            return Refused(Reason.SYMBOL_UNKNOWN, f"there is no perp {symbol}")
        action = {"type": "cancelByCloid", "cancels": [{"asset": asset.number, "cloid": client_id}]}
        status = await self._act(action)
        if isinstance(status, Refused):
            return status
        if status != "success":
            raise Unknown(VENUE, f"a cancel was answered {str(status)[:200]}")
        return Cancelled(client_id)

    async def order(self, client_id: str, symbol: str, since: int = 0) -> OrderState | None:
        answer = await self._ask({"type": "orderStatus", "user": self._address, "oid": client_id})
        with Reading(VENUE):
            if answer["status"] == "unknownOid":
                return None
            return order_of(client_id, answer["order"])

    async def standing(self, orders: Sequence[tuple[str, str]]) -> dict[str, OrderState | Unavailable | None]:
        """Many are looked up in one list of what is open; only those that are not there, or cannot be read in it, are asked for alone.

        Raises `Unavailable` where there is no such list, and `NotAsked` where one could not be asked for.
        """
        found: dict[str, OrderState | Unavailable | None] = {}
        if len(orders) > ONE_BY_ONE:
            rows = await self._ask({**OPEN_ORDERS, "user": self._address})
            with Reading(VENUE):
                found = {**open_orders_of(rows, {client_id for client_id, _ in orders})}
        rest = [(client_id, symbol) for client_id, symbol in orders if client_id not in found]
        room = asyncio.Semaphore(ONE_BY_ONE)

        async def alone(client_id: str, symbol: str) -> OrderState | Unavailable | None:
            async with room:
                try:
                    return await self.order(client_id, symbol)
                except NotAsked:
                    raise
                except Unavailable as silent:
                    return silent

        asked = await asyncio.gather(*(alone(*one) for one in rest))
        return found | {client_id: state for (client_id, _), state in zip(rest, asked, strict=True)}

    async def fills(self, cursor: str) -> Fills:
        """Those of perps; the venue itself remembers an account's last 10,000."""
        body = {"type": "userFillsByTime", "user": self._address, "aggregateByTime": False}
        rows, cursor, more = await self._newer(body, cursor, fill_id)
        with Reading(VENUE):
            return Fills([fill_of(row) for row in rows if not is_spot(row["coin"])], cursor, more)

    async def funding(self, cursor: str) -> FundingPayments:
        body = {"type": "userFunding", "user": self._address}
        rows, cursor, more = await self._newer(body, cursor, payment_id)
        with Reading(VENUE):
            return FundingPayments([payment_of(row) for row in rows], cursor, more)

    async def positions(self) -> dict[str, Position]:
        answer = await self._ask({"type": "clearinghouseState", "user": self._address})
        with Reading(VENUE):
            return positions_of(answer)

    async def mids(self, symbols: Collection[str]) -> dict[str, Mid]:
        """From the books, which say when they were so; the answer with all mids does not."""
        known = [symbol for symbol in symbols if await self._asset(symbol) is not None]
        return await mids_of(known, self._mid)

    async def stirs(self) -> AsyncGenerator[None]:
        """Of fills and orders' changes. The venue begins with fills of before."""
        url = "ws" + self._url.removeprefix("http") + "/ws"
        try:
            async with aiohttp.ClientSession() as session, session.ws_connect(url, heartbeat=15) as socket:
                for kind in ("userFills", "orderUpdates"):
                    wanted = {"type": kind, "user": self._address}
                    await socket.send_json({"method": "subscribe", "subscription": wanted})
                while not socket.closed:
                    try:
                        message = await socket.receive(timeout=PING_S)
                    except TimeoutError:
                        # The venue closes connections from which it hears nothing for a minute.
                        await socket.send_json({"method": "ping"})
                        continue
                    if message.type is aiohttp.WSMsgType.TEXT and _stirs(message.data):
                        yield
        except (aiohttp.ClientError, OSError) as broken:
            raise Unavailable(VENUE, f"its stream: {broken!r}") from broken

    async def close(self) -> None:
        await in_thread(self._api.session.close)

    # --- what is asked ---

    async def _asset(self, symbol: str) -> Asset | None:
        """The venue's number and decimals; for a symbol that is not known it is asked again, but not all the time."""
        if symbol not in self._assets and self._clock() >= self._list_after:
            answer = await self._ask({"type": "meta"})
            with Reading(VENUE):
                self._assets = assets_of(answer)
            self._list_after = self._clock() + LIST_EVERY
        return self._assets.get(symbol)

    async def _mid(self, symbol: str) -> Mid | None:
        answer = await self._ask({"type": "l2Book", "coin": symbol})
        with Reading(VENUE):
            return mid_of(answer)

    async def _worst(self, symbol: str, side: Side, asset: Asset) -> PriceE8 | None:
        mid = await self._mid(symbol)
        return None if mid is None else worst_price(mid.price, side, asset.sz_decimals)

    async def _set_leverage(self, asset: Asset, order: VenueOrder) -> Refused | None:
        action = {
            "type": "updateLeverage",
            "asset": asset.number,
            "isCross": asset.cross,
            "leverage": order.leverage,
        }
        try:
            answer = await self._post(lambda: self._expiring(action, order))
        except Unknown as lost:
            raise Unavailable(VENUE, f"the leverage may not be set, and no order was sent: {lost}") from lost
        return answer if isinstance(answer, Refused) else None

    async def _acknowledged(self, order: VenueOrder, status: Any) -> Acknowledged:
        if isinstance(status, dict) and "filled" in status:
            try:
                done, average = size_from(status["filled"]["totalSz"]), status["filled"]["avgPx"]
                price, oid = price_cut(average), str(status["filled"]["oid"])
            except (LookupError, TypeError, ValueError, AttributeError) as wrong:
                # The venue took it, whatever it says of it.
                raise self._unknown(f"an order was taken, and answered {str(status)[:200]}") from wrong
            if done == order.size:
                terms = (order.symbol, order.side, OrderStatus.FILLED, order.size, done)
                return Acknowledged(OrderState(order.client_id, oid, *terms), price)
        elif isinstance(status, dict) and "resting" in status:
            price = None
        else:
            raise self._unknown(f"an order was answered {str(status)[:200]}")
        # Part of it waits, or does not any more: that the venue knows, and the answer does not say.
        try:
            state = await self.order(order.client_id, order.symbol)
        except Unavailable as silent:
            raise self._unknown(
                f"an order was taken, and then nobody said how it stands: {silent}"
            ) from silent
        if state is None:
            raise self._unknown("an order was taken that the venue does not know yet")
        return Acknowledged(state, price)

    # --- the wire ---

    async def _act(self, action: dict[str, Any], order: VenueOrder | None = None) -> Any:
        """Sign and send an action that expires, about one order; its one status, or the refusal. `order` is the one that it sends."""
        answer = await self._post(lambda: self._expiring(action, order))
        if isinstance(answer, Refused):
            return answer
        try:
            (status,) = answer["data"]["statuses"]
        except (KeyError, TypeError, ValueError):
            raise self._unknown(f"not the venue's answer: {str(answer)[:200]}") from None
        if isinstance(status, dict) and "error" in status:
            return refused_in(str(status["error"]))
        return status

    async def _post(self, send: Callable[[], Any]) -> Any:
        """The venue's response to what is sent. Raises `Unknown`, or `Unavailable` where it certainly never got it."""
        self._budget.spend(ACTION)
        try:
            answer = await in_thread(send)
        except _HttpError as wrong:
            if wrong.status == 429:
                self._budget.refused()
                return Refused(Reason.RATE_LIMITED, str(wrong))
            if wrong.own:
                return Refused(Reason.OTHER, str(wrong))
            raise self._unknown(str(wrong)) from wrong
        except requests.RequestException as lost:
            if never_sent(lost):
                raise Unavailable(VENUE, f"no connection: {lost!r}") from lost
            raise self._unknown(f"no answer: {lost!r}") from lost
        match answer:
            case Refused():
                return answer
            case {"status": "ok", "response": response}:
                return response
            case {"status": "err", "response": str(words)}:
                return refused_in(words)
        raise self._unknown(f"not the venue's answer: {str(answer)[:200]}")

    def _expiring(self, action: dict[str, Any], order: VenueOrder | None) -> Any:
        """Send at once or not at all: what is signed here is of no use to the venue later."""
        now = self._clock()
        expires = now // MILLISECOND + EXPIRES_MS
        if order is not None and order.not_after is not None:
            late = order.late(now)
            if late is not None:
                return late
            expires = min(expires, order.not_after // MILLISECOND)
        return self._send(action, expires)

    def _send(self, action: dict[str, Any], expires_after: int) -> Any:
        nonce = _NONCES.next(self._wallet.address, self._now_ms())
        mainnet = self._url == MAINNET_API_URL
        return self._api.post(
            "/exchange", signed(self._wallet, action, nonce, expires_after, self._vault, mainnet)
        )

    async def _ask(self, body: dict[str, Any]) -> Any:
        await self._budget.take(weight_of(body))
        try:
            return await in_thread(lambda: self._api.post("/info", body))
        except (requests.RequestException, _HttpError) as error:
            if isinstance(error, _HttpError) and error.status == 429:
                self._budget.refused()
            raise Unavailable(VENUE, f"no answer to {body['type']}: {error!r}") from error

    async def _newer(
        self, body: dict[str, Any], cursor: str, name: Callable[[dict[str, Any]], str]
    ) -> tuple[list[dict[str, Any]], str, bool]:
        """Rows behind a cursor, the cursor behind them, and whether the answer may have ended before the list did."""
        with Reading(VENUE):
            since = int(cursor.partition("|")[0] or 0)
        rows = await self._ask({**body, "startTime": since})
        with Reading(VENUE):
            self._budget.spend(weight_of_rows(rows))
            return *newer(rows, cursor, lambda row: int(row["time"]), name), len(rows) >= PAGE_MIN

    def _unknown(self, what: str) -> Unknown:
        return Unknown(VENUE, what, Nanos((self._now_ms() + EXPIRES_MS) * MILLISECOND))

    def _now_ms(self) -> int:
        return self._clock() // MILLISECOND


def _stirs(text: str) -> bool:
    """Whether a message of the stream is about the account, and not an answer to a ping or a subscription."""
    try:
        message = json.loads(text)
    except ValueError:
        return False
    return isinstance(message, dict) and message.get("channel") in ("userFills", "orderUpdates")
