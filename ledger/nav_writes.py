"""What snapshots change in the ledger, in as many statements for a hundred vaults as for one."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, insert, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from core.nav_snapshot import Dealt, Snapshot
from ledger.tables_vaults import nav_alerts, nav_snapshots, vault_shares, vault_transfers, vaults
from ledger.vault_cash import move_cash

Rows = list[dict[str, Any]]


async def write(connection: AsyncConnection, at: int, now: int, taken: Mapping[str, Snapshot]) -> None:
    """Record the snapshots of an instant by vault, and what was dealt at them, in the caller's transaction."""
    moved = {vault: one for vault, one in taken.items() if not one.doubts}
    dealt = [(vault, one) for vault, found in moved.items() for one in found.dealt]
    for statement, rows in (
        (insert(nav_snapshots), [_snapshot(vault, one, at, now) for vault, one in taken.items()]),
        (insert(nav_alerts), _alerts(at, taken)),
        (_POOL, _pools(moved)),
        (_SHARES, _shares(moved)),
        (_DONE, [_done(vault, one, at) for vault, one in dealt if one.refused is None]),
        (_REFUSED, [_refused(vault, one, at) for vault, one in dealt if one.refused is not None]),
    ):
        if rows:
            await connection.execute(statement, rows)
    cash = [_cash(vault, one, at) for vault, one in dealt if one.cash]
    new = await move_cash(connection, cash)
    assert new == len(cash), "a transfer was dealt with before"


_POOL = (
    update(vaults)
    .where(vaults.c.id == bindparam("vault"))
    .values(shares=bindparam("total"), mark_nav=bindparam("high"), mark_shares=bindparam("high_of"))
)
_GIVEN = upsert(vault_shares)
_SHARES = _GIVEN.on_conflict_do_update(
    index_elements=["vault", "holder"], set_={"shares": _GIVEN.excluded.shares}
)
_ONE = update(vault_transfers).where(
    vault_transfers.c.vault == bindparam("of"), vault_transfers.c.key == bindparam("named")
)
_DONE = _ONE.values(
    status="done", amount=bindparam("moved"), shares=bindparam("made"), dealt_at=bindparam("instant")
)
_REFUSED = _ONE.values(status="refused", code=bindparam("why"), dealt_at=bindparam("instant"))


def _snapshot(vault: str, one: Snapshot, at: int, now: int) -> dict[str, Any]:
    found = one.found
    return {
        "vault": vault,
        "at": at,
        "cash": found.cash,
        "nav": found.nav if found.known else None,
        "shares": one.shares,
        "fee": one.fee.amount,
        "fee_shares": one.fee.shares,
        "legs": [
            [*leg.leg, leg.size, leg.price, leg.price_at, leg.source, leg.standing, leg.value]
            for leg in found.legs
        ],
        "doubts": one.doubts,
        "taken_at": now,
    }


def _alerts(at: int, taken: Mapping[str, Snapshot]) -> Rows:
    return [
        {"vault": vault, "at": at, **alert._asdict()} for vault, one in taken.items() for alert in one.alerts
    ]


def _pools(moved: Mapping[str, Snapshot]) -> Rows:
    return [
        {
            "vault": vault,
            "total": one.pool.shares,
            "high": one.pool.mark.nav,
            "high_of": one.pool.mark.shares,
        }
        for vault, one in moved.items()
    ]


def _shares(moved: Mapping[str, Snapshot]) -> Rows:
    return [
        {"vault": vault, "holder": holder, "shares": shares}
        for vault, one in moved.items()
        if one.dealt or one.fee.shares
        for holder, shares in one.holdings.items()
    ]


def _done(vault: str, one: Dealt, at: int) -> dict[str, Any]:
    return {
        "of": vault,
        "named": one.key,
        "moved": abs(one.cash),
        "made": abs(one.shares),
        "instant": at,
    }


def _refused(vault: str, one: Dealt, at: int) -> dict[str, Any]:
    return {"of": vault, "named": one.key, "why": str(one.refused), "instant": at}


def _cash(vault: str, one: Dealt, at: int) -> dict[str, Any]:
    return {
        "vault": vault,
        "venue": "",
        "kind": "deposit" if one.cash > 0 else "withdrawal",
        "reference": one.key,
        "amount": one.cash,
        # Just after the instant: the snapshot itself is of before.
        "at": at + 1,
    }
