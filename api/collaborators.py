"""What the edge is given by whoever starts it. The wiring builds the real ones; nothing here knows how."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from api.admission import Admission
from api.allowance import Allowances, Limits
from api.hub import Hub
from api.inbound import Inbound
from api.lag import Lag
from api.metrics import Metrics
from api.metrics_vaults import VaultMetrics
from api.quant import VaultTrading
from api.quant_limits import QuantLimits
from api.sessions import Sessions
from api.statistics import MakerStatistics
from api.streams import Item, Streams
from api.vault_books import VaultBooks
from api.vault_streams import VaultStreams
from api.withdrawal_starts import WithdrawalStarts
from ledger.batch_roots import Proof
from ledger.queries import (
    BatchView,
    FillView,
    FundingPayment,
    FundingRate,
    InsuranceChange,
    Line,
    LiquidationView,
    MarketEnd,
    OperatorAction,
    Period,
    Settled,
    StepView,
)
from matcher.engine import Engine
from oracles.feed import PriceFeed

WithdrawalStatus = Literal[
    "starting", "awaiting_signature", "paying", "releasing", "paid", "released", "refused"
]


class EscrowInfo(NamedTuple):
    """Addresses in base58 that an agent needs to deposit by itself, and a node that anybody may use, empty for none."""

    program: str
    escrow: str
    vault: str
    mint: str
    rpc_url: str


class Reads(Protocol):
    """The read side. Each call raises `api.streams.HistoryUnavailable` when it cannot be reached."""

    async def stream(self, account: int, after: int, limit: int) -> list[Item]: ...

    async def fill(self, number: int) -> FillView | None: ...

    async def fills(self, account: int, before: int, limit: int) -> list[FillView]: ...

    async def batch(self, number: int) -> BatchView | None: ...

    async def batches(self, before: int, limit: int) -> list[BatchView]: ...

    async def funding_rates(self, market: int, before: int, limit: int) -> list[FundingRate]: ...

    async def funding_payments(self, account: int, before: int, limit: int) -> list[FundingPayment]: ...

    async def operator_actions(self, before: int, limit: int) -> list[OperatorAction]: ...

    async def market_end(self, market: int) -> MarketEnd | None: ...
    async def liquidations(self, before: int, limit: int) -> list[LiquidationView]: ...

    async def liquidation(self, number: int) -> tuple[LiquidationView, list[StepView]] | None: ...

    async def deleveragings(self, before: int, limit: int) -> list[StepView]: ...

    async def insurance_history(self, before: int, limit: int) -> list[InsuranceChange]: ...

    async def prove_fill(self, number: int) -> Proof | None:
        """None when there is no such fill, or no stored batch has it yet."""

    async def prove_account(self, batch: int | None, account: int) -> Proof | None:
        """None when the account is not in that batch, or in the newest on chain when none is given."""

    async def period(self, account: int, start: int, end: int, through_seq: int | None) -> Period | None: ...

    async def statement_lines(
        self, of: Period, after_seq: int, balance: int, limit: int
    ) -> tuple[list[Line], int, list[Settled]]: ...

    async def balance_after(self, of: Period, seq: int) -> int: ...

    async def last_settled(self, of: Period) -> Settled | None: ...

    async def projected(self) -> int:
        """Journal sequence up to which the read side has got."""


class WithdrawalView(NamedTuple):
    """A withdrawal process. `message` (base64) waits for the owner's signature; `code` says why it was refused."""

    id: str
    account: int
    amount: int
    destination: str
    status: WithdrawalStatus
    message: str | None
    signature: str | None
    code: str | None


class WithdrawalsUnavailable(Exception):
    """The process host cannot be reached: what became of the call is unknown, and repeating it is safe."""


class Withdrawals(Protocol):
    """Starts and asks the durable withdrawal processes. Each call raises `WithdrawalsUnavailable` when unsure."""

    async def start(
        self, account: int, owner: str, amount: int, key: str, destination: str
    ) -> WithdrawalView:
        """Start the withdrawal `key` of `account`, or return it when it exists; `destination` "" is the owner's own token account."""

    async def read(self, id: str) -> WithdrawalView | None: ...

    async def sign(self, id: str, signature: str) -> WithdrawalView | None:
        """Hand in the owner's signature (base58) over `message`."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Everything that routes and connections work with."""

    engine: Engine
    clock: Callable[[], int]
    streams: Streams
    hub: Hub
    inbound: Inbound
    sessions: Sessions
    admission: Admission
    limits: Limits
    allowances: Allowances
    lag: Lag
    statistics: MakerStatistics
    metrics: Metrics
    vault_metrics: VaultMetrics
    reads: Reads
    withdrawals: Withdrawals
    vaults: VaultBooks
    starts: WithdrawalStarts
    quant: VaultTrading
    quant_limits: QuantLimits
    vault_streams: VaultStreams
    escrow: EscrowInfo
    prices: PriceFeed
    websocket_url: Callable[[], str]
