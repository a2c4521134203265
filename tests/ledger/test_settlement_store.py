"""Batches and submissions in the ledger: each function may be repeated, and what is read back is what agents are shown."""

import asyncio
import sys
from threading import get_ident
from traceback import walk_stack

import psycopg
import pytest
from msgspec.structs import replace
from sqlalchemy import event

from core import events as e
from core.batches import BatchStatus, PageStatus
from core.merkle import verify
from core.pages import plan_pages
from ledger.batch_roots import WIDTH
from ledger.database import open_pool
from ledger.projector import Projector
from ledger.queries import Queries
from ledger.settlement import BLOCKS_DEAD, EXPIRED, FAILED, LANDED, AccountAtCut, LedgerBehind, Settlement

FILLED = e.Filled(1, 1, 1, 1, 1, 16, 17, 1, 5, 600_000, 7, 3, -3, 10, -10, 1)
LATER = e.Filled(3, 2, 1, 1, 1, 16, 18, 1, 5, 600_000, 7, 0, 0, 1, 1, 1)
CUT = e.SettlementCut(2, 1, ((1, 600_000),))
ACCOUNTS = [AccountAtCut(17, 5, 5), AccountAtCut(16, -2, 9), AccountAtCut(1, 0, 0)]
FILLS = 30_000
PLANS = [(plan, bytes([plan.page])) for plan in plan_pages([(0, 2, -7), (1, 0, 7)])]


@pytest.fixture
async def pool(postgres_url):
    pool = open_pool(postgres_url)
    yield pool
    await pool.dispose()


@pytest.fixture
def journal(postgres_url):
    """A projector that has a fill, the cut of batch 1, and a later fill."""
    projector = Projector(postgres_url)
    projector.apply([(1, FILLED), (2, CUT), (3, LATER)])
    yield projector
    projector.close()


async def test_a_batch_is_stored_once_and_its_fills_follow_its_status(pool, journal):
    settlement, queries = Settlement(pool), Queries(pool)
    assert await settlement.last_batch() is None
    await settlement.wait_projected(3)
    stored = await asyncio.gather(*(settlement.store_batch(1, 2, 0, 2, ACCOUNTS, PLANS) for _ in range(3)))
    assert stored[0] == stored[1] == stored[2]
    assert [(page.page, page.net, page.moves, page.deltas) for page in stored[0].pages] == [
        (0, -7, 1, b"\0"),
        (1, 7, 1, b"\1"),
    ]
    assert (stored[0].fills, stored[0].deltas, stored[0].status) == (1, 2, BatchStatus.BATCHED)
    assert await settlement.store_batch(1, 2, 0, 2, [], []) == stored[0]
    assert await settlement.last_batch() == await settlement.load_batch(1) == stored[0]
    assert await queries.newest_roots(1) == {stored[0].root}
    assert await queries.newest_roots(0) == frozenset()
    await settlement.advance(1, BatchStatus.CONFIRMED)
    journal.apply([(4, e.BatchAdvanced(5, 1, BatchStatus.SUBMITTED, ()))])
    first, second = await queries.fill(1), await queries.fill(2)
    assert (first.batch, first.status) == (1, BatchStatus.CONFIRMED)
    assert (second.batch, second.status) == (0, BatchStatus.MATCHED)
    journal.apply([(5, e.BatchAdvanced(9, 1, BatchStatus.FINAL, ("sig",)))])
    view = await queries.batch(1)
    assert (view.status, view.final_at, view.after_seq, view.seq) == (BatchStatus.FINAL, 9, 0, 2)
    assert (await queries.totals()).final_fills == 1


async def test_a_batch_waits_for_the_ledger_and_must_agree_with_it(pool, journal):
    settlement, queries = Settlement(pool), Queries(pool)
    with pytest.raises(LedgerBehind, match="at record 3 and has no cut 2"):
        await settlement.store_batch(2, 9, 2, 9, ACCOUNTS, PLANS)
    with pytest.raises(ValueError, match="cut 1 covers records 0 to 2"):
        await settlement.store_batch(1, 2, 0, 3, ACCOUNTS, PLANS)
    assert await settlement.last_batch() is None
    waiting = asyncio.create_task(settlement.wait_projected(4, poll_s=0.01))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    journal.apply([(4, e.SettlementCut(4, 2, ()))])
    await asyncio.wait_for(waiting, 5)
    assert [(row.batch, row.root, row.pages) for row in await queries.batches(0, 10)] == [
        (2, "", 0),
        (1, "", 0),
    ]
    assert (await settlement.store_batch(2, 4, 2, 4, ACCOUNTS, [])).fills == 1


