"""Bodies that anyone may read: markets, quotes, makers, batches, escrow, status. Units as in `api.schemas`."""

from typing import Literal

from pydantic import Field

from api.schemas import Answer, FillStatus
from api.schemas_breakers import (
    AlarmAnswer,
    DelistingAnswer,
    FundingTermsAnswer,
    JumpAnswer,
    LiquidationTermsAnswer,
    MarkTermsAnswer,
    SettlementAnswer,
)
from api.schemas_funding import MarketFundingAnswer
from api.schemas_margin import MarginTermsAnswer, TierAnswer
from api.schemas_prices import ActionName, PricesAnswer, ValidityName
from api.schemas_vaults import RiskTemplateAnswer
from api.units import MarketStatusName


class MarkInputsAnswer(Answer):
    """The mark is near the median of these, as fast as it may change; the index stands in for one that is missing, and all are null
    where it is the mark itself."""

    index_with_basis: str | None = Field(
        description="Index plus the average by which the middle of quotes differs."
    )
    quotes: str | None = Field(description="Median of impact bid, impact ask and last fill.")
    outside: str | None = Field(description="Median mid of the same perp at other venues.")


class MarketAnswer(Answer):
    id: int = Field(description="Its number in records and in the operator's commands.")
    symbol: str
    status: MarketStatusName
    tick: str = Field(description="Prices are multiples of it.")
    lot: str = Field(description="Sizes are multiples of it.")
    max_leverage: int = Field(description="Of positions in the first tier at quiet open interest.")
    tiers: list[TierAnswer]
    margin_terms: MarginTermsAnswer
    taker_fee_ppm: int = Field(description="Parts per million of the notional, rounded up.")
    oracle_band_ppm: int = Field(
        description="A quote is void once the index has moved further since it was given."
    )
    price_band_ppm: int = Field(description="Nobody quotes or trades further from the index.")
    thin_only_reduces: bool = Field(
        description="Whether it only takes what reduces while fewer than two views of its price are known."
    )
    position_cap: str
    open_interest_cap: str
    open_interest: str = Field(description="Held long; as much is held short.")
    open_interest_value: str | None = Field(description="The same in USDC at the mark.")
    only_reduces: bool = Field(description="Whether requests must reduce a position, whatever the reason.")
    mark: str | None = Field(description="Price at which positions are valued.")
    mark_inputs: MarkInputsAnswer | None = Field(
        description="As of the last index price; null before the first."
    )
    funding: MarketFundingAnswer
    index: str | None = Field(description="The last price that was believed. Null before the first.")
    confidence: str | None
    published: int | None = Field(description="When the index was last judged.")
    source: str | None
    validity: ValidityName = Field(description="How far the index is believed now.")
    allows: list[ActionName] = Field(description="What may be done at an index of that validity.")
    index_max_age_ms: int = Field(description="Age beyond which the index is believed for nothing.")
    fill_max_age_ms: int = Field(description="For how long its feed may be silent before nobody trades.")
    mark_terms: MarkTermsAnswer
    liquidation: LiquidationTermsAnswer
    greedy_deleveraging: bool = Field(
        description="Whether the first in rank is deleveraged first, instead of all in proportion."
    )
    funding_terms: FundingTermsAnswer
    alarm: AlarmAnswer | None = Field(description="Null when nobody watches its open interest.")
    jumped: JumpAnswer | None
    not_open_since: int | None = Field(
        description="Since when the operator lets it only reduce or stand still; null while it is open."
    )
    delisting: DelistingAnswer | None = Field(description="Its announced end; null when there is none.")


class MarketsAnswer(Answer):
    markets: list[MarketAnswer]
    ttl_ms: list[int] = Field(description="Lifetimes that a request may choose from.")


class LevelAnswer(Answer):
    price: str
    size: str = Field(description="Summed over the makers at that price.")


class QuotesAnswer(Answer):
    """The best standing levels, best first."""

    market: str
    bids: list[LevelAnswer]
    asks: list[LevelAnswer]
    index: str | None


class MakerAnswer(Answer):
    """What a maker did since the process started."""

    account: int
    name: str
    asked: int
    answered: int
    passed: int
    answer_ms: str | None = Field(description="Mean time to answer, rounded down to the microsecond.")
    fills: int
    volume: str = Field(description="USDC.")
    rejected: int = Field(description="Firm quotes that could not be honoured at the fill.")
    frozen: int = Field(description="Times that its own protection froze it.")
    markout_ppm: int | None = Field(
        description="Mean move of the index in the maker's favour 5 s after its fills, in ppm, rounded down."
    )


class MakersAnswer(Answer):
    makers: list[MakerAnswer] = Field(description="Largest volume first.")


class BatchAnswer(Answer):
    batch: int
    after_seq: int = Field(description="The batch covers the journal records after this one ...")
    seq: int = Field(description="... up to this one.")
    at: int
    status: FillStatus
    root: str = Field(description="Merkle root that the chain stores for the batch.")
    pages: int
    deltas: int
    fills: int
    lamports: int
    signatures: list[str]


class BatchesAnswer(Answer):
    batches: list[BatchAnswer] = Field(description="Newest first.")


class EscrowAnswer(Answer):
    program: str
    escrow: str
    vault: str
    mint: str
    rpc_url: str


class FlagsAnswer(Answer):
    """What the operator set for everybody."""

    risk_template: RiskTemplateAnswer = Field(
        description="What any vault may trade, unless its own rules say else."
    )


