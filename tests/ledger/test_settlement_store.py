"""Batches and submissions in the ledger: each function may be repeated."""

from core import events as e
from core.batches import BatchStatus
from core.merkle import account_leaf, root
from core.pages import plan_pages
from ledger.database import open_pool
from ledger.projector import Projector
from ledger.queries import Queries
from ledger.settlement import EXPIRED, LANDED, AccountAtCut, Settlement


async def test_a_batch_is_stored_once_and_its_fills_follow_its_status(postgres_url):
    projector = Projector(postgres_url)
    filled = e.Filled(1, 1, 1, 1, 1, 16, 17, 1, 5, 600_000, 7, 0, 0, 1, 1, 1)
    later = e.Filled(3, 2, 1, 1, 1, 16, 17, 1, 5, 600_000, 7, 0, 0, 1, 1, 1)
    projector.apply([(1, filled), (2, e.SettlementCut(2, 1, ((1, 600_000),))), (3, later)])
    pool = open_pool(postgres_url)
    settlement, queries = Settlement(pool), Queries(pool)
    assert await settlement.last_batch() is None
    await settlement.wait_projected(3)
    plans = [(plan, bytes([plan.page])) for plan in plan_pages([(0, 2, -7), (1, 0, 7)])]
    accounts = [AccountAtCut(17, 5, 5), AccountAtCut(16, -2, 9)]
    stored = await settlement.store_batch(1, 2, 0, 2, accounts, plans)
    assert [page.page for page in stored.pages] == [0, 1]
    assert (stored.fills, stored.deltas, stored.status) == (1, 2, BatchStatus.BATCHED)
    assert stored.root != root([account_leaf(1, *one) for one in sorted(accounts)])
    assert await settlement.store_batch(1, 99, 0, 2, [], []) == stored
    assert await settlement.last_batch() == stored
    await settlement.advance(1, BatchStatus.CONFIRMED)
    await settlement.advance(1, BatchStatus.SUBMITTED)
    first, second = await queries.fill(1), await queries.fill(2)
    assert first is not None
    assert second is not None
    assert (first.batch, first.status) == (1, BatchStatus.CONFIRMED)
    assert (second.batch, second.status) == (0, BatchStatus.MATCHED)
    await pool.dispose()


async def test_submissions_are_kept_in_order_and_their_fees_are_the_batchs(postgres_url):
    pool = open_pool(postgres_url)
    settlement, queries = Settlement(pool), Queries(pool)
    await settlement.store_batch(1, 2, 0, 2, [], [])
    for _ in range(2):
        await settlement.add_submission("sig1", "batch/1/page/0", b"raw1", 10)
    await settlement.add_submission("sig2", "batch/1/page/0", b"raw2", 20)
    await settlement.add_submission("sig3", "batch/10/page/0", b"raw3", 20)
    await settlement.close_submission("sig1", EXPIRED)
    await settlement.close_submission("sig2", LANDED, 5_000)
    await settlement.close_submission("sig3", LANDED, 9_000)
    found = await settlement.submissions("batch/1/page/0")
    assert [(one.signature, one.raw, one.status) for one in found] == [
        ("sig1", b"raw1", EXPIRED),
        ("sig2", b"raw2", LANDED),
    ]
    assert await settlement.record_lamports(1) == 5_000
    view = await queries.batch(1)
    assert view is not None
    assert (view.lamports, view.signatures) == (5_000, ("sig2",))
    assert await queries.batches(0, 10) == [view]
    assert await queries.batches(1, 10) == []
    await settlement.record_reconciliation(1, 5, "", "everything agrees")
    await pool.dispose()
