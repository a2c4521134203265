"""A delisting may close the last position of an account that is liquidated"""

from alembic import op

revision = "0025"
down_revision = "0024"

BEFORE = ("", "recovered", "sold", "taken_over", "deleveraged")
SENTENCE_BEFORE = "recovered, sold, taken_over or deleveraged; empty while it goes on"
SENTENCE = "recovered, sold, taken_over, deleveraged or delisted; empty while it goes on"


def upgrade() -> None:
    _check((*BEFORE, "delisted"))
    op.alter_column("liquidations", "outcome", comment=SENTENCE, existing_comment=SENTENCE_BEFORE)


def downgrade() -> None:
    op.execute("update liquidations set outcome = 'sold' where outcome = 'delisted'")
    _check(BEFORE)
    op.alter_column("liquidations", "outcome", comment=SENTENCE_BEFORE, existing_comment=SENTENCE)


def _check(outcomes: tuple[str, ...]) -> None:
    whole = op.f("ck_liquidations_outcome")
    op.drop_constraint(whole, "liquidations", type_="check")
    op.create_check_constraint(
        whole, "liquidations", f"outcome in {outcomes} and (outcome = '') = (ended_at = 0)"
    )
