"""Bodies about liquidations and the insurance fund; units as in `api.schemas`. Whose one is, only the account's own stream says."""

from typing import Literal

from pydantic import Field

from api.schemas import Answer

OutcomeName = Literal["recovered", "sold", "taken_over", "deleveraged", "delisted"]
StepName = Literal["auction", "takeover", "deleveraging"]
ChangeName = Literal[
    "deposit",
    "fee",
    "takeover",
    "deleveraging",
    "funding",
    "sale",
    "delisting",
    "astray",
    "debt",
    "exit",
    "floor",
    "carried",
]


class LiquidationAnswer(Answer):
    liquidation: int = Field(description="Pass it as `before` for older ones.")
    seq: int
    at: int
    equity: str = Field(description="Of the account when it began; the insurance fund's without its floor.")
    maintenance: str = Field(description="What its positions required then.")
    outcome: OutcomeName | None = Field(description="Null while it goes on.")
    ended_at: int | None


class LiquidationsAnswer(Answer):
    liquidations: list[LiquidationAnswer] = Field(description="Newest first.")


class StepAnswer(Answer):
    """Sizes and values are signed: positive when a long was closed, which receives the value."""

    seq: int
    liquidation: int
    at: int
    kind: StepName
    market: str
    mark: str
    asked: str = Field(description="What was to be closed.")
    limit: str | None = Field(description="An auction's: down to (short: up to) which price it asked.")
    size: str = Field(description="What was closed; less than asked when not all found a bidder.")
    value: str = Field(description="USDC that it brought.")
    bankruptcy_value: str = Field(description="USDC at which equity per unit of maintenance stays as it was.")
    fee: str = Field(description="USDC of it that went to the insurance fund.")
    equity: str = Field(description="The account's before it.")
    maintenance: str
    unpaid: str = Field(description="Of a deleveraging: what nobody could pay for, so that the fund took it.")
    counterparties: int = Field(description="Fills of an auction, or accounts on the other side.")


class LiquidationStepsAnswer(LiquidationAnswer):
    steps: list[StepAnswer] = Field(description="In order. A takeover has one for each market.")


class DeleveragingsAnswer(Answer):
    deleveragings: list[StepAnswer] = Field(
        description="Newest first; pass a `seq` as `before` for older ones."
    )


class HoldingAnswer(Answer):
    market: str
    size: str
    cost: str = Field(description="Signed cost in USDC.")
    value: str = Field(description="At the mark.")


class InsuranceAnswer(Answer):
    """The insurance fund at the marks, in USDC."""

    balance: str
    equity: str = Field(description="Balance and unrealized profit or loss.")
    maintenance: str = Field(description="What its positions require.")
    floor: str = Field(description="What it keeps besides, whatever it is asked to take over or to pay.")
    positions: list[HoldingAnswer]
    being_liquidated: bool = Field(description="Whether it is itself below its maintenance.")


class InsuranceChangeAnswer(Answer):
    seq: int = Field(description="Pass it as `before` for older ones.")
    at: int
    why: ChangeName
    liquidation: int | None
    amount: str = Field(description="USDC that came in; positions taken over are not in it.")
    balance: str = Field(description="After it.")
    floor: str = Field(description="After it.")


class InsuranceHistoryAnswer(Answer):
    changes: list[InsuranceChangeAnswer] = Field(description="Newest first.")


class BelowAnswer(Answer):
    """Micro-USDC."""

    account: int
    equity: int
    maintenance: int


class InventoryAnswer(Answer):
    """A position of the insurance fund, in signed lots."""

    market: int
    size: int


class GoingOnAnswer(Answer):
    """What is liquidated and sold now, and who of the accounts that are asked about should be: the engine looks at nobody else."""

    forgotten: list[BelowAnswer] = Field(
        description="Accounts below their maintenance requirement about which nothing is being done."
    )
    going_on: list[int] = Field(description="Accounts that are being liquidated, 2 is the insurance fund.")
    inventory: list[InventoryAnswer]
    selling: bool = Field(description="Whether the insurance fund sells something now.")


class OperatorLiquidationsAnswer(GoingOnAnswer):
    """The same of all accounts: for the sweep, once a round."""

    below_zero: list[BelowAnswer] = Field(
        description="Accounts below zero: while there is one, no withdrawal is reserved. 2 is the insurance fund."
    )
    awaiting_price: int = Field(
        description="Accounts that wait until the price of a market is trusted again."
    )
