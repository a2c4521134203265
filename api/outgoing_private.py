"""The numbered private stream of an account, as the WebSocket sends it."""

from typing import Literal

import msgspec

from api.outgoing import Ev, SideName

ExitStatus = Literal["requested", "released", "claimed"]
WithdrawalStatus = Literal["reserved", "paid", "released"]


class Numbered(Ev, frozen=True):
    """Base of the private stream's events: `n` its number, `seq` the journal's, `at` the exchange's instant."""

    n: int
    seq: int
    at: int


class Registered(Numbered, frozen=True, tag="registered"):
    owner: str
    name: str


class Tier(Numbered, frozen=True, tag="tier"):
    tier: int


class SessionsRevoked(Numbered, frozen=True, tag="sessions_revoked"):
    """Every session token that the account had is void, and its connections are closed."""


class Slot(Numbered, frozen=True, tag="slot"):
    """The account has its slot in the escrow: deposits are possible."""

    page: int
    slot: int


class Deposit(Numbered, frozen=True, tag="deposit"):
    amount: str
    key: str


class Withdrawal(Numbered, frozen=True, tag="withdrawal"):
    """`reserved` takes the amount out of the balance; then it is `paid`, or `released` back into it."""

    withdrawal: int
    amount: str
    status: WithdrawalStatus
    key: str
    signature: str


class Exit(Numbered, frozen=True, tag="exit"):
    """The owner leaves without the operator. `requested`: up to `amount` may be claimed on chain from `exit_at` on (0 when claimed),
    and stays free until then; `released`: that was taken back; `claimed`: `amount` was paid, of which `taken` left this balance, the
    rest that of the account or of the sub-accounts that share its slot."""

    status: ExitStatus
    amount: str
    exit_at: int
    taken: str
    key: str


class SubAccountOpened(Numbered, frozen=True, tag="sub_account_opened"):
    """Account `parent` has the isolated sub-account `account` for `market`. Both are told."""

    account: int
    parent: int
    market: str
    name: str


class Transfer(Numbered, frozen=True, tag="transfer", rename={"giver": "from", "receiver": "to"}):
    """Collateral went from one account to its parent or sub-account. Both are told."""

    giver: int
    receiver: int
    amount: str
    key: str


class Funding(Numbered, frozen=True, tag="funding"):
    """The account's part of an hour's funding: `amount` came into the balance, a negative one was paid out of it.

    `hour` is the instant at which the hour ended and was due; `hourly` is the rate that was charged on the notional at the `index`
    price, as a plain decimal (0.0001 is 0.01 %), positive when longs pay.
    """

    market: str
    hour: int
    hourly: str
    index: str
    amount: str


class Fill(Numbered, frozen=True, tag="fill"):
    """A trade of this account. `side` and `realized` are its own; only the taker pays `fee`; `cost` is that of its position
    after the trade."""

    fill: int
    request: int
    quote: int
    market: str
    role: Literal["taker", "maker"]
    side: SideName
    size: str
    price: str
    fee: str
    realized: str
    cost: str


class MarketSettled(Numbered, frozen=True, tag="market_settled"):
    """The market was delisted, and the account's position of `size` (signed) closed at `price`.

    `realized` goes to its balance; so does `shared`: what it was given for its debt, or (negative) gave of its gain for others'.
    """

    market: str
    size: str
    price: str
    realized: str
    shared: str


class DebtCovered(Numbered, frozen=True, tag="debt_covered"):
    """A debt of an account that held nothing was paid. As its `debtor` the account got `amount`; as a `payer` it gave that
    much (negative), because the insurance fund and the treasury did not have enough."""

    role: Literal["debtor", "payer"]
    amount: str


class Closed(Numbered, frozen=True, tag="closed"):
    """The final answer to a request.

    `outcome` is filled, partial, unfilled, cancelled or an error code. `average_price` is `value / filled`, rounded half to
    even at nine decimals, null when nothing filled. `fee` is null when a repeat is answered after its fills left memory: the
    `fill` events have it. `repeated` marks the answer to a repeated message: `n` and `seq` are then 0, it is not in the stream.
    """

    key: str
    request: int
    market: str
    side: SideName
    size: str
    filled: str
    average_price: str | None
    value: str
    fee: str | None
    outcome: str
    fills: tuple[int, ...]
    repeated: bool = False


class MarginWarning(Numbered, frozen=True, tag="margin_warning"):
    """Maintenance has come to the share `level` of equity; at 1 liquidation starts. A lower level takes the last one back."""

    level: str
    equity: str
    maintenance: str


class LiquidationStarted(Numbered, frozen=True, tag="liquidation_started"):
    """Equity is below the maintenance requirement: what was asked and quoted is withdrawn, and until `liquidation_ended` nothing is
    taken but deposits."""

    liquidation: int
    equity: str
    maintenance: str


class LiquidationSliced(Numbered, frozen=True, tag="liquidation_sliced"):
    """An auction of a part of the position has ended; its fills came before. Of `asked` at `limit` or better, `size` found bidders,
    for `value`; `fee` went to the insurance fund. `equity` and `maintenance` are from before."""

    liquidation: int
    request: int
    market: str
    side: SideName
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
    """What changed of a position outside of trading: `side` and `size` are the change, `value` what it counted for (negative when
    whoever gave up a long had to pay besides), `realized` went to the balance, `cost` is that of the position after it."""

    market: str
    side: SideName
    size: str
    mark: str
    value: str
    realized: str
    cost: str


class TakenOver(Numbered, frozen=True, tag="taken_over"):
    """The insurance fund took positions over at their bankruptcy prices: all, and then nothing is left and nothing is owed, but those
    whose price was not trusted."""

    liquidation: int
    equity: str
    maintenance: str
    moved: tuple[Moved, ...]


class Deleveraged(Numbered, frozen=True, tag="deleveraged"):
    """A position was closed at the bankruptcy price of an account that the insurance fund could not take over: of this one, if `role`
    is liquidated, else of another."""

    liquidation: int
    role: Literal["liquidated", "counterparty"]
    moved: tuple[Moved, ...]


class LiquidationEnded(Numbered, frozen=True, tag="liquidation_ended"):
    """`why` is recovered, or what closed the last position: sold, taken_over, deleveraged or delisted."""

    liquidation: int
    why: str
    equity: str
    maintenance: str
