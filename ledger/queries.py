"""Reads of the projections, for the API, the screens and the proofs that money adds up."""

from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Row, Select, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from core.batches import BatchStatus
from core.events import DURABLE, Event
from ledger.tables import account_events, balances, batch_pages, batches, cursor, fills, submissions

_decoder: "msgspec.msgpack.Decoder[Event]" = msgspec.msgpack.Decoder(DURABLE)


class StreamEvent(NamedTuple):
    """One event of an account's numbered private stream."""

    number: int
    seq: int
    event: Event


class FillView(NamedTuple):
    """A fill with the batch that settles it (0: none yet) and its public status."""

    fill: int
    seq: int
    at: int
    market: int
    taker: int
    maker: int
    side: int
    size: int
    price: int
    fee: int
    taker_realized: int
    maker_realized: int
    batch: int
    status: int


class BatchView(NamedTuple):
    """A batch for screens; `after_seq` exclusive, `seq` inclusive; signatures of what landed for it, in order."""

    batch: int
    after_seq: int
    seq: int
    at: int
    status: int
    root: str
    pages: int
    deltas: int
    fills: int
    lamports: int
    signatures: tuple[str, ...]


class Totals(NamedTuple):
    """Proof that the books balance: `total` is the sum of all accounts, the outside included, and must be zero."""

    total: int
    outside: int
    accounts: int
    fills: int
    final_fills: int


class Queries:
    """Reads over a pool."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def projected(self) -> int:
        async with self._engine.connect() as connection:
            return int(
                (await connection.execute(select(func.coalesce(func.max(cursor.c.sequence), 0)))).scalar_one()
            )

    async def stream(self, account: int, after: int, limit: int) -> list[StreamEvent]:
        """Up to `limit` events of an account with numbers above `after`, ascending."""
        wanted = (
            select(account_events)
            .where(account_events.c.account == account, account_events.c.number > after)
            .order_by(account_events.c.number)
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            rows = await connection.execute(wanted)
            return [StreamEvent(row.number, row.seq, _decoder.decode(bytes(row.event))) for row in rows]

    async def fill(self, number: int) -> FillView | None:
        found = await self._fills(_fills_with_batch().where(fills.c.fill == number))
        return found[0] if found else None

    async def fills(self, account: int, before: int, limit: int) -> list[FillView]:
        """Up to `limit` fills of an account with numbers below `before` (0: from the newest), newest first."""
        wanted = _fills_with_batch().where(or_(fills.c.taker == account, fills.c.maker == account))
        if before:
            wanted = wanted.where(fills.c.fill < before)
        return await self._fills(wanted.order_by(fills.c.fill.desc()).limit(limit))

    async def batch(self, number: int) -> BatchView | None:
        found = await self._batches(select(batches).where(batches.c.batch == number))
        return found[0] if found else None

    async def batches(self, before: int, limit: int) -> list[BatchView]:
        """Up to `limit` batches with numbers below `before` (0: from the newest), newest first."""
        wanted = select(batches).order_by(batches.c.batch.desc()).limit(limit)
        return await self._batches(wanted.where(batches.c.batch < before) if before else wanted)

    async def totals(self) -> Totals:
        async with self._engine.connect() as connection:
            total = (
                await connection.execute(select(func.coalesce(func.sum(balances.c.amount), 0)))
            ).scalar_one()
            outside = (
                await connection.execute(select(balances.c.amount).where(balances.c.account == 0))
            ).scalar() or 0
            count = (await connection.execute(select(func.count()).select_from(fills))).scalar_one()
            final = select(func.coalesce(func.sum(batches.c.fills), 0)).where(
                batches.c.status == int(BatchStatus.FINAL)
            )
            final_fills = (await connection.execute(final)).scalar_one()
            return Totals(int(total), int(outside), int(total) - int(outside), int(count), int(final_fills))

    async def _fills(self, wanted: "Select[Any]") -> list[FillView]:
        async with self._engine.connect() as connection:
            return [
                FillView(*(int(row._mapping[name]) for name in FillView._fields))
                for row in await connection.execute(wanted)
            ]

    async def _batches(self, wanted: "Select[Any]") -> list[BatchView]:
        async with self._engine.connect() as connection:
            rows = (await connection.execute(wanted)).all()
            return [
                _batch_view(
                    row,
                    (
                        await connection.execute(
                            select(func.count())
                            .select_from(batch_pages)
                            .where(batch_pages.c.batch == row.batch)
                        )
                    ).scalar_one(),
                    (
                        await connection.execute(
                            select(submissions.c.signature)
                            .where(
                                submissions.c.reference.startswith(f"batch/{row.batch}/", autoescape=True),
                                submissions.c.status == "landed",
                            )
                            .order_by(submissions.c.number)
                        )
                    ).scalars(),
                )
                for row in rows
            ]


def _fills_with_batch() -> "Select[Any]":
    joined = fills.outerjoin(batches, and_(fills.c.seq > batches.c.after_seq, fills.c.seq <= batches.c.seq))
    return select(
        fills,
        func.coalesce(batches.c.batch, 0).label("batch"),
        func.coalesce(batches.c.status, int(BatchStatus.MATCHED)).label("status"),
    ).select_from(joined)


def _batch_view(row: "Row[Any]", pages: int, signatures: Any) -> BatchView:
    return BatchView(
        row.batch,
        row.after_seq,
        row.seq,
        row.at,
        row.status,
        bytes(row.root).hex(),
        pages,
        row.deltas,
        row.fills,
        row.lamports,
        tuple(signatures),
    )
