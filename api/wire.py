"""Messages of the WebSocket protocol: JSON text frames, tagged `op` towards the exchange and `ev` towards the agent.

Prices, sizes and USDC are decimal strings, exact; instants are integers in microseconds since the Unix epoch (rounded down),
durations are milliseconds. Unknown fields are refused, so a misspelt option is never silently ignored.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

DECIMAL_PATTERN: Final = r"^[0-9]{1,15}(\.[0-9]{1,9})?$"
"""Plain decimals of at most 24 digits: exact in every later division by a tick or lot."""
KEY_PATTERN: Final = r"^[!-~]{1,64}$"


def whole(pattern: str) -> str:
    """The pattern as Python must read it to mean the same: its `$` would also match before a last line break."""
    return pattern.removesuffix("$") + r"\Z"


Decimals = Annotated[str, Meta(max_length=25)]
"""As `DECIMAL_PATTERN`, which `api.units` holds it to as it reads the number: matching patterns here as well would take longer than
all the rest of reading a message."""
Id = Annotated[str, Meta(min_length=1, max_length=64)]
"""As `KEY_PATTERN`, which `is_key` tells at a tenth of the time."""
Key = Annotated[str, Meta(pattern=whole(KEY_PATTERN), max_length=64)]
Symbol = Annotated[str, Meta(min_length=1, max_length=32)]
Number = Annotated[int, Meta(ge=0, le=(1 << 62) - 1)]
Instant = Annotated[int, Meta(ge=0, le=(1 << 53) - 1)]
LifeMs = Annotated[int, Meta(ge=1, le=60_000)]
Levels = Annotated[tuple[tuple[Decimals, Decimals], ...], Meta(max_length=20)]
SideName = Literal["buy", "sell"]


def is_key(text: str) -> bool:
    """Whether a text of 1 to 64 characters matches `KEY_PATTERN`."""
    return text.isascii() and text.isprintable() and " " not in text


class Op(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", gc=False):
    """Base of what an agent sends. `id` names the message in its `ack` or `error`."""

    id: Id


class Auth(Op, frozen=True, tag="auth"):
    """First message. With `resume_from`, everything after that number of the private stream is sent again, in order.

    `cancel_on_disconnect`: when the account's last connection that asked for it is gone, everything it has open is pulled.
    With `subaccount` the connection is that sub-account's of the session's account: all it sends and hears is about that one alone.
    """

    token: Annotated[str, Meta(max_length=4096)]
    resume_from: Number | None = None
    cancel_on_disconnect: bool = True
    subaccount: Number | None = None


class Request(Op, frozen=True, tag="request"):
    """Ask for a price and trade on it. `id` is the idempotency key: the same again returns the first answer for five minutes
    at least.

    Answered by `closed`, or by `request_opened` first when makers are asked. `expires_after` refuses it when it arrives later, but a
    repeat gets its first answer as long as that is kept.
    """

    market: Symbol
    side: SideName
    size: Decimals
    limit: Decimals
    ttl_ms: Literal[250, 1000, 5000] = 1000
    auto: bool = True
    all_or_none: bool = False
    reduce_only: bool = False
    show_side: bool = False
    expires_after: Instant = 0


class Accept(Op, frozen=True, tag="accept"):
    """Take one quote of a request that was opened with `auto: false`: it closes."""

    request: Number
    quote: Number
    expires_after: Instant = 0


class Cancel(Op, frozen=True, tag="cancel"):
    """End an open request, named by its number or by the `key` it was opened with."""

    request: Number = 0
    key: Key | None = None


class CancelAll(Op, frozen=True, tag="cancel_all"):
    """Pull every open request, answer and standing quote."""


class CancelAfter(Op, frozen=True, tag="cancel_after"):
    """Dead-man switch: pull everything in `in_ms` unless sent again; 0 switches it off."""

    in_ms: Annotated[int, Meta(ge=0, le=3_600_000)]


class Subscribe(Op, frozen=True, tag="subscribe"):
    """Be asked for quotes in these markets, instead of those before; ends with the account's last connection.

    An account is asked while it has 100 USDC of equity and could back a tenth of the request; `requests.md` says who is when there are
    more than 64.
    """

    markets: Annotated[tuple[Symbol, ...], Meta(max_length=64)]


class Quote(Op, frozen=True, tag="quote"):
    """Firm answer to an `rfq`; at least one of `bid` and `ask`. Replaces the account's earlier answer.

    `min_fill` is the least size it trades (default: any).
    """

    request: Number
    size: Decimals
    bid: Decimals | None = None
    ask: Decimals | None = None
    min_fill: Decimals | None = None
    life_ms: LifeMs = 5_000
    expires_after: Instant = 0


class Withdraw(Op, frozen=True, tag="withdraw"):
    """Take back the answer given to a request."""

    request: Number


class Pass(Op, frozen=True, tag="pass"):
    """No quote for this request: it need not wait."""

    request: Number


class Quotes(Op, frozen=True, tag="quotes"):
    """Standing firm quotes of one market, replacing all before; levels are [price, size]. Empty sides pull them."""

    market: Symbol
    bids: Levels = ()
    asks: Levels = ()
    life_ms: LifeMs = 10_000
    expires_after: Instant = 0


class Protect(Op, frozen=True, tag="protect"):
    """Maker protection: after `size` filled or `net` one-sided within the window, quotes are pulled for `freeze_ms`. A `net` of 0
    bounds nothing; a `size` of 0 switches protection off, and goes with no `net`.

    It holds until it is set anew, whatever becomes of the connection, but not over a restart of the exchange, which no client can
    tell from a break: send it after each `ready`, and quote once it is acknowledged.
    """

    market: Symbol
    window_ms: LifeMs
    size: Decimals
    net: Decimals = "0"
    freeze_ms: LifeMs = 1_000


class Vault(Op, frozen=True, tag="vault"):
    """Be told the events of the vault whose key this is (`POST /api/v1/quant/keys`) as `vault_event`, after the number `after`, or
    what is new from now on. A connection follows one vault: the next one is instead of that before.
    """

    key: Annotated[str, Meta(max_length=1_024)]
    after: Number | None = None


class Ping(Op, frozen=True, tag="ping"):
    """Answered by `pong`."""


Incoming = (
    Auth
    | Request
    | Accept
    | Cancel
    | CancelAll
    | CancelAfter
    | Subscribe
    | Quote
    | Withdraw
    | Pass
    | Quotes
    | Protect
    | Vault
    | Ping
)

_CANCELS: Final = frozenset({Cancel, CancelAll, Withdraw, Pass})


def takes_risk_off(op: Op) -> bool:
    """Whether a message must always be possible: a cancel, pulling quotes, or switching a dead-man switch off."""
    kind = type(op)
    if kind is Quote or kind is Request:
        return False  # First: they are nearly all that comes.
    if isinstance(op, Quotes):
        return not op.bids and not op.asks
    if isinstance(op, CancelAfter):
        return not op.in_ms
    return kind in _CANCELS


class Named(msgspec.Struct, gc=False):
    """Just the id of a message that is otherwise wrong, so that its sender can tell which one."""

    id: Annotated[str, Meta(max_length=64)] | None = None
