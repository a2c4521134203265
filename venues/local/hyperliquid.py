"""A Hyperliquid on this machine: `/info`, `/exchange` and `/ws` as the real one has them, and `/control` for who tests.

Signatures are really recovered, nonces are good once, orders meet a book of the house and of all accounts. With a journal file the
venue's books survive a kill, as those of the real one do.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import WSMsgType, web

from core.quantities import NotAQuantity
from core.tickets import price_from, size_from
from venues.local.hyperliquid_actions import (
    HALF,
    Books,
    Command,
    Deposit,
    Funding,
    Journaled,
    Price,
    Signed,
    error,
)
from venues.local.hyperliquid_info import View
from venues.local.hyperliquid_market import Asset
from venues.local.hyperliquid_orders import Exchange, Told
from venues.local.hyperliquid_signatures import NotSigned, signer
from venues.local.hyperliquid_weights import Weights, of_action, of_info
from venues.local.journal import Journal
from venues.local.misbehaviour import Kind
from venues.local.serving import Door

ASSETS: Final = (
    Asset("BTC", 5, 40, price_from("60000"), size_from("2")),
    Asset("ETH", 4, 25, price_from("3000"), size_from("30")),
    Asset("SOL", 2, 20, price_from("150"), size_from("500")),
    Asset("PAXG", 3, 10, price_from("4000"), size_from("20")),
)
TARGET = "Failed to deserialize the JSON body into the target type"


class _Request(msgspec.Struct, frozen=True):
    action: dict[str, Any]
    nonce: int
    signature: dict[str, Any]
    vaultAddress: str | None = None
    expiresAfter: int | None = None


class _Subscription(msgspec.Struct, frozen=True):
    method: str
    subscription: dict[str, Any] = {}


class LocalHyperliquid(Door):
    """The venue. `clock` is nanoseconds since the epoch; time at the venue never goes back and never stands still."""

    def __init__(
        self,
        assets: Sequence[Asset] = ASSETS,
        journal: Path | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._journal = Journal(journal, Journaled)
        super().__init__(self._journal)
        self._clock = clock
        self.books = Books(Exchange(assets))
        self.view = View(self.books, self._now_ms)
        self._weights = Weights()
        self._listening: dict[web.WebSocketResponse, list[dict[str, Any]]] = {}
        for entry in self._journal.earlier:
            self.books.do(entry.command, entry.at)
        self.books.exchange.told = Told()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/info", self._info),
            web.post("/exchange", self._exchange),
            web.get("/ws", self._socket),
            web.post("/control/deposit", self._deposit),
            web.post("/control/price", self._price),
            web.post("/control/funding", self._funding),
        ]

    def misbehaves(self) -> None:
        if not self.misbehaviour.lasts(Kind.STALE_BOOK):
            self.view.thaw()
        elif not self.view.is_frozen:
            self.view.freeze()

    async def do(self, command: Command) -> dict[str, Any]:
        """Carry a command out and tell everybody who listens."""
        at = max(self._now_ms(), self.books.last_ms)
        self._journal.write(Journaled(at, command))
        answer = self.books.do(command, at)
        told, self.books.exchange.told = self.books.exchange.told, Told()
        await self._spread(told)
        return answer

    def _now_ms(self) -> int:
        return self._clock() // 1_000_000

    # --- the venue's doors ---

    async def _info(self, request: web.Request) -> web.StreamResponse:
        try:
            body = msgspec.json.decode(await request.read(), type=dict[str, Any])
            kind = str(body["type"])
            if not self._has_room(of_info(kind)):
                return self.too_many()
            answer = self.view.answer(body)
        except (msgspec.DecodeError, KeyError, TypeError):
            return web.Response(status=422, text=TARGET)
        self._weights.add(kind, answer, self._now_ms())
        if self.misbehaviour.lasts(Kind.DUPLICATE) and str(body["type"]).startswith("userFills"):
            answer = [row for row in answer for _ in range(2)]
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

    async def _exchange(self, request: web.Request) -> web.StreamResponse:
        try:
            asked = msgspec.json.decode(await request.read(), type=_Request)
        except msgspec.DecodeError:
            return web.Response(status=422, text=TARGET)
        if not self._has_room(of_action(asked.action)):
            return self.too_many()

        async def act(kind: Kind | None) -> web.StreamResponse:
            answer = await self._signed(asked, HALF if kind is Kind.PARTIAL_FILL else None)
            return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

        return await self.answered(request, act)

    def _has_room(self, weight: int) -> bool:
        counts = self.misbehaviour.lasts(Kind.COUNT_WEIGHT)
        return self._weights.takes(weight, self._now_ms()) or not counts

    async def _signed(self, asked: _Request, most: int | None) -> dict[str, Any]:
        bound = asked.vaultAddress, asked.expiresAfter
        try:
            who = signer(asked.action, asked.nonce, asked.signature, *bound, mainnet=False)
        except NotSigned as wrong:
            return error(f"Invalid signature: {wrong}")
        return await self.do(Signed(who, asked.action, asked.nonce, *bound, most))

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets[socket] = request.transport
        self._listening[socket] = []
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._heard(socket, message.data)
        finally:
            self.sockets.pop(socket, None)
            self._listening.pop(socket, None)
        return socket

    async def _heard(self, socket: web.WebSocketResponse, text: str) -> None:
        try:
            asked = msgspec.json.decode(text, type=_Subscription)
        except msgspec.DecodeError:
            await self.tell(
                socket,
                {"channel": "error", "data": f"Error parsing JSON into valid websocket request: {text}"},
            )
            return
        wanted = self._listening[socket]
        match asked.method:
            case "ping":
                await self.tell(socket, {"channel": "pong"})
                return
            case "subscribe" if asked.subscription not in wanted:
                wanted.append(asked.subscription)
            case "unsubscribe" if asked.subscription in wanted:
                wanted.remove(asked.subscription)
            case _:
                await self.tell(socket, {"channel": "error", "data": f"Already subscribed or not: {text}"})
                return
        data = {"method": asked.method, "subscription": asked.subscription}
        await self.tell(socket, {"channel": "subscriptionResponse", "data": data})
        if asked.method == "subscribe":
            await self._first(socket, asked.subscription)

    async def _first(self, socket: web.WebSocketResponse, wanted: dict[str, Any]) -> None:
        """What a subscription begins with."""
        match wanted:
            case {"type": "l2Book", "coin": coin} if coin in self.books.exchange.assets:
                await self.tell(socket, {"channel": "l2Book", "data": self.view.book(coin)})
            case {"type": "allMids"}:
                await self.tell(socket, {"channel": "allMids", "data": {"mids": self.view.mids()}})
            case {"type": "userFills", "user": user}:
                fills = self.view.fills(user.lower())
                data = {"isSnapshot": True, "user": user.lower(), "fills": fills}
                await self.tell(socket, {"channel": "userFills", "data": data})

    async def _spread(self, told: Told) -> None:
        times = 2 if self.misbehaviour.lasts(Kind.DUPLICATE) else 1
        for socket, wanted in list(self._listening.items()):
            for subscription in wanted:
                for message in self._messages(subscription, told, times):
                    await self.tell(socket, message)

    def _messages(self, wanted: dict[str, Any], told: Told, times: int) -> list[dict[str, Any]]:
        """What one subscription hears of a command."""
        match wanted:
            case {"type": "userFills", "user": user}:
                mine = [row for who, row in told.fills if who == user.lower() for _ in range(times)]
                data = {"user": user.lower(), "fills": mine}
                return [{"channel": "userFills", "data": data}] if mine else []
            case {"type": "orderUpdates", "user": user}:
                orders = [
                    {"order": order.basic(), "status": order.status, "statusTimestamp": order.status_at}
                    for order in told.orders
                    if order.user == user.lower()
                ]
                return [{"channel": "orderUpdates", "data": orders}] if orders else []
            case {"type": "trades", "coin": coin}:
                trades = [trade for trade in told.trades if trade["coin"] == coin]
                return [{"channel": "trades", "data": trades}] if trades else []
            case {"type": "l2Book", "coin": coin} if coin in told.coins and not self.view.is_frozen:
                return [{"channel": "l2Book", "data": self.view.book(coin)}]
            case {"type": "allMids"} if told.coins and not self.view.is_frozen:
                return [{"channel": "allMids", "data": {"mids": self.view.mids()}}]
        return []

    # --- for who tests ---

    async def _deposit(self, request: web.Request) -> web.Response:
        return await self._commanded(
            request, lambda body: Deposit(body["user"].lower(), size_from(body["usd"]) // 100)
        )

    async def _price(self, request: web.Request) -> web.Response:
        return await self._commanded(request, lambda body: Price(self._coin(body), price_from(body["price"])))

    async def _funding(self, request: web.Request) -> web.Response:
        return await self._commanded(
            request, lambda body: Funding(self._coin(body), price_from(body["rate"]))
        )

    def _coin(self, body: dict[str, Any]) -> str:
        return self.books.exchange.assets[body["coin"]].name

    async def _commanded(
        self, request: web.Request, read: Callable[[dict[str, Any]], Command]
    ) -> web.Response:
        try:
            command = read(msgspec.json.decode(await request.read(), type=dict[str, Any]))
        except (msgspec.DecodeError, NotAQuantity, KeyError, AttributeError, TypeError) as wrong:
            return web.json_response({"error": str(wrong)}, status=400)
        return web.json_response(await self.do(command))
