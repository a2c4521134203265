"""Bodies about circuit breakers. Units as in `api.schemas`."""

from typing import Any

from pydantic import Field

from api.schemas import Answer


class AlarmAnswer(Answer):
    """When a rise of open interest is said aloud: by more than this share of its cap within the window, and at least doubled."""

    share_ppm: int
    window_ms: int
    only_reduces: bool = Field(description="Whether the market then only takes what reduces.")


class JumpAnswer(Answer):
    """The last rise that was faster than the alarm lets pass."""

    at: int
    lowest: str
    open_interest: str


class MarketEndAnswer(Answer):
    """How a market was delisted: every position closed at the index, debts paid by the insurance fund and by those who gained."""

    market: str
    seq: int
    at: int
    price: str
    accounts: int = Field(description="That held a position.")
    shared: str = Field(description="USDC of debts that were paid ...")
    fund: str = Field(description="... of that by the insurance fund.")
    uncovered: str = Field(description="USDC of debts that nobody could pay.")
    forced: bool = Field(description="Whether without notice, or at an index that was not believed.")


class SettlementAnswer(Answer):
    """Whether batches are cut. While they are not, trading goes on and what is cut already is finished."""

    held: bool
    since: int | None = Field(description="When it was held; null while it is not, so the next two.")
    who: str | None = Field(
        description="Name of the credential: `operator` for the network's own reconciliation."
    )
    why: str | None


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
