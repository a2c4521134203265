"""Settlement batches and the transactions signed for them. Every function is one database transaction and safe to repeat."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, Select, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.batches import BatchStatus
from core.pages import PagePlan
from ledger.batch_roots import AccountAtCut as AccountAtCut
from ledger.batch_roots import pack, tree_of
from ledger.settled import rebase, settled_after
from ledger.tables import batch_pages, batches, cursor, cuts, reconciliations, submissions

SIGNED: Final = "signed"
LANDED: Final = "landed"
FAILED: Final = "failed"
EXPIRED: Final = "expired"
PAYMENT: Final = "withdrawal"
"""What the references of withdrawals begin with, before a stroke and the number."""
PAYMENTS_LOCK: Final = 7_239_402
"""Of PostgreSQL's advisory locks, the one that whoever lets money out holds."""
SIGNED_LATELY: Final = 20_000
BLOCKS_DEAD: Final = 450
"""Bytes that could land in no block beyond so many before those of newer ones are long dead: bytes live for 150 blocks at most."""


class LedgerBehind(Exception):
    """The projections have not got to the batch's cut."""


class StoredPage(NamedTuple):
    """One page of a stored batch; `deltas` are the bytes that the program reads."""

    page: int
    net: int
    moves: int
    deltas: bytes


class StoredBatch(NamedTuple):
    """A stored batch with its pages in sending order. It covers the records after `after_seq` up to `seq`."""

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
    """Signed bytes, kept before they are first sent. `status` is signed, landed, failed or expired. `attempt` numbers the tries of a
    reference; of those that nobody has, some are forgotten."""

    signature: str
    reference: str
    raw: bytes
    last_valid_block_height: int
    status: str
    lamports: int
    attempt: int


def batch_of(reference: str) -> int | None:
    """The batch that a reference is of; None for what is of no batch, such as a withdrawal."""
    kind, _, rest = reference.partition("/")
    return int(rest.partition("/")[0]) if kind == "batch" else None


