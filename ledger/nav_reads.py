"""Reads of snapshots: the newest of vaults, their history, and what was said of them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncEngine

from core.nav import PricedLeg
from core.quantities import Nanos
from core.tickets import Leg, PriceE8, SizeE8
from ledger.tables_vaults import nav_alerts, nav_snapshots


class NavSnapshot(NamedTuple):
    """A vault at an instant: `nav` is None when a leg had no price; `shares` are those before its fee and before anybody dealt."""

    vault: str
    at: int
    cash: int
    nav: int | None
    shares: int
    fee: int
    fee_shares: int
    legs: list[PricedLeg]
    doubts: list[str]
    taken_at: int


class NavAlert(NamedTuple):
    """What was said of a snapshot; `leg` is empty when it is about the whole."""

    vault: str
    at: int
    kind: str
    leg: str
    sentence: str


class NavReads:
    """Over a pool."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def latest(self, vaults: Sequence[str]) -> dict[str, NavSnapshot]:
        """The newest snapshot of each of these vaults that has one."""
        c = nav_snapshots.c
        wanted = (
            select(nav_snapshots).distinct(c.vault).where(c.vault.in_(vaults)).order_by(c.vault, c.at.desc())
        )
        async with self._engine.connect() as connection:
            return {row.vault: _snapshot(row) for row in await connection.execute(wanted)}

    async def history(self, vault: str, before: int, limit: int) -> list[NavSnapshot]:
        """Up to `limit` snapshots of a vault of instants before `before`, newest first."""
        c = nav_snapshots.c
        wanted = (
            select(nav_snapshots).where(c.vault == vault, c.at < before).order_by(c.at.desc()).limit(limit)
        )
        async with self._engine.connect() as connection:
            return [_snapshot(row) for row in await connection.execute(wanted)]

    async def alerts(self, vault: str, before: int, limit: int) -> list[NavAlert]:
        """Up to `limit` alerts of a vault about instants before `before`, newest first."""
        c = nav_alerts.c
        wanted = (
            select(nav_alerts)
            .where(c.vault == vault, c.at < before)
            .order_by(c.at.desc(), c.kind, c.leg)
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            return [NavAlert(*row) for row in await connection.execute(wanted)]


def _snapshot(row: "Row[Any]") -> NavSnapshot:
    legs = [
        PricedLeg(Leg(venue, symbol), SizeE8(size), PriceE8(price), Nanos(price_at), source, standing)
        for venue, symbol, size, price, price_at, source, standing, _ in row.legs
    ]
    return NavSnapshot(**{**row._mapping, "legs": legs})
