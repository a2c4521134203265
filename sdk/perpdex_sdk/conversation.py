"""What an agent said and has no answer to yet, over a connection that breaks and comes back."""

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from perpdex_sdk import messages as m
from perpdex_sdk.clock import ExchangeClock
from perpdex_sdk.errors import AnswerUnknown, Closed, NotSent, Refused
from perpdex_sdk.link import Link
from perpdex_sdk.orders import OpenRequest
from perpdex_sdk.standing import Standing

log = logging.getLogger("perpdex_sdk")

PATIENCE = 30.0
"""Seconds for which an unanswered message is repeated over reconnections before it counts as unknown."""

T = TypeVar("T")


class Conversation:
    """Messages by their ids, requests by their keys. What waits for an answer is sent again with each `ready`; quotes never are."""

    def __init__(self, link: Link, name: str) -> None:
        self.ready = asyncio.Event()
        self._link = link
        self._name = name
        self._clock = ExchangeClock()
        self._pending: dict[str, tuple[bytes, asyncio.Future[None]]] = {}
        self._quoting: dict[str, asyncio.Future[None]] = {}
        self._open: dict[str, tuple[bytes, OpenRequest]] = {}
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

    def end(self) -> None:
        """Have everything that waits for an answer end with `Closed`."""
        self._standing.end()
        for future in (*(future for _, future in self._pending.values()), *self._quoting.values()):
            if not future.done():
                future.set_exception(Closed("the agent was closed"))
        for _, request in self._open.values():
            request.refused(Closed("the agent was closed"))

    async def tell(self, op: str, **fields: Any) -> None:
        """Send a message, again after each reconnection, until it is answered. Raises `Refused`, `AnswerUnknown`."""
        id = self.next_id()
        payload = _encoded(op, id, fields)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending[id] = (payload, future)
        self._post(payload)
        try:
            await _answer(id, future)
        finally:
            self._pending.pop(id, None)

    async def arrange(self, name: str, op: str, **fields: Any) -> None:
        """The same of what holds over reconnections, until another of that name takes its place."""
        await self._standing.arrange(name, op, fields)

    async def quote(self, op: str, life_ms: int, needs: str, **fields: Any) -> None:
        """Send firm prices now or never: what comes after a break was meant for a market of before it.

        Raises `NotSent` as well, also while what was arranged as `needs` does not hold again, and why it was refused if it was.
        """
        self._standing.require(needs)
        id = self.next_id()
        payload = _encoded(
            op, id, {**fields, "life_ms": life_ms, "expires_after": self._clock.after(life_ms)}
        )
        if not self.ready.is_set() or not self._link.send(payload):
            raise NotSent("there is no connection now")
        future = self._quoting[id] = asyncio.get_running_loop().create_future()
        try:
            await _answer(id, future)
        finally:
            self._quoting.pop(id, None)

    def open(self, key: str, ttl_ms: int, **terms: Any) -> OpenRequest:
        """Send a request under a key, until it is answered or came too late."""
        opened = OpenRequest(key, self._accept)
        terms = {**terms, "ttl_ms": ttl_ms, "expires_after": self._clock.after(ttl_ms)}
        payload = _encoded("request", key, terms)
        self._open[key] = (payload, opened)
        self._post(payload)
        return opened

    async def answer_to(self, opened: OpenRequest) -> m.RequestClosed:
        """Wait for a request's final answer. Raises `Refused`, `AnswerUnknown`."""
        try:
            return await _answer(opened.key, asyncio.shield(opened.closed))
        finally:
            self._open.pop(opened.key, None)
            self._numbers.pop(opened.number, None)

    def hear(self, message: m.Message) -> None:
        """Take in what the exchange says, as far as something waits for it."""
        reaction = REACTIONS.get(type(message))
        if reaction is not None:
            reaction(self, message)

    def _post(self, payload: bytes) -> None:
        """Send when signed in; otherwise `ready` sends everything that waits for an answer."""
        if self.ready.is_set():
            self._link.send(payload)

    def _awaited(self, id: str | None) -> asyncio.Future[None] | None:
        """What waits for the answer to a message, if anything does."""
        pending = self._pending.get(id or "")
        future = pending[1] if pending is not None else self._quoting.get(id or "")
        return future if future is not None and not future.done() else None

    async def _accept(self, opened: OpenRequest, quote: m.Quote) -> None:
        await self.tell("accept", request=quote.request, quote=quote.quote, expires_after=quote.expires)

    def _heard_ready(self, message: m.Ready) -> None:
        self._clock.start(message.now)
        self.ready.set()
        self._standing.begin()
        for payload, _ in (*self._open.values(), *self._pending.values()):
            self._post(payload)

    def _heard_heartbeat(self, message: m.Heartbeat) -> None:
        self._clock.heard(message.now)

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
            log.warning("%s: %s", self._name, refused)

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


async def _answer(id: str, future: asyncio.Future[T]) -> T:
    """What a message was answered. Raises `Refused`, `AnswerUnknown`."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await future
    except TimeoutError:
        raise AnswerUnknown(id) from None
