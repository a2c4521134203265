"""The agent: one account, one connection that survives breaks, and everything an agent can do."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from solders.keypair import Keypair

from perpdex_sdk import exit_kit, verify
from perpdex_sdk import messages as m
from perpdex_sdk.answers import Account, FillStatus, MarginPreview, Session, Transfer, Withdrawal
from perpdex_sdk.books import Books
from perpdex_sdk.clock import ExchangeClock
from perpdex_sdk.errors import AnswerUnknown, Closed, ExchangeError, Insecure, NotSent, Refused
from perpdex_sdk.exit_kit import ExitKit
from perpdex_sdk.funds import own_place, send_deposit, signed_withdrawal
from perpdex_sdk.link import Link
from perpdex_sdk.loss_limit import bound_losses
from perpdex_sdk.markets import Market
from perpdex_sdk.orders import OpenRequest
from perpdex_sdk.proofs import ProvenBalance, ProvenFill, proven_balance, proven_fill
from perpdex_sdk.rest import Rest
from perpdex_sdk.statuses import STATUSES, FillMoved, Statuses

log = logging.getLogger("perpdex_sdk")

PATIENCE = 30.0
"""Seconds for which an unanswered message is repeated over reconnections before it counts as unknown."""
WITHDRAWAL_PATIENCE = 1200.0
"""Longer than the owner may take to sign, and a payment to become final."""
SESSION_GONE = frozenset({4001, 4002, 4006})
"""Close codes after which a new session is signed."""

M = TypeVar("M", bound=m.Message | FillMoved)
Level = tuple[Decimal | str, Decimal | str]
Handler = Callable[[Any], None]


class Agent:
    """Made by `Agent.connect`. Prices and sizes are decimal strings or `Decimal`s, never floats.

    `balance` and `position()` are kept from the private stream and checked against the exchange's hash at each heartbeat.
    """

    def __init__(
        self,
        rest: Rest,
        keypair: Keypair,
        name: str,
        cancel_on_disconnect: bool,
        websocket: str | None = None,
    ) -> None:
        self.rest = rest
        self.keypair = keypair
        self.name = name
        self.markets: dict[str, Market] = {}
        self.mismatches = 0
        self._cancel_on_disconnect = cancel_on_disconnect
        self._websocket = websocket
        self._session: Session | None = None
        self._books: Books | None = None
        self._link = Link(self._address, self._authenticate, self._receive)
        self._running: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._handlers: dict[type[Any], list[Handler]] = {}
        self._pending: dict[str, tuple[bytes, asyncio.Future[None]]] = {}
        self._quoting: dict[str, asyncio.Future[None]] = {}
        self._clock = ExchangeClock()
        self._open: dict[str, tuple[bytes, OpenRequest]] = {}
        self._numbers: dict[int, OpenRequest] = {}
        self._statuses = Statuses()
        self._keeping: asyncio.Task[None] | None = None
        self._final = asyncio.Event()
        self._standing: dict[str, bytes] = {}
        # Ids must differ from those of earlier runs: the exchange remembers keys for a day.
        self._prefix = secrets.token_hex(4)
        self._count = 0

    @classmethod
    async def connect(
        cls,
        url: str,
        keypair: Keypair,
        name: str,
        *,
        cancel_on_disconnect: bool = True,
        subaccount: int | None = None,
        loss_limit: int | None = None,
        websocket: str | None = None,
    ) -> "Agent":
        """Sign in (registering the agent at first), read its books, and connect. Raises `Refused`, `Unreachable`.

        With `subaccount` all of it, also what a broken connection pulls, is about that sub-account of the agent `name`. With
        `loss_limit`, whole USDC, `set_loss_limit` is called besides, and its errors are raised as well. Without, what stands on chain
        is left as it is: a limit bounds what an agent can trade with, so no number would be right for all. `websocket` is where to
        open the WebSocket when that is not what the exchange announces. Raises `Insecure` when `url` has TLS and the WebSocket has
        not.
        """
        agent = cls(Rest(url, subaccount=subaccount), keypair, name, cancel_on_disconnect, websocket)
        try:
            agent._session = await agent.rest.sign_in(keypair, name)
            agent._opened_at()
            agent.markets = {market.symbol: market for market in await agent.rest.markets()}
            agent._books = Books(agent.markets, await agent.rest.account())
            agent._running = asyncio.get_running_loop().create_task(agent._link.run())
            async with asyncio.timeout(PATIENCE):
                await agent._ready.wait()
            if loss_limit is not None:
                await agent.set_loss_limit(loss_limit)
        except BaseException:
            await agent.close()
            raise
        return agent

    async def close(self) -> None:
        """Disconnect; what waits for an answer ends with `Closed`."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait({self._keeping})
        for future in self._waiting():
            if not future.done():
                future.set_exception(Closed("the agent was closed"))
        for _, request in self._open.values():
            request.refused(Closed("the agent was closed"))
        await self.rest.close()

    # --- books ---

    @property
    def account(self) -> int:
        return self._signed_in().account if self.rest.subaccount is None else self.rest.subaccount

    @property
    def balance(self) -> Decimal:
        """Collateral with realized profit and loss, in USDC."""
        return Decimal(self._own_books().balance).scaleb(-6)

    @property
    def head(self) -> int:
        """Number of the last event of the private stream that was taken in."""
        return self._own_books().head

    def position(self, market: str) -> Decimal:
        """Signed size."""
        return self._own_books().position(market)

    async def snapshot(self) -> Account:
        """Margin and positions as the exchange values them now."""
        return await self.rest.account()

    async def preview(
        self, market: str, side: str, size: Decimal | str, price: Decimal | str
    ) -> MarginPreview:
        """What taking `size` at `price` would do to the account, and whether margin and caps would allow it."""
        return await self.rest.margin_preview(market, side, _text(size), _text(price))

    # --- trader ---

    async def request(
        self, market: str, side: str, size: Decimal | str, limit: Decimal | str, **terms: Any
    ) -> m.RequestClosed:
        """Ask, fill at the best firm price, and return the final answer once it is durable.

        `terms` are those of `ask`. Raises `Refused`, or `AnswerUnknown` (then repeat with the same `key`).
        """
        opened = self.ask(market, side, size, limit, **terms)
        return await self.answer_to(opened)

    def ask(
        self,
        market: str,
        side: str,
        size: Decimal | str,
        limit: Decimal | str,
        *,
        key: str | None = None,
        ttl_ms: int = 1000,
        auto: bool = True,
        all_or_none: bool = False,
        reduce_only: bool = False,
        show_side: bool = False,
    ) -> OpenRequest:
        """Open a request. With ``auto=False`` choose among its `quotes()`, else the best one fills.

        One that reaches the exchange later than `ttl_ms`, or a second, is refused as `expired_command`: also after an outage.
        """
        key = key or self._next_id()
        opened = OpenRequest(key, self._accept)
        terms = {
            "market": market,
            "side": side,
            "size": _text(size),
            "limit": _text(limit),
            "ttl_ms": ttl_ms,
            "auto": auto,
            "all_or_none": all_or_none,
            "reduce_only": reduce_only,
            "show_side": show_side,
            "expires_after": self._clock.after(ttl_ms),
        }
        payload = _encoded("request", key, terms)
        self._open[key] = (payload, opened)
        self._post(payload)
        return opened

    async def answer_to(self, opened: OpenRequest) -> m.RequestClosed:
        """Wait for a request's final answer."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await asyncio.shield(opened.closed)
        except TimeoutError:
            raise AnswerUnknown(opened.key) from None
        finally:
            self._open.pop(opened.key, None)
            self._numbers.pop(opened.number, None)

    async def cancel(self, opened: OpenRequest) -> None:
        await self._tell("cancel", key=opened.key)

    async def cancel_all(self) -> None:
        """Pull every request, answer and standing quote."""
        await self._tell("cancel_all")

    async def cancel_after(self, in_ms: int) -> None:
        """Dead-man switch: everything is pulled in `in_ms` unless this is called again; 0 switches it off."""
        await self._tell("cancel_after", in_ms=in_ms)

    # --- maker ---

    async def subscribe(self, markets: Sequence[str]) -> None:
        """Be asked for quotes in these markets; holds over reconnections."""
        self._standing["subscribe"] = await self._tell("subscribe", markets=list(markets))

    async def protect(
        self, market: str, window_ms: int, size: Decimal | str, freeze_ms: int, net: Decimal | str = "0"
    ) -> None:
        """Maker protection, see the exchange's documentation; holds over reconnections."""
        fields = {
            "market": market,
            "window_ms": window_ms,
            "size": _text(size),
            "net": _text(net),
            "freeze_ms": freeze_ms,
        }
        self._standing[f"protect {market}"] = await self._tell("protect", **fields)

    async def quotes(
        self, market: str, bids: Sequence[Level], asks: Sequence[Level], life_ms: int = 10_000
    ) -> None:
        """Replace the standing quotes of a market; they live `life_ms` and end with the connection. Raises `Refused`, `NotSent`."""
        await self._quote("quotes", life_ms, market=market, bids=_levels(bids), asks=_levels(asks))

    async def answer(
        self,
        rfq: m.Rfq,
        *,
        bid: Decimal | str | None = None,
        ask: Decimal | str | None = None,
        size: Decimal | str | None = None,
        min_fill: Decimal | str | None = None,
        life_ms: int = 5_000,
    ) -> None:
        """A firm answer; `size` is by default what was asked for. Raises `Refused`, `NotSent`."""
        given = {"bid": bid, "ask": ask, "size": rfq.size if size is None else size, "min_fill": min_fill}
        fields = {name: _text(value) for name, value in given.items() if value is not None}
        await self._quote("quote", life_ms, request=rfq.request, **fields)

    async def withdraw_answer(self, request: int) -> None:
        await self._tell("withdraw", request=request)

    async def pass_on(self, rfq: m.Rfq) -> None:
        """No quote from here: the request need not wait."""
        await self._tell("pass", request=rfq.request)

    def on(self, kind: type[M], handler: Callable[[M], None]) -> None:
        """Have `handler` called for every message of that kind, in order, or for every `FillMoved`. It must not block."""
        self._handlers.setdefault(kind, []).append(handler)

    # --- sub-accounts ---

    async def sub_account(self, market: str) -> "Agent":
        """The isolated sub-account for a market, opened when there is none, as an agent with a connection of its own.

        It must be closed like this one. Put collateral in with `transfer`.
        """
        opened = await self.rest.open_sub_account(market)
        return await Agent.connect(
            self.rest.url,
            self.keypair,
            self.name,
            cancel_on_disconnect=self._cancel_on_disconnect,
            subaccount=opened.account,
            websocket=self._websocket,
        )

    async def transfer(
        self, giver: int, receiver: int, amount: Decimal | str, key: str | None = None
    ) -> Transfer:
        """Move collateral from account `giver` to `receiver`: this one and a sub-account of its, either way."""
        return await self.rest.transfer(giver, receiver, _text(amount), key or self._next_id())

    # --- money ---

    async def deposit(self, amount: Decimal | str, rpc_url: str | None = None) -> str:
        """Send USDC from the owner's token account into the escrow; the signature, once the chain confirmed it.

        The balance follows when the exchange has seen it finalized. Raises `DepositFailed`, `Unreachable`.
        """
        return await send_deposit(self.rest, self.keypair, Decimal(amount), rpc_url)

    async def set_loss_limit(self, limit_usdc: int | None, rpc_url: str | None = None) -> None:
        """Have the escrow let settlement take at most so many whole USDC from this account within a window; None: anything.

        No more than that backs the account's trades, and those of its sub-accounts: what needs more is refused, and liquidated when
        it is held already. A lower limit takes effect on chain after the escrow's delay, here as soon as it is seen. Waits for the
        account's slot, and sends nothing where the limit stands already. Raises `DepositFailed` when there is no slot, `ExitFailed`,
        `NotProven`, `Unreachable`, `ChainRefused`.
        """
        place, escrow = await own_place(self.rest), await self.rest.escrow()
        kit = ExitKit(str(self.keypair.pubkey()), self.account, escrow, place, None)
        await bound_losses(kit, self.keypair, limit_usdc, rpc_url)

    async def withdraw(
        self,
        amount: Decimal | str,
        destination: str | None = None,
        key: str | None = None,
        patience_s: float = WITHDRAWAL_PATIENCE,
    ) -> Withdrawal:
        """Start a withdrawal and co-sign it, again when a signed message came too late; returns once it is paid, released or refused.

        Also when that takes longer than `patience_s` seconds: then the same call with the same `key` goes on with it.
        """
        return await signed_withdrawal(
            self.rest, self.keypair, _text(amount), destination, key or self._next_id(), patience_s
        )

    async def fill_status(self, fill: int) -> FillStatus:
        """Settlement status of a fill."""
        return await self.rest.fill_status(fill)

    async def prove_fill(self, fill: int, rpc_url: str | None = None) -> ProvenFill:
        """Check against the chain that one of this account's fills was settled. Raises `NotProven`, `Refused` (not_batched)."""
        return await proven_fill(await self.rest.fill_proof(fill), fill, await self.rest.escrow(), rpc_url)

    async def prove_balance(self, batch: int | None = None, rpc_url: str | None = None) -> ProvenBalance:
        """Check against the chain what this account had at a batch's cut, by default the newest's there.

        Raises `NotProven`, `Refused` (not_batched).
        """
        proof = await self.rest.balance_proof(self.account, batch)
        return await proven_balance(
            proof, proof.batch if batch is None else batch, self.account, await self.rest.escrow(), rpc_url
        )

    async def save_fill_proof(self, fill: int, path: Path) -> None:
        """Keep the proof of a fill in a file that `perpdex_sdk.verify` checks. Raises `Refused` (not_batched), `OSError`."""
        verify.save(path, await self.rest.fill_proof(fill), await self.rest.escrow())

    async def save_balance_proof(self, batch: int | None, path: Path) -> None:
        """The same of what this account had at a batch's cut."""
        verify.save(path, await self.rest.balance_proof(self.account, batch), await self.rest.escrow())

    async def keep_exit_kit(self, path: Path) -> ExitKit:
        """Write the exit kit, and write it anew after every final batch for as long as this agent runs.

        Raises `DepositFailed` when the account has no slot yet, `NotProven` when the file is another account's kit, `OSError`.
        """
        kit = await self._exit_kit(path)
        if self._keeping is None:
            self._keeping = asyncio.get_running_loop().create_task(self._keep(path))
        return kit

    async def _exit_kit(self, path: Path) -> ExitKit:
        batch, place = self._statuses.final_batch, await own_place(self.rest)
        proof = None
        try:
            proof = await self.rest.balance_proof(self.account, batch) if batch else None
        except Refused as refused:
            # The account's slot is younger than the batch, or the read side has not got there: the next batch will do.
            log.info("%s: no proof of batch %d yet (%s)", self.name, batch, refused.code)
        kit = ExitKit(str(self.keypair.pubkey()), self.account, await self.rest.escrow(), place, proof)
        exit_kit.save(path, kit)
        return kit

    async def _keep(self, path: Path) -> None:
        while True:
            await self._final.wait()
            self._final.clear()
            try:
                await self._exit_kit(path)
            except (ExchangeError, OSError) as error:
                log.warning("%s: the exit kit is not up to date: %s", self.name, error)

    # --- the connection ---

    def _signed_in(self) -> Session:
        if self._session is None:
            raise Closed("not connected yet")
        return self._session

    def _own_books(self) -> Books:
        if self._books is None:
            raise Closed("not connected yet")
        return self._books

    def _next_id(self) -> str:
        self._count += 1
        return f"{self._prefix}-{self._count}"

    async def _address(self, close_code: int) -> str:
        if close_code in SESSION_GONE:
            self._session = await self.rest.sign_in(self.keypair, self.name)
        return self._opened_at()

    def _opened_at(self) -> str:
        """Where to open the WebSocket, over which the session's token goes first."""
        address = self._websocket or self._signed_in().websocket
        if self.rest.url.startswith("https:") and not address.startswith("wss:"):
            raise Insecure(f"{self.rest.url} has TLS, and {address} would get the session's token without")
        return address

    def _authenticate(self) -> None:
        fields = {
            "token": self._signed_in().token,
            "resume_from": self._own_books().head,
            "cancel_on_disconnect": self._cancel_on_disconnect,
            "subaccount": self.rest.subaccount,
        }
        self._ready.clear()
        for future in self._quoting.values():
            if not future.done():
                future.set_exception(NotSent("the connection broke before the quote was answered"))
        self._link.send(_encoded("auth", "auth", fields))

    def _post(self, payload: bytes) -> None:
        """Send when signed in; otherwise `ready` sends everything that waits for an answer."""
        if self._ready.is_set():
            self._link.send(payload)

    async def _tell(self, op: str, **fields: Any) -> bytes:
        """Send a message, again after each reconnection, until it is answered; the message itself."""
        id = self._next_id()
        payload = _encoded(op, id, fields)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending[id] = (payload, future)
        self._post(payload)
        try:
            async with asyncio.timeout(PATIENCE):
                await future
        except TimeoutError:
            raise AnswerUnknown(id) from None
        finally:
            self._pending.pop(id, None)
        return payload

    async def _quote(self, op: str, life_ms: int, **fields: Any) -> None:
        """Send firm prices now or never: what comes after a break was meant for a market of before it."""
        id = self._next_id()
        payload = _encoded(
            op, id, {**fields, "life_ms": life_ms, "expires_after": self._clock.after(life_ms)}
        )
        if not self._ready.is_set() or not self._link.send(payload):
            raise NotSent("there is no connection now")
        future = self._quoting[id] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(PATIENCE):
                await future
        except TimeoutError:
            raise AnswerUnknown(id) from None
        finally:
            self._quoting.pop(id, None)

    def _waiting(self) -> list[asyncio.Future[None]]:
        return [*(future for _, future in self._pending.values()), *self._quoting.values()]

    def _awaited(self, id: str | None) -> asyncio.Future[None] | None:
        """What waits for the answer to a message, if anything does."""
        pending = self._pending.get(id or "")
        future = pending[1] if pending is not None else self._quoting.get(id or "")
        return future if future is not None and not future.done() else None

    async def _accept(self, opened: OpenRequest, quote: m.Quote) -> None:
        await self._tell("accept", request=quote.request, quote=quote.quote, expires_after=quote.expires)

    def _receive(self, payload: bytes) -> None:
        message = m.read(payload)
        if message is None:
            return
        if isinstance(message, m.Numbered) and message.n and not self._taken(message):
            return
        reaction = REACTIONS.get(type(message))
        if reaction is not None:
            reaction(self, message)
        for handler in self._handlers.get(type(message), ()):
            handler(message)

    def _taken(self, event: m.Numbered) -> bool:
        """Whether the event is new; a gap breaks the connection, and the resume closes it."""
        try:
            return self._own_books().take(event)
        except ValueError as gap:
            log.warning("%s: %s", self.name, gap)
            self._link.drop()
            return False

    def _heard_unknown(self, event: m.Unknown) -> None:
        log.warning("%s: event %d is %r, which this version does not know", self.name, event.n, event.ev)

    def _heard_fill(self, message: m.Fill) -> None:
        self._tell_moved(self._statuses.heard_fill(message))

    def _heard_batch(self, message: m.Batch) -> None:
        self._tell_moved(self._statuses.heard_batch(message))
        if message.status == STATUSES[-1]:
            self._final.set()

    def _tell_moved(self, moved: Sequence[FillMoved]) -> None:
        for one in moved:
            for handler in self._handlers.get(FillMoved, ()):
                handler(one)

    def _heard_ready(self, message: m.Ready) -> None:
        self._clock.start(message.now)
        self._tell_moved(self._statuses.heard_settlement(message.settlement))
        self._final.set()
        self._ready.set()
        for payload in self._standing.values():
            self._post(payload)
        for payload, _ in (*self._open.values(), *self._pending.values()):
            self._post(payload)

    def _heard_heartbeat(self, message: m.Heartbeat) -> None:
        self._clock.heard(message.now)
        self._tell_moved(self._statuses.heard_settlement(message.settlement))
        books = self._own_books()
        if message.hash is not None and message.head == books.head and message.hash != books.hash():
            self.mismatches += 1
            log.error("%s: own books differ from the exchange's at event %d", self.name, message.head)

    def _heard_ack(self, message: m.Ack) -> None:
        awaited = self._awaited(message.id)
        if awaited is not None:
            awaited.set_result(None)

    def _heard_error(self, message: m.Error) -> None:
        refused = Refused(message.code, message.message, message.retryable)
        awaited = self._awaited(message.id)
        opened = self._open.pop(message.id or "", None)
        if awaited is not None:
            awaited.set_exception(refused)
        elif opened is not None:
            opened[1].refused(refused)
        elif message.id is None:
            log.warning("%s: %s", self.name, refused)

    def _heard_opened(self, message: m.RequestOpened) -> None:
        opened = self._open.get(message.key)
        if opened is not None:
            opened[1].heard_opened(message)
            self._numbers[message.request] = opened[1]

    def _heard_quote(self, message: m.Quote) -> None:
        opened = self._numbers.get(message.request)
        if opened is not None:
            opened.heard_quote(message)

    def _heard_closed(self, message: m.RequestClosed) -> None:
        self._numbers.pop(message.request, None)
        opened = self._open.pop(message.key, None)
        if opened is not None:
            opened[1].heard_closed(message)


REACTIONS: dict[type[m.Message], Callable[[Agent, Any], None]] = {
    m.Ready: Agent._heard_ready,
    m.Heartbeat: Agent._heard_heartbeat,
    m.Unknown: Agent._heard_unknown,
    m.Fill: Agent._heard_fill,
    m.Batch: Agent._heard_batch,
    m.Ack: Agent._heard_ack,
    m.Error: Agent._heard_error,
    m.RequestOpened: Agent._heard_opened,
    m.Quote: Agent._heard_quote,
    m.RequestClosed: Agent._heard_closed,
}


def _encoded(op: str, id: str, fields: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"op": op, "id": id, **fields})


def _text(value: Decimal | str) -> str:
    """A plain decimal, without the exponent that `str` may give a `Decimal`."""
    return format(value, "f") if isinstance(value, Decimal) else value


def _levels(levels: Sequence[Level]) -> list[list[str]]:
    return [[_text(price), _text(size)] for price, size in levels]