async def test_fills_and_accounts_are_proven_to_the_stored_root(pool, journal):
    settlement, queries = Settlement(pool), Queries(pool)
    assert await queries.prove_fill(1) is None
    stored = await settlement.store_batch(1, 2, 0, 2, ACCOUNTS, PLANS)
    for proof in (await queries.prove_fill(1), *[await queries.prove_account(1, one[0]) for one in ACCOUNTS]):
        assert (proof.batch, proof.root, proof.seal) == (1, stored.root, "")
        assert verify(proof.leaf, proof.path, proof.root)
    journal.apply([(4, e.BatchAdvanced(5, 1, BatchStatus.CONFIRMED, ("open", "page")))])
    assert (await queries.prove_fill(1)).seal == ""
    assert await queries.prove_account(None, 16) is None
    journal.apply([(5, e.BatchAdvanced(6, 1, BatchStatus.FINAL, ("open", "page", "seal")))])
    assert (await queries.prove_fill(1)).seal == (await queries.prove_account(1, 16)).seal == "seal"
    assert await queries.prove_fill(2) is None
    journal.apply([(6, e.SettlementCut(7, 2, ()))])
    await settlement.store_batch(2, 7, 2, 6, ACCOUNTS, [])
    assert await queries.prove_account(None, 16) == await queries.prove_account(1, 16)
    assert (await queries.prove_account(2, 16)).seal == ""
    assert await queries.prove_fill(99) is None
    assert await queries.prove_account(1, 99) is None
    assert await queries.prove_account(None, 99) is None
    assert await queries.prove_account(3, 16) is None


