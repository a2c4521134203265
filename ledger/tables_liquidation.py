"""Tables of liquidations and of the insurance fund, projections of the journal like the others; units as in `ledger.tables`."""

from typing import Final

from sqlalchemy import CheckConstraint, Index, Table

from ledger.columns import metadata, number, text

liquidations: Final = Table(
    "liquidations",
    metadata,
    number("liquidation", key=True),
    number("seq", "of its start"),
    number("at", "of its start"),
    number("account"),
    number("equity", "micro-USDC at its start; of the insurance fund without its floor"),
    number("maintenance", "micro-USDC required at its start"),
    text("outcome", "recovered, sold, taken_over, deleveraged or delisted; empty while it goes on"),
    number("ended_at", "0 while it goes on"),
    CheckConstraint(
        "outcome in ('', 'recovered', 'sold', 'taken_over', 'deleveraged', 'delisted')"
        " and (outcome = '') = (ended_at = 0)",
        name="outcome",
    ),
)
liquidation_steps: Final = Table(
    "liquidation_steps",
    metadata,
    number("seq", key=True),
    number("line", "a takeover has one for each market", key=True),
    number("liquidation"),
    number("at"),
    text("kind", "auction, takeover or deleveraging"),
    number("market"),
    number("mark", "ticks"),
    number("asked", "signed lots to close"),
    number("price_limit", "ticks: an auction's, else 0"),
    number("size", "signed lots closed"),
    number("value", "signed micro-USDC that they brought"),
    number("bound", "signed micro-USDC: their bankruptcy value"),
    number("fee", "micro-USDC to the insurance fund"),
    number("equity", "micro-USDC before it"),
    number("maintenance", "micro-USDC required before it"),
    number("unpaid", "signed lots that nobody could pay for"),
    number("accounts", "accounts that took the lots: makers' fills, or counterparties"),
    CheckConstraint("kind in ('auction', 'takeover', 'deleveraging')", name="kind"),
    CheckConstraint("fee >= 0 and abs(size) <= abs(asked)", name="amounts"),
    Index("ix_liquidation_steps_liquidation", "liquidation", "seq", "line"),
    Index("ix_liquidation_steps_kind", "kind", "seq", "line"),
)
insurance_history: Final = Table(
    "insurance_history",
    metadata,
    number("seq", key=True),
    number("at"),
    text(
        "why",
        "deposit, fee, takeover, deleveraging, funding, sale, delisting or floor; carried: all before this table",
    ),
    number("liquidation", "0 when it was none"),
    number("amount", "micro-USDC that came in; positions taken over are not in it"),
    number("balance", "micro-USDC after it, without what positions are worth"),
    number("floor", "micro-USDC that the fund must keep, after it"),
    comment="every record that changed the insurance fund",
)
