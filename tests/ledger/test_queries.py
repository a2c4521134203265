"""Reads over a projected history, page by page."""

import pytest

from core import events as e
from core.batches import BatchStatus
from core.exit_events import ExitClaimed
from core.funding_events import paid_by
from ledger.database import open_pool
from ledger.projector import Projector
from ledger.queries import Queries
from ledger.views import event_of

SEED, LENGTH = 12, 400


@pytest.fixture
def records(history_of):
    return history_of(SEED, LENGTH)


@pytest.fixture
async def queries(postgres_url, records):
    projector = Projector(postgres_url)
    projector.apply(records)
    projector.close()
    pool = open_pool(postgres_url)
    yield Queries(pool)
    await pool.dispose()


def batch_of(records, seq):
    return next(
        ((event.batch, 4) for at, event in records if at > seq and isinstance(event, e.SettlementCut)), (0, 0)
    )


async def test_fills_of_an_account_come_newest_first_with_their_batch(queries, records):
    expected = [
        (event.fill, seq, *batch_of(records, seq))
        for seq, event in records
        if isinstance(event, e.Filled) and 16 in (event.taker, event.maker)
    ]
    found, before = [], 0
    while page := await queries.fills(16, before, 4):
        found += page
        before = page[-1].fill
    assert [(fill.fill, fill.seq, fill.batch, fill.status) for fill in found] == expected[::-1]
    assert await queries.fill(found[0].fill) == found[0]
    assert await queries.fill(10**9) is None
    assert await queries.fills(999, 0, 5) == []


async def test_fills_of_a_batch(queries, records):
    batches = await queries.batches(0, 1000)
    assert [batch.batch for batch in batches] == list(range(len(batches), 0, -1))
    for batch in batches:
        assert batch.status == BatchStatus.FINAL
        expected = [
            event.fill
            for seq, event in records
            if isinstance(event, e.Filled) and batch.after_seq < seq <= batch.seq
        ]
        assert {(await queries.fill(number)).batch for number in expected} <= {batch.batch}
        assert batch.fills == len(expected)
    assert max(batch.fills for batch in batches) > 2


def test_fields_that_came_later_take_their_defaults():
    payload = {"at": 1, "account": 16, "tier": 1}
    assert event_of("TierSet", payload) == e.TierSet(1, 16, 1)
    with pytest.raises(KeyError):
        event_of("Unheard", payload)


def funded(records):
    return [(seq, event) for seq, event in records if isinstance(event, e.FundingSettled)]


async def test_funding_of_a_market_comes_newest_first_with_its_rates(queries, records):
    expected = [
        (event.hour, event.premium, event.hourly, event.index, event.treasury, event.insurance, seq, event.at)
        for seq, event in reversed(funded(records))
        if event.market == 1
    ]
    found, before = [], 0
    while page := await queries.funding_rates(1, before, 3):
        found += page
        before = page[-1].hour
    assert len(expected) > 3
    assert [
        (one.hour, one.premium, one.hourly, one.index_price, one.treasury, one.insurance, one.seq, one.at)
        for one in found
    ] == expected
    assert await queries.funding_rates(9, 0, 3) == []


async def test_funding_payments_of_an_account_come_newest_first(queries, records):
    expected = [
        (seq, event.at, event.market, event.hour, paid_by(event, 17), event.hourly, event.index)
        for seq, event in reversed(funded(records))
        if paid_by(event, 17)
    ]
    found, before = [], 0
    while page := await queries.funding_payments(17, before, 2):
        found += page
        before = page[-1].seq
    assert found == expected
    assert len(expected) > 2


async def test_a_private_stream_has_only_the_account_s_own_part_of_funding(queries, records):
    parts = [
        one.event for one in await queries.stream(17, 0, 10_000) if isinstance(one.event, e.FundingSettled)
    ]
    assert [part.payments for part in parts] == [((17, 500),)] * len(parts)
    assert len(parts) > 2


async def test_a_scan_begins_before_the_last_transaction_however_many_deposits_that_has(postgres_url):
    booked = [
        (1, e.DepositCredited(1, 1, 50, "a:0")),
        (2, ExitClaimed(2, 1, 10, "claim:b:0", ())),
        (3, e.DepositCredited(3, 1, 5, "b:1")),
        (4, e.DepositCredited(4, 1, 5, "c_1:0")),
        *((5 + i, e.DepositCredited(5 + i, 1, 1, f"cx1:{i}")) for i in range(31)),
        (36, ExitClaimed(36, 1, 3, "claim:cx1:31", ())),
    ]
    projector = Projector(postgres_url)
    projector.apply(booked)
    projector.close()
    pool = open_pool(postgres_url)
    queries = Queries(pool)
    assert await queries.booked_before(40) == "c_1"
    assert await queries.booked_before(4) == "b"
    assert await queries.booked_before(3) == "a"
    assert await queries.booked_before(1) is None
    assert await queries.booked_before(0) is None
    await pool.dispose()


async def test_it_is_said_of_any_number_of_deposits_and_claims_which_are_booked(postgres_url):
    projector = Projector(postgres_url)
    projector.apply([(1, e.DepositCredited(1, 1, 50, "a:0")), (2, ExitClaimed(2, 1, 10, "claim:b:0", ()))])
    projector.close()
    pool = open_pool(postgres_url)
    keys = [f"{number:088d}:0" for number in range(70_000)]
    assert await Queries(pool).credited([*keys, "claim:b:0", "a:0"], 2) == {"a:0", "claim:b:0"}
    assert await Queries(pool).credited([*keys, "claim:b:0", "a:0"], 1) == {"a:0"}
    await pool.dispose()


async def test_a_withdrawal_is_closed_once_it_is_paid_or_released(postgres_url):
    projector = Projector(postgres_url)
    reserved = [e.WithdrawalReserved(1, number, 16, 5, f"w{number}") for number in (1, 2, 3)]
    ended = [e.WithdrawalFinished(2, 1, 16, 5, True, "sig"), e.WithdrawalFinished(2, 2, 16, 5, False, "")]
    projector.apply(list(enumerate([e.DepositCredited(1, 16, 50, "a:0"), *reserved, *ended], 1)))
    projector.close()
    pool = open_pool(postgres_url)
    assert [await Queries(pool).is_closed(number) for number in (1, 2, 3, 4)] == [True, True, False, False]
    await pool.dispose()
