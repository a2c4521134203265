"""Bodies about funding. Rates are plain decimals (0.0001 is 0.01 %), positive when longs pay; units otherwise as in `api.schemas`."""

from typing import Literal

from pydantic import Field

from api.schemas import Answer

BasisName = Literal["premium", "skew", "nothing"]


class FundingHourAnswer(Answer):
    """One paid hour of a market."""

    hour: int = Field(description="Instant at which the hour ended and was due.")
    at: int = Field(description="Instant at which it was paid.")
    basis: BasisName = Field(
        description="`premium` of the standing quotes; `skew` when fewer than two owners stood in half of the hour; `nothing` "
        "without any premium."
    )
    samples: int = Field(description="Premiums sampled, 720 in a complete hour.")
    premium: str = Field(description="Their mean, for eight hours; missing ones count as none.")
    makers: int = Field(description="Owners whose quotes stood in at least half of the hour's samples.")
    skew: str = Field(
        description="Net position, at its end, that nobody's quotes and fills as a maker in the hour explain."
    )
    open_interest: str = Field(description="Held long at its end.")
    rate: str = Field(description="For eight hours.")
    hourly: str = Field(description="What was charged on the notional at the index.")
    index: str | None = Field(description="Index price of the hour's last sample; null without any.")
    accounts: int = Field(description="That paid or received.")
    paid: str = Field(description="USDC of all who paid.")
    treasury: str = Field(description="USDC: the treasury's share of what makers received.")
    insurance: str = Field(description="USDC: what rounding left for the insurance fund.")
    seq: int


class FundingHistoryAnswer(Answer):
    market: str
    hours: list[FundingHourAnswer]


class FundingPredictionAnswer(Answer):
    """What the running hour will charge if it goes on as it has, with everything that this is computed from."""

    market: str
    hour: int = Field(description="Instant at which the hour ends and is due.")
    basis: BasisName
    rate: str = Field(description="For eight hours.")
    hourly: str
    premium: str = Field(description="Mean of the premiums so far over those due so far, for eight hours.")
    samples: int
    expected: int = Field(description="Premiums due so far.")
    makers: int
    skew: str
    open_interest: str
    interest: str = Field(description="For eight hours.")
    interest_clamp: str = Field(description="By how much the interest may move the rate from the premium.")
    cap: str = Field(description="Largest rate for eight hours.")
    velocity: str = Field(description="Change of a rate that follows the skew, an hour at full skew.")
    last_rate: str = Field(description="Rate for eight hours after the last paid hour.")
    unpaid: list[int] = Field(description="Instants of hours that have ended and wait to be paid.")


class MarketFundingAnswer(Answer):
    """Funding of a market in short; `GET /markets/{symbol}/funding/predicted` says what the prediction is computed from."""

    rate: str = Field(description="For eight hours, after the last paid hour.")
    hour: int = Field(description="Instant at which the running hour ends and is due.")
    predicted: str = Field(description="The running hour's rate for eight hours if it goes on as it has.")
    predicted_hourly: str = Field(description="What it would charge on the notional at the index.")
    unpaid: list[int] = Field(description="Instants of hours that have ended and wait to be paid.")


class FundingPaymentAnswer(Answer):
    market: str
    hour: int = Field(description="Instant at which the hour ended and was due.")
    at: int = Field(description="Instant at which it was paid.")
    amount: str = Field(description="USDC that came in; negative was paid.")
    hourly: str
    index: str
    seq: int = Field(description="Pass it as `before` for older ones.")


class FundingPaymentsAnswer(Answer):
    payments: list[FundingPaymentAnswer]


class FundingDueAnswer(Answer):
    """A market's hours (since the Unix epoch) that have ended and wait to be paid, oldest first; those up to `settled` are done."""

    market: int
    symbol: str
    settled: int
    unpaid: list[int]
