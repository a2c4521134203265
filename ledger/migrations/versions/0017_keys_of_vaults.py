"""Keys of vaults, with who made and who revoked them"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"


def _number(name: str, comment: str | None = None) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False, comment=comment)


def _text(name: str, comment: str | None = None) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), nullable=False, comment=comment)


def upgrade() -> None:
    op.alter_column(
        "vault_changes",
        "what",
        comment="made, paused, resumed, imported, key made or key revoked",
        existing_comment="made, paused, resumed or imported",
    )
    op.create_table(
        "vault_keys",
        _text("id"),
        _text("vault"),
        _text("name", "whose it is: orders keep it"),
        sa.Column("scopes", postgresql.JSONB(), nullable=False, comment="read, trade"),
        _number("account", "of the engine, the manager that answers for it"),
        _number("at", "when it was made"),
        _number("expires_at"),
        _number("revoked_at", "0: it was not"),
        _text("revoked_by", "as who in vault_risk_versions"),
        _text("why", "it was revoked"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vault_keys")),
        comment="a key is signed and nowhere here; one of which there is no row is none",
    )
    op.create_index("ix_vault_keys_vault", "vault_keys", ["vault", "at"])


def downgrade() -> None:
    op.drop_table("vault_keys")
    op.alter_column("vault_changes", "what", comment="made, paused, resumed or imported")
