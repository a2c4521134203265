"""What reads of the ledger return, and how rows become it."""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple, get_args

import msgspec
from sqlalchemy import Row, Select, func, select, true
from sqlalchemy.dialects.postgresql import aggregate_order_by

from core.batches import BatchStatus, PageStatus
from core.events import DURABLE, Event
from ledger.settlement import LANDED
from ledger.tables import batch_pages, batches, cuts, fills, submissions

_KINDS: Final[dict[str, type[Event]]] = {kind.__name__: kind for kind in get_args(DURABLE)}


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
    """A batch for screens; `after_seq` exclusive, `seq` inclusive; signatures of what landed for it, in order.

    Until its plan is stored, its root is empty and it has no pages. `final_at` is 0 before it is final.
    """

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
    final_at: int = 0


class PageView(NamedTuple):
    """A page of a batch, in sending order. `signature` is that of the transaction that landed, else empty."""

    page: int
    net: int
    moves: int
    status: PageStatus
    signature: str


class Reconciled(NamedTuple):
    """A comparison of chain and engine after a batch; `why` is empty when everything agreed."""

    batch: int
    at: int
    why: str
    sentence: str
    differences: list[dict[str, Any]]


class Totals(NamedTuple):
    """Proof that the books balance, in micro-USDC.

    `total` is the sum of all accounts, the outside included, and must be zero; `outside` is withdrawals less deposits. Positions of
    each market must add up to nothing, and the clearing account must hold minus the cost of all.
    """

    total: int
    outside: int
    accounts: int
    fills: int
    final_fills: int
    positions_zero_sum: bool
    clearing_matches: bool


def event_of(kind: str, payload: dict[str, Any]) -> Event:
    """The event as it was journaled; fields that its type got later take their defaults."""
    type = _KINDS[kind]
    known = [payload[field] for field in type.__struct_fields__ if field in payload]
    return msgspec.convert([type.__struct_config__.tag, *known], type)


def fills_with_batch() -> "Select[Any]":
    # Cuts divide the journal without gaps, so the batch of a fill is the first cut that ends at or after it.
    cut = (
        select(cuts.c.batch, cuts.c.status)
        .where(cuts.c.seq >= fills.c.seq)
        .order_by(cuts.c.seq)
        .limit(1)
        .lateral("cut")
    )
    return select(
        fills,
        func.coalesce(cut.c.batch, 0).label("batch"),
        func.coalesce(cut.c.status, int(BatchStatus.MATCHED)).label("status"),
    ).select_from(fills.outerjoin(cut, true()))


def batches_with_signatures() -> "Select[Any]":
    pages = (
        select(func.count())
        .select_from(batch_pages)
        .where(batch_pages.c.batch == cuts.c.batch)
        .scalar_subquery()
    )
    landed = (
        select(func.array_agg(aggregate_order_by(submissions.c.signature, submissions.c.number)))
        .where(submissions.c.batch == cuts.c.batch, submissions.c.status == LANDED)
        .scalar_subquery()
    )
    return select(
        cuts,
        batches.c.root,
        func.coalesce(batches.c.deltas, 0).label("deltas"),
        func.coalesce(batches.c.lamports, 0).label("lamports"),
        pages.label("pages"),
        landed.label("signatures"),
    ).select_from(cuts.outerjoin(batches))


def batch_view(row: "Row[Any]") -> BatchView:
    return BatchView(
        row.batch,
        row.after_seq,
        row.seq,
        row.at,
        row.status,
        row.root.hex() if row.root is not None else "",
        row.pages,
        row.deltas,
        row.fills,
        row.lamports,
        tuple(row.signatures or ()),
        row.final_at,
    )


def page_views(
    status: BatchStatus, pages: Iterable["Row[Any]"], sent: Iterable["Row[Any]"]
) -> list[PageView]:
    """Pages in their order, each with what became of the transactions signed for it."""
    signed, landed = set(), {}
    for row in sent:
        signed.add(row.reference)
        if row.status == LANDED:
            landed[row.reference] = row.signature
    views = []
    for page in pages:
        reference = f"batch/{page.batch}/page/{page.page}"
        reached = PageStatus.SIGNED if reference in signed else PageStatus.PLANNED
        if reference in landed:
            reached = PageStatus.FINALIZED if status == BatchStatus.FINAL else PageStatus.CONFIRMED
        views.append(PageView(page.page, page.net, page.moves, reached, landed.get(reference, "")))
    return views
