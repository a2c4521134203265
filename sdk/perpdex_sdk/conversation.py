"""What an agent said and has no answer to yet, over a connection that breaks and comes back."""

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from perpdex_sdk import messages as m
from perpdex_sdk.clock import ExchangeClock
from perpdex_sdk.errors import UNSEEN, AnswerUnknown, Closed, NotSent, Refused, Unreachable
from perpdex_sdk.link import Link
from perpdex_sdk.orders import OpenRequest
from perpdex_sdk.standing import Standing

log = logging.getLogger("perpdex_sdk")

PATIENCE = 30.0
"""Seconds for which an unanswered message is repeated over reconnections before it counts as unknown."""

PAUSE = 0.2
"""Seconds before a message is sent again whose copy was refused without being looked at."""

T = TypeVar("T")


class _Said(Generic[T]):
    """A message that waits for an answer, and what is told of that. `copies` is how many of it may have been sent."""

    __slots__ = ("copies", "payload", "told")

    def __init__(self, payload: bytes, told: T, copies: int = 0) -> None:
        self.payload = payload
        self.told = told
        self.copies = copies


class Conversation:
    """Messages by their ids, requests by their keys. What waits for an answer is sent again with each `ready`; quotes never are.

    A copy that is refused without being looked at says nothing of those before it, so the message is sent again until another answer
    comes. A request ends so at its `expires_after`: `expired_command` says that no copy has led, or will lead, to anything.
    """

    def __init__(self, link: Link, name: str) -> None:
        self.ready = asyncio.Event()
        self._link = link
        self._name = name
        self._clock = ExchangeClock()
        self._denied: Refused | None = None
        self._ended: str | None = None
        self._turned = asyncio.Event()
        self._pending: dict[str, _Said[asyncio.Future[None]]] = {}
        self._quoting: dict[str, asyncio.Future[None]] = {}
        self._open: dict[str, _Said[OpenRequest]] = {}
        self._numbers: dict[int, OpenRequest] = {}
        self._standing = Standing(name, self.tell)
        # Ids must differ from those of earlier runs: the exchange remembers keys for up to a day.
        self._prefix = secrets.token_hex(4)
        self._count = 0

    def next_id(self) -> str:
        self._count += 1
        return f"{self._prefix}-{self._count}"

    def begin(self, auth: dict[str, Any]) -> None:
        """Say who this is, first of all over a new connection. Whoever waits for the answer to a quote is told `NotSent`."""
        self.ready.clear()
        for future in self._quoting.values():
            if not future.done():
                future.set_exception(NotSent("the connection broke before the quote was answered"))
        self._link.send(_encoded("auth", "auth", auth))

    async def begun(self) -> None:
        """Wait for the first connection. Raises `Refused` with why the exchange takes none: at once when that is for good, else after
        `PATIENCE`, `Unreachable` when it says nothing, and `Closed`.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                while not self.ready.is_set():
                    await self._turned.wait()
                    self._turned.clear()
                    self._must_go_on()
                    if self._denied is not None and not self._denied.retryable:
                        raise self._denied
        except TimeoutError:
            raise self._denied or Unreachable("no connection to the exchange in time") from None

    def end(self, why: str) -> None:
        """Have everything that waits for an answer, or is said from now on, end with `Closed`."""
        self._ended = self._ended or why
        self._turned.set()
        self._standing.end()
        for future in (*(said.told for said in self._pending.values()), *self._quoting.values()):
            if not future.done():
                future.set_exception(Closed(why))
        for said in self._open.values():
            said.told.refused(Closed(why))

    def _must_go_on(self) -> None:
        if self._ended is not None:
            raise Closed(self._ended)

    async def tell(self, op: str, **fields: Any) -> None:
        """Send a message, again after each reconnection, until it is answered. Raises `Refused`, `AnswerUnknown`, `Closed`."""
        self._must_go_on()
        id = self.next_id()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        said = self._pending[id] = _Said(_encoded(op, id, fields), future)
        self._post(said)
        try:
            await self._answer(id, future)
        finally:
            self._pending.pop(id, None)

    async def arrange(self, name: str, op: str, **fields: Any) -> None:
        """The same of what holds over reconnections, until another of that name takes its place."""
        await self._standing.arrange(name, op, fields)

    async def quote(self, op: str, life_ms: int, needs: str | None, **fields: Any) -> None:
        """Send firm prices now or never: what comes after a break was meant for a market of before it.

        Raises `NotSent` as well, also while what was arranged as `needs` does not hold again, and why it was refused if it was.
        """
        self._must_go_on()
        if needs is not None:
            self._standing.require(needs)
        id = self.next_id()
        payload = _encoded(
            op, id, {**fields, "life_ms": life_ms, "expires_after": self._clock.after(life_ms)}
        )
        if not self.ready.is_set() or not self._link.send(payload):
            raise NotSent("there is no connection now" + self._why())
        future = self._quoting[id] = asyncio.get_running_loop().create_future()
        try:
            await self._answer(id, future)
        finally:
            self._quoting.pop(id, None)

    def open(self, key: str | None, ttl_ms: int, **terms: Any) -> OpenRequest:
        """Send a request under a key, its own by default, until it is answered or came too late. Raises `Closed`."""
        self._must_go_on()
        # Whoever names a key may have sent it before, by an earlier run even.
        copies = 1 if key else 0
        opened = OpenRequest(key or self.next_id(), self._accept)
        terms = {**terms, "ttl_ms": ttl_ms, "expires_after": self._clock.after(ttl_ms)}
        said = self._open[opened.key] = _Said(_encoded("request", opened.key, terms), opened, copies)
        self._post(said)
        return opened

    async def answer_to(self, opened: OpenRequest) -> m.RequestClosed:
        """Wait for a request's final answer. Raises `Refused`, `AnswerUnknown`."""
        try:
            return await self._answer(opened.key, asyncio.shield(opened.closed))
        finally:
            self._open.pop(opened.key, None)
            self._numbers.pop(opened.number, None)

    def hear(self, message: m.Message) -> None:
        """Take in what the exchange says, as far as something waits for it."""
        reaction = REACTIONS.get(type(message))
        if reaction is not None:
            reaction(self, message)

    def _post(self, said: _Said[Any]) -> None:
        """Send when signed in; otherwise `ready` sends everything that waits for an answer."""
        if self.ready.is_set() and self._link.send(said.payload):
            said.copies += 1

    def _post_again(self, id: str, said: _Said[Any]) -> None:
        """Send what has no answer yet, and what nobody has stopped waiting for."""
        if self._open.get(id) is said or self._pending.get(id) is said:
            self._post(said)

    async def _answer(self, id: str, future: asyncio.Future[T]) -> T:
        """What a message was answered. Raises `Refused`, `AnswerUnknown`."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await future
        except TimeoutError:
            raise AnswerUnknown(id, self._why()) from self._denied

    def _why(self) -> str:
        """Why the exchange takes no connection, if it said so; nothing while there is one."""
        return "" if self._denied is None else f": the connection is refused, {self._denied}"

    def _awaited(self, id: str | None) -> asyncio.Future[None] | None:
        """What waits for the answer to a message, if anything does."""
        pending = self._pending.get(id or "")
        future = pending.told if pending is not None else self._quoting.get(id or "")
        return future if future is not None and not future.done() else None

    async def _accept(self, opened: OpenRequest, quote: m.Quote) -> None:
        await self.tell("accept", request=quote.request, quote=quote.quote, expires_after=quote.expires)

    def _heard_ready(self, message: m.Ready) -> None:
        self._clock.start(message.now)
        self._denied = None
        self.ready.set()
        self._turned.set()
        self._standing.begin()
        waiting: tuple[_Said[Any], ...] = (*self._open.values(), *self._pending.values())
        for said in waiting:
            self._post(said)

    def _heard_heartbeat(self, message: m.Heartbeat) -> None:
        self._clock.heard(message.now)

    def _heard_ack(self, message: m.Ack) -> None:
        awaited = self._awaited(message.id)
        if awaited is not None:
            awaited.set_result(None)

    def _heard_error(self, message: m.Error) -> None:
        refused = Refused(message.code, message.message, message.retryable)
        if not self.ready.is_set():
            self._heard_denied(refused)
            return
        id = message.id or ""
        said = self._pending.get(id) or self._open.get(id)
        if said is not None and said.copies > 1 and refused.code in UNSEEN:
            asyncio.get_running_loop().call_later(PAUSE, self._post_again, id, said)
            return
        awaited = self._awaited(message.id)
        opened = self._open.pop(id, None)
        if awaited is not None:
            awaited.set_exception(refused)
        elif opened is not None:
            opened.told.refused(refused)
        elif message.id is None:
            log.warning("%s: %s", self._name, refused)

    def _heard_denied(self, refused: Refused) -> None:
        """Nothing but `auth` has been said over this connection, so it is what is refused: the exchange hangs up, and the link tries
        again. Whoever waits hears of it, now or when patience ends.
        """
        log.warning("%s: the connection is refused: %s", self._name, refused)
        self._denied = refused
        self._turned.set()

    def _heard_opened(self, message: m.RequestOpened) -> None:
        opened = self._open.get(message.key)
        if opened is not None:
            opened.told.heard_opened(message)
            self._numbers[message.request] = opened.told

    def _heard_quote(self, message: m.Quote) -> None:
        opened = self._numbers.get(message.request)
        if opened is not None:
            opened.heard_quote(message)

    def _heard_closed(self, message: m.RequestClosed) -> None:
        self._numbers.pop(message.request, None)
        opened = self._open.pop(message.key, None)
        if opened is not None:
            opened.told.heard_closed(message)


REACTIONS: dict[type[m.Message], Callable[[Conversation, Any], None]] = {
    m.Ready: Conversation._heard_ready,
    m.Heartbeat: Conversation._heard_heartbeat,
    m.Ack: Conversation._heard_ack,
    m.Error: Conversation._heard_error,
    m.RequestOpened: Conversation._heard_opened,
    m.Quote: Conversation._heard_quote,
    m.RequestClosed: Conversation._heard_closed,
}


def _encoded(op: str, id: str, fields: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"op": op, "id": id, **fields})