async def test_the_root_of_a_large_batch_is_hashed_beside_the_loop(pool, journal):
    """A worker that could not say for seconds that it is alive would be taken for dead, at every try anew."""
    journal.apply([(4 + n, replace(LATER, fill=3 + n)) for n in range(FILLS)])
    journal.apply([(4 + FILLS, e.SettlementCut(4, 2, ()))])
    seen = set()
    storing = asyncio.create_task(Settlement(pool).store_batch(2, 4, 2, 4 + FILLS, ACCOUNTS, PLANS))
    while not storing.done():
        seen |= {
            frame.f_code.co_name
            for thread, top in sys._current_frames().items()
            if thread != get_ident()
            for frame, _ in walk_stack(top)
        }
        await asyncio.sleep(0)
    stored = await storing
    assert {"_leaves", "_tree"} <= seen
    for fill in (2, FILLS // 2, FILLS + 2):
        proof = await Queries(pool).prove_fill(fill)
        assert verify(proof.leaf, proof.path, stored.root)


async def test_a_proof_reads_little_of_a_large_batch(pool, journal):
    """What it reads is bounded by a node's width, and all places of a batch of several nodes are proven."""
    count = 2 * WIDTH + 5
    accounts = [AccountAtCut(16 + 3 * n, n, -n) for n in range(count)]
    more = [(4 + n, replace(LATER, fill=3 + n)) for n in range(count)]
    journal.apply([*more, (4 + count, e.SettlementCut(4, 2, ()))])
    settlement, queries = Settlement(pool), Queries(pool)
    stored = await settlement.store_batch(2, 4, 2, 4 + count, accounts, [])
    rows = []
    event.listen(pool.sync_engine, "after_cursor_execute", lambda *given: rows.append(given[1].rowcount))
    places = (0, 1, WIDTH - 1, WIDTH, 2 * WIDTH, count - 1)
    proofs = [await queries.prove_fill(3 + n) for n in places]
    proofs += [await queries.prove_account(2, 16 + 3 * n) for n in places]
    for proof in proofs:
        assert (proof.batch, proof.root) == (2, stored.root)
        assert verify(proof.leaf, proof.path, proof.root)
    assert max(rows) <= WIDTH
    assert await queries.prove_account(2, 17) is None
    assert await queries.prove_account(2, 16 + 3 * count) is None


async def test_submissions_are_kept_in_order_and_their_fees_are_the_batchs(pool, journal):
    settlement, queries = Settlement(pool), Queries(pool)
    await settlement.store_batch(1, 2, 0, 2, ACCOUNTS, PLANS)
    for _ in range(2):
        assert (await settlement.add_submission("sig1", "batch/1/page/0", b"raw1", 10, 0)).raw == b"raw1"
    await settlement.add_submission("sig2", "batch/1/page/0", b"raw2", 20, 1)
    await settlement.add_submission("sig3", "batch/10/page/0", b"raw3", 20, 0)
    await settlement.add_submission("sig4", "withdrawal/1", b"raw4", 20, 0)
    assert [page.status for page in await queries.pages(1)] == [PageStatus.SIGNED, PageStatus.PLANNED]
    await settlement.close_submission("sig1", EXPIRED)
    await settlement.close_submission("sig2", LANDED, 5_000)
    await settlement.close_submission("sig2", LANDED)
    await settlement.close_submission("sig2", FAILED)
    await settlement.close_submission("sig3", LANDED, 9_000)
    found = await settlement.submissions("batch/1/page/0")
    assert [(one.signature, one.raw, one.status, one.lamports) for one in found] == [
        ("sig1", b"raw1", EXPIRED, 0),
        ("sig2", b"raw2", LANDED, 5_000),
    ]
    assert await settlement.submissions_of_batch(1) == found
    assert await settlement.record_lamports(1) == 5_000
    view = await queries.batch(1)
    assert (view.lamports, view.signatures, view.pages, view.deltas) == (5_000, ("sig2",), 2, 2)
    assert await queries.batches(0, 10) == [view]
    assert await queries.batches(1, 10) == []
    assert [(page.status, page.signature) for page in await queries.pages(1)] == [
        (PageStatus.CONFIRMED, "sig2"),
        (PageStatus.PLANNED, ""),
    ]
    await settlement.advance(1, BatchStatus.FINAL)
    assert (await queries.pages(1))[0].status == PageStatus.FINALIZED
    assert await queries.pages(7) == []


async def test_of_a_step_that_is_refused_for_days_few_tries_are_kept(pool):
    """Never the last one, nor what may still land or has landed, and a number is never given twice."""
    settlement, reference = Settlement(pool), "batch/1/page/0"
    await settlement.add_submission("expired", reference, b"raw", 1, 0)
    await settlement.close_submission("expired", EXPIRED)
    await settlement.add_submission("failed", reference, b"raw", 2, 1)
    await settlement.close_submission("failed", FAILED, 5_000)
    for number in range(2, 300):
        signature, height = f"sig{number}", number * 10
        kept = await settlement.add_submission(signature, reference, b"raw", height, number)
        assert (kept.signature, kept.attempt) == (signature, number + 1)
        await settlement.close_submission(signature, FAILED)
        await settlement.forget_refused(reference)
    found = await settlement.submissions(reference)
    kept = BLOCKS_DEAD // 10 + 1
    assert [one.signature for one in found] == [
        "expired",
        "failed",
        *(f"sig{number}" for number in range(300 - kept, 300)),
    ]
    # Who has slept since the third try is not the first with the fourth, though that is gone: he sends the newest.
    late = await settlement.add_submission("late", reference, b"late", 3_000, 3)
    assert late == found[-1]
    assert await settlement.submissions(reference) == found
    await settlement.forget_refused("batch/1/page/1")
    await settlement.add_submission("other", "batch/1/page/1", b"raw", 9_999, 0)
    await settlement.close_submission("other", LANDED)
    assert [one.signature for one in await settlement.submissions_of_batch(1, LANDED)] == ["other"]


async def test_what_may_never_be_is_refused_by_the_tables(pool, journal, postgres_url):
    await Settlement(pool).store_batch(1, 2, 0, 2, ACCOUNTS, PLANS)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for statement in (
            "insert into postings values (9, 0, 16, 16, 5, 'fee', 9)",
            "insert into postings values (9, 0, 16, 17, 0, 'fee', 9)",
            "update fills set side = 0",
            "update fills set size = -1",
            "update batches set root = 'short'",
            "update cuts set status = 5",
            "insert into cursor values (2, 0, 0, 0)",
            "insert into deposits values ('key', 9, 9, 16, -1)",
        ):
            with pytest.raises(psycopg.errors.CheckViolation):
                connection.execute(statement)
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.execute("insert into batch_pages values (77, 0, 0, 0, 1, '')")


async def test_reconciliations_are_kept(pool):
    settlement, queries = Settlement(pool), Queries(pool)
    for _ in range(2):
        await settlement.record_reconciliation(1, 5, "", "everything agrees")
    await settlement.record_reconciliation(1, 6, "vault_short", "the vault holds less")
    assert [(one.batch, one.at, one.why) for one in await queries.reconciliations(5)] == [
        (1, 6, "vault_short"),
        (1, 5, ""),
    ]


async def test_a_batch_waits_from_its_cut_until_it_is_final(pool, journal):
    settlement = Settlement(pool)
    assert await settlement.unfinished_since() == (1, CUT.at)
    await settlement.store_batch(1, CUT.at, 0, 2, ACCOUNTS, PLANS)
    for status in (BatchStatus.SUBMITTED, BatchStatus.CONFIRMED):
        await settlement.advance(1, status)
        assert await settlement.unfinished_since() == (1, CUT.at)
    await settlement.advance(1, BatchStatus.FINAL)
    assert await settlement.unfinished_since() is None


async def test_of_two_workers_that_sign_the_same_try_both_send_what_the_first_stored(pool):
    settlement = Settlement(pool)
    kept = await asyncio.gather(
        *(settlement.add_submission(f"sig{n}", "slot/17", f"raw{n}".encode(), n, 0) for n in range(8))
    )
    assert len(set(kept)) == 1
    assert await settlement.submissions("slot/17") == [kept[0]]
    await settlement.close_submission(kept[0].signature, LANDED)
    late = await settlement.add_submission("late", "slot/17", b"late", 9, 0)
    assert (late.signature, late.status) == (kept[0].signature, LANDED)
    assert (await settlement.add_submission("next", "slot/17", b"next", 9, 1)).signature == "next"
