"""A Polymarket on this machine: its order book's HTTP interface of version 2, the positions of its data interface, and `/control`.

Consent to credentials, requests and orders are checked as the real ones are; ids of orders are the hashes of what was signed.
"""

import base64
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web

from core.quantities import NotAQuantity
from core.tickets import e8_text, price_from, size_from
from venues.local import polymarket_answers as answers
from venues.local.hyperliquid_actions import HALF, Price
from venues.local.journal import Journal
from venues.local.misbehaviour import Kind
from venues.local.polymarket_books import (
    AT_ONCE,
    MARKETS,
    NO_BOOK,
    WAITING,
    Books,
    Command,
    Ended,
    Entered,
    Failed,
    Funded,
    Market,
    Posted,
    Redeemed,
    Resolved,
)
from venues.local.polymarket_signatures import (
    NotSigned,
    consenting,
    of_kind,
    order_hash,
    request_code,
    same,
    signer,
)
from venues.local.polymarket_stream import Stream
from venues.local.serving import Door

CHAIN_ID: Final = 137
UNAUTHORIZED: Final = "Unauthorized/Invalid api key"
Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Journaled(msgspec.Struct, frozen=True):
    """A command and its time in milliseconds."""

    at: int
    command: Command


class LocalPolymarket(Door):
    """The venue. `clock` is nanoseconds since the epoch. While `settling` is off, trades stay matched, as on a slow chain."""

    def __init__(
        self,
        markets: Sequence[Market] = MARKETS,
        journal: Path | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._journal = Journal(journal, Journaled)
        super().__init__(self._journal)
        self.books = Books(markets)
        self.stream = Stream(self.books, self._address_of)
        self.settling = True
        self._clock = clock
        self._last_ms = 0
        self._stale: dict[str, Any] | None = None
        self._listed: dict[str, int] | None = None
        for entry in self._journal.earlier:
            self._apply(entry)

    def routes(self) -> list[web.RouteDef]:
        def get(path: str, act: Callable[[web.Request], Any]) -> web.RouteDef:
            return web.get(path, self._failing(act))

        return [
            get("/ok", lambda _: "OK"),
            get("/time", lambda _: self._now_ms() // 1_000),
            get("/version", lambda _: {"version": 2}),
            get("/book", lambda asked: self._book(self._token(asked))),
            get(
                "/midpoint", lambda asked: {"mid": answers.plain(self.books.exchange.mid(self._token(asked)))}
            ),
            get("/tick-size", lambda asked: {"minimum_tick_size": float(e8_text(self._market(asked).tick))}),
            get("/neg-risk", lambda asked: {"neg_risk": self._market(asked).neg_risk}),
            get("/fee-rate", lambda asked: {"base_fee": 0}),
            get("/markets-by-token/{token}", self._market_by_token),
            get("/clob-markets/{condition}", lambda asked: answers.clob_market(self._of_condition(asked))),
            get("/markets/{condition}", lambda asked: answers.market(self.books, self._of_condition(asked))),
            get("/positions", self._positions),
            web.post("/auth/api-key", self._failing(self._enter)),
            get("/auth/derive-api-key", self._derive),
            get("/data/order/{id}", self._order),
            get("/data/orders", self._open_orders),
            get("/data/trades", self._trades),
            get("/balance-allowance", self._balance),
            web.get("/ws/user", lambda asked: self.stream.serve(asked, self.sockets)),
            web.post("/order", self._post),
            web.delete("/order", self._cancel),
            web.post("/control/fund", self._failing(self._fund)),
            web.post("/control/price", self._failing(self._price)),
            web.post("/control/settling", self._failing(self._settle)),
            web.post("/control/resolve", self._failing(self._resolve)),
            web.post("/control/redeem", self._failing(self._redeem)),
        ]

    def misbehaves(self) -> None:
        if not self.misbehaviour.lasts(Kind.STALE_BOOK):
            self._stale = None
        elif self._stale is None:
            now = self._now_ms()
            open_ones = self.books.markets.keys() - self.books.resolved.keys()
            self._stale = {token: answers.book(self.books, token, now) for token in open_ones}
        if not self.misbehaviour.lasts(Kind.LATE_TRADES):
            self._listed = None
        elif self._listed is None:
            self._listed = {wallet: len(fills) for wallet, fills in self.books.exchange.fills.items()}

    def do(self, command: Command) -> Any:
        """Carry a command out; the answer. Raises `Failed`."""
        entry = Journaled(max(self._now_ms(), self._last_ms), command)
        self._journal.write(entry)
        answer = self._apply(entry)
        if isinstance(answer, Failed):
            raise answer
        self.stream.spread(entry.at, self._status)
        return answer

    def _apply(self, entry: Journaled) -> Any:
        self._last_ms = entry.at
        return self.books.apply(entry.command, entry.at)

    @property
    def _status(self) -> str:
        """How trades stand."""
        return "CONFIRMED" if self.settling else "MATCHED"

    def _now_ms(self) -> int:
        return self._clock() // 1_000_000

    # --- who asks ---

    def _credentials(self, address: str) -> dict[str, str]:
        """The same for the same key and nonce."""
        if address not in self.books.keys:
            raise Failed(400, "Could not derive api key!")
        seed = f"{address} {self.books.keys[address]}".encode()
        digest = hashlib.blake2b(seed).digest()
        name = digest[:16].hex()
        return {
            "apiKey": "-".join((name[:8], name[8:12], name[12:16], name[16:20], name[20:])),
            "secret": base64.urlsafe_b64encode(digest[16:48]).decode(),
            "passphrase": digest[48:].hex(),
        }

    def _address_of(self, given: dict[str, str]) -> str | None:
        """Whose credentials these are."""
        return next((one for one in self.books.keys if self._credentials(one) == given), None)

    def _key(self, request: web.Request) -> tuple[str, int]:
        """The address whose key signed a request for credentials, and its nonce."""
        given = request.headers
        try:
            address, nonce = given["POLY_ADDRESS"], int(given["POLY_NONCE"])
            signed = consenting(address, given["POLY_TIMESTAMP"], nonce, CHAIN_ID, given["POLY_SIGNATURE"])
        except (KeyError, ValueError) as wrong:
            raise Failed(401, "Invalid L1 Request headers") from wrong
        if signed != address.lower():
            raise Failed(401, "Invalid L1 Request headers")
        return signed, nonce

    async def _caller(self, request: web.Request) -> str:
        """The address that a request is of."""
        given, body = request.headers, (await request.read()).decode()
        try:
            address = given["POLY_ADDRESS"].lower()
            own = self._credentials(address)
            code = request_code(own["secret"], given["POLY_TIMESTAMP"], request.method, request.path, body)
            pairs = (
                (given["POLY_API_KEY"], own["apiKey"]),
                (given["POLY_PASSPHRASE"], own["passphrase"]),
                (given["POLY_SIGNATURE"], code),
            )
        except (KeyError, Failed) as wrong:
            raise Failed(401, UNAUTHORIZED) from wrong
        if not all(same(one, other) for one, other in pairs):
            raise Failed(401, UNAUTHORIZED)
        return address

    async def _enter(self, request: web.Request) -> Any:
        address, nonce = self._key(request)
        self.do(Entered(address, nonce))
        return self._credentials(address)

    def _derive(self, request: web.Request) -> Any:
        return self._credentials(self._key(request)[0])

    # --- what changes books ---

    async def _post(self, request: web.Request) -> web.StreamResponse:
        async def act(kind: Kind | None) -> web.StreamResponse:
            return await self._failing(lambda asked: self._posted(asked, kind))(request)

        return await self.answered(request, act)

    async def _posted(self, request: web.Request, kind: Kind | None) -> Any:
        address = await self._caller(request)
        asked = msgspec.json.decode(await request.read(), type=dict[str, Any])
        order, order_type = asked["order"], asked["orderType"]
        if order_type not in WAITING | AT_ONCE or asked.get("owner") != self._credentials(address)["apiKey"]:
            raise Failed(400, "Invalid order payload")
        market = self.books.markets.get(order["tokenId"])
        if market is None:
            raise Failed(400, NO_BOOK)
        maker = order["maker"].lower()
        try:
            signed = signer(order, CHAIN_ID, market.neg_risk)
            name = order_hash(order, CHAIN_ID, market.neg_risk)
        except (NotSigned, KeyError) as wrong:
            raise Failed(400, "Invalid order payload") from wrong
        if signed != address or not of_kind(order, address) or self.books.owners.get(maker, maker) != address:
            raise Failed(400, "invalid signature")
        most = HALF if kind is Kind.PARTIAL_FILL else None
        owner, post_only = asked["owner"], bool(asked.get("postOnly"))
        return self.do(Posted(name, owner, order, order_type, post_only, most))

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        async def cancelled(asked: web.Request) -> Any:
            address = await self._caller(asked)
            body = msgspec.json.decode(await asked.read(), type=dict[str, str])
            return self.do(Ended(address, [body["orderID"]]))

        return await self._failing(cancelled)(request)

    # --- what is shown ---

    async def _order(self, request: web.Request) -> Any:
        """As at the venue, nothing of an order that filled whole."""
        address, name = await self._caller(request), request.match_info["id"]
        placed = self.books.placed.get(name)
        if placed is None or self.books.owners.get(placed.order.user) != address or placed.order.left == 0:
            return None
        if placed.order.status != "open" and self.misbehaviour.lasts(Kind.FORGET_ENDED):
            return None
        return answers.order(self.books, name, placed)

    async def _open_orders(self, request: web.Request) -> Any:
        address = await self._caller(request)
        rows = [
            answers.order(self.books, name, placed)
            for name, placed in self.books.placed.items()
            if placed.order.status == "open" and self.books.owners.get(placed.order.user) == address
        ]
        return answers.page(rows, request.query.get("next_cursor", ""))

    async def _trades(self, request: web.Request) -> Any:
        address = await self._caller(request)
        wallets = [wallet for wallet, owner in self.books.owners.items() if owner == address]
        asked = request.query.get("maker_address", "").lower()
        rows = [
            row
            for wallet in wallets
            if asked in ("", wallet)
            for row in answers.trades(
                self.books, wallet, dict(request.query), self._status, self._listed_of(wallet)
            )
        ]
        if self.misbehaviour.lasts(Kind.DUPLICATE):
            rows = [row for row in rows for _ in range(2)]
        return answers.page(rows, request.query.get("next_cursor", ""))

    def _listed_of(self, wallet: str) -> int | None:
        """How many of a wallet's trades are listed, None for all."""
        return None if self._listed is None else self._listed.get(wallet, 0)

    async def _balance(self, request: web.Request) -> Any:
        address, query = await self._caller(request), request.query
        wallet = next((one for one, owner in self.books.owners.items() if owner == address), address)
        return answers.balance(self.books, wallet, query.get("asset_type", ""), query.get("token_id", ""))

    def _positions(self, request: web.Request) -> Any:
        start = int(request.query.get("offset", 0))
        rows = answers.positions(self.books, request.query["user"].lower())
        return rows[start : start + int(request.query.get("limit", 100))]

    def _token(self, request: web.Request) -> str:
        token = request.query.get("token_id", "")
        if not token.isdecimal():
            raise Failed(400, "Invalid token id")
        if token not in self.books.markets or token in self.books.resolved:
            raise Failed(404, "No orderbook exists for the requested token id")
        return token

    def _market(self, request: web.Request) -> Market:
        return self.books.markets[self._token(request)]

    def _book(self, token: str) -> Any:
        return self._stale[token] if self._stale else answers.book(self.books, token, self._now_ms())

    def _market_by_token(self, request: web.Request) -> Any:
        market = self.books.markets.get(request.match_info["token"])
        if market is None:
            raise Failed(404, "market not found")
        return answers.market_by_token(market)

    def _of_condition(self, request: web.Request) -> Market:
        for market in self.books.markets.values():
            if market.condition == request.match_info["condition"]:
                return market
        raise Failed(404, "market not found")

    def too_many(self) -> web.StreamResponse:
        return web.json_response({"error": "Too Many Requests"}, status=429)

    def _failing(self, act: Callable[[web.Request], Any]) -> Answering:
        async def answering(request: web.Request) -> web.StreamResponse:
            try:
                found = act(request)
                answer = await found if isinstance(found, Awaitable) else found
            except Failed as failed:
                return web.json_response({"error": str(failed)}, status=failed.status)
            except (msgspec.DecodeError, NotAQuantity, KeyError, TypeError, ValueError) as wrong:
                return web.json_response({"error": f"Invalid payload: {wrong}"}, status=400)
            return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

        return answering

    # --- for who tests ---

    async def _fund(self, request: web.Request) -> Any:
        body = msgspec.json.decode(await request.read(), type=dict[str, str])
        wallet = body["wallet"].lower()
        amount, shares = size_from(body["usd"]) // 100, size_from(body.get("shares", "0"))
        return self.do(
            Funded(wallet, body.get("owner", wallet).lower(), amount, body.get("token", ""), shares)
        )

    async def _price(self, request: web.Request) -> Any:
        body = msgspec.json.decode(await request.read(), type=dict[str, str])
        return self.do(Price(self.books.exchange.assets[body["token"]].name, price_from(body["price"])))

    async def _resolve(self, request: web.Request) -> Any:
        body = msgspec.json.decode(await request.read(), type=dict[str, str])
        token = self.books.exchange.assets[body["token"]].name
        return self.do(Resolved(token, price_from(body["price"])))

    async def _redeem(self, request: web.Request) -> Any:
        body = msgspec.json.decode(await request.read(), type=dict[str, str])
        return self.do(Redeemed(body["wallet"].lower(), self.books.exchange.assets[body["token"]].name))

    async def _settle(self, request: web.Request) -> Any:
        self.settling = msgspec.json.decode(await request.read(), type=dict[str, bool])["settling"]
        return {"settling": self.settling}
