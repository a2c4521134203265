"""Transfers that were taken back, and keys that are their asker's own"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"

KEY = "the caller's, the same one again is the same transfer; behind who and a space where the holder asked"
KEY_BEFORE = "the caller's: the same one again is the same transfer"
STATUS = "waiting, done, refused or cancelled"
STATUS_BEFORE = "waiting, done or refused"
CHECK = "ck_vault_transfers_status"


def _described(key: str, key_before: str, status: str, status_before: str) -> None:
    table = "vault_transfers"
    op.alter_column(table, "key", comment=key, existing_comment=key_before, existing_type=sa.Text())
    op.alter_column(table, "status", comment=status, existing_comment=status_before, existing_type=sa.Text())


def upgrade() -> None:
    # What moved cash is found by the key that its transfer has: both, or neither.
    op.execute(
        "update vault_cash_moves m set reference = t.who || ' ' || t.key from vault_transfers t"
        " where m.vault = t.vault and m.venue = '' and m.kind = t.kind and m.reference = t.key"
        " and t.who like 'account/%' and t.key not like 'account/% %'"
    )
    op.execute(
        "update vault_transfers set key = who || ' ' || key"
        " where who like 'account/%' and key not like 'account/% %'"
    )
    op.drop_constraint(op.f(CHECK), "vault_transfers", type_="check")
    op.create_check_constraint(
        op.f(CHECK), "vault_transfers", "status in ('waiting', 'done', 'refused', 'cancelled')"
    )
    _described(KEY, KEY_BEFORE, STATUS, STATUS_BEFORE)


def downgrade() -> None:
    # Keys stay as they are: without who asked two of them may be one.
    op.execute("update vault_transfers set status = 'refused', code = 'cancelled' where status = 'cancelled'")
    op.drop_constraint(op.f(CHECK), "vault_transfers", type_="check")
    op.create_check_constraint(op.f(CHECK), "vault_transfers", "status in ('waiting', 'done', 'refused')")
    _described(KEY_BEFORE, KEY, STATUS_BEFORE, STATUS)
