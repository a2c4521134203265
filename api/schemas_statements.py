"""Bodies of an account's statement. Units as in `api.schemas`."""

from typing import Literal

from pydantic import Field

from api.schemas import Answer, FillStatus, SideName


class StatementLine(Answer):
    """One fill or movement of money, in USDC; the fields of a trade are null on other lines."""

    seq: int = Field(description="Journal sequence: what happened at once has the same.")
    at: int
    kind: str = Field(
        description="fill, fee, funding, liquidation_fee, deposit, withdrawal, release, realized (a position closed by "
        "a liquidation or a delisting), or shared (a debt that was paid, or paid for)."
    )
    amount: str = Field(description="Negative: went out. Of a fill, its realized profit or loss.")
    balance: str = Field(description="After the line.")
    fill: int | None
    role: Literal["taker", "maker"] | None
    market: str | None
    side: SideName | None
    size: str | None
    price: str | None
    batch: int | None = Field(
        description="That settles it; null before one is cut, and for what needs none: money in and out."
    )
    status: FillStatus | None
    signature: str | None = Field(
        description="The chain's: of the deposit or the payment, or of the transaction that settled the account's page in the batch."
    )


class SettledAnswer(Answer):
    """The account at the cut of a batch, and what the chain holds for it once that batch is final. Null: the ledger lost it."""

    batch: int
    seq: int
    at: int
    status: FillStatus
    balance: str | None
    equity: str | None
    on_chain: str | None = Field(
        description="The equity, but for what a bankruptcy, the size of a delta, or a batch that fell short left for later. "
        "Money withdrawn since the cut, or is reserved to be, is not in it."
    )
    signature: str | None


class StatementAnswer(Answer):
    """An account from `start` until before `end`: opening balance and the lines' amounts add up to the closing balance, exactly."""

    account: int
    owner: str
    name: str
    start: int
    end: int
    through_seq: int = Field(
        description="The last journal record that it covers; all pages of a statement cover the same."
    )
    opening: str
    closing: str
    sums: dict[str, str] = Field(
        description="What each kind comes to in the whole period; `realized` has that of fills."
    )
    settled: SettledAnswer | None = Field(description="The last final batch that was cut in the period.")
    lines: list[StatementLine] = Field(description="Oldest first.")
    batches: list[SettledAnswer] = Field(description="The batches of these lines.")
    next: str | None = Field(
        description="Give it as `cursor` for the lines that follow; null when there are none."
    )
