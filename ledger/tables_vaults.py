"""Tables of vaults: who manages them, what they may do, whose they are, and what they were worth. No journal can rebuild them.

Money is micro-USDC, shares are millionths of a share, instants nanoseconds, all as bigint.
"""

from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Table
from sqlalchemy import text as sql_text
from sqlalchemy.dialects.postgresql import JSONB

from ledger.columns import counted, metadata, number, text
from ledger.tables_venues import venue_differences, venue_fills

vaults: Final = Table(
    "vaults",
    metadata,
    text("id", key=True),
    number("manager", "the engine's account of who decides"),
    text("default_venue", "where a symbol without a venue is"),
    number("paused", "1 while no order is taken"),
    number("fee_ppm", "the manager's part of what is gained above the mark"),
    number("shares", "that there are"),
    number("mark_nav", "the highest value so far after fees, of ..."),
    number("mark_shares", "... so many shares; 0 before there were any"),
    number("at", "when it was made"),
    text("made_by", "name of the operator's credential"),
    CheckConstraint("paused in (0, 1)", name="paused"),
    CheckConstraint("fee_ppm between 0 and 500000", name="fee"),
    CheckConstraint("shares >= 0 and mark_nav >= 0 and mark_shares >= 0", name="shares"),
)
vault_risk_versions: Final = Table(
    "vault_risk_versions",
    metadata,
    text("vault", key=True),
    number("version", "from 1, without gaps", key=True),
    text("role", "operator: what the vault may at most; manager: what it may of that"),
    Column("rules", JSONB, nullable=False, comment="all that this role says, in the API's words"),
    text("who", "name of the operator's credential, or account/ and the manager's"),
    text("why"),
    number("at"),
    CheckConstraint("role in ('operator', 'manager')", name="role"),
    comment="the newest of each role counts",
)
vault_changes: Final = Table(
    "vault_changes",
    metadata,
    counted("order of recording", key=True),
    text("vault"),
    text("what", "made, paused, resumed, imported, key made or key revoked"),
    text("who", "as in vault_risk_versions"),
    text("why"),
    number("at"),
    Index("ix_vault_changes_vault", "vault", "number"),
)
vault_keys: Final = Table(
    "vault_keys",
    metadata,
    text("id", key=True),
    text("vault"),
    text("name", "whose it is: orders keep it"),
    Column("scopes", JSONB, nullable=False, comment="read, trade"),
    number("account", "of the engine, the manager that answers for it"),
    number("at", "when it was made"),
    number("expires_at"),
    number("revoked_at", "0: it was not"),
    text("revoked_by", "as who in vault_risk_versions"),
    text("why", "it was revoked"),
    Index("ix_vault_keys_vault", "vault", "at"),
    comment="a key is signed and nowhere here; one of which there is no row is none",
)
vault_shares: Final = Table(
    "vault_shares",
    metadata,
    text("vault", key=True),
    number("holder", "the engine's account", key=True),
    number("shares"),
    CheckConstraint("shares >= 0", name="shares"),
    comment="they add up to what vaults.shares says",
)
vault_transfers: Final = Table(
    "vault_transfers",
    metadata,
    text("vault", key=True),
    text(
        "key",
        "the caller's, the same one again is the same transfer; behind who and a space where the holder asked",
        key=True,
    ),
    counted("order of acceptance"),
    number("holder"),
    text("kind", "deposit, withdrawal, or opening: what a vault began with becomes its holder's"),
    number("amount", "given of a deposit, else paid"),
    number("shares", "given back of a withdrawal, else made"),
    text("status", "waiting, done, refused or cancelled"),
    text("code", "why it was refused, else empty"),
    text("who", "name of the operator's credential"),
    number("at"),
    number("dealt_at", "the instant of the snapshot at whose value it was carried out; 0 before"),
    CheckConstraint("kind in ('deposit', 'withdrawal', 'opening')", name="kind"),
    CheckConstraint("status in ('waiting', 'done', 'refused', 'cancelled')", name="status"),
    CheckConstraint("amount >= 0 and shares >= 0", name="amount"),
    Index("ix_vault_transfers_number", "vault", "number"),
    Index("ix_vault_transfers_waiting", "vault", "number", postgresql_where=sql_text("status = 'waiting'")),
)
nav_prices: Final = Table(
    "nav_prices",
    metadata,
    number("at", "the snapshots' instant", key=True),
    text("venue", key=True),
    text("symbol", key=True),
    number("price", "1e-8 of a dollar, 0 when nobody knew one"),
    number("price_at", "of when it is"),
    text("source", "whose word it is, or why there is none"),
    text("standing", "venues.prices.Standing, carried: of an earlier snapshot, or none"),
    CheckConstraint("price >= 0", name="price"),
    comment="every vault is valued at the same ones, also by a snapshot that is taken up again",
)
nav_named_prices: Final = Table(
    "nav_named_prices",
    metadata,
    counted("order of naming", key=True),
    text("venue"),
    text("symbol"),
    text("vault", "in whose snapshot nobody knew one"),
    number("price", "1e-8 of a dollar; 0: it is lost"),
    text("who", "name of the operator's credential"),
    text("why"),
    number("at"),
    number(
        "ended_at", "the instant of a snapshot that had another price, or when it was withdrawn; 0: neither"
    ),
    text("ended_by", "who withdrew it; empty where there was a price again"),
    CheckConstraint("price >= 0", name="price"),
    Index("ix_nav_named_prices_leg", "venue", "symbol", "number"),
    comment="the newest of a leg counts, until it is ended or a day old",
)
nav_snapshots: Final = Table(
    "nav_snapshots",
    metadata,
    text("vault", key=True),
    number("at", "the instant it was due at, and of", key=True),
    number("cash"),
    Column("nav", BigInteger, comment="each leg rounded down; null when a leg has no price"),
    number("shares", "before what was dealt at it"),
    number("fee", "the manager's, of what was gained above the mark"),
    number("fee_shares", "made for it"),
    Column(
        "legs",
        JSONB,
        nullable=False,
        comment="[[venue, symbol, size, price, price_at, source, standing, value], ...]",
    ),
    Column("doubts", JSONB, nullable=False, comment="why nothing was dealt at it; empty when it is good"),
    number("taken_at", "when it was recorded"),
    Index("ix_nav_snapshots_at", "at"),
)
nav_alerts: Final = Table(
    "nav_alerts",
    metadata,
    text("vault", key=True),
    number("at", "of the snapshot", key=True),
    text("kind", "core.nav_alerts.Kind", key=True),
    text("leg", "venue::symbol, empty when it is about the whole", key=True),
    text("sentence"),
    Index("ix_nav_alerts_at", "at"),
)
# What a vault held at an earlier instant is what it holds less what came later.
Index("ix_venue_fills_at", venue_fills.c.at)
Index("ix_venue_differences_at", venue_differences.c.at)
