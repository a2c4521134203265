"""Bodies about margin: an account's risk, a market's tiers, and what a hypothetical trade would do."""

from typing import Annotated

from pydantic import Field, StringConstraints

from api.schemas import Answer, Body, Decimals, SideName


class RiskAnswer(Answer):
    """An account at the marks, in USDC."""

    equity: str = Field(description="Balance and unrealized profit or loss.")
    collateral: str = Field(
        description="Equity that counts: without what the owner's loss limit keeps out of settlement's reach."
    )
    requirement: str = Field(description="Initial requirement of the positions.")
    maintenance: str = Field(description="Collateral below which liquidation may start.")
    available: str = Field(description="As in `GET /api/v1/account`.")
    leverage: str | None = Field(
        description="Notional of the positions over collateral, rounded up; null without collateral."
    )


class TierAnswer(Answer):
    """The part of a position's notional above `above` requires these fractions of itself."""

    above: str = Field(description="USDC.")
    initial_ppm: int = Field(description="At the present open interest.")
    maintenance_ppm: int


class TierTermsAnswer(Answer):
    """The part of a position's notional above `above` requires this fraction of itself while open interest is low."""

    above: str = Field(description="USDC.")
    initial_ppm: int = Field(description="While open interest is low.")


class MarginTermsAnswer(Answer):
    """A market's margin parameters: `tiers` of the market has what they come to at the present open interest."""

    tiers: list[TierTermsAnswer]
    open_interest_lower: str = Field(description="USDC held long up to which the fractions are these.")
    open_interest_upper: str = Field(
        description="USDC held long from which they are 100 %. Equal bounds: open interest never raises them."
    )
    maintenance_share_ppm: int = Field(
        description="Maintenance, as a share of the initial fraction at low open interest."
    )


class MarginPreviewBody(Body):
    """A trade that is only thought of: all of `size` taken at `price`."""

    market: Annotated[str, StringConstraints(min_length=1, max_length=32)] = Field(examples=["BTC-PERP"])
    side: SideName
    size: Decimals = Field(examples=["0.5"])
    price: Decimals = Field(examples=["60000.5"])


class MarginPreviewAnswer(Answer):
    """The same checks as before a fill. It says nothing about whether anybody quotes that price."""

    market: str
    allowed: bool = Field(description="Whether the account could make this trade now.")
    code: str | None = Field(
        description="Why not: `being_liquidated`, `market_paused`, `market_settled`, `market_reduce_only`, `price_out_of_band`, "
        "`insufficient_margin`, `loss_limit_reached`, `position_cap`, `open_interest_cap`, or `index_unavailable` while the market "
        "cannot be traded at its index, or another one that the account holds cannot be valued."
    )
    size: str = Field(description="Position after it; positive is long.")
    cost: str = Field(description="Signed cost of that position in USDC.")
    realized: str = Field(description="Profit or loss that the trade realizes, before the fee.")
    fee: str
    liquidation_price: str | None = Field(
        description="Last mark at which the account then meets its maintenance; null when no mark is the edge."
    )
    bankruptcy_price: str | None = Field(
        description="Last mark at which its equity is then not negative; null when no mark is the edge."
    )
    before: RiskAnswer
    after: RiskAnswer