class Settlement:
    """The settlement's part of the ledger."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def projected(self) -> int:
        """Journal sequence up to which the ledger has got."""
        async with self._engine.connect() as connection:
            return await _projected(connection)

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

        The root is over the batch's fills in order, and the accounts by number. Raises `LedgerBehind` when the projections have
        not got to the cut, and `ValueError` when they know it with another time or range.
        """
        async with self._engine.begin() as connection:
            known = await _load(connection, batch)
            if known is not None:
                return known
            await _check_cut(connection, batch, at, after_seq, seq)
            plans = [plan for plan, _ in pages]
            settled = await settled_after(connection, batch, after_seq, seq, accounts, plans)
            added = await connection.execute(
                insert(batches)
                .values(
                    batch=batch,
                    **(await tree_of(connection, batch, after_seq, seq, accounts))._asdict(),
                    accounts=pack(accounts),
                    settled=settled,
                    deltas=sum(len(plan.deltas) for plan, _ in pages),
                    lamports=0,
                )
                .on_conflict_do_nothing()
                .returning(batches.c.batch)
            )
            if added.first() is not None and pages:
                await connection.execute(insert(batch_pages), _page_rows(batch, pages))
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

    async def last_cut(self) -> tuple[int, BatchStatus] | None:
        """Number and status of the newest cut in the journal as projected, whether its batch is stored or was lost."""
        newest = select(cuts.c.batch, cuts.c.status).order_by(cuts.c.batch.desc()).limit(1)
        async with self._engine.connect() as connection:
            row = (await connection.execute(newest)).one_or_none()
            return (row.batch, BatchStatus(row.status)) if row is not None else None

    async def unfinished_since(self) -> tuple[int, int] | None:
        """Number of the newest cut that is not final, and its instant in nanoseconds; None when there is none."""
        waiting = select(cuts.c.batch, cuts.c.at).where(cuts.c.status < BatchStatus.FINAL)
        async with self._engine.connect() as connection:
            row = (await connection.execute(waiting.order_by(cuts.c.batch.desc()).limit(1))).one_or_none()
            return (row.batch, row.at) if row is not None else None

    async def advance(self, batch: int, status: BatchStatus) -> None:
        """Record a batch's public status once the engine has journaled it, ahead of the projector; it never goes back."""
        async with self._engine.begin() as connection:
            await connection.execute(
                update(cuts)
                .where(cuts.c.batch == batch, cuts.c.status < int(status))
                .values(status=int(status))
            )

    async def add_submission(
        self, signature: str, reference: str, raw: bytes, last_valid_block_height: int, tried: int
    ) -> Submission:
        """Keep signed bytes, made when the last known try of their reference was `tried` (0: none); must return before they are sent.

        Returns what is kept in their place: the newest try when another worker was first. Only what this returns may be sent.
        """
        row = {
            "signature": signature,
            "reference": reference,
            "batch": batch_of(reference),
            "attempt": tried + 1,
            "raw": raw,
            "last_valid_block_height": last_valid_block_height,
            "status": SIGNED,
            "lamports": 0,
        }
        # Not by the unique number alone: the next try may be forgotten already, but never the last one.
        later = select(submissions.c.number).where(
            submissions.c.reference == reference, submissions.c.attempt > tried
        )
        values = select(*(literal(one, submissions.c[name].type) for name, one in row.items()))
        async with self._engine.begin() as connection:
            await connection.execute(
                insert(submissions)
                .from_select(list(row), values.where(~later.exists()))
                .on_conflict_do_nothing()
            )
        mine = (submissions.c.signature == signature) | (submissions.c.attempt > tried)
        found = await self._submissions(select(submissions).where(submissions.c.reference == reference, mine))
        return next((one for one in found if one.signature == signature), found[-1])

    async def forget_refused(self, reference: str) -> None:
        """Delete what was signed for a step, refused before anybody had it, and is long dead (`BLOCKS_DEAD`): a step that is refused
        for days is signed anew every few seconds. The newest stays: its number tells whoever signs that he is not the first."""
        known = submissions.c.reference == reference
        newest = select(func.max(submissions.c.last_valid_block_height)).where(known).scalar_subquery()
        last = select(func.max(submissions.c.number)).where(known).scalar_subquery()
        dead = submissions.c.last_valid_block_height < newest - BLOCKS_DEAD
        refused = (submissions.c.status == FAILED) & (submissions.c.lamports == 0)
        async with self._engine.begin() as connection:
            await connection.execute(
                delete(submissions).where(known, refused, dead, submissions.c.number < last)
            )

    async def submissions(self, reference: str) -> list[Submission]:
        """Everything signed for `reference`, oldest first."""
        return await self._submissions(select(submissions).where(submissions.c.reference == reference))

    @asynccontextmanager
    async def payments_one_by_one(self) -> AsyncIterator[None]:
        """Held by one at a time, of all workers on this database; it goes with the connection of whoever dies with it."""
        async with self._engine.begin() as connection:
            await connection.execute(select(func.pg_advisory_xact_lock(PAYMENTS_LOCK)))
            yield

    async def payments_alive(self, height: int) -> list[Submission]:
        """Signed payments of withdrawals that nobody has decided on and that can land in a block after `height`, oldest first.

        Only the newest `SIGNED_LATELY` transactions are looked at: far more than are signed within the life of one.
        """
        newest = select(func.max(submissions.c.number)).where(submissions.c.batch.is_(None)).scalar_subquery()
        wanted = select(submissions).where(
            submissions.c.batch.is_(None),
            submissions.c.number > newest - SIGNED_LATELY,
            submissions.c.reference.startswith(f"{PAYMENT}/"),
            submissions.c.status == SIGNED,
            submissions.c.last_valid_block_height >= height,
        )
        return await self._submissions(wanted)

    async def submissions_of_batch(self, batch: int, status: str | None = None) -> list[Submission]:
        """Everything signed for a batch, or what has that status, oldest first."""
        wanted = select(submissions).where(submissions.c.batch == batch)
        return await self._submissions(
            wanted if status is None else wanted.where(submissions.c.status == status)
        )

    async def landed_last(self) -> Submission | None:
        """What was signed last of what landed for the newest batch of which anything did; None before the first batch."""
        landed = select(submissions).where(submissions.c.batch.is_not(None), submissions.c.status == LANDED)
        newest = landed.order_by(submissions.c.batch.desc(), submissions.c.number.desc()).limit(1)
        found = await self._submissions(newest)
        return found[0] if found else None

    async def close_submission(self, signature: str, status: str, lamports: int = 0) -> None:
        """What became of signed bytes, and the fee paid. What has landed stays so, and a fee once known stays known."""
        async with self._engine.begin() as connection:
            await connection.execute(
                update(submissions)
                .where(submissions.c.signature == signature)
                .where((submissions.c.status != LANDED) | (status == LANDED))
                .values(status=status, lamports=func.greatest(submissions.c.lamports, lamports))
            )

    async def record_lamports(self, batch: int) -> int:
        """Sum the fees of everything sent for a batch into it; returns the sum."""
        async with self._engine.begin() as connection:
            paid = select(func.coalesce(func.sum(submissions.c.lamports), 0))
            total = int((await connection.execute(paid.where(submissions.c.batch == batch))).scalar_one())
            await connection.execute(update(batches).where(batches.c.batch == batch).values(lamports=total))
            return total

    async def rebase(self, batch: int, settled: Mapping[int, int], seq: int) -> None:
        """Take what was settled at record `seq` for granted where the ledger lost its batches: see `ledger.settled`."""
        async with self._engine.begin() as connection:
            await rebase(connection, batch, settled, seq)

    async def record_reconciliation(
        self, batch: int, at: int, why: str, sentence: str, differences: Sequence[dict[str, Any]] = ()
    ) -> None:
        """Keep a comparison's result: `why` is empty when all agreed, else a stable code."""
        async with self._engine.begin() as connection:
            await connection.execute(
                insert(reconciliations)
                .values(batch=batch, at=at, why=why, sentence=sentence, differences=list(differences))
                .on_conflict_do_nothing()
            )

    async def _submissions(self, wanted: "Select[Any]") -> list[Submission]:
        async with self._engine.connect() as connection:
            return [
                _submission(row) for row in await connection.execute(wanted.order_by(submissions.c.number))
            ]


