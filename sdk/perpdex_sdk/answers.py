"""What the HTTP interface answers, as far as an agent needs it. Prices, sizes and USDC are plain decimal strings."""

import msgspec


class Session(msgspec.Struct, frozen=True):
    account: int
    token: str
    expires_at: int
    websocket: str


class Position(msgspec.Struct, frozen=True):
    market: str
    size: str
    cost: str
    mark: str
    unrealized: str
    maintenance: str = "0"
    leverage: str | None = None
    liquidation_price: str | None = None
    bankruptcy_price: str | None = None


class Place(msgspec.Struct, frozen=True):
    page: int
    slot: int


class SubAccount(msgspec.Struct, frozen=True):
    """An isolated sub-account as its parent sees it."""

    account: int
    market: str
    balance: str
    equity: str
    requirement: str
    maintenance: str
    available: str
    withdrawable: str
    leverage: str | None
    liquidation_price: str | None
    size: str
    head: int
    bankruptcy_price: str | None = None
    withdrawable_code: str | None = None
    unpaid_funding: str = "0"
    collateral: str = "0"


class SubAccountOpened(msgspec.Struct, frozen=True):
    """`repeated`: it was there before."""

    account: int
    parent: int
    market: str
    name: str
    repeated: bool


class Transfer(msgspec.Struct, frozen=True, rename={"giver": "from", "receiver": "to"}):
    """Collateral that moved; `repeated`: it had before, under the same key."""

    giver: int
    receiver: int
    amount: str
    key: str
    repeated: bool


class LossLimit(msgspec.Struct, frozen=True):
    """The owner's loss limit, USDC: the lowest that is in force or to come, and what of it is left in this window."""

    limit: str
    left: str


class Exit(msgspec.Struct, frozen=True):
    """What the owner asked the chain for, alone, USDC; `reserved` of it this account keeps free. Instants in microseconds."""

    amount: str
    since: int
    claimable_at: int
    matured: bool
    reserved: str


class Account(msgspec.Struct, frozen=True):
    account: int
    balance: str
    equity: str
    requirement: str
    available: str
    withdrawable: str
    settled: str
    positions: list[Position]
    head: int
    hash: str
    escrow: Place | None
    maintenance: str = "0"
    leverage: str | None = None
    parent: int | None = None
    subaccounts: list[SubAccount] = []
    withdrawable_code: str | None = None
    unpaid_funding: str = "0"
    collateral: str = "0"
    loss_limit: LossLimit | None = None
    exit: Exit | None = None


class Risk(msgspec.Struct, frozen=True):
    """An account at the marks, in USDC."""

    equity: str
    requirement: str
    maintenance: str
    available: str
    leverage: str | None
    collateral: str = "0"


class MarginPreview(msgspec.Struct, frozen=True):
    """What a hypothetical trade would do; `code` is why margin or caps would refuse it."""

    market: str
    allowed: bool
    code: str | None
    size: str
    cost: str
    realized: str
    fee: str
    liquidation_price: str | None
    before: Risk
    after: Risk
    bankruptcy_price: str | None = None


class FundingHour(msgspec.Struct, frozen=True):
    """A paid hour of a market; rates are plain decimals, `rate` for eight hours, `hourly` what was charged; positive: longs pay."""

    hour: int
    at: int
    basis: str
    samples: int
    premium: str
    makers: int
    rate: str
    hourly: str
    index: str | None
    paid: str


class FundingPrediction(msgspec.Struct, frozen=True):
    """What the running hour, which ends at `hour`, will charge if it goes on as it has."""

    market: str
    hour: int
    basis: str
    rate: str
    hourly: str
    premium: str
    samples: int
    expected: int
    makers: int
    cap: str


class FundingPayment(msgspec.Struct, frozen=True):
    """`amount` came in, a negative one was paid."""

    market: str
    hour: int
    at: int
    amount: str
    hourly: str
    index: str
    seq: int


class Liquidation(msgspec.Struct, frozen=True):
    """Somebody's liquidation; no `outcome` while it goes on. Whose it is, only that account is told."""

    liquidation: int
    seq: int
    at: int
    equity: str
    maintenance: str
    outcome: str | None
    ended_at: int | None


class LiquidationStep(msgspec.Struct, frozen=True):
    """An auction, a takeover by the insurance fund, or a deleveraging. Sizes and values are signed: positive closed a long."""

    seq: int
    liquidation: int
    at: int
    kind: str
    market: str
    mark: str
    asked: str
    limit: str | None
    size: str
    value: str
    bankruptcy_value: str
    fee: str
    equity: str
    maintenance: str
    unpaid: str
    counterparties: int


class LiquidationSteps(Liquidation, frozen=True):
    steps: list[LiquidationStep]


class FundHolding(msgspec.Struct, frozen=True):
    market: str
    size: str
    cost: str
    value: str


class InsuranceFund(msgspec.Struct, frozen=True):
    """Accounts are deleveraged when its equity would not cover `maintenance` and `floor`."""

    balance: str
    equity: str
    maintenance: str
    floor: str
    positions: list[FundHolding]
    being_liquidated: bool


class InsuranceChange(msgspec.Struct, frozen=True):
    """`amount` came in; `balance` and `floor` are those after it."""

    seq: int
    at: int
    why: str
    liquidation: int | None
    amount: str
    balance: str
    floor: str


class Escrow(msgspec.Struct, frozen=True):
    program: str
    escrow: str
    vault: str
    mint: str
    rpc_url: str
    """A node that anybody may use, in the exchange's word; empty for none."""


class FillStatus(msgspec.Struct, frozen=True):
    fill: int
    seq: int
    market: str
    size: str
    price: str
    batch: int | None
    status: str


class Step(msgspec.Struct, frozen=True):
    left: bool
    hash: str


class Proof(msgspec.Struct, frozen=True):
    """What `perpdex_sdk.proofs` checks; hashes and bytes are hexadecimal. `seal` is the signature of the batch's last transaction."""

    batch: int
    leaf: str
    path: list[Step]
    root: str
    seal: str | None = None


class Withdrawal(msgspec.Struct, frozen=True):
    id: str
    amount: str
    status: str
    message: str | None
    signature: str | None
    code: str | None
