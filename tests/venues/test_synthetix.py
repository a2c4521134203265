"""Synthetix's driver: what only this venue does, its dry run, and the venue that is no more."""

import time

import pytest
from eth_account import Account

from core.market import Side
from core.quantities import Nanos
from core.risk_template import Lifecycle
from core.tickets import OrderType, TimeInForce, price_from, size_from
from venues.dead import SYNTHETIX_V3, SYNTHETIX_V3_END, DeadVenue
from venues.driver import Acknowledged, OrderStatus, Reason, Refused, VenueOrder
from venues.errors import Unavailable, Unknown
from venues.local.hyperliquid_actions import Funding
from venues.local.synthetix import LocalSynthetix, Opened
from venues.synthetix import EXPIRES_MS, Synthetix

KEY = "0x" + "41" * 32


@pytest.fixture
async def venue():
    made = LocalSynthetix()
    await made.start()
    made.do(Opened(Account.from_key(KEY).address, 100_000_000_000))
    yield made
    await made.stop()


def opened(venue, **terms):
    return Synthetix(
        KEY, int(next(iter(venue.owners))), f"{venue.url}/v1", time.time_ns, timeout_s=5, **terms
    )


@pytest.fixture
async def driver(venue):
    made = opened(venue)
    yield made
    await made.close()


def order(driver, ticket, side=Side.BUY, size="1", **terms):
    return VenueOrder(driver.client_id(ticket), "XAU", side, size_from(size), **terms)


async def test_leverage_is_set_before_the_order(driver, venue):
    (account,) = venue.owners
    assert isinstance(await driver.submit(order(driver, "a", leverage=3)), Acknowledged)
    asset = venue.exchange.assets["XAU-USDT"]
    late = await driver.submit(order(driver, "late", leverage=4, not_after=Nanos(1)))
    assert (late.reason, late.retryable) == (Reason.TOO_LATE, False)
    assert venue.exchange.account(account).leverage_of(asset)[0] == 3
    refused = await driver.submit(order(driver, "b", leverage=21))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.LEVERAGE_INVALID
    assert await driver.order(driver.client_id("b"), "XAU") is None


async def test_what_only_reduces_leaves_the_leverage_alone(driver, venue):
    (account,) = venue.owners
    await driver.submit(order(driver, "a", leverage=3))
    less = order(driver, "b", Side.SELL, leverage=9, reduce_only=True)
    assert isinstance(await driver.submit(less), Acknowledged)
    assert venue.exchange.account(account).leverage_of(venue.exchange.assets["XAU-USDT"])[0] == 3


async def test_a_partly_filled_order_is_told_as_it_stands(driver, venue, place_faults):
    await place_faults(venue, "partial_fill")
    terms = {
        "order_type": OrderType.LIMIT,
        "limit_price": price_from("4100"),
        "time_in_force": TimeInForce.GTC,
    }
    answer = await driver.submit(order(driver, "a", **terms))
    assert (answer.order.status, answer.order.filled) == (OrderStatus.OPEN, size_from("0.5"))


async def test_a_client_id_is_good_for_one_order(driver):
    await driver.submit(order(driver, "a"))
    again = await driver.submit(order(driver, "a"))
    assert isinstance(again, Refused)
    assert again.reason is Reason.CLIENT_ID_USED
    assert (await driver.positions())["XAU"].size == size_from("1")


async def test_fills_are_read_over_many_pages_and_once(driver, venue, place_faults, monkeypatch):
    monkeypatch.setattr("venues.synthetix.PAGE", 2)
    orders = [order(driver, f"t{number}", size="0.1") for number in range(5)]
    for one in orders:
        await driver.submit(one)
    fills, cursor = await driver.fills("")
    assert [fill.client_id for fill in fills] == [one.client_id for one in orders]
    await place_faults(venue, "duplicate")
    assert await driver.fills("") == (fills, cursor)
    last = order(driver, "last", size="0.1")
    await driver.submit(last)
    more, _ = await driver.fills(cursor)
    assert [fill.client_id for fill in more] == [last.client_id]


class Forgetful(LocalSynthetix):
    """Heeds no offset."""

    def _private(self, user, params):
        return super()._private(user, {**params, "offset": 0})


async def test_a_venue_that_gives_the_same_page_again_is_not_asked_for_ever(monkeypatch):
    monkeypatch.setattr("venues.synthetix.PAGE", 1)
    venue = Forgetful()
    await venue.start()
    venue.do(Opened(Account.from_key(KEY).address, 100_000_000_000))
    driver = opened(venue)
    for number in range(3):
        await driver.submit(order(driver, f"t{number}", size="0.1"))
    with pytest.raises(Unavailable, match="the same again"):
        await driver.fills("")
    await driver.close()
    await venue.stop()


async def test_funding_is_told_once(driver, venue):
    await driver.submit(order(driver, "a"))
    venue.do(Funding("XAU-USDT", price_from("0.0001")))
    (paid,), cursor = await driver.funding("")
    assert (paid.symbol, paid.amount) == ("XAU", -400_000)
    assert await driver.funding(cursor) == ([], cursor)


async def test_a_lost_order_says_when_it_can_come_no_more(driver, venue, place_faults):
    await place_faults(venue, "lose_request")
    with pytest.raises(Unknown) as lost:
        await driver.submit(order(driver, "a"))
    assert time.time_ns() < lost.value.until <= time.time_ns() + EXPIRES_MS * 1_000_000


@pytest.mark.parametrize("kind", ["fail", "time_out"])
async def test_an_answer_that_is_none_leaves_everything_open(venue, place_faults, kind):
    driver = Synthetix(KEY, int(next(iter(venue.owners))), f"{venue.url}/v1", time.time_ns, timeout_s=0.3)
    await driver.mids(["XAU"])
    await place_faults(venue, kind)
    with pytest.raises(Unknown):
        await driver.submit(order(driver, "a"))
    await driver.close()


async def test_a_dry_run_sends_nothing_and_says_the_same_every_time(venue):
    answers = []
    for _ in range(2):
        driver = opened(venue, dry_run=True)
        answers.append(await driver.submit(order(driver, "a")))
        assert await driver.order(driver.client_id("a"), "XAU") is None
        assert (await driver.positions(), (await driver.fills("")).fills) == ({}, [])
        await driver.close()
    assert answers[0] == answers[1]
    assert (answers[0].order.status, answers[0].order.filled) == (OrderStatus.CANCELLED, 0)
    assert answers[0].order.venue_id.startswith("dry-run-")
    assert venue.exchange.orders == {}


async def test_a_dry_run_checks_what_it_would_have_sent(venue):
    driver = opened(venue, dry_run=True)
    answer = await driver.submit(order(driver, "a", size="1.00001"))
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.ORDER_INVALID
    await driver.close()


async def test_the_venue_that_shut_down_says_so():
    dead = DeadVenue(SYNTHETIX_V3, SYNTHETIX_V3_END)
    assert dead.lifecycle is Lifecycle.DEAD
    for answer in (await dead.submit(order(dead, "a")), await dead.cancel("a", "XAU")):
        assert answer == Refused(Reason.VENUE_DEAD, SYNTHETIX_V3_END)
        assert not answer.retryable
    for asking in (dead.order("a", "XAU"), dead.fills(""), dead.positions(), dead.mids(["XAU"])):
        with pytest.raises(Unavailable, match="July 2025"):
            await asking
