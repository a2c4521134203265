"""Fills at venues: whoever reads and however often, each moves orders, positions, cash and events once."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from structlog.testing import capture_logs
from temporalio.testing import ActivityEnvironment

from activities.venue_books import VenueBooks
from activities.venue_collection import VenueCollectionActivities
from core.market import Side
from core.risk_template import RiskTemplate
from core.tickets import PRICE_MAX, SIZE_MAX, price_from, size_from
from ledger.database import open_pool
from ledger.tables_venues import vault_cash_moves, venue_doubts
from ledger.vaults import Vaults
from ledger.venue_fills import Difference, Payment, TakenFill, VenueFills
from ledger.venue_orders import OpenLimit, Standing, StoredOrder, VenueOrders
from ledger.venue_reads import (
    differences_before,
    events_after,
    fills_before,
    head_of,
    held_by,
    orders_before,
    standings,
)
from venues.driver import Fills, FundingPayment, FundingPayments, VenueFill

ONE = size_from("1")


def order(name="a", vault="gold", **changes):
    given = StoredOrder(
        f"{vault}/{name}", vault, "hyper", "ETH", name, f"0x{name}", "", "ada", 1, 3 * ONE, "limit",
        price_from("2000"), "gtc", 0, 2, Standing.ACCEPTED, 0, "", "", 5, 5, 9,
    )  # fmt: skip
    return given._replace(**changes)


def fill(number, client="0xa", size=ONE, side=1, price="2000.00000001", fee=70):
    return TakenFill(f"f{number}", client, "77", "ETH", side, size, price_from(price), fee, 100 + number)


@pytest.fixture
async def pool(postgres_url):
    opened = open_pool(postgres_url)
    yield opened
    await opened.dispose()


async def cash(pool, vault="gold"):
    c = vault_cash_moves.c
    wanted = select(c.kind, c.reference, c.amount).where(c.vault == vault).order_by(c.number)
    async with pool.connect() as connection:
        return [tuple(row) for row in await connection.execute(wanted)]


async def test_a_fill_moves_order_position_and_cash_together(pool):
    orders, fills = VenueOrders(pool), VenueFills(pool)
    await orders.accept(order())
    new = await fills.record("gold", "hyper", "", [fill(1), fill(2, "", ONE // 2, -1), fill(1)], "2", 200)
    assert new == [fill(1), fill(2, "", ONE // 2, -1)]
    # Bought at 2000.00000001: the fraction of a micro-unit is rounded up; half of it sold: down.
    assert await cash(pool) == [
        ("trade", "f1", -2_000_000_001),
        ("fee", "f1", -70),
        ("trade", "f2", 1_000_000_000),
        ("fee", "f2", -70),
    ]
    async with pool.connect() as connection:
        assert await held_by(connection, "gold") == {"hyper": {"ETH": ONE // 2}}
        told = [(row.fill, row.ticket, row.side) for row in await fills_before(connection, "gold", 0, 9)]
        assert told == [("f2", "", -1), ("f1", "gold/a", 1)]
        ((_, stored),) = await orders_before(connection, "gold", 0, 9)
        assert stored.filled == ONE
        events = await events_after(connection, "gold", 0, 9)
        assert [(one.number, one.kind) for one in events] == [
            (1, "order"),
            (2, "fill"),
            (3, "fill"),
            (4, "position"),
        ]
        assert events[-1].payload == {"positions": {"hyper": {"ETH": ONE // 2}}}
        assert await head_of(connection, "gold") == 4
    assert await fills.cursors("gold", "hyper") == ("2", "")


async def test_of_many_who_read_the_same_one_writes(pool):
    fills = VenueFills(pool)
    many = [fill(number) for number in range(20)]
    answers = await asyncio.gather(*(fills.record("gold", "hyper", "", many, "20", 9) for _ in range(8)))
    assert sorted(answer is None for answer in answers) == [False, *[True] * 7]
    async with pool.connect() as connection:
        assert await held_by(connection, "gold") == {"hyper": {"ETH": 20 * ONE}}
    # A venue that tells again what it told before, behind another cursor, adds nothing.
    assert await fills.record("gold", "hyper", "20", many, "21", 9) == []
    assert len(await cash(pool)) == 40


async def test_positions_are_those_that_the_events_before_them_add_up_to(pool):
    """Also where two venues tell of fills at once, and neither has seen the other's."""
    fills = VenueFills(pool)

    async def told(venue):
        for number in range(10):
            since = str(number) if number else ""
            assert await fills.record("gold", venue, since, [fill(number)], str(number + 1), 9)

    await asyncio.gather(told("hyper"), told("synthetix"), told("agents"))
    held = {}
    async with pool.connect() as connection:
        events = await events_after(connection, "gold", 0, 999)
    assert len(events) == 60
    for one in events:
        if one.kind == "fill":
            held[one.payload["venue"]] = {"ETH": held.get(one.payload["venue"], {"ETH": 0})["ETH"] + ONE}
        else:
            assert one.payload == {"positions": held}


