"""Bodies of the HTTP interface. USDC, prices and sizes are exact decimal strings; instants are microseconds since the epoch."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.wire import DECIMAL_PATTERN, KEY_PATTERN

Decimals = Annotated[str, StringConstraints(pattern=DECIMAL_PATTERN, max_length=25)]
Key = Annotated[str, StringConstraints(pattern=KEY_PATTERN, max_length=64)]
Base58 = Annotated[str, StringConstraints(pattern=r"^[1-9A-HJ-NP-Za-km-z]{32,88}$", max_length=88)]
SideName = Literal["buy", "sell"]
FillStatus = Literal["matched", "batched", "submitted", "confirmed", "final"]
WithdrawalStatus = Literal[
    "starting", "awaiting_signature", "paying", "releasing", "paid", "released", "refused"
]


class Body(BaseModel):
    """What is sent to the exchange: unknown fields are refused, nothing is coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Answer(BaseModel):
    """What the exchange answers."""

    model_config = ConfigDict(frozen=True)


class ErrorDetail(Answer):
    code: str = Field(description="Stable code; the catalogue is docs/reference/errors.md.")
    message: str = Field(description="A sentence for people; may improve.")
    retryable: bool = Field(description="Whether the same call may succeed later unchanged.")
    client_id: str | None = Field(
        None,
        description="Only of an order at a venue: its client id, also where the call named none. The same with it is that order.",
    )


class ErrorBody(Answer):
    """Every answer of status 400 and above."""

    error: ErrorDetail


# --- registration ---


class ChallengeBody(Body):
    owner: Base58 = Field(description="Solana public key of the owner, base58.")


class ChallengeAnswer(Answer):
    challenge: str = Field(
        description="Text to sign, exactly these UTF-8 bytes, with the owner's ed25519 key."
    )
    expires: int = Field(description="Instant after which it is no longer accepted.")


class AgentBody(Body):
    owner: Base58 = Field(description="Solana public key of the owner, base58.")
    name: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(
        description="Name of this agent among the owner's; the same pair always gives the same account."
    )
    challenge: Annotated[str, StringConstraints(max_length=1024)] = Field(
        description="The challenge, unchanged."
    )
    signature: Base58 = Field(description="Signature over the challenge, base58.")


class SessionAnswer(Answer):
    account: int = Field(description="Account number of this owner and name.")
    token: str = Field(description="Bearer token for HTTP and for `auth` on the WebSocket.")
    expires_at: int = Field(description="Instant at which the token expires.")
    websocket: str = Field(description="Address of the WebSocket.")


# --- account ---


class PositionAnswer(Answer):
    market: str
    size: str = Field(description="Signed: positive is long.")
    cost: str = Field(description="Signed cost in USDC: the sum of size times price.")
    mark: str = Field(description="Price at which it is valued.")
    unrealized: str = Field(description="Profit or loss at the mark, in USDC.")
    requirement: str = Field(description="Initial requirement, in USDC.")
    maintenance: str = Field(description="Maintenance requirement, in USDC.")
    leverage: str | None = Field(
        description="Notional over the account's equity, rounded up; null without equity."
    )
    liquidation_price: str | None = Field(
        description="Last mark at which the account meets its maintenance, all others standing still; null when no mark is the edge."
    )
    bankruptcy_price: str | None = Field(
        description="Last mark at which the account's equity is not negative, all others standing still; null when none is the edge."
    )


class SlotAnswer(Answer):
    page: int
    slot: int


class SubAccountAnswer(Answer):
    """An isolated sub-account as its parent sees it; `GET /api/v1/account?subaccount=` has all of it."""

    account: int
    market: str = Field(description="The only market that it trades.")
    balance: str
    equity: str
    collateral: str = Field(description="As in `GET /api/v1/account`.")
    requirement: str = Field(description="Initial requirement of its position.")
    maintenance: str = Field(description="Collateral below which its liquidation may start.")
    available: str = Field(description="As in `GET /api/v1/account`.")
    withdrawable: str = Field(description="What a transfer to its parent may take now at most.")
    withdrawable_code: str | None = Field(description="As in `GET /api/v1/account`.")
    unpaid_funding: str = Field(description="As in `GET /api/v1/account`.")
    leverage: str | None
    liquidation_price: str | None = Field(
        description="Last mark at which it meets its maintenance; null without a position, or when no mark is the edge."
    )
    bankruptcy_price: str | None = Field(
        description="Last mark at which its equity is not negative; null without a position, or when no mark is the edge."
    )
    size: str = Field(description="Of its position, signed: positive is long.")
    head: int = Field(description="Newest number of its own private stream.")


