"""Tables of what owners and settlement did to each other on chain, projections of the journal; units as in `ledger.tables`."""

from typing import Final

from sqlalchemy import CheckConstraint, Index, Table

from ledger.columns import metadata, number, text

exit_claims: Final = Table(
    "exit_claims",
    metadata,
    text("key", "claim:, transaction signature and index of the event in it", key=True),
    number("seq"),
    number("at"),
    number("account"),
    number("amount", "micro-USDC"),
    CheckConstraint("amount > 0", name="amount"),
    Index("ix_exit_claims_account", "account", "seq"),
    Index("ix_exit_claims_seq", "seq"),
    comment="what owners claimed from the escrow without the operator",
)
accepted_slots: Final = Table(
    "accepted_slots",
    metadata,
    number("seq", key=True),
    number("account", key=True),
    number("change", "micro-USDC that its slot held more than the books had settled"),
    number("unapplied", "micro-USDC by which the chain's sum of what batches did not do for it was higher"),
    number("withdrawal", "number of the last withdrawal that was none of the exchange's, 0 for none"),
    comment="what an operator had the books take over from the chain",
)
unapplied_deltas: Final = Table(
    "unapplied_deltas",
    metadata,
    number("seq", key=True),
    number("account", key=True),
    number("batch", "whose page did not do all of the account's delta"),
    number("amount", "micro-USDC: above 0 held back from a credit, below 0 not taken"),
    CheckConstraint("amount <> 0", name="amount"),
    comment="what settlement owes, until a later batch brings it",
)
