"""One connection of the WebSocket: an agent process, on the engine's loop.

Outgoing frames of one turn of the loop leave in one write per connection. A connection that does not read what it is sent is
closed once `OUTGOING_MAX` bytes wait for it, and one from which nothing comes is after some heartbeats; frames and rates are bounded,
cancels are never refused. Who goes on sending what is refused, or nothing but cancels, faster than anyone needs, is hung up on: that
pulls what it has open, and costs the others nothing.
"""

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport
from picows.picows import WSCloseCode

from api import outgoing as out
from api import wire
from api.access import acting, allowance, holder
from api.allowance import Allowance
from api.bucket import Bucket, Rate
from api.catch_up import CatchUp
from api.closing import CloseCode, close_frame
from api.errors import ApiError, refused
from api.following import Follower
from api.gate import Flooding, admit
from api.hub import frame
from api.outbound import micros
from core import events as e
from matcher.rejections import Outcome, Repeated

if TYPE_CHECKING:
    from api.socket_server import SocketServer

FRAME_MAX: Final = 64 * 1024
OUTGOING_MAX: Final = 1024 * 1024
CLOSE_TIMEOUT: Final = 2.0
CONNECTIONS_PER_ACCOUNT: Final = 16
"""Those of its sub-accounts included."""
OTHER_FRAMES: Final = Rate(per_second=50, burst=500)
"""Frames of one connection that are no whole message: control frames and fragments. Nothing else counts these."""
BAD_MESSAGES_MAX: Final = 20

decode: Final = msgspec.json.Decoder(wire.Incoming).decode
OP_NAMES: Final = {op: str(op.__struct_config__.tag) for op in wire.Op.__subclasses__()}
decode_name: Final = msgspec.json.Decoder(wire.Named).decode


