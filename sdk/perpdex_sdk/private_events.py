"""Events of the private stream: what changed of the account and its money, and what became of its requests."""

from perpdex_sdk.message import Numbered


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