async def test_orders_are_counted_by_venue_and_how_they_stand(pool):
    orders = VenueOrders(pool)
    await orders.accept(order())
    await orders.accept(order("b", at=6))
    await orders.accept(order("c", venue="agents", at=7, status=Standing.REFUSED))
    await orders.accept(order("d", vault="silver", at=8))
    async with pool.connect() as connection:
        assert await standings(connection, "gold") == {"agents": {"refused": 1}, "hyper": {"accepted": 2}}
        assert await standings(connection, "gold", 6) == {"agents": {"refused": 1}, "hyper": {"accepted": 1}}


async def test_of_accepting_and_giving_up_at_once_giving_up_counts(pool):
    orders = VenueOrders(pool)
    given_up = [
        order(f"{n}", status=Standing.NOT_SENT.value, side=0, size=0, code="too_late") for n in range(8)
    ]
    accepted = [order(f"{n}") for n in range(8)]
    both = await asyncio.gather(*map(orders.give_up, given_up), *map(orders.accept, accepted))
    assert {one.status for one in both[:8]} == {"not_sent"}
    for one in accepted:
        assert not await orders.move(one.ticket, Standing.ACCEPTED, Standing.SENT, 7)
        assert (await orders.accept(one)).status == "not_sent"
    # What is being sent is not given up.
    sent = order("sent")
    await orders.accept(sent)
    assert await orders.move(sent.ticket, Standing.ACCEPTED, Standing.SENT, 7)
    assert (await orders.give_up(sent._replace(status=Standing.NOT_SENT.value))).status == "sent"


async def test_an_order_that_goes_on_has_a_side_and_a_size(pool):
    orders = VenueOrders(pool)
    for wrong in ({"side": 0}, {"size": 0}):
        with pytest.raises(IntegrityError):
            await orders.accept(order(**wrong))


async def test_of_a_vaults_orders_so_many_wait_at_one_time(pool):
    orders, limit = VenueOrders(pool), OpenLimit(3, "too_many", "There are 3.")
    await orders.accept(order("elsewhere", vault="silver"), limit)
    many = await asyncio.gather(*(orders.accept(order(f"{n}"), limit) for n in range(6)))
    assert sorted(one.status for one in many) == ["accepted"] * 3 + ["refused"] * 3
    refused = next(one for one in many if one.status == "refused")
    assert (refused.code, refused.words, refused.venue_client_id) == ("too_many", "There are 3.", "")
    # Whoever sends one of them again is told the same, also when there is room.
    first = next(one for one in many if one.status == "accepted")
    assert await orders.move(first.ticket, Standing.ACCEPTED, Standing.NOT_SENT, 6)
    assert await orders.accept(order(refused.client_id), limit) == refused
    assert (await orders.accept(order("later"), limit)).status == "accepted"
    assert (await orders.accept(order("one more"), limit)).status == "refused"
    assert (await orders.accept(order("out"))).status == "accepted"


async def test_both_sides_of_one_trade_may_be_vaults(pool):
    fills = VenueFills(pool)
    await fills.record("gold", "hyper", "", [fill(1)], "1", 9)
    await fills.record("iron", "hyper", "", [fill(1, side=-1)], "1", 9)
    async with pool.connect() as connection:
        assert await held_by(connection, "gold") == {"hyper": {"ETH": ONE}}
        assert await held_by(connection, "iron") == {"hyper": {"ETH": -ONE}}


async def test_funding_is_cash_and_has_a_cursor_of_its_own(pool):
    fills = VenueFills(pool)
    payments = [Payment("p1", "ETH", -5, 7), Payment("p2", "ETH", 9, 8)]
    assert await fills.record_funding("gold", "hyper", "", payments, "8", 10)
    assert not await fills.record_funding("gold", "hyper", "", payments, "8", 10)
    assert await cash(pool) == [("funding", "p1", -5), ("funding", "p2", 9)]
    assert await fills.cursors("gold", "hyper") == ("", "8")


class Forgetting:
    """A venue's account that tells payments of lately only, and says what it does not tell any more."""

    account = "7"

    async def funding(self, cursor):
        return FundingPayments([FundingPayment("p3", "ETH", -4, 9_000)] if cursor == "5" else [], "9000")

    def forgotten(self, cursor):
        return "what was paid in the 9 hours after five is told no more" if cursor == "5" else ""

    async def fills(self, cursor):
        return Fills([], cursor)


class Drivers:
    async def driver(self, vault, venue):
        return Forgetting()