class LossLimitAnswer(Answer):
    """What settlement may take from the account's slot on chain, in USDC."""

    limit: str = Field(description="Within a window: the lowest limit that is in force or to come.")
    left: str = Field(
        description="Of it in this window, once all batches cut so far have landed; below 0 when they ask for more, which keeps an "
        "exit waiting (see `exit`)."
    )


class ExitAnswer(Answer):
    """What the owner asked the chain for, alone: it takes it from `claimable_at` on, asking nobody (docs/operating/exits.md).

    A loss that its loss limit keeps from settlement comes first: the program refuses the claim (`LossOutstanding`), at most for the
    escrow's hold after `claimable_at`, two days by default. There is one while `settled` less `equity`, sub-accounts' included, is
    more than `loss_limit.left`. The owner ends the wait by raising the limit: the next batch takes the loss.
    """

    amount: str = Field(description="USDC, at most what there then is.")
    since: int = Field(description="When the exchange saw it.")
    claimable_at: int
    matured: bool = Field(description="Whether what the chain can pay backs no position any more.")
    reserved: str = Field(
        description="USDC that this account keeps free for it: what its sub-accounts do not have free."
    )


class AccountAnswer(Answer):
    """An account as of `head` of its private stream; all of it is on disk."""

    account: int
    owner: str
    name: str
    tier: int = Field(description="0 standard, 1 premium.")
    balance: str = Field(description="Collateral with realized profit and loss.")
    equity: str = Field(description="Balance and unrealized profit or loss.")
    collateral: str = Field(
        description="Equity that counts: without what the owner's loss limit keeps out of settlement's reach."
    )
    loss_limit: LossLimitAnswer | None = Field(
        description="The owner's limit on chain, for the account and its sub-accounts together; null when there is none."
    )
    requirement: str = Field(description="Initial requirement of the positions.")
    maintenance: str = Field(description="Collateral below which liquidation may start.")
    available: str = Field(
        description="Collateral that neither positions require nor the owner's `exit` reserves: what may back something new. "
        "Negative when more is required than there is."
    )
    withdrawable: str = Field(
        description="What a withdrawal may take now at most; of a sub-account, a transfer to its parent."
    )
    withdrawable_code: str | None = Field(
        description="Why `withdrawable` is 0. Whatever margin leaves free: `being_liquidated`, `too_many_withdrawals_open`, "
        "`withdrawals_gated`, `index_unavailable`. Else `insufficient_margin`: positions need all there is; `exit_stands`: the "
        "owner's exit reserves the rest; `loss_limit_reached`: of a sub-account, the rest is no collateral; `not_settled`: the "
        "chain does not hold it yet. Null while something may leave, or there is nothing."
    )
    exit: ExitAnswer | None = Field(description="Null when nothing is asked for.")
    unpaid_funding: str = Field(
        description="USDC that will be charged for hours which have ended and are not paid yet; negative will be received."
    )
    leverage: str | None = Field(
        description="Notional of the positions over collateral, rounded up; null without collateral."
    )
    settled: str = Field(
        description="What the chain holds once all batches cut so far have landed, sub-accounts' included."
    )
    positions: list[PositionAnswer]
    escrow: SlotAnswer | None = Field(
        description="The account's place in the escrow; null until it is opened, and for a sub-account."
    )
    parent: int | None = Field(description="Of a sub-account; else null.")
    subaccounts: list[SubAccountAnswer] = Field(
        description="Isolated sub-accounts in the order in which they were opened; nothing above counts them but `settled`."
    )
    head: int = Field(description="Newest number of the private stream.")
    hash: str = Field(description="State hash at `head`, as in the WebSocket's heartbeat.")


class FillAnswer(Answer):
    """A fill, seen by one of its accounts."""

    fill: int
    seq: int
    at: int
    market: str
    role: Literal["taker", "maker"]
    side: SideName = Field(description="This account's side.")
    size: str
    price: str
    fee: str = Field(description="Paid by this account: zero for the maker.")
    realized: str
    batch: int | None
    status: FillStatus


