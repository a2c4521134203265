"""Vaults: who manages them, what they may do, whose they are, and what they were worth"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"


def _number(name: str, comment: str | None = None) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False, comment=comment)


def _text(name: str, comment: str | None = None) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), nullable=False, comment=comment)


def _counted(comment: str) -> "sa.Column[int]":
    return sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment=comment)


def _document(name: str, comment: str) -> "sa.Column[object]":
    return sa.Column(name, postgresql.JSONB(), nullable=False, comment=comment)


def upgrade() -> None:
    _vaults()
    _shares()
    _worth()
    op.create_index("ix_venue_fills_at", "venue_fills", ["at"])
    op.create_index("ix_venue_differences_at", "venue_differences", ["at"])


def _vaults() -> None:
    op.create_table(
        "vaults",
        _text("id"),
        _number("manager", "the engine's account of who decides"),
        _text("default_venue", "where a symbol without a venue is"),
        _number("paused", "1 while no order is taken"),
        _number("fee_ppm", "the manager's part of what is gained above the mark"),
        _number("shares", "that there are"),
        _number("mark_nav", "the highest value so far after fees, of ..."),
        _number("mark_shares", "... so many shares; 0 before there were any"),
        _number("at", "when it was made"),
        _text("made_by", "name of the operator's credential"),
        sa.CheckConstraint("paused in (0, 1)", name=op.f("ck_vaults_paused")),
        sa.CheckConstraint(
            "shares >= 0 and mark_nav >= 0 and mark_shares >= 0", name=op.f("ck_vaults_shares")
        ),
        sa.CheckConstraint("fee_ppm between 0 and 500000", name=op.f("ck_vaults_fee")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vaults")),
    )
    op.create_table(
        "vault_risk_versions",
        _text("vault"),
        _number("version", "from 1, without gaps"),
        _text("role", "operator: what the vault may at most; manager: what it may of that"),
        _document("rules", "all that this role says, in the API's words"),
        _text("who", "name of the operator's credential, or account/ and the manager's"),
        _text("why"),
        _number("at"),
        sa.CheckConstraint("role in ('operator', 'manager')", name=op.f("ck_vault_risk_versions_role")),
        sa.PrimaryKeyConstraint("vault", "version", name=op.f("pk_vault_risk_versions")),
        comment="the newest of each role counts",
    )
    op.create_table(
        "vault_changes",
        _counted("order of recording"),
        _text("vault"),
        _text("what", "made, paused, resumed or imported"),
        _text("who", "as in vault_risk_versions"),
        _text("why"),
        _number("at"),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_vault_changes")),
    )
    op.create_index("ix_vault_changes_vault", "vault_changes", ["vault", "number"])


def _shares() -> None:
    op.create_table(
        "vault_shares",
        _text("vault"),
        _number("holder", "the engine's account"),
        _number("shares"),
        sa.CheckConstraint("shares >= 0", name=op.f("ck_vault_shares_shares")),
        sa.PrimaryKeyConstraint("vault", "holder", name=op.f("pk_vault_shares")),
        comment="they add up to what vaults.shares says",
    )
    op.create_table(
        "vault_transfers",
        _text("vault"),
        _text("key", "the caller's: the same one again is the same transfer"),
        _counted("order of acceptance"),
        _number("holder"),
        _text("kind", "deposit, withdrawal, or opening: what a vault began with becomes its holder's"),
        _number("amount", "given of a deposit, else paid"),
        _number("shares", "given back of a withdrawal, else made"),
        _text("status", "waiting, done or refused"),
        _text("code", "why it was refused, else empty"),
        _text("who", "name of the operator's credential"),
        _number("at"),
        _number("dealt_at", "the instant of the snapshot at whose value it was carried out; 0 before"),
        sa.CheckConstraint(
            "status in ('waiting', 'done', 'refused')", name=op.f("ck_vault_transfers_status")
        ),
        sa.CheckConstraint(
            "kind in ('deposit', 'withdrawal', 'opening')", name=op.f("ck_vault_transfers_kind")
        ),
        sa.CheckConstraint("amount >= 0 and shares >= 0", name=op.f("ck_vault_transfers_amount")),
        sa.PrimaryKeyConstraint("vault", "key", name=op.f("pk_vault_transfers")),
    )
    op.create_index("ix_vault_transfers_number", "vault_transfers", ["vault", "number"])
    op.create_index(
        "ix_vault_transfers_waiting",
        "vault_transfers",
        ["vault", "number"],
        postgresql_where=sa.text("status = 'waiting'"),
    )


def _worth() -> None:
    op.create_table(
        "nav_prices",
        _number("at", "the snapshots' instant"),
        _text("venue"),
        _text("symbol"),
        _number("price", "1e-8 of a dollar, 0 when nobody knew one"),
        _number("price_at", "of when it is"),
        _text("source", "whose word it is, or why there is none"),
        _text("standing", "venues.prices.Standing, carried: of an earlier snapshot, or none"),
        sa.CheckConstraint("price >= 0", name=op.f("ck_nav_prices_price")),
        sa.PrimaryKeyConstraint("at", "venue", "symbol", name=op.f("pk_nav_prices")),
        comment="every vault is valued at the same ones, also by a snapshot that is taken up again",
    )
    op.create_table(
        "nav_snapshots",
        _text("vault"),
        _number("at", "the instant it was due at, and of"),
        _number("cash"),
        sa.Column("nav", sa.BigInteger(), comment="each leg rounded down; null when a leg has no price"),
        _number("shares", "before what was dealt at it"),
        _number("fee", "the manager's, of what was gained above the mark"),
        _number("fee_shares", "made for it"),
        _document("legs", "[[venue, symbol, size, price, price_at, source, standing, value], ...]"),
        _document("doubts", "why nothing was dealt at it; empty when it is good"),
        _number("taken_at", "when it was recorded"),
        sa.PrimaryKeyConstraint("vault", "at", name=op.f("pk_nav_snapshots")),
    )
    op.create_index("ix_nav_snapshots_at", "nav_snapshots", ["at"])
    op.create_table(
        "nav_alerts",
        _text("vault"),
        _number("at", "of the snapshot"),
        _text("kind", "core.nav_alerts.Kind"),
        _text("leg", "venue::symbol, empty when it is about the whole"),
        _text("sentence"),
        sa.PrimaryKeyConstraint("vault", "at", "kind", "leg", name=op.f("pk_nav_alerts")),
    )
    op.create_index("ix_nav_alerts_at", "nav_alerts", ["at"])


def downgrade() -> None:
    op.drop_index("ix_venue_differences_at", "venue_differences")
    op.drop_index("ix_venue_fills_at", "venue_fills")
    for table in (
        "nav_alerts",
        "nav_snapshots",
        "nav_prices",
        "vault_transfers",
        "vault_shares",
        "vault_changes",
        "vault_risk_versions",
        "vaults",
    ):
        op.drop_table(table)