async def test_what_a_venue_has_forgotten_by_the_time_it_is_asked_is_said_once_and_stays_written(pool):
    fills = VenueFills(pool)
    await fills.begin("gold", "synthetix", "7", "", "5", 10)
    books = VenueBooks(Drivers(), fills, fills.held, lambda vault, leg: None, lambda: 77)
    with capture_logs() as logs:
        await books.collect_funding("gold", "synthetix")
        await books.collect_funding("gold", "synthetix")
    assert await cash(pool) == [("funding", "p3", -4)]
    sentence = "what was paid in the 9 hours after five is told no more"
    assert [(one["log_level"], one["why"]) for one in logs] == [("error", sentence)]
    vaults = Vaults(pool, frozenset(), RiskTemplate(frozenset(), None, {}))
    assert [one[:4] for one in await vaults.changes("gold", 9)] == [
        ("payments forgotten", "synthetix", sentence, 77)
    ]


class Telling:
    """An account of which its venue tells one fill."""

    account = "7"

    def __init__(self, told):
        self.told = told

    async def driver(self, vault, venue):
        return self

    async def fills(self, cursor):
        return Fills([self.told], "6", False)


@pytest.mark.parametrize(
    "wrong",
    [{"symbol": "x:"}, {"symbol": "a\x00"}, {"id": "\x00"}, {"size": SIZE_MAX + 1}, {"price": PRICE_MAX + 1}],
)
async def test_what_can_be_no_fill_is_not_recorded_and_its_venue_doubted(pool, wrong):
    fills = VenueFills(pool)
    await fills.begin("gold", "hyper", "7", "5", "", 10)
    told = VenueFill("f", None, "o", "ETH", Side.BUY, ONE, price_from("2000"), 0, 9)
    told = replace(told, **wrong)
    books = VenueBooks(Telling(told), fills, fills.held, lambda vault, leg: None, lambda: 77)
    with capture_logs() as logs:
        [sentence] = await ActivityEnvironment().run(VenueCollectionActivities(fills, books).collect_fills)
    assert sentence.startswith("gold at hyper: hyper: it tells of ")
    assert [one["log_level"] for one in logs] == ["warning"]
    assert await fills.held("gold") == {}
    async with pool.connect() as connection:
        assert len((await connection.execute(select(venue_doubts))).all()) == 1


async def test_reading_begins_once_and_at_the_start_where_something_was_sent_before(pool):
    orders, fills = VenueOrders(pool), VenueFills(pool)
    assert await fills.account("gold", "hyper") is None
    await orders.accept(order())
    assert await fills.begin("gold", "hyper", "0xa", "7", "8", 10) == "0xa"
    assert await fills.begin("gold", "hyper", "0xa", "9", "9", 11) == "0xa"
    assert await fills.account("gold", "hyper") == "0xa"
    assert await fills.cursors("gold", "hyper") == ("7", "8")
    assert await fills.record("gold", "hyper", "", [fill(1)], "1", 12) is None
    # A release that knew no such beginning has sent this one, and its fills are still to be read.
    await orders.accept(order(vault="iron", status=Standing.SENT))
    await fills.begin("iron", "hyper", "0xb", "7", "8", 10)
    assert await fills.cursors("iron", "hyper") == ("", "")


async def test_a_difference_is_taken_over_once_and_gains_nobody_anything(pool):
    fills = VenueFills(pool)
    await fills.record("gold", "hyper", "", [fill(1, fee=0)], "1", 9)
    found = Difference("ETH", ONE, -ONE, price_from("1900"), "venue")
    assert await fills.correct("gold", "hyper", found, 11)
    assert not await fills.correct("gold", "hyper", found, 12)
    assert (await cash(pool))[1:] == [("difference", "1", 3_800_000_000)]
    async with pool.connect() as connection:
        assert await held_by(connection, "gold") == {"hyper": {"ETH": -ONE}}
        ((number, *_, at),) = await differences_before(connection, "gold", 0, 9)
        assert (number, at) == (1, 11)
        kinds = [one.kind for one in await events_after(connection, "gold", 2, 9)]
        assert kinds == ["difference", "position"]


async def test_an_order_is_accepted_once_sent_by_one_and_stays_ended(pool):
    orders = VenueOrders(pool)
    assert await orders.accept(order()) == order()
    assert await orders.accept(order(size=7)) == order()
    sends = (orders.move("gold/a", Standing.ACCEPTED, Standing.SENT, 6) for _ in range(5))
    assert sorted(await asyncio.gather(*sends)) == [False] * 4 + [True]
    await orders.advance("gold/a", Standing.OPEN, 7, "77")
    await orders.advance("gold/a", Standing.OPEN, 8, "77")
    await orders.advance("gold/a", Standing.CANCELLED, 9)
    await orders.advance("gold/a", Standing.OPEN, 10, "78")
    found = await orders.order("gold/a")
    assert found == order(status=Standing.CANCELLED, venue_order_id="77", changed_at=9)
    async with pool.connect() as connection:
        told = [one.payload["status"] for one in await events_after(connection, "gold", 0, 9)]
    assert told == ["accepted", "sent", "open", "cancelled"]
