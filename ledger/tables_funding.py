"""Tables of funding, projections of the journal like the others; units as in `ledger.tables`, rates in parts of 10**12."""

from typing import Final

from sqlalchemy import CheckConstraint, Index, Table

from ledger.columns import metadata, number

funding_rates: Final = Table(
    "funding_rates",
    metadata,
    number("market", key=True),
    number("hour", "hours since the Unix epoch: the hour that ended then", key=True),
    number("basis", "core.funding_hour.Basis"),
    number("samples", "premiums sampled in it"),
    number("premium", "their mean, for eight hours"),
    number("makers", "owners whose quotes stood in it"),
    number("skew", "net lots of those who made no quotes"),
    number("open_interest", "lots, at its end"),
    number("rate", "for eight hours; positive: longs pay"),
    number("hourly", "what was charged"),
    number("after", "from where a rate that follows the skew goes on"),
    number("index_price", "ticks: what the notional was valued at"),
    number("accounts", "that paid or received"),
    number("paid", "micro-USDC of all who paid"),
    number("treasury", "micro-USDC: share of what makers received"),
    number("insurance", "micro-USDC: what rounding left"),
    number("seq"),
    number("at", "when it was paid, which may be late"),
    CheckConstraint("basis between 1 and 3", name="basis"),
    CheckConstraint("paid >= 0 and treasury >= 0 and insurance >= 0", name="shares"),
    Index("ix_funding_rates_seq", "seq", unique=True),
)
funding_payments: Final = Table(
    "funding_payments",
    metadata,
    number("account", key=True),
    number("seq", "of the hour's record", key=True),
    number("market"),
    number("hour"),
    number("amount", "micro-USDC paid; negative was received"),
    CheckConstraint("amount <> 0", name="amount"),
)