class Connection(WSListener):
    """One agent's connection: authentication, resume, its messages in, frames out."""

    def __init__(self, server: "SocketServer") -> None:
        self._server = server
        self._edge = edge = server.edge
        self._submit = edge.engine.submit
        self._translations = edge.inbound.translations
        self._counts = edge.metrics.messages
        self._out: list[bytes] = []
        self.closing = False
        self.silent_beats = 0
        self._bad_messages = 0
        self._partial = bytearray()
        self._allowance: Allowance | None = None
        self._others = Bucket(OTHER_FRAMES, time.monotonic_ns())
        self._catch_up: CatchUp | None = None
        self._follower: Follower | None = None
        self.drained = asyncio.Event()
        self.drained.set()
        self.live = False
        self.account = 0
        self.expires_at = 0
        self.cancel_on_disconnect = False
        self._address, self._has_place = "", False

    # --- picows ---

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._server.connections.add(self)
        self._deadline = asyncio.get_running_loop().call_later(self._server.auth_timeout, self._not_in_time)
        # Who has hung up already has no name.
        peer = (transport.underlying_transport.get_extra_info("peername") or ("",))[0]
        forwarded = ", ".join(transport.request.headers.getall("X-Forwarded-For", ()))
        self._address = self._server.places.caller(peer, forwarded)
        self._has_place = self._server.places.take(self._address)
        if not self._has_place:
            self.error(None, ApiError("too_many_connections"))
            self.close(CloseCode.NOT_AUTHENTICATED, "too_many_connections")

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        self.silent_beats = 0
        if kind is WSMsgType.TEXT and frame.fin and not self._partial:
            if not self.closing:
                self._message(frame.get_payload_as_memoryview())
        elif not self._others.take(time.monotonic_ns()):
            self.close(CloseCode.FLOODING, "too many frames that are no messages")
        elif kind is WSMsgType.TEXT or kind is WSMsgType.CONTINUATION:
            if not self.closing:
                self._fragment(frame)
        elif kind is WSMsgType.PING:
            if not self.closing:
                transport.send_pong(frame.get_payload_as_bytes())
        elif kind is WSMsgType.CLOSE:
            if not self.closing:
                transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        elif kind is WSMsgType.BINARY:
            self.close(CloseCode.UNSUPPORTED_DATA, "text frames only")

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._server.gone(self)
        self.closing = True
        self.drained.set()
        self._deadline.cancel()
        if self._catch_up is not None:
            self._catch_up.cancel()
        if self._follower is not None:
            self._follower.cancel()
        if self._has_place:
            self._server.places.give_back(self._address)
        if self.account:
            self._edge.hub.leave(self.account, self)

    def pause_writing(self) -> None:
        self.drained.clear()

    def resume_writing(self) -> None:
        self.drained.set()

    # --- out ---

    def send(self, data: bytes) -> None:
        if self.closing:
            return
        if not self._out:
            self._server.write_soon(self)
        self._out.append(data)

    def send_numbered(self, number: int, data: bytes) -> None:
        """While the connection catches up, later events are left to that: they are read from where it got to."""
        if self.live:
            self.send(data)

    def write(self) -> None:
        """Hand everything queued in this turn of the loop to the socket, at once."""
        queued, self._out = self._out, []
        underlying = self._transport.underlying_transport
        if not queued or underlying.is_closing():
            return
        if underlying.get_write_buffer_size() > OUTGOING_MAX:
            self.close(CloseCode.SLOW_READER, "what was sent is not being read")
            return
        underlying.write(queued[0] if len(queued) == 1 else b"".join(queued))

    def close(self, code: CloseCode, reason: str) -> None:
        """Say why after what is queued already, then hang up: at the latest after `CLOSE_TIMEOUT`, read or not."""
        if self.closing:
            return
        self.closing = True
        underlying = self._transport.underlying_transport
        queued, self._out = self._out, []
        if not underlying.is_closing():
            underlying.write(b"".join((*queued, close_frame(code, reason))))
            if code is CloseCode.FLOODING:
                # What still comes would be read and thrown away at the cost of everybody else.
                underlying.pause_reading()
        asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self._transport.disconnect, False)

    def error(self, id: str | None, error: ApiError) -> None:
        self._edge.metrics.refused(error.code)
        self.send(frame(out.Error(id, error.code, error.message, error.retryable)))

    # --- in ---

    def _fragment(self, frame: WSFrame) -> None:
        self._partial += frame.get_payload_as_memoryview()
        if len(self._partial) > FRAME_MAX:
            self.close(CloseCode.TOO_BIG, "messages are at most 64 KiB")
        elif frame.fin:
            payload, self._partial = self._partial, bytearray()
            self._message(payload)

    def _message(self, payload: Any) -> None:
        try:
            op = decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._bad(payload, error)
            return
        kind = type(op)
        if not wire.is_key(op.id):
            self._bad(payload, "`id` is printable ASCII without spaces")
            return
        self._bad_messages = 0
        self._counts[OP_NAMES[kind]] += 1
        try:
            if self._allowance is not None:
                admit(self._edge, self.account, self._allowance, op)
            translation = self._translations.get(kind)
            if translation is None or not self.account:
                self._other(op)
            else:
                self._submit(translation(self.account, op), partial(self._reply, op))
        except ApiError as error:
            self.error(op.id, error)
            if not self.account:
                self.close(CloseCode.NOT_AUTHENTICATED, error.code)
        except Flooding:
            self.close(CloseCode.FLOODING, "far more messages than are allowed")

    def _bad(self, payload: Any, error: object) -> None:
        """Answer with the reader's own words, which name the field; hang up on a peer that speaks something else."""
        try:
            id = decode_name(payload).id
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            id = None
        self.error(id, ApiError("bad_message", str(error)[:300]))
        self._bad_messages += 1
        if not self.account:
            self.close(CloseCode.NOT_AUTHENTICATED, "auth comes first")
        elif self._allowance is not None and not self._allowance.bear(time.monotonic_ns()):
            self.close(CloseCode.FLOODING, "far more messages than are allowed")
        elif self._bad_messages >= BAD_MESSAGES_MAX:
            self.close(CloseCode.BAD_MESSAGES, "that is another protocol")

    def _other(self, op: wire.Op) -> None:
        """What is no command of the exchange, or comes too early."""
        if isinstance(op, wire.Auth):
            self._auth(op)
        elif not self.account:
            raise ApiError("not_authenticated", "auth comes first.")
        elif isinstance(op, wire.Vault):
            self._follow(op)
        else:
            self.send(frame(out.Pong(op.id, micros(self._edge.clock()))))

    def _auth(self, op: wire.Auth) -> None:
        if self.account:
            raise ApiError("already_authenticated")
        session, hub = holder(self._edge, op.token), self._edge.hub
        account = acting(self._edge, session, op.subaccount)
        if hub.connection_count_of(session.account) >= CONNECTIONS_PER_ACCOUNT:
            raise ApiError("too_many_connections")
        now = time.monotonic_ns()
        allowed = allowance(self._edge, account, now)
        if not allowed.take(now):
            raise ApiError("rate_limited")
        head = self._edge.streams.head(account)
        if op.resume_from is not None and op.resume_from > head:
            raise ApiError("resume_invalid", f"The stream's head is {head}.")
        self._deadline.cancel()
        self.account = account
        self._allowance = allowed
        self.expires_at = session.expires_at
        self.cancel_on_disconnect = op.cancel_on_disconnect
        hub.join(self.account, self)
        self.send(hub.ready(self.account, self._edge.clock()))
        after = head if op.resume_from is None else op.resume_from
        self._catch_up = CatchUp(self, self._edge, after)
        self._catch_up.start()

    def _follow(self, op: wire.Vault) -> None:
        follower = Follower(self, self._edge, op)
        if self._follower is not None:
            self._follower.cancel()
        self._follower = follower

    def _reply(self, op: wire.Op, outcome: Outcome) -> None:
        kind = type(op)
        if isinstance(outcome, list):
            if kind is wire.Accept and self._rejected(op, outcome):
                return
        elif isinstance(outcome, Repeated):
            for event in outcome.events:
                self._repeat(event)
        else:
            self.error(op.id, refused(outcome))
            return
        if kind is not wire.Request:
            self.send(frame(out.Ack(op.id)))

    def _rejected(self, op: wire.Op, events: list[e.Event]) -> bool:
        """Tell an accept whose quote did not hold, while the request stays open, and whether it is one."""
        rejected = next((event for event in events if isinstance(event, e.QuoteRejected)), None)
        if rejected is None or any(isinstance(event, e.RequestClosed) for event in events):
            return False
        self.error(op.id, ApiError(rejected.code))
        return True

    def _repeat(self, event: e.Event) -> None:
        """Tell this connection alone what was told when it happened."""
        outbound = self._edge.hub.outbound
        if isinstance(event, e.RequestClosed):
            self.send(frame(outbound.closed(event, (0, 0, micros(event.at)), repeated=True)))
        elif isinstance(event, e.RequestOpened):
            self.send(frame(outbound.opened(event)))

    def _not_in_time(self) -> None:
        self.error(None, ApiError("not_authenticated", "auth did not come in time."))
        self.close(CloseCode.NOT_AUTHENTICATED, "auth did not come in time")
