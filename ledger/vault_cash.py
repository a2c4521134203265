"""What moves a vault's cash, and what that adds up to: written together, so that nobody need add up a whole history."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.tables_venues import vault_cash, vault_cash_moves

_NEW = insert(vault_cash)
_ADDED = _NEW.on_conflict_do_update(
    index_elements=["vault", "venue"], set_={"amount": vault_cash.c.amount + _NEW.excluded.amount}
)


async def move_cash(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> int:
    """Write rows of `vault_cash_moves` in the caller's transaction; how many were new. What is written already is not written again.

    Nobody else moves cash of the same vaults at the same venues before that transaction ends.
    """
    if not rows:
        return 0
    c = vault_cash_moves.c
    written = insert(vault_cash_moves).on_conflict_do_nothing().returning(c.vault, c.venue, c.amount)
    sums: Counter[tuple[str, str]] = Counter()
    new = (await connection.execute(written, list(rows))).all()
    for vault, venue, amount in new:
        sums[vault, venue] += amount
    # In one order, or two such transactions could wait for each other.
    added = [
        {"vault": vault, "venue": venue, "amount": amount} for (vault, venue), amount in sorted(sums.items())
    ]
    if added:
        await connection.execute(_ADDED, added)
    return len(new)


def cash_of(vault: "ColumnElement[str] | str") -> "ScalarSelect[Any]":
    """Micro-USDC that a vault has by now, 0 of one that never had any."""
    c = vault_cash.c
    return select(func.coalesce(func.sum(c.amount), 0)).where(c.vault == vault).scalar_subquery()
