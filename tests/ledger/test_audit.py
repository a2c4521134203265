"""The audit trail and the ends of markets, read back from a projected history."""

import pytest
from msgspec.structs import astuple

from core import events as e
from core.custody_events import ChainAccepted
from core.liquidation_events import InsuranceFloorSet
from core.market import DEFAULT_MARKETS
from core.operator_events import (
    EXCHANGE,
    LimitsSet,
    MarketSettled,
    RetryOrdered,
    ReviewOrdered,
    SaleOrdered,
    SettlementHeld,
    SharingOrdered,
    WithdrawalsHeld,
)
from ledger.database import open_pool
from ledger.projector import Projector
from ledger.queries import Queries


@pytest.fixture
def records(history_of):
    return [(seq, event) for seq, event in history_of(5, 200)]


@pytest.fixture
async def queries(postgres_url, records):
    projector = Projector(postgres_url)
    projector.apply(records)
    projector.close()
    pool = open_pool(postgres_url)
    yield Queries(pool)
    await pool.dispose()


async def test_every_decision_is_in_the_trail_with_who_when_what_and_why(queries, records):
    decided = e.MarketStatusSet | LimitsSet | MarketSettled | WithdrawalsHeld | SettlementHeld
    decided |= InsuranceFloorSet | SaleOrdered | ReviewOrdered | SharingOrdered | RetryOrdered | ChainAccepted
    expected = [
        (seq, event.at, event.who, event.why)
        for seq, event in records
        if isinstance(event, decided) and event.who
    ]
    assert any(isinstance(event, InsuranceFloorSet) and not event.who for _, event in records)
    found, before = [], 0
    while page := await queries.operator_actions(before, 7):
        found += page
        before = page[-1].seq
    assert [(one.seq, one.at, one.who, one.why) for one in found] == expected[::-1]
    assert {one.action for one in found} == {
        *("status", "limits", "delisting", "withdrawals", "settlement"),
        *("insurance_floor", "insurance_sale", "review", "debt_sharing", "batch_retried", "chain_accepted"),
    }
    by_seq = dict(records)
    for one in found:
        event = by_seq[one.seq]
        match event:
            case LimitsSet():
                assert one.details["position_cap"] == event.limits.position_cap
                assert one.details["alarm"] == list(astuple(event.limits.alarm))
            case WithdrawalsHeld() | SettlementHeld():
                assert (one.market, one.details) == (0, {"held": event.held})
            case InsuranceFloorSet():
                assert (one.market, one.details) == (0, {"floor": event.floor})
            case SaleOrdered():
                assert (one.market, one.details) == (event.market, {})
            case ReviewOrdered() | SharingOrdered():
                assert (one.market, one.details) == (0, {"account": event.account})
            case RetryOrdered():
                assert (one.market, one.details) == (0, {"batch": event.batch})
            case ChainAccepted():
                assert (one.details["lost"], one.details["accounts"]) == (event.lost, 2)
                assert one.details["strangers"] == [list(place) for place in event.strangers]
            case MarketSettled():
                assert (one.market, one.details["price"], one.details["forced"]) == (2, 600_123, True)
            case _:
                assert one.details["status"] in ("open", "reduce_only", "paused")


async def test_what_nobody_signed_and_what_an_exchange_begins_with_is_not_in_the_trail(postgres_url):
    listed = DEFAULT_MARKETS[0]
    projector = Projector(postgres_url)
    records = [
        e.MarketListed(3, listed),
        e.MarketListed(4, listed, EXCHANGE),
        e.MarketListed(4, listed, EXCHANGE, "a default of this release"),  # as earlier releases began
        e.MarketListed(4, listed, "ada", "asked for"),
        e.MarketStatusSet(5, 1, 2),
        e.MarketStatusSet(6, 1, 1, "ada", "why"),
        e.MarketListed(7, listed, EXCHANGE, "another default of this release"),
    ]
    projector.apply(list(enumerate(records, 1)))
    projector.close()
    pool = open_pool(postgres_url)
    changed, opened, asked = await Queries(pool).operator_actions(0, 10)
    assert (changed.who, changed.action, changed.why) == (
        EXCHANGE,
        "listing",
        "another default of this release",
    )
    assert (opened.seq, opened.action) == (6, "status")
    assert (asked.seq, asked.who, asked.action, asked.market, asked.why) == (
        4,
        "ada",
        "listing",
        1,
        "asked for",
    )
    assert (asked.details["tick"], asked.details["feed"]) == (listed.tick, listed.feed)
    await pool.dispose()
