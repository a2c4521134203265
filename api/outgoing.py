"""What the exchange sends over the WebSocket: structs tagged `ev`. Units as in `api.wire`.

Here is what belongs to a connection or is told to everybody; the events of an account are in `api.outgoing_private`. They have an `n`
and belong to its numbered stream: no gaps, no repeats, replayed from `resume_from`. `seq` is the journal sequence of the record
behind one, by which a fill is found in its batch.
"""

from typing import Any, Literal

import msgspec

SideName = Literal["buy", "sell"]
MarketChange = Literal["status", "limits", "delisting"]


class Ev(msgspec.Struct, frozen=True, tag_field="ev", gc=False):
    """Base of what an agent receives."""


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """How far fills are settled: each number is the last `seq` up to which all fills have that status; `batch` is the last one cut.

    With `batch` events it tells the status of every fill by its `seq`, whenever one connects; it never goes back.
    """

    batch: int
    batched: int
    submitted: int
    confirmed: int
    final: int


class Ready(Ev, frozen=True, tag="ready"):
    """Authenticated. `head` is the newest number of the private stream; missed events follow this message.

    `hash` is the account's state hash at `head` (see `heartbeat`). `settlement` says how far fills are: each number is the last `seq`
    up to which all fills have that status at least, `batch` the last one that was cut. The `batch` events go on from there.
    """

    account: int
    head: int
    hash: str | None
    now: int
    settlement: Settlement


class Ack(Ev, frozen=True, tag="ack"):
    """The message `id` took effect; what it led to is told by its own events."""

    id: str


class Pong(Ev, frozen=True, tag="pong"):
    id: str
    now: int


class Error(Ev, frozen=True, tag="error"):
    """The message `id` (null when it could not be read) was refused and changed nothing."""

    id: str | None
    code: str
    message: str
    retryable: bool


class Heartbeat(Ev, frozen=True, tag="heartbeat"):
    """Every five seconds; `settlement` is that of `ready`.

    `hash` is the first 16 hex digits of SHA-256 over the account's state at `head`, or null while later
    records are still on their way to the disk: ``head:balance:SYMBOL=size/cost,...`` in micro-USDC and lots, symbols sorted.
    """

    now: int
    head: int
    hash: str | None
    settlement: Settlement


class RequestOpened(Ev, frozen=True, tag="request_opened"):
    """Makers are asked; `closed` follows by `expires` at the latest. `key` is the id it was sent with."""

    key: str
    request: int
    market: str
    makers: int
    expires: int


class Rfq(Ev, frozen=True, tag="rfq"):
    """To a maker: quote this by `expires`. `side` is what the trader does, null when it keeps it to itself."""

    request: int
    market: str
    side: SideName | None
    size: str
    expires: int


class QuoteShown(Ev, frozen=True, tag="quote"):
    """To the trader of a request with ``auto: false``: a firm price for its side."""

    request: int
    quote: int
    price: str
    size: str
    min_fill: str
    expires: int


class QuoteGone(Ev, frozen=True, tag="quote_withdrawn"):
    """An answer no longer stands: told to the maker, and to the trader of a request with ``auto: false``."""

    request: int
    why: str


class QuotesPulled(Ev, frozen=True, tag="quotes_pulled"):
    """To a maker: its standing quotes in the market are gone, and why (cancelled, expired, protection, switch, ...)."""

    market: str
    why: str


class QuoteRejected(Ev, frozen=True, tag="quote_rejected"):
    """To a maker: its firm quote could not be honoured at the fill. `request` is 0 for a standing quote."""

    request: int
    quote: int
    market: str
    code: str


class Frozen(Ev, frozen=True, tag="frozen"):
    """To a maker: protection froze it in the market."""

    market: str
    until: int


class Batch(Ev, frozen=True, tag="batch"):
    """Public: a settlement batch moved on, and with it all fills in it: those in records after `after_seq` up to `seq`."""

    batch: int
    status: str
    after_seq: int
    seq: int
    signatures: tuple[str, ...]


class MarketChanged(Ev, frozen=True, tag="market"):
    """Public: a market's status or limits changed, or its delisting was announced, by an operator or a rule, and why.
    `GET /api/v1/markets/{symbol}` has all of it."""

    market: str
    status: Literal["open", "reduce_only", "paused", "settled"]
    changed: MarketChange
    why: str


class VaultEvent(Ev, frozen=True, tag="vault_event"):
    """Event `n` of a vault's own stream, which has no gaps: an order, a fill, a difference, or a position.

    `data` is as in `GET /api/v1/quant/events`; a position has all of the vault's by venue and symbol:
    ``{"hyper": {"ETH": "1.5"}}``. An `error` without `id` ends the stream.
    """

    vault: str
    n: int
    kind: str
    data: dict[str, Any]
    at: int
