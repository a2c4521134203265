"""Bodies about prices: how far each market's index is believed, why not further, and what every source says."""

from typing import Literal

from pydantic import Field

from api.schemas import Answer

ValidityName = Literal["unavailable", "disputed", "volatile", "lone", "uncertain", "stale", "aged", "valid"]
ActionName = Literal["fill", "margin", "liquidate", "fund", "settle"]


class ReasonAnswer(Answer):
    source: str
    fault: str = Field(description="Stable code.")


class SourcePriceAnswer(Answer):
    """What one source says of a market, and how it stands by itself."""

    source: str
    publisher: str = Field(description="Whose word it is: two ways to one publisher are one voice.")
    witness: bool = Field(description="Confirms or contradicts others but is never the index.")
    price: str | None = Field(description="Exact. Null before the first.")
    confidence: str | None
    published: int | None = Field(description="The source's own time.")
    validity: ValidityName
    fault: str | None


class MarketPricesAnswer(Answer):
    """`validity` is the engine's, which the actions go by; the rest is what the feed saw when it last looked."""

    market: str
    validity: ValidityName
    allows: list[ActionName]
    judged: int | None = Field(description="When the feed last looked. Null before the first time.")
    reasons: list[ReasonAnswer]
    sources: list[SourcePriceAnswer]


class TroubleAnswer(Answer):
    source: str
    market: str | None = Field(description="Null where it is the whole source.")
    code: str


class PricesAnswer(Answer):
    source: str = Field(description="What the feed plays or listens to.")
    markets: list[MarketPricesAnswer]
    troubles: list[TroubleAnswer] = Field(
        description="What keeps sources from answering, and, of source `engine`, why a market's index is refused."
    )
