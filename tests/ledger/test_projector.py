"""Projections on a real PostgreSQL: exactly once, however the journal is divided and whoever writes."""

import random
import threading
from dataclasses import dataclass

import msgspec
import psycopg
import pytest
from sqlalchemy import Table

from core import events as e
from core import liquidation_events as le
from core.concerns import concerns, seen_by
from core.operator_events import MarketSettled
from core.postings import postings
from core.quantities import SECOND
from ledger import tables_vaults, tables_venues
from ledger.database import open_pool
from ledger.projector import JournalDiffers, JournalGap, Projector, ProjectorBusy
from ledger.queries import Queries
from ledger.tables import metadata

OF_OTHERS = {
    table.name
    for module in (tables_vaults, tables_venues)
    for table in vars(module).values()
    if isinstance(table, Table)
}
"""What vaults do outside is in no journal."""


def tables(url):
    """Everything the projector wrote, in the order of the keys."""
    with psycopg.connect(url) as connection:
        return {
            table.name: connection.execute(
                f"select * from {table.name} order by {', '.join(c.name for c in table.primary_key)}"
            ).fetchall()
            for table in metadata.tables.values()
        }


def project(url, records):
    projector = Projector(url)
    projector.apply(records)
    projector.close()


def test_runs_of_any_length_give_the_same_tables(postgres_url, history_of):
    records = history_of(1, 400)
    project(postgres_url, records)
    once = tables(postgres_url)
    written = {name for name, rows in once.items() if rows}
    assert written == set(once) - {"batches", "batch_pages", "submissions", "reconciliations"} - OF_OTHERS
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"truncate {', '.join(once)}")
    rng, at = random.Random(2), 0
    while at < len(records):
        projector = Projector(postgres_url)
        projector.apply(records[max(0, at - 20) : at + rng.randrange(1, 90)])
        assert projector.sequence > at
        at = projector.sequence
        projector.close()
    assert tables(postgres_url) == once