class FillsAnswer(Answer):
    fills: list[FillAnswer] = Field(description="Newest first.")


class FillStatusAnswer(Answer):
    """Public status of a fill; who traded is not told."""

    fill: int
    seq: int
    at: int
    market: str
    size: str
    price: str
    batch: int | None = Field(description="Settlement batch that carries it; null while none does.")
    status: FillStatus


class EventsAnswer(Answer):
    events: list[dict[str, object]] = Field(description="As on the WebSocket, ascending by `n`.")
    head: int = Field(description="Newest number of the stream.")


# --- requests ---


class RequestBody(Body):
    """The WebSocket's `request`, always with automatic acceptance of the best quote."""

    id: Key = Field(description="Idempotency key: the same again returns the first answer.")
    market: Annotated[str, StringConstraints(min_length=1, max_length=32)] = Field(examples=["BTC-PERP"])
    side: SideName
    size: Decimals = Field(examples=["0.5"])
    limit: Decimals = Field(description="Worst price that is acceptable.", examples=["60000.5"])
    ttl_ms: Literal[250, 1000, 5000] = 1000
    all_or_none: bool = False
    reduce_only: bool = False
    show_side: bool = False
    expires_after: Annotated[int, Field(ge=0, le=(1 << 53) - 1)] = Field(
        default=0,
        description="Refuse the request when it arrives later than this instant, unless it is a repeat; 0 never.",
    )


class ClosedAnswer(Answer):
    """The final answer to a request."""

    id: str
    request: int
    market: str
    side: SideName
    size: str
    filled: str
    average_price: str | None = Field(description="`value / filled`, rounded half to even at nine decimals.")
    value: str
    fee: str | None = Field(description="Null when a repeat is answered after its fills left memory.")
    outcome: str = Field(description="filled, partial, unfilled, cancelled, or an error code.")
    fills: list[int]
    repeated: bool = Field(description="Whether this is the answer that the id had got before.")


class OpenRequestAnswer(Answer):
    id: str
    request: int
    market: str
    side: SideName
    size: str
    limit: str
    expires: int


class OpenRequestsAnswer(Answer):
    requests: list[OpenRequestAnswer]


class CancelledAnswer(Answer):
    cancelled: list[int] = Field(description="Numbers of the requests that this call ended.")


# --- proofs ---


class ProofStep(Answer):
    left: bool = Field(description="Whether the sibling stands on the left.")
    hash: str = Field(description="The sibling's hash, hexadecimal.")


class ProofAnswer(Answer):
    """SHA-256 of 0x00 and the leaf, then for each step of 0x01 and the two children in their order, is the root on chain."""

    batch: int
    leaf: str = Field(
        description="The bytes that are proven, hexadecimal; docs/reference/proofs.md names their fields."
    )
    path: list[ProofStep] = Field(description="From the leaf up.")
    root: str = Field(description="The batch's root, hexadecimal: the escrow account keeps the last 128.")
    seal: str | None = Field(
        description="Signature of the transaction that sealed the batch: its event has the root. Null before the batch is final."
    )


# --- withdrawals ---


class WithdrawalBody(Body):
    amount: Decimals = Field(description="USDC to pay out.", examples=["25.5"])
    key: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._~-]{1,64}$", max_length=64)] = Field(
        description="Idempotency key: the same again returns the same withdrawal."
    )
    destination: Base58 | None = Field(
        default=None, description="Token account of the owner; by default its associated token account."
    )


class WithdrawalSignatureBody(Body):
    signature: Base58 = Field(description="The owner's signature over `message`, base58.")


class WithdrawalAnswer(Answer):
    id: str
    amount: str
    status: WithdrawalStatus
    message: str | None = Field(
        description="Base64 of the transaction message that waits for the owner's signature."
    )
    signature: str | None = Field(description="Signature of the payment on chain.")
    code: str | None = Field(
        description="Why it was refused or given back, or what stands in its way: `owner_never_signed`, `transaction_expired`, "
        "`funds_not_landed` (a batch that pays into the slot is on its way), `outflow_limited` (the escrow pays no such amount now), "
        "`owner_outflow_limited` (more than the owner's share of it), `bad_destination` (no token account of the owner's is there), "
        "`operator_short_of_sol` (it cannot pay the fee now: sign "
        "another message), `chain_unavailable`, `ledger_unavailable`, the name of an error of the escrow, or a code of the catalogue."
    )
