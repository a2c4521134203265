"""Settlement batches and the transactions signed for them. Every function is one database transaction and safe to repeat."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.batches import BatchStatus
from core.merkle import account_leaf, fill_leaf, root
from core.pages import PagePlan
from ledger.tables import batch_pages, batches, cursor, fills, reconciliations, submissions

SIGNED: Final = "signed"
LANDED: Final = "landed"
FAILED: Final = "failed"
EXPIRED: Final = "expired"


class AccountAtCut(NamedTuple):
    """An account's state at a cut, in micro-USDC."""

    account: int
    balance: int
    equity: int


class StoredPage(NamedTuple):
    """One page of a stored batch; `deltas` are the bytes that the program reads."""

    page: int
    net: int
    moves: int
    deltas: bytes


class StoredBatch(NamedTuple):
    """A stored batch with its pages in sending order."""

    batch: int
    at: int
    after_seq: int
    seq: int
    root: bytes
    fills: int
    deltas: int
    status: BatchStatus
    lamports: int
    pages: tuple[StoredPage, ...]


class Submission(NamedTuple):
    """Signed bytes, kept before they are first sent. `status` is signed, landed, failed or expired."""

    signature: str
    reference: str
    raw: bytes
    last_valid_block_height: int
    status: str
    lamports: int


class Settlement:
    """The settlement's part of the ledger."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def projected(self) -> int:
        """Journal sequence up to which the ledger has got."""
        async with self._engine.connect() as connection:
            return int(
                (await connection.execute(select(func.coalesce(func.max(cursor.c.sequence), 0)))).scalar_one()
            )

    async def wait_projected(self, sequence: int, poll_s: float = 0.05) -> None:
        """Return once the ledger has got to `sequence`. The caller bounds the wait."""
        while await self.projected() < sequence:
            await asyncio.sleep(poll_s)

    async def store_batch(
        self,
        batch: int,
        at: int,
        after_seq: int,
        seq: int,
        accounts: Sequence[AccountAtCut],
        pages: Sequence[tuple[PagePlan, bytes]],
    ) -> StoredBatch:
        """Store a cut batch with its root and pages, or return it when it is stored already.

        The root is over the batch's fills in order, then the accounts by number. The ledger must have got to `seq`.
        """
        async with self._engine.begin() as connection:
            known = await _load(connection, batch)
            if known is not None:
                return known
            rows = (
                await connection.execute(
                    select(fills).where(fills.c.seq > after_seq, fills.c.seq <= seq).order_by(fills.c.seq)
                )
            ).all()
            leaves = [
                fill_leaf(
                    row.fill,
                    row.at,
                    row.market,
                    row.taker,
                    row.maker,
                    row.side,
                    row.size,
                    row.price,
                    row.fee,
                    (row.taker_realized, row.maker_realized),
                )
                for row in rows
            ]
            leaves += [account_leaf(batch, *one) for one in sorted(accounts)]
            await connection.execute(
                insert(batches)
                .values(
                    batch=batch,
                    at=at,
                    after_seq=after_seq,
                    seq=seq,
                    root=root(leaves),
                    fills=len(rows),
                    deltas=sum(len(plan.deltas) for plan, _ in pages),
                    status=BatchStatus.BATCHED,
                    lamports=0,
                )
                .on_conflict_do_nothing()
            )
            for position, (plan, data) in enumerate(pages):
                await connection.execute(
                    insert(batch_pages)
                    .values(
                        batch=batch,
                        page=plan.page,
                        position=position,
                        net=plan.net,
                        moves=len(plan.deltas),
                        deltas=data,
                    )
                    .on_conflict_do_nothing()
                )
            stored = await _load(connection, batch)
            assert stored is not None
            return stored

    async def load_batch(self, batch: int) -> StoredBatch | None:
        async with self._engine.connect() as connection:
            return await _load(connection, batch)

    async def last_batch(self) -> StoredBatch | None:
        """The newest stored batch."""
        async with self._engine.connect() as connection:
            newest = (await connection.execute(select(func.max(batches.c.batch)))).scalar_one()
            return await _load(connection, newest) if newest is not None else None

    async def advance(self, batch: int, status: BatchStatus) -> None:
        """Record a batch's status; it never goes back."""
        async with self._engine.begin() as connection:
            await connection.execute(
                update(batches)
                .where(batches.c.batch == batch, batches.c.status < int(status))
                .values(status=int(status))
            )

    async def add_submission(
        self, signature: str, reference: str, raw: bytes, last_valid_block_height: int
    ) -> None:
        """Keep signed bytes; must return before they are sent."""
        async with self._engine.begin() as connection:
            await connection.execute(
                insert(submissions)
                .values(
                    signature=signature,
                    reference=reference,
                    raw=raw,
                    last_valid_block_height=last_valid_block_height,
                    status=SIGNED,
                    lamports=0,
                )
                .on_conflict_do_nothing()
            )

    async def submissions(self, reference: str) -> list[Submission]:
        """Everything signed for `reference`, oldest first."""
        async with self._engine.connect() as connection:
            rows = await connection.execute(
                select(submissions).where(submissions.c.reference == reference).order_by(submissions.c.number)
            )
            return [_submission(row) for row in rows]

    async def submissions_of_batch(self, batch: int) -> list[Submission]:
        async with self._engine.connect() as connection:
            rows = await connection.execute(
                select(submissions)
                .where(submissions.c.reference.startswith(f"batch/{batch}/", autoescape=True))
                .order_by(submissions.c.number)
            )
            return [_submission(row) for row in rows]

    async def close_submission(self, signature: str, status: str, lamports: int = 0) -> None:
        """What became of signed bytes, and the fee paid."""
        async with self._engine.begin() as connection:
            await connection.execute(
                update(submissions)
                .where(submissions.c.signature == signature)
                .values(status=status, lamports=lamports)
            )

    async def record_lamports(self, batch: int) -> int:
        """Sum the fees of everything sent for a batch into it; returns the sum."""
        async with self._engine.begin() as connection:
            total = (
                await connection.execute(
                    select(func.coalesce(func.sum(submissions.c.lamports), 0)).where(
                        submissions.c.reference.startswith(f"batch/{batch}/", autoescape=True)
                    )
                )
            ).scalar_one()
            await connection.execute(
                update(batches).where(batches.c.batch == batch).values(lamports=int(total))
            )
            return int(total)

    async def record_reconciliation(self, batch: int, at: int, why: str, sentence: str) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(
                insert(reconciliations)
                .values(batch=batch, at=at, why=why, sentence=sentence)
                .on_conflict_do_nothing()
            )


async def _load(connection: AsyncConnection, batch: int) -> StoredBatch | None:
    row = (await connection.execute(select(batches).where(batches.c.batch == batch))).one_or_none()
    if row is None:
        return None
    pages = await connection.execute(
        select(batch_pages).where(batch_pages.c.batch == batch).order_by(batch_pages.c.position)
    )
    return StoredBatch(
        row.batch,
        row.at,
        row.after_seq,
        row.seq,
        bytes(row.root),
        row.fills,
        row.deltas,
        BatchStatus(row.status),
        row.lamports,
        tuple(StoredPage(page.page, page.net, page.moves, bytes(page.deltas)) for page in pages),
    )


def _submission(row: Row[Any]) -> Submission:
    return Submission(
        row.signature,
        row.reference,
        bytes(row.raw),
        row.last_valid_block_height,
        row.status,
        row.lamports,
    )
