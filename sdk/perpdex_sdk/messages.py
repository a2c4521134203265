"""What the exchange sends, as types. Fields it may add later are ignored, kinds it may add later too.

Prices, sizes and USDC are exact decimal strings; instants are microseconds since the Unix epoch.
"""

import msgspec


class Message(msgspec.Struct, frozen=True, tag_field="ev", gc=False):
    """Base of all messages."""


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


class Numbered(Message, frozen=True):
    """An event of the private stream."""

    n: int
    seq: int
    at: int


class Unknown(Numbered, frozen=True, tag=False):
    """An event of a kind that this version does not know: its number counts, and what it changed is not in the agent's own books."""

    ev: str


class Registered(Numbered, frozen=True, tag="registered"):
    owner: str
    name: str


class Tier(Numbered, frozen=True, tag="tier"):
    tier: int


class SessionsRevoked(Numbered, frozen=True, tag="sessions_revoked"):
    """Every session of the account is void; the client signs in again by itself."""


class Slot(Numbered, frozen=True, tag="slot"):
    page: int
    slot: int


class Deposit(Numbered, frozen=True, tag="deposit"):
    amount: str
    key: str


class Withdrawal(Numbered, frozen=True, tag="withdrawal"):
    withdrawal: int
    amount: str
    status: str
    key: str
    signature: str


class Exit(Numbered, frozen=True, tag="exit"):
    """The owner leaves alone: `requested`, `released` or `claimed`, which took `taken` out of this account's balance."""

    status: str
    amount: str
    exit_at: int
    taken: str
    key: str


class SubAccountOpened(Numbered, frozen=True, tag="sub_account_opened"):
    """Account `parent` has the isolated sub-account `account` for `market`; both are told."""

    account: int
    parent: int
    market: str
    name: str


class Transfer(Numbered, frozen=True, tag="transfer", rename={"giver": "from", "receiver": "to"}):
    """Collateral went from one account to its parent or sub-account; both are told."""

    giver: int
    receiver: int
    amount: str
    key: str


class Funding(Numbered, frozen=True, tag="funding"):
    """The account's part of an hour's funding; `amount` came in, a negative one was paid."""

    market: str
    hour: int
    hourly: str
    index: str
    amount: str


class Fill(Numbered, frozen=True, tag="fill"):
    fill: int
    request: int
    quote: int
    market: str
    role: str
    side: str
    size: str
    price: str
    fee: str
    realized: str
    cost: str


class MarketSettled(Numbered, frozen=True, tag="market_settled"):
    """The market was delisted and our position closed at `price`; `shared` is what we gave (negative) or got for debts in it."""

    market: str
    size: str
    price: str
    realized: str
    shared: str


class DebtCovered(Numbered, frozen=True, tag="debt_covered"):
    """A debt was paid: ours, so `amount` came in (`role` debtor), or another's, which we paid a part of (payer, negative)."""

    role: str
    amount: str


class RequestClosed(Numbered, frozen=True, tag="closed"):
    """The final answer to a request."""

    key: str
    request: int
    market: str
    side: str
    size: str
    filled: str
    value: str
    outcome: str
    fills: tuple[int, ...]
    average_price: str | None = None
    fee: str | None = None
    repeated: bool = False


class MarginWarning(Numbered, frozen=True, tag="margin_warning"):
    """Maintenance has come to the share `level` of equity; at 1 liquidation starts. A lower level takes the last one back."""

    level: str
    equity: str
    maintenance: str


class LiquidationStarted(Numbered, frozen=True, tag="liquidation_started"):
    """The account is being liquidated: until it ends, only deposits are taken."""

    liquidation: int
    equity: str
    maintenance: str


class LiquidationSliced(Numbered, frozen=True, tag="liquidation_sliced"):
    """A part of the position was auctioned; its fills came before, and `fee` leaves the balance."""

    liquidation: int
    request: int
    market: str
    side: str
    asked: str
    limit: str
    mark: str
    size: str
    value: str
    fee: str
    equity: str
    maintenance: str
    fills: tuple[int, ...]


class Moved(msgspec.Struct, frozen=True, gc=False):
    """A position changed by `size` outside of trading; `realized` went to the balance, `cost` is the position's after it."""

    market: str
    side: str
    size: str
    mark: str
    value: str
    realized: str
    cost: str


class TakenOver(Numbered, frozen=True, tag="taken_over"):
    """The insurance fund took everything over; the account is left with nothing."""

    liquidation: int
    equity: str
    maintenance: str
    moved: tuple[Moved, ...]


class Deleveraged(Numbered, frozen=True, tag="deleveraged"):
    """A position was closed against others' at a bankruptcy price; `role` is liquidated or counterparty."""

    liquidation: int
    role: str
    moved: tuple[Moved, ...]


class LiquidationEnded(Numbered, frozen=True, tag="liquidation_ended"):
    """`why` is recovered, sold, taken_over, deleveraged or delisted."""

    liquidation: int
    why: str
    equity: str
    maintenance: str


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
