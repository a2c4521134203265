"""The local Polymarket's stream of one account: `/ws/user`, which begins with the credentials and tells nothing of what was before."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from core.market import Side
from core.tickets import PriceE8, SizeE8, e8_text
from venues.local.hyperliquid_orders import Order
from venues.local.polymarket_answers import side, trades
from venues.local.polymarket_books import Books


class _Auth(msgspec.Struct, frozen=True):
    apiKey: str
    secret: str
    passphrase: str


class _Begin(msgspec.Struct, frozen=True):
    auth: _Auth
    type: str
    markets: list[str] = []


class Stream:
    """Who listens, and what they hear. `address_of` is whose credentials these are, None for nobody's."""

    def __init__(self, books: Books, address_of: Callable[[dict[str, str]], str | None]) -> None:
        self._books = books
        self._address_of = address_of
        self._listening: dict[asyncio.Queue[Any], str] = {}

    async def serve(self, request: web.Request, sockets: dict[Any, Any]) -> web.WebSocketResponse:
        """One connection, until it ends. While it is there it is in `sockets`."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        news: asyncio.Queue[Any] = asyncio.Queue()
        sockets[socket] = request.transport
        telling = asyncio.create_task(_tell(socket, news))
        try:
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    continue
                if message.data == "PING":
                    news.put_nowait("PONG")
                elif not self._begun(message.data, news):
                    break
        finally:
            telling.cancel()
            self._listening.pop(news, None)
            sockets.pop(socket, None)
            await socket.close()
        return socket

    def spread(self, at: int, settled: str) -> None:
        """Tell of what the last command changed; `settled` is how trades stand."""
        told = self._books.exchange.told
        for news, address in self._listening.items():
            wallets = [wallet for wallet, owner in self._books.owners.items() if owner == address]
            for wallet in wallets:
                for order in told.orders:
                    if order.user == wallet and order.cloid in self._books.placed:
                        news.put_nowait(self._order(order.cloid, order, at))
                ours = {str(row["tid"]) for user, row in told.fills if user == wallet}
                for row in trades(self._books, wallet, {}, settled) if ours else ():
                    if row["id"] in ours:
                        news.put_nowait(
                            {
                                **row,
                                "event_type": "trade",
                                "type": "TRADE",
                                "timestamp": str(at),
                                "trade_owner": row["owner"],
                            }
                        )

    def _begun(self, text: str, news: "asyncio.Queue[Any]") -> bool:
        try:
            begin = msgspec.json.decode(text, type=_Begin)
        except msgspec.DecodeError:
            return False
        address = self._address_of(msgspec.structs.asdict(begin.auth))
        if address is None or begin.type != "user":
            return False
        self._listening[news] = address
        return True

    def _order(self, name: str, order: Order, at: int) -> dict[str, Any]:
        placed, market = self._books.placed[name], self._books.markets[order.coin]
        ended = order.status != "open" and order.left > 0
        kind = "CANCELLATION" if ended else "UPDATE" if order.left < order.size else "PLACEMENT"
        return {
            "asset_id": order.coin,
            "associate_trades": None,
            "created_at": str(order.at // 1_000),
            "event_type": "order",
            "expiration": str(placed.expires // 1_000),
            "id": name,
            "maker_address": order.user,
            "market": market.condition,
            "order_owner": placed.owner,
            "order_type": placed.kind,
            "original_size": e8_text(SizeE8(order.size)),
            "outcome": market.outcome(order.coin),
            "owner": placed.owner,
            "price": e8_text(PriceE8(order.limit)),
            "side": side(Side(order.side)),
            "size_matched": e8_text(SizeE8(order.size - order.left)),
            "status": "CANCELED" if ended else "LIVE" if order.left else "MATCHED",
            "timestamp": str(at),
            "type": kind,
        }


async def _tell(socket: web.WebSocketResponse, news: "asyncio.Queue[Any]") -> None:
    while True:
        message = await news.get()
        text = message if isinstance(message, str) else msgspec.json.encode(message).decode()
        try:
            await socket.send_str(text)
        except (ConnectionError, RuntimeError):
            return