class StatusAnswer(Answer):
    """The exchange at a glance."""

    now: int
    seq: int = Field(description="Journal records on disk.")
    epoch: int = Field(description="Times that the engine has started.")
    fills: int
    agents: int
    connections: int
    open_requests: int
    markets: list[str]
    last_batch: int | None
    last_batch_status: FillStatus | None
    conserved: bool
    positions_zero_sum: bool
    websocket: str
    prices: PricesAnswer
    withdrawals: Literal["open", "gated", "held"] = Field(
        description="Gated while an account is below zero; held by the operator."
    )
    settlement: SettlementAnswer
    flags: FlagsAnswer


class HealthAnswer(Answer):
    status: Literal["ok", "no_room"] = Field(description="`no_room`: only what reduces risk is taken.")
    disk_free_bytes: int = Field(description="On the journal's disk, at most a second old.")
    disk_floor_bytes: int = Field(description="Below it the status is `no_room`.")


class ReadyAnswer(Answer):
    status: Literal["ready"]
    seq: int
    projected: int = Field(description="Records that the read side has.")
    clock_ahead_ms: int = Field(
        description="By how much the wall clock is ahead of the exchange's, less than 10 s either way."
    )


class UnboundAnswer(Answer):
    account: int
    owner: str


class UnboundPageAnswer(Answer):
    accounts: list[UnboundAnswer]
    next: int = Field(description="What to give as `after` the next time; 0 begins anew.")


class CutAccountAnswer(Answer):
    """Micro-USDC as integers: this door is for programs of the operator."""

    account: int
    owner: str
    page: int
    slot: int
    delta: int
    balance: int
    equity: int


class CutAnswer(Answer):
    """A settlement cut: covers the records after `previous_seq` up to `seq`. `marks` are (market id, ticks).

    The deltas sum to `left_over`, what earlier batches took on chain and gave to nobody.
    """

    batch: int
    seq: int
    previous_seq: int
    at: int = Field(description="Nanoseconds since the epoch.")
    marks: list[tuple[int, int]]
    left_over: int
    accounts: list[CutAccountAnswer]


class OpenWithdrawalAnswer(Answer):
    account: int
    owner: str
    amount: int
    key: str
    destination: str
    at: int


class ReservedAnswer(Answer):
    withdrawal: int
    account: int
    amount: int


class ExitAnswer(Answer):
    """Up to `amount` micro-USDC may be claimed from second `exit_at` of the chain's clock on."""

    account: int
    amount: int
    exit_at: int


StandingExitAnswer = tuple[int, str, int, int, int, int, bool, bool, int]
"""[account, owner, page, slot, amount, exit_at, quoting, closing, at]: a request to leave and where its account's slot is; whether
quotes stand that may have lost their cover, and whether positions are to be closed for it; when, in nanoseconds, the engine took note
of it."""


class BookedLossLimitAnswer(Answer):
    """Of `limit` micro-USDC within a window settlement may still take `left`, once the last cut has landed."""

    account: int
    limit: int
    left: int


class LimitsAnswer(Answer):
    """`limited` are the accounts whose loss limit the engine knows; `places` are the slots of those that were asked about, each as
    [account, owner, page, slot]. `batch` is the last cut (0: none), `status` its own.
    """

    batch: int
    status: int
    limited: list[int]
    places: list[tuple[int, str, int, int]]


class BooksAnswer(Answer):
    """Every account with a slot at one journal sequence, micro-USDC as integers. `batch` is the last cut (0: none), `status` its own.

    Each account is [account, owner, page, slot, balance, settled, delta, unapplied, foreign]: `settled` is what the chain holds for it
    once that cut has landed, `delta` what the cut moves, `unapplied` what batches did not do for it, in all, `foreign` the number of
    the last withdrawal that was none of the exchange's and was taken over, or 0. `exits` are the requests to leave that stand;
    `claimed` is what owners took alone, `claimed_astray` what was taken so from slots that the books do not know; `loss_limits` are
    those of owners, as far as the chain was seen. Of the accounts `done_with`, once closed, the slot may be given to another.
    `strangers` are slots, [page, slot], that were accepted as nobody's here; `left_over` is what the next cut gives of what earlier
    batches took and gave to nobody.
    """

    seq: int
    batch: int
    status: int
    last_withdrawal: int
    reserved: list[ReservedAnswer]
    claimed: int
    claimed_astray: int
    exits: list[ExitAnswer]
    loss_limits: list[BookedLossLimitAnswer]
    done_with: list[int]
    accounts: list[tuple[int, str, int, int, int, int, int, int, int]]
    strangers: list[tuple[int, int]]
    left_over: int


class OperatorStateAnswer(Answer):
    """Totals in micro-USDC. `vault_expected` is what came in less what the chain paid out, of which owners took `claimed` alone."""

    seq: int
    state_hash: str | None = Field(description="Null unless asked for with `hash=true`.")
    balances_total: int
    deposits: int
    withdrawals: int
    reserved: int
    conserved: bool
    positions_zero_sum: bool
    vault_expected: int
    claimed: int
    claimed_astray: int = Field(
        description="Claimed on chain besides, from slots that the books do not know."
    )
    exits: int = Field(description="Requests to leave that stand.")
    loss_limits: int = Field(description="Owners that bound what settlement may take.")
    settlement_held: str = Field(description="Why no batch is cut; empty while they are.")
    astray: int = Field(
        description="Counted as gone although it lies in slots that the books do not know, or was claimed from there."
    )
    exit_delay: int = Field(description="Seconds, as last seen on chain; 0 before.")
    limit_delay: int = Field(
        description="Seconds until a lower loss limit counts, as last seen on chain; 0 before."
    )


class OutcomeAnswer(Answer):
    """What a command led to; each event is its fields with its name under `type`, in the engine's units."""

    seq: int
    repeated: bool
    events: list[dict[str, object]]