async def _projected(connection: AsyncConnection) -> int:
    return int((await connection.execute(select(func.coalesce(func.max(cursor.c.sequence), 0)))).scalar_one())


async def _check_cut(connection: AsyncConnection, batch: int, at: int, after_seq: int, seq: int) -> None:
    cut = (await connection.execute(select(cuts).where(cuts.c.batch == batch))).one_or_none()
    if cut is None:
        raise LedgerBehind(f"the ledger is at record {await _projected(connection)} and has no cut {batch}")
    if (cut.at, cut.after_seq, cut.seq) != (at, after_seq, seq):
        raise ValueError(f"cut {batch} covers records {cut.after_seq} to {cut.seq} in the ledger")


def _page_rows(batch: int, pages: Sequence[tuple[PagePlan, bytes]]) -> list[dict[str, Any]]:
    return [
        {
            "batch": batch,
            "page": plan.page,
            "position": position,
            "net": plan.net,
            "moves": len(plan.deltas),
            "deltas": data,
        }
        for position, (plan, data) in enumerate(pages)
    ]


async def _load(connection: AsyncConnection, batch: int) -> StoredBatch | None:
    wanted = select(cuts, batches.c.root, batches.c.deltas, batches.c.lamports).join(batches)
    row = (await connection.execute(wanted.where(cuts.c.batch == batch))).one_or_none()
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
        row.root,
        row.fills,
        row.deltas,
        BatchStatus(row.status),
        row.lamports,
        tuple(StoredPage(page.page, page.net, page.moves, page.deltas) for page in pages),
    )


def _submission(row: "Row[Any]") -> Submission:
    return Submission(
        row.signature,
        row.reference,
        row.raw,
        row.last_valid_block_height,
        row.status,
        row.lamports,
        row.attempt,
    )