def test_the_tables_hold_what_the_events_say(postgres_url, history_of):
    records = history_of(7, 600)
    project(postgres_url, records)
    found = tables(postgres_url)
    events = [event for _, event in records]
    balances, sizes, costs = {}, {}, {}
    for event in events:
        for posting in postings(event):
            balances[posting.debit] = balances.get(posting.debit, 0) - posting.amount
            balances[posting.credit] = balances.get(posting.credit, 0) + posting.amount
        if isinstance(event, e.Filled):
            for account, side, cost in (
                (event.taker, 1, event.taker_cost),
                (event.maker, -1, event.maker_cost),
            ):
                key = account, event.market
                sizes[key] = sizes.get(key, 0) + side * event.side * event.size
                costs[key] = cost
        if isinstance(event, MarketSettled):
            for end in event.positions:
                sizes[end.account, event.market] = costs[end.account, event.market] = 0
        for part in event.parts if isinstance(event, le.TakenOver | le.Deleveraged) else ():
            for account, change, cost in (
                (event.account, -part.size, part.cost),
                (part.other, part.size, part.other_cost),
            ):
                key = account, part.market
                sizes[key] = sizes.get(key, 0) + change
                costs[key] = cost
    assert dict(found["balances"]) == balances
    assert {row[:2]: row[2:] for row in found["positions"]} == {
        key: (sizes[key], costs[key]) for key in sizes
    }
    filled = [(seq, event) for seq, event in records if isinstance(event, e.Filled)]
    assert [(row[1], *row[2:3], row[0], *row[3:]) for row in found["fills"]] == [
        (seq, *msgspec.structs.astuple(event)) for seq, event in filled
    ]
    latest = {event.market: event for event in events if isinstance(event, e.IndexUpdated)}
    assert {row[0]: row[3] for row in found["index_prices"]} == {
        m: event.price for m, event in latest.items()
    }
    observed: dict[tuple[int, int], int] = {}
    for event in events:
        if isinstance(event, e.IndexUpdated) and not event.held:
            observed.setdefault((event.market, event.at // SECOND), event.price)
    assert {row[:2]: row[2] for row in found["index_history"]} == observed
    deposits = [event for event in events if isinstance(event, e.DepositCredited)]
    assert sorted(row[0] for row in found["deposits"]) == sorted(event.key for event in deposits)
    assert {row[6] for row in found["withdrawals"]} == {"paid", "released"}
    tiers = {event.account: event.tier for event in events if isinstance(event, e.TierSet)}
    assert [row for row in found["agents"] if row[0] >= 24] == [
        (24, 19, 9, "owner0", "agent0/1", tiers.get(16, 0), -1, -1, 16, 1),
        (25, 20, 9, "owner0", "agent1/2", tiers.get(17, 0), -1, -1, 17, 2),
    ]
    assert [row[4] for row in found["cuts"]] == _fills_between_cuts(events)


def _fills_between_cuts(events):
    counts, count = [], 0
    for event in events:
        count += isinstance(event, e.Filled)
        if isinstance(event, e.SettlementCut):
            counts.append(count)
            count = 0
    return counts


async def test_the_books_balance_and_streams_are_numbered_without_gaps(postgres_url, history_of):
    records = history_of(3, 300)
    half = len(records) // 2
    project(postgres_url, records[:half])
    project(postgres_url, records[half:])
    pool = open_pool(postgres_url)
    queries = Queries(pool)
    totals = await queries.totals()
    assert (totals.total, totals.positions_zero_sum, totals.clearing_matches) == (0, True, True)
    assert totals.accounts == -totals.outside
    assert totals.fills == sum(isinstance(event, e.Filled) for _, event in records)
    last_cut = max(seq for seq, event in records if isinstance(event, e.SettlementCut))
    assert totals.final_fills == sum(isinstance(event, e.Filled) for seq, event in records if seq < last_cut)
    for account in range(16, 24):
        stream = await queries.stream(account, 0, 10_000)
        assert [one.number for one in stream] == list(range(1, len(stream) + 1))
        assert [(one.seq, one.event) for one in stream] == [
            (seq, seen_by(event, account)) for seq, event in records if account in concerns(event)
        ]
        assert await queries.stream(account, len(stream) - 1, 5) == stream[-1:]
    await pool.dispose()


def test_a_gap_or_another_journal_is_refused_and_changes_nothing(postgres_url, history_of):
    records = history_of(1, 20)
    projector = Projector(postgres_url)
    with pytest.raises(JournalGap, match="record 2 follows 0"):
        projector.apply(records[1:])
    projector.apply(records[:10])
    before = tables(postgres_url)
    with pytest.raises(JournalGap, match="record 13 follows 11"):
        projector.apply([*records[10:11], *records[12:]])
    other = records[9][0], msgspec.structs.replace(records[9][1], at=records[9][1].at + 1)
    with pytest.raises(JournalDiffers, match="record 10"):
        projector.apply([other, *records[10:]])
    assert tables(postgres_url) == before
    projector.apply(records[9:])
    assert projector.sequence == len(records)
    projector.close()


def test_one_projector_at_a_time(postgres_url):
    first = Projector(postgres_url)
    with pytest.raises(ProjectorBusy):
        Projector(postgres_url)
    first.close()
    Projector(postgres_url).close()


@dataclass
class Racer:
    """Opens projectors until the journal is projected, now and then losing the connection in the middle."""

    url: str
    records: list
    rng: random.Random

    def run(self):
        while True:
            try:
                projector = Projector(self.url)
            except ProjectorBusy:
                continue
            at = projector.sequence
            if at == len(self.records):
                projector.close()
                return
            with psycopg.connect(self.url, autocommit=True) as connection:
                if self.rng.random() < 0.3:
                    # The lock goes with the connection: another one may begin while this one still believes it writes.
                    connection.execute(
                        "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and database ="
                        " (select oid from pg_database where datname = current_database())"
                    )
            try:
                projector.apply(self.records[at : at + self.rng.randrange(1, 60)])
            except (psycopg.OperationalError, JournalGap):
                continue
            finally:
                projector.close()


def test_racing_projectors_that_lose_their_connections_write_everything_once(postgres_url, history_of):
    records = history_of(4, 500)
    racers = [threading.Thread(target=Racer(postgres_url, records, random.Random(n)).run) for n in range(2)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    raced = tables(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"truncate {', '.join(raced)}")
    project(postgres_url, records)
    assert tables(postgres_url) == raced


def test_catching_up_takes_a_transaction_for_each_piece_and_not_for_each_record(postgres_url, history_of):
    records = history_of(5, 12_000)
    projector = Projector(postgres_url)
    clock = psycopg.connect(postgres_url, autocommit=True)
    began = clock.execute("select pg_current_xact_id()::text::bigint").fetchone()[0]
    pieces = range(0, len(records), 5_000)
    for start in pieces:
        projector.apply(records[start : start + 5_000])
    ended = clock.execute("select pg_current_xact_id()::text::bigint").fetchone()[0]
    # Other databases of this server have transactions of their own.
    assert len(pieces) < ended - began < len(records) / 50
    projector.close()
    clock.close()


DAY = 24 * 3_600 * SECOND


def closed(number, at, filled):
    outcome, value, fills = ("filled", 10**9, (number,)) if filled else ("expired", 0, ())
    terms = (16, f"key{number}", 5, 1, 1, 4, 4 if filled else 0, value, outcome, fills)
    return e.RequestClosed(at, number, *terms)


def test_old_requests_without_a_fill_are_forgotten_in_small_steps_and_nothing_else(postgres_url):
    ends = [closed(number, number * SECOND, filled=number % 3 == 0) for number in range(1, 91)]
    last = closed(91, 60 * SECOND + 30 * DAY, filled=False)
    project(postgres_url, list(enumerate([*ends, last], 1)))
    before = tables(postgres_url)
    projector = Projector(postgres_url)
    assert [projector.forget_unfilled(30 * DAY, 25) for _ in range(3)] == [25, 15, 0]
    after = tables(postgres_url)
    kept = [row[0] for row in after["requests"]]
    assert kept == [end.request for end in [*ends, last] if end.filled or end.at >= 60 * SECOND]
    assert {name for name in before if before[name] != after[name]} == {"requests"}
    again = closed(92, last.at + 2 * SECOND, filled=False)
    projector.apply([(91, last), (92, again)])
    assert projector.forget_unfilled(30 * DAY) == 1, "that of the 61st second"
    projector.close()
    # Projected anew from the journal, all are there again, until they are forgotten again.
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"truncate {', '.join(before)}")
    project(postgres_url, list(enumerate([*ends, last], 1)))
    assert tables(postgres_url) == before


def test_forgetting_reads_only_what_it_deletes(postgres_url):
    """A busy exchange has millions of filled requests, and looks every second."""
    ends = [closed(number, number, filled=number % 50 > 0) for number in range(1, 5_001)]
    project(postgres_url, list(enumerate(ends, 1)))
    with psycopg.connect(postgres_url) as connection:
        connection.execute("analyze requests")
        plan = connection.execute(
            "explain select request from requests where filled = 0 and at < 100 order by at limit 50"
        ).fetchall()
    assert any("ix_requests_unfilled" in line for (line,) in plan), plan


@pytest.mark.parametrize("together", [True, False])
def test_who_had_a_slot_before_has_none_any_more(postgres_url, together):
    records = [
        (1, e.AgentRegistered(1, 16, "a", "first")),
        (2, e.SlotBound(1, 16, 0, 2)),
        (3, e.AgentRegistered(1, 17, "b", "second")),
        (4, e.SlotBound(1, 17, 0, 2)),
    ]
    for part in [records] if together else [[one] for one in records]:
        project(postgres_url, part)
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute("select account, page, slot from agents order by account").fetchall()
    # Page -2; in place of the slot it is kept which page it was, as -2 less that.
    assert found == [(16, -2, -2), (17, 0, 2)]
