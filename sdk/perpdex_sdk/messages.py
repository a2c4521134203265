"""What the exchange sends, as types. Fields it may add later are ignored, kinds it may add later too.

Events of the private stream are defined in `private_events` and `risk_events`; all may be taken from here.
Prices, sizes and USDC are exact decimal strings; instants are microseconds since the Unix epoch.
"""

import msgspec

from perpdex_sdk.message import Message as Message
from perpdex_sdk.message import Numbered as Numbered
from perpdex_sdk.private_events import DebtCovered as DebtCovered
from perpdex_sdk.private_events import Deposit as Deposit
from perpdex_sdk.private_events import Exit as Exit
from perpdex_sdk.private_events import Fill as Fill
from perpdex_sdk.private_events import Funding as Funding
from perpdex_sdk.private_events import MarketSettled as MarketSettled
from perpdex_sdk.private_events import Registered as Registered
from perpdex_sdk.private_events import RequestClosed as RequestClosed
from perpdex_sdk.private_events import SessionsRevoked as SessionsRevoked
from perpdex_sdk.private_events import Slot as Slot
from perpdex_sdk.private_events import SubAccountOpened as SubAccountOpened
from perpdex_sdk.private_events import Tier as Tier
from perpdex_sdk.private_events import Transfer as Transfer
from perpdex_sdk.private_events import Withdrawal as Withdrawal
from perpdex_sdk.risk_events import Deleveraged as Deleveraged
from perpdex_sdk.risk_events import LiquidationEnded as LiquidationEnded
from perpdex_sdk.risk_events import LiquidationSliced as LiquidationSliced
from perpdex_sdk.risk_events import LiquidationStarted as LiquidationStarted
from perpdex_sdk.risk_events import MarginWarning as MarginWarning
from perpdex_sdk.risk_events import Moved as Moved
from perpdex_sdk.risk_events import TakenOver as TakenOver


class Settlement(msgspec.Struct, frozen=True):
    """How far fills are: each number is the last `seq` up to which all have that status; `batch` is the last one cut."""

    batch: int = 0
    batched: int = 0
    submitted: int = 0
    confirmed: int = 0
    final: int = 0


NOTHING_SETTLED = Settlement()


class Ready(Message, frozen=True, tag="ready"):
    account: int
    head: int
    now: int
    hash: str | None = None
    settlement: Settlement = NOTHING_SETTLED


class Ack(Message, frozen=True, tag="ack"):
    id: str


class Pong(Message, frozen=True, tag="pong"):
    id: str
    now: int


class Error(Message, frozen=True, tag="error"):
    id: str | None
    code: str
    message: str
    retryable: bool


class Heartbeat(Message, frozen=True, tag="heartbeat"):
    now: int
    head: int
    hash: str | None = None
    settlement: Settlement = NOTHING_SETTLED


class RequestOpened(Message, frozen=True, tag="request_opened"):
    key: str
    request: int
    market: str
    makers: int
    expires: int


class Rfq(Message, frozen=True, tag="rfq"):
    """Somebody wants a price for `size`; `side` is what the trader does, when it says so."""

    request: int
    market: str
    size: str
    expires: int
    side: str | None = None


class Quote(Message, frozen=True, tag="quote"):
    """A firm price for a request of ours."""

    request: int
    quote: int
    price: str
    size: str
    min_fill: str
    expires: int


class QuoteWithdrawn(Message, frozen=True, tag="quote_withdrawn"):
    request: int
    why: str


class QuotesPulled(Message, frozen=True, tag="quotes_pulled"):
    market: str
    why: str


class QuoteRejected(Message, frozen=True, tag="quote_rejected"):
    request: int
    quote: int
    market: str
    code: str


class Frozen(Message, frozen=True, tag="frozen"):
    market: str
    until: int


class Batch(Message, frozen=True, tag="batch"):
    batch: int
    status: str
    after_seq: int
    seq: int
    signatures: tuple[str, ...] = ()


class MarketChanged(Message, frozen=True, tag="market"):
    """A market's status or limits changed for everybody, and why."""

    market: str
    status: str
    changed: str
    why: str


class Unknown(Numbered, frozen=True, tag=False):
    """An event of a kind that this version does not know: its number counts, and what it changed is not in the agent's own books."""

    ev: str


Incoming = (
    Ready
    | Ack
    | Pong
    | Error
    | Heartbeat
    | RequestOpened
    | Rfq
    | Quote
    | QuoteWithdrawn
    | QuotesPulled
    | QuoteRejected
    | Frozen
    | Batch
    | MarketChanged
    | Registered
    | Tier
    | Slot
    | SessionsRevoked
    | Deposit
    | Withdrawal
    | Exit
    | SubAccountOpened
    | Transfer
    | Funding
    | Fill
    | MarketSettled
    | DebtCovered
    | RequestClosed
    | MarginWarning
    | LiquidationStarted
    | LiquidationSliced
    | TakenOver
    | Deleveraged
    | LiquidationEnded
)


class Kind(msgspec.Struct):
    """Just the kind of a message, to tell one of the future from a broken one."""

    ev: str


KINDS = frozenset(
    str(kind.__struct_config__.tag)
    for kind in (*Message.__subclasses__(), *Numbered.__subclasses__())
    if kind is not Unknown
)
_decode = msgspec.json.Decoder(Incoming).decode
_decode_unknown = msgspec.json.Decoder(Unknown).decode
_decode_kind = msgspec.json.Decoder(Kind).decode


def read(payload: bytes) -> Incoming | Unknown | None:
    """The message in a frame; of a kind that this version does not know, `Unknown` when it is numbered, else None.

    Raises `msgspec.DecodeError`.
    """
    try:
        message: Incoming = _decode(payload)
    except msgspec.ValidationError:
        if _decode_kind(payload).ev in KINDS:
            raise
    else:
        return message
    try:
        return _decode_unknown(payload)
    except msgspec.ValidationError:
        return None
