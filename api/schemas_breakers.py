"""Bodies about circuit breakers. Units as in `api.schemas`."""

from typing import Any, Literal

from pydantic import Field

from api.schemas import Answer


class AlarmAnswer(Answer):
    """When a rise of open interest is said aloud: by more than this share of its cap within the window, and at least doubled."""

    share_ppm: int
    window_ms: int
    only_reduces: bool = Field(description="Whether the market then only takes what reduces.")


class LiquidationTermsAnswer(Answer):
    """How the market's positions are auctioned when an account is below its maintenance; docs/reference/risk/liquidation.md."""

    slice_share_ppm: int = Field(description="Part of a position that is auctioned at a time ...")
    whole_up_to: str = Field(description="... all of it up to so many USDC.")
    fee_ppm: int = Field(description="Of what an auction brings, to the insurance fund ...")
    surplus_share_ppm: int = Field(description="... at most this part of what is above the bankruptcy value.")
    spread_ppm: int = Field(
        description="Of the maintenance fraction: how far an auction's limit may leave the mark."
    )
    urgency_ppm: int = Field(description="How fast it gets there as equity falls below maintenance.")


class MarkTermsAnswer(Answer):
    basis_max_ppm: int = Field(description="How far the mark may be from the index, of the index.")
    drift_ppm: int = Field(description="How fast that may change, a second.")


class FundingTermsAnswer(Answer):
    """Rates are plain decimals for eight hours."""

    interest: str
    interest_clamp: str = Field(description="By how much the interest may move the rate from the premium.")
    cap: str
    margin_factor_ppm: int = Field(
        description="Caps the rate at so much of initial less maintenance fraction, too."
    )
    velocity: str = Field(description="Change, an hour at full skew, of a rate that follows the skew.")
    treasury_share_ppm: int = Field(description="Of what makers receive.")
    rule: Literal["beyond_impact", "middle"] = Field(description="How impact prices become a premium.")


class JumpAnswer(Answer):
    """The last rise that was faster than the alarm lets pass."""

    at: int
    lowest: str
    open_interest: str


class DebtorAnswer(Answer):
    """An account below zero, in micro-USDC; `unpaid_funding` is what hours that nobody has paid yet will still charge."""

    account: int
    owner: str = Field(description="Empty for the exchange's own: 1 is the treasury, 2 the insurance fund.")
    parent: int | None = Field(description="Of a sub-account; else null.")
    equity: int
    balance: int
    unpaid_funding: int
    positions: int = Field(
        description="Markets that it holds something in: without any nothing can liquidate it."
    )
    being_liquidated: bool


class GateAnswer(Answer):
    """Whether withdrawals are reserved, and whose debt is in the way."""

    withdrawals: Literal["open", "gated", "held"]
    below_zero: list[DebtorAnswer] = Field(description="The deepest first.")


class DelistingAnswer(Answer):
    """The announced end of a market: from `settles_at` on nothing fills, and every position closes at the average of the index over
    the hour before, as soon as everybody can be settled with."""

    announced_at: int
    settles_at: int
    why: str
    waits: str | None = Field(description="From then on: what keeps it from being settled; else null.")


class MarketEndAnswer(Answer):
    """How a market was delisted: every position closed at the average of the index over the hour before, debts paid by the insurance
    fund and by those who gained."""

    market: str
    seq: int
    at: int
    price: str
    accounts: int = Field(description="That held a position.")
    shared: str = Field(description="USDC of debts that were paid ...")
    fund: str = Field(description="... of that by the insurance fund.")
    uncovered: str = Field(description="USDC of debts that nobody could pay.")
    forced: bool = Field(description="Whether at once, instead of at an announced instant.")


class SettlementAnswer(Answer):
    """Whether batches are cut. While they are not, trading goes on and what is cut already is finished."""

    held: bool
    since: int | None = Field(description="When it was held; null while it is not, so the next two.")
    who: str | None = Field(
        description="Name of the credential: `operator` for the network's own reconciliation."
    )
    why: str | None
    chain_as_of: int | None = Field(
        description="As of when the chain holds equities: the last cut that is final, or the first fill. Null before both."
    )
    late: bool = Field(
        description="Whether nothing is traded but what reduces, because that is too long ago for the escrow's delays."
    )
    late_at: int | None = Field(description="When it would be; null while it is, or can not be.")


class ActionAnswer(Answer):
    """One decision, with its journal sequence. `details` are in the engine's units."""

    seq: int
    at: int
    who: str = Field(description="Name of the credential; `exchange` for what a rule did by itself.")
    action: str
    market: str | None = Field(description="Null when it concerns all.")
    why: str
    details: dict[str, Any]


class AuditAnswer(Answer):
    actions: list[ActionAnswer] = Field(description="Newest first.")
