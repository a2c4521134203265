"""This network as a venue: a vault trades here as an agent does, over the public HTTP interface.

Orders are requests, so none of them waits. A request's id is good for one answer, and a lost one is refused when it arrives too late.
"""

import asyncio
import hashlib
from collections.abc import Callable, Collection
from typing import Any, Final

import httpx
import msgspec
from solders.keypair import Keypair

from core.quantities import SECOND, USDC_UNIT, MicroUsdc, Nanos, units_from_decimal
from core.risk_template import Lifecycle
from core.tickets import OrderType, PriceE8, SizeE8, TimeInForce, e8_text, no_worse, price_from, size_from
from venues.agents_wire import (
    OPEN_ENDED,
    SESSION_OVER,
    SIDES,
    VENUE,
    Answer,
    acknowledged,
    fills_of,
    payments_of,
    position_of,
    refused_in,
    side_of,
    state_of,
    tick_of,
    worst_price,
)
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

TIMEOUT_S: Final = 10.0
TTL_MS: Final = 1_000
EXPIRES_US: Final = 10_000_000
"""A request that arrives later than so long after it was sent is refused."""
PAGE: Final = 500
CLOCKS_APART: Final = Nanos(60 * SECOND)
"""So far the asker's clock may be ahead of the network's."""


class Agents:
    """The account of an owner's agent `name`. The key signs in, and nothing else: it cannot take anything out from here.

    The network knows no leverage of an order: whoever judges one holds it to that, by `equity`.
    """

    venue: Final = VENUE
    lifecycle: Final = Lifecycle.ACTIVE

    def __init__(self, url: str, owner: Keypair, name: str, clock: Callable[[], int]) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S)
        self._owner = owner
        self._name = name
        self._clock = clock
        self._token = ""
        self._signing = asyncio.Lock()

    @property
    def account(self) -> str:
        return str(self._owner.pubkey())

    def client_id(self, ticket_id: str) -> str:
        return "vault-" + hashlib.blake2b(ticket_id.encode(), digest_size=16).hexdigest()

    async def submit(self, order: VenueOrder) -> Acknowledged | Refused:
        if order.order_type is OrderType.LIMIT and order.time_in_force in (
            TimeInForce.GTC,
            TimeInForce.POST_ONLY,
        ):
            return Refused(Reason.NOT_SUPPORTED, "requests are answered at once: nothing waits here")
        market = await self._market(order.symbol)
        if market is None:
            return Refused(Reason.SYMBOL_UNKNOWN, f"there is no market {order.symbol}")
        with Reading(VENUE):
            limit = order.limit_price or worst_price(market, order.side)
            if limit is not None and order.order_type is OrderType.MARKET:
                limit = no_worse(limit, order.side, tick_of(market))
        if limit is None:
            return Refused(Reason.NO_PRICE, f"{order.symbol} has no mark")
        size = await self._reducible(order) if order.reduce_only else order.size
        if size == 0:
            return Refused(Reason.WOULD_NOT_REDUCE, "there is no position that this would reduce")
        now = self._clock()
        late = order.late(now)
        if late is not None:
            return late
        last = now + EXPIRES_US * 1_000
        body = {
            "id": order.client_id,
            "market": order.symbol,
            "side": SIDES[order.side],
            "size": e8_text(size),
            "limit": e8_text(limit),
            "ttl_ms": TTL_MS,
            "all_or_none": order.time_in_force is TimeInForce.FOK,
            "reduce_only": order.reduce_only,
            "expires_after": min(last, order.not_after or last) // 1_000,
        }
        answer = await self._tell("POST", "/api/v1/requests", body)
        if answer.code:
            return refused_in(answer)
        try:
            return acknowledged(order, size, answer.body)
        except (KeyError, TypeError, ValueError) as wrong:
            raise self._unknown(f"not the network's answer: {wrong!r}") from wrong

    async def cancel(self, client_id: str, symbol: str) -> Cancelled | Refused:
        """Only requests on their way can be: they live for a second."""
        number = (await self._open()).get(client_id)
        if number is None:
            return Refused(Reason.ORDER_UNKNOWN, f"no request {client_id} is open")
        answer = await self._tell("DELETE", f"/api/v1/requests/{number}")
        if answer.code:
            return refused_in(answer)
        if not answer.body["cancelled"]:
            return Refused(Reason.ORDER_UNKNOWN, f"request {client_id} had closed")
        return Cancelled(client_id)

    async def order(self, client_id: str, symbol: str, since: int = 0) -> OrderState | None:
        """From the account's own numbered events, back to when it was sent: an id that is in none of them was never taken."""
        open_requests = await self._ask("/api/v1/requests")
        with Reading(VENUE):
            for one in open_requests["requests"]:
                if one["id"] == client_id:
                    terms = one["market"], side_of(one["side"]), OrderStatus.OPEN, size_from(one["size"])
                    return OrderState(client_id, str(one["request"]), *terms, SizeE8(0))
        end, first = (await self._events(0, 1))["head"], (since - CLOCKS_APART) // 1_000
        while end > 0:
            start = max(0, end - PAGE)
            events = (await self._events(start, PAGE))["events"]
            with Reading(VENUE):
                for event in reversed(events):
                    if event["ev"] == "closed" and event["key"] == client_id:
                        return state_of(event)
                end = start if events and events[0]["at"] >= first else 0
        return None

    async def fills(self, cursor: str) -> Fills:
        events, last = await self._after(cursor)
        with Reading(VENUE):
            keys = {event["request"]: event["key"] for event in events if event["ev"] == "closed"}
            return Fills([fill for event in events for fill in fills_of(event, keys)], last)

    async def funding(self, cursor: str) -> FundingPayments:
        events, last = await self._after(cursor)
        with Reading(VENUE):
            return FundingPayments([payment for event in events for payment in payments_of(event)], last)

    async def positions(self) -> dict[str, Position]:
        account = await self._ask("/api/v1/account")
        with Reading(VENUE):
            return {one["market"]: position_of(one) for one in account["positions"]}

    async def equity(self) -> MicroUsdc:
        """Balance and unrealized profit or loss, at the network's marks."""
        account = await self._ask("/api/v1/account")
        with Reading(VENUE):
            return MicroUsdc(units_from_decimal(account["equity"], USDC_UNIT))

    async def mids(self, symbols: Collection[str]) -> dict[str, Mid]:
        found = {}
        for symbol in symbols:
            asked = Nanos(self._clock())
            answer = await self._call("GET", f"/api/v1/markets/{symbol}/quotes?depth=1")
            if answer.code == "market_unknown":
                continue
            with Reading(VENUE):
                if answer.code:
                    raise ValueError(answer.code)
                bids, asks = answer.body["bids"], answer.body["asks"]
                if bids and asks:
                    both = price_from(bids[0]["price"]) + price_from(asks[0]["price"])
                    found[symbol] = Mid(PriceE8(both // 2), asked)
        return found

    async def close(self) -> None:
        await self._http.aclose()

    # --- what is asked ---

    async def _reducible(self, order: VenueOrder) -> SizeE8:
        """As much of the order as there is to reduce: the network refuses one that is larger than the position."""
        held = (await self.positions()).get(order.symbol)
        return SizeE8(min(order.size, max(0, -order.side * held.size))) if held is not None else SizeE8(0)

    async def _market(self, symbol: str) -> Any:
        answer = await self._call("GET", f"/api/v1/markets/{symbol}")
        if answer.code and answer.code != "market_unknown":
            raise Unavailable(VENUE, f"{answer.code}: {answer.words}")
        return None if answer.code else answer.body

    async def _open(self) -> dict[str, int]:
        answer = await self._ask("/api/v1/requests")
        with Reading(VENUE):
            return {one["id"]: one["request"] for one in answer["requests"]}

    async def _events(self, after: int, limit: int) -> Any:
        answer = await self._ask(f"/api/v1/account/events?after={after}&limit={limit}")
        with Reading(VENUE):
            return {"events": list(answer["events"]), "head": int(answer["head"])}

    async def _after(self, cursor: str) -> tuple[list[Any], str]:
        """Events behind a cursor, the number of the last one, up to a place where no request's fills are torn from its end."""
        with Reading(VENUE):
            start = int(cursor or 0)
        events = more = (await self._events(start, PAGE))["events"]
        # What filled and what that closed are one decision, so the events after the last fill of it name the request.
        while more and events[-1]["ev"] == "fill":
            more = (await self._events(events[-1]["n"], PAGE))["events"]
            events += more
        return events, str(events[-1]["n"]) if events else cursor

    # --- the wire ---

    async def _tell(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        """A call that changes something. Raises `Unknown`, or `Unavailable` where it certainly never arrived."""
        try:
            answer = await self._signed_in(method, path, body)
        except httpx.ConnectError as none:
            raise Unavailable(VENUE, f"no connection: {none!r}") from none
        except (httpx.HTTPError, ValueError) as lost:
            raise self._unknown(f"no answer: {lost!r}") from lost
        if answer.code in OPEN_ENDED:
            raise self._unknown(f"{answer.code}: {answer.words}")
        return answer

    async def _ask(self, path: str) -> Any:
        answer = await self._call("GET", path, signed_in=True)
        if answer.code:
            raise Unavailable(VENUE, f"{answer.code}: {answer.words}")
        return answer.body

    async def _call(self, method: str, path: str, signed_in: bool = False) -> Answer:
        try:
            return await (self._signed_in if signed_in else self._sent)(method, path, None)
        except (httpx.HTTPError, ValueError) as error:
            raise Unavailable(VENUE, f"no answer to {path}: {error!r}") from error

    async def _signed_in(self, method: str, path: str, body: dict[str, Any] | None) -> Answer:
        """A call with a session, made anew once when it is over: a call that it refuses did nothing."""
        if not self._token:
            await self._sign_in("")
        token = self._token
        answer = await self._sent(method, path, body, token)
        if answer.code not in SESSION_OVER:
            return answer
        await self._sign_in(token)
        return await self._sent(method, path, body, self._token)

    async def _sign_in(self, over: str) -> None:
        async with self._signing:
            if self._token != over:
                return  # Somebody else has, meanwhile.
            owner = str(self._owner.pubkey())
            try:
                asked = await self._sent("POST", "/api/v1/auth/challenge", {"owner": owner})
                text = asked.body["challenge"]
                signature = str(self._owner.sign_message(text.encode()))
                body = {"owner": owner, "name": self._name, "challenge": text, "signature": signature}
                self._token = (await self._sent("POST", "/api/v1/agents", body)).body["token"]
            except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
                # Whatever was to follow was not sent.
                raise Unavailable(VENUE, f"cannot sign in: {error!r}") from error

    async def _sent(self, method: str, path: str, body: dict[str, Any] | None, token: str = "") -> Answer:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        response = await self._http.request(method, path, json=body, headers=headers)
        answer = msgspec.json.decode(response.content)
        if response.is_success:
            return Answer(answer, "", "")
        match answer:
            case {"error": {"code": str(code), "message": str(words)}}:
                return Answer(answer, code, words)
        raise ValueError(f"HTTP {response.status_code} that is not the network's")

    def _unknown(self, what: str) -> Unknown:
        end = self._clock() + (EXPIRES_US + TTL_MS * 1_000) * 1_000
        return Unknown(VENUE, what, Nanos(end))
