"""Who hears what: each event of the exchange, encoded once, to the connections that it concerns."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol, get_args

import msgspec

from api import outgoing as out
from api.closing import CloseCode
from api.fill_marks import FillMarks
from api.listening import Listening
from api.outbound import Outbound, account_hash, micros
from api.streams import Item, Streams
from api.units import Markets
from core import events as e
from core.batches import BatchStatus
from core.events import DURABLE, Event
from core.market import MarketStatus
from core.operator_events import DelistingAnnounced, LimitsSet, MarketSettled
from matcher import commands as c
from matcher.engine import Engine
from matcher.rejections import Outcome, Rejection, Repeated

encode: Final = msgspec.json.Encoder().encode


SHORT_HEADS: Final = tuple(bytes((0x81, size)) for size in range(126))


def frame(message: out.Ev) -> bytes:
    """A whole unmasked WebSocket text frame, ready for any number of connections."""
    payload = encode(message)
    size = len(payload)
    if size < 126:
        return SHORT_HEADS[size] + payload
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


class Receiver(Protocol):
    """An authenticated connection."""

    cancel_on_disconnect: bool

    def send(self, data: bytes) -> None:
        """Send a frame, in order."""

    def send_numbered(self, number: int, data: bytes) -> None:
        """Send a frame of the private stream, unless the connection is still catching up."""

    def close(self, code: CloseCode, reason: str) -> None:
        """Say why after what is queued already, then hang up."""


class Hub:
    """Connections by account, and the routing of events to them. Everything runs on the engine's loop."""

    def __init__(self, engine: Engine, streams: Streams, markets: Markets, listening: Listening) -> None:
        self._engine = engine
        self._streams = streams
        self.markets = markets
        self.outbound = Outbound(markets, streams.fee)
        self.marks = FillMarks(engine.state)
        self._connections: dict[int, list[Receiver]] = {}
        self._spreading = False
        self._open: dict[int, e.RequestOpened] = {}
        self._answers: dict[int, list[asyncio.Future[Outcome | e.RequestClosed]]] = {}
        self._synced: deque[tuple[int, asyncio.Future[None]]] = deque()
        listening.to(get_args(DURABLE), self._durable)
        for kind, handler in HANDLERS.items():
            listening.to((kind,), partial(handler, self))

    # --- connections ---

    def connections_of(self, account: int) -> list[Receiver]:
        return self._connections.get(account, [])

    def connection_count_of(self, account: int) -> int:
        """Connections of an account and of its sub-accounts."""
        subs = self._engine.state.accounts[account].subs
        return sum(len(self.connections_of(id)) for id in (account, *(sub.id for sub in subs)))

    def connection_count(self) -> int:
        return sum(map(len, self._connections.values()))

    def join(self, account: int, connection: Receiver) -> None:
        self._connections.setdefault(account, []).append(connection)

    def leave(self, account: int, connection: Receiver) -> None:
        """A connection is gone: with the last one the account is asked no more, and what it asked to be pulled is pulled."""
        left = self._connections[account]
        left.remove(connection)
        if connection.cancel_on_disconnect and not any(other.cancel_on_disconnect for other in left):
            self._engine.submit(c.CancelAll(account, "disconnected"), None)
        if not left:
            del self._connections[account]
            self._engine.submit(c.Subscribe(account, ()), None)

    def ready(self, account: int, now: int) -> bytes:
        head, hash = self._head(account)
        return frame(out.Ready(account, head, hash, micros(now), self._settlement()))

    def heartbeat(self, account: int, now: int) -> bytes:
        head, hash = self._head(account)
        return frame(out.Heartbeat(micros(now), head, hash, self._settlement()))

    def numbered(self, account: int, item: Item) -> bytes:
        return frame(self.outbound.private(account, item.number, item.seq, item.event))

    def _settlement(self) -> out.Settlement:
        through = self.marks.through
        reached = (
            through[BatchStatus(status)] for status in range(BatchStatus.BATCHED, BatchStatus.FINAL + 1)
        )
        return out.Settlement(self.marks.batch, *reached)

    def _head(self, account: int) -> tuple[int, str | None]:
        """Head of the stream, and the account's hash unless memory is ahead of the disk for it."""
        head = self._streams.head(account)
        held = self._engine.state.accounts[account]
        return head, account_hash(self._engine.state, held) if held.number == head else None

    # --- waiting ---

    async def on_disk(self) -> None:
        """Return once everything that memory shows now is on disk: nothing may be told that a crash could take back."""
        target = self._engine.state.seq
        if self._engine.synced < target:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._synced.append((target, future))
            await future

    async def request(self, command: c.OpenRequest) -> Outcome | e.RequestClosed:
        """Open a request and wait for its final answer; a refusal comes back as it is. Never returns for a request that is
        left open without `auto`, before its time is up."""
        future: asyncio.Future[Outcome | e.RequestClosed] = asyncio.get_running_loop().create_future()

        def reply(outcome: Outcome) -> None:
            # Done here and not after an await: the request could close in between.
            opened = self._reply_to_request(outcome, future)
            if opened is not None:
                self._answers.setdefault(opened.request, []).append(future)

        self._engine.submit(command, reply)
        return await future

    def _reply_to_request(
        self, outcome: Outcome, future: "asyncio.Future[Outcome | e.RequestClosed]"
    ) -> e.RequestOpened | None:
        if isinstance(outcome, Rejection):
            future.set_result(outcome)
            return None
        events = outcome.events if isinstance(outcome, Repeated) else outcome
        for event in events:
            if isinstance(event, e.RequestOpened):
                return event
            if isinstance(event, e.RequestClosed) and not future.done():
                future.set_result(event)
        return None

    # --- events ---

    def _durable(self, seq: int, event: Event) -> None:
        """Number the event in the streams of the accounts that it concerns, and tell them."""
        self._tell(self._streams.take(seq, event))
        if self._streams.behind and not self._spreading:
            self._spreading = True
            asyncio.get_running_loop().call_soon(self._spread)
        while self._synced and self._synced[0][0] <= seq:
            future = self._synced.popleft()[1]
            if not future.done():
                future.set_result(None)

    def _spread(self) -> None:
        """The next part of a record about very many accounts; the loop has its turn after each."""
        self._tell(self._streams.go_on())
        self._spreading = self._streams.behind
        if self._spreading:
            asyncio.get_running_loop().call_soon(self._spread)

    def _tell(self, items: list[tuple[int, Item]]) -> None:
        for account, item in items:
            connections = self._connections.get(account)
            if connections:
                data = self.numbered(account, item)
                for connection in connections:
                    connection.send_numbered(item.number, data)

    def _send(self, account: int, message: out.Ev) -> None:
        connections = self._connections.get(account)
        if connections:
            data = frame(message)
            for connection in connections:
                connection.send(data)

    def _broadcast(self, message: out.Ev) -> None:
        data = frame(message)
        for connections in self._connections.values():
            for connection in connections:
                connection.send(data)

    def _request_opened(self, seq: int, event: e.RequestOpened) -> None:
        self._open[event.request] = event
        self._send(event.account, self.outbound.opened(event))
        data = frame(self.outbound.rfq(event))
        for maker in event.makers:
            for connection in self._connections.get(maker, ()):
                connection.send(data)

    def _request_closed(self, seq: int, event: e.RequestClosed) -> None:
        self._open.pop(event.request, None)
        for future in self._answers.pop(event.request, ()):
            if not future.done():
                future.set_result(event)

    def _quote_given(self, seq: int, event: e.QuoteGiven) -> None:
        opened = self._open.get(event.request)
        if opened is not None and not opened.auto:
            shown = self.outbound.quote(event, opened)
            if shown is not None:
                self._send(opened.account, shown)

    def _quote_withdrawn(self, seq: int, event: e.QuoteWithdrawn) -> None:
        gone = out.QuoteGone(event.request, event.why)
        self._send(event.account, gone)
        opened = self._open.get(event.request)
        if opened is not None and not opened.auto:
            self._send(opened.account, gone)

    def _quotes_pulled(self, seq: int, event: e.QuotesPulled) -> None:
        self._send(event.account, self.outbound.pulled(event))

    def _frozen(self, seq: int, event: e.MakerFrozen) -> None:
        self._send(event.account, self.outbound.frozen(event))

    def _revoked(self, seq: int, event: e.SessionsRevoked) -> None:
        subs = self._engine.state.accounts[event.account].subs
        for account in (event.account, *(sub.id for sub in subs)):
            for connection in self.connections_of(account):
                connection.close(CloseCode.SESSION_REVOKED, "sign a new challenge")

    def _quote_rejected(self, seq: int, event: e.QuoteRejected) -> None:
        self._send(event.account, self.outbound.quote_rejected(event))

    def _cut(self, seq: int, event: e.SettlementCut) -> None:
        self.marks.cut(event.batch, seq)
        self._broadcast(self.outbound.batch(event.batch, BatchStatus.BATCHED, self.marks.after, seq, ()))

    def _batch_advanced(self, seq: int, event: e.BatchAdvanced) -> None:
        self.marks.advanced(event.batch, event.status)
        span = (self.marks.after, self.marks.through[BatchStatus.BATCHED])
        self._broadcast(self.outbound.batch(event.batch, event.status, *span, event.signatures))

    def _market_status_set(self, seq: int, event: e.MarketStatusSet) -> None:
        self._broadcast(self.outbound.market_changed(event.market, event.status, "status", event.why))

    def _limits_set(self, seq: int, event: LimitsSet) -> None:
        status = self._engine.state.statuses[event.market]
        self._broadcast(self.outbound.market_changed(event.market, status, "limits", event.why))

    def _delisting_announced(self, seq: int, event: DelistingAnnounced) -> None:
        status = self._engine.state.statuses[event.market]
        self._broadcast(self.outbound.market_changed(event.market, status, "delisting", event.why))

    def _market_settled(self, seq: int, event: MarketSettled) -> None:
        self._broadcast(self.outbound.market_changed(event.market, MarketStatus.SETTLED, "status", event.why))


HANDLERS: Final[dict[type[Event], Callable[[Hub, int, Any], None]]] = {
    e.RequestOpened: Hub._request_opened,
    e.RequestClosed: Hub._request_closed,
    e.QuoteGiven: Hub._quote_given,
    e.QuoteWithdrawn: Hub._quote_withdrawn,
    e.QuotesPulled: Hub._quotes_pulled,
    e.MakerFrozen: Hub._frozen,
    e.QuoteRejected: Hub._quote_rejected,
    e.SessionsRevoked: Hub._revoked,
    e.SettlementCut: Hub._cut,
    e.BatchAdvanced: Hub._batch_advanced,
    e.MarketStatusSet: Hub._market_status_set,
    LimitsSet: Hub._limits_set,
    DelistingAnnounced: Hub._delisting_announced,
    MarketSettled: Hub._market_settled,
}
