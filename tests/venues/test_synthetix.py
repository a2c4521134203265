"""Synthetix's driver: what only this venue does, its dry run, and the venue that is no more."""

import time
from decimal import Decimal

import pytest
from eth_account import Account

from core.market import Side
from core.quantities import SECOND, Nanos
from core.risk_template import Lifecycle
from core.tickets import OrderType, TimeInForce, price_from, size_from
from venues.dead import SYNTHETIX_V3, SYNTHETIX_V3_END, DeadVenue
from venues.driver import Acknowledged, OrderStatus, Reason, Refused, VenueOrder
from venues.errors import Unavailable, Unknown
from venues.local.hyperliquid_actions import Funding
from venues.local.synthetix import LocalSynthetix, Opened
from venues.synthetix import EXPIRES_MS, PAGE, Synthetix

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
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
    fills, cursor, _ = await driver.fills("")
    assert [fill.client_id for fill in fills] == [one.client_id for one in orders]
    await place_faults(venue, "duplicate")
    assert await driver.fills("") == (fills, cursor, False)
    last = order(driver, "last", size="0.1")
    await driver.submit(last)
    more, _, _ = await driver.fills(cursor)
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


class Clock:
    """Of the past, moved by tests."""

    ahead = -1_000 * DAY

    def __call__(self):
        return time.time_ns() + self.ahead


class OldestFirst(LocalSynthetix):
    """Lists payments the other way round."""

    def _private(self, user, params):
        found = super()._private(user, {**params, "limit": PAGE})
        if params["action"] == "getFundingPayments":
            found["fundingHistory"] = found["fundingHistory"][::-1][: params.get("limit", 100)]
        return found


@pytest.mark.parametrize("kind", [LocalSynthetix, OldestFirst])
async def test_all_that_was_paid_is_told_once_in_whatever_order_the_venue_lists(kind):
    """A month and a half by the hour and a day by the minute: more than an answer has, and than the venue remembers."""
    clock = Clock()
    venue = kind(clock=clock)
    await venue.start()
    account = venue.do(Opened(Account.from_key(KEY).address, 10_000_000_000_000))
    driver = Synthetix(KEY, int(account), f"{venue.url}/v1", clock)
    await driver.submit(order(driver, "a"))
    paid, told, cursor = [], [], ""
    for times, every in ((1_080, HOUR), (1_500, MINUTE), (3, 20 * DAY)):
        for _ in range(times):
            clock.ahead += every
            venue.do(Funding("XAU-USDT", 100))
            if every == 20 * DAY:
                cursor = await all_funding(driver, cursor, told)
        cursor = await all_funding(driver, cursor, told)
        paid = [usd_of(row) for row in venue.exchange.funding[account]]
    # What the first question came too late for is behind the venue's memory, and nobody had begun to count.
    missed = 1_080 - 30 * 24 + 1
    assert [one.amount for one in told] == paid[missed:]
    assert len({one.id for one in told}) == len(told) == 1_080 + 1_500 + 3 - missed
    await driver.close()
    await venue.stop()


async def all_funding(driver, cursor, told):
    while True:
        assert driver.forgotten(cursor) == ""
        page = await driver.funding(cursor)
        if page.cursor == cursor:
            return cursor
        told += page.payments
        cursor = page.cursor


def usd_of(row):
    """Micro-dollars that came in."""
    return int(Decimal(row["delta"]["usdc"]) * 1_000_000)


async def test_an_account_to_which_nothing_is_paid_goes_on_for_ever_and_says_what_it_missed():
    clock = Clock()
    venue = LocalSynthetix(clock=clock)
    await venue.start()
    account = venue.do(Opened(Account.from_key(KEY).address, 10_000_000_000_000))
    driver = Synthetix(KEY, int(account), f"{venue.url}/v1", clock)
    cursor = await all_funding(driver, "", [])
    for _ in range(7):
        clock.ahead += 10 * DAY
        cursor = await all_funding(driver, cursor, [])
    await driver.submit(order(driver, "a"))
    venue.do(Funding("XAU-USDT", 100))
    (_,), filled, _ = await driver.fills("")
    clock.ahead += 31 * DAY
    venue.do(Funding("XAU-USDT", 200))
    # Nobody asked for a month: what was paid meanwhile is gone, and is not passed over in silence.
    assert "is told no more" in driver.forgotten(cursor)
    (paid,), moved, _ = await driver.funding(cursor)
    assert paid.amount == usd_of(venue.exchange.funding[account][-1])
    assert driver.forgotten(moved) == ""
    # Nor does a fill of long ago keep those of now from being asked for.
    await driver.submit(order(driver, "b", Side.SELL))
    (fill,) = (await driver.fills(filled)).fills
    assert fill.client_id == driver.client_id("b")
    await driver.close()
    await venue.stop()


async def test_the_venue_gives_no_more_than_its_documents_say(venue):
    """By its own SDK's signatures, without our driver."""
    driver = opened(venue)
    now = time.time_ns() // 1_000_000
    too_much = {"startTime": 0}, {"startTime": now - 31 * DAY // 10**6}, {"limit": PAGE + 1}
    for terms in too_much:
        with pytest.raises(Unavailable, match="VALIDATION_ERROR"):
            await driver._read("getFundingPayments", **terms)
    assert (await driver._read("getFundingPayments"))["fundingHistory"] == []
    await driver.close()


async def test_funding_is_told_once(driver, venue):
    await driver.submit(order(driver, "a"))
    venue.do(Funding("XAU-USDT", price_from("0.0001")))
    (paid,), cursor, _ = await driver.funding("")
    assert (paid.symbol, paid.amount) == ("XAU", -400_000)
    assert await driver.funding(cursor) == ([], cursor, False)


async def test_a_lost_order_says_when_it_can_come_no_more(driver, venue, place_faults):
    await place_faults(venue, "lose_request")
    with pytest.raises(Unknown) as lost:
        await driver.submit(order(driver, "a"))
    assert time.time_ns() < lost.value.until <= time.time_ns() + EXPIRES_MS * 1_000_000


class Noting(LocalSynthetix):
    """Keeps what came and would have changed something."""

    def _changed(self, asked, at):
        self.came = [*getattr(self, "came", []), asked]
        return super()._changed(asked, at)


async def test_what_a_clock_signs_that_was_ahead_is_good_no_longer_for_that(place_faults):
    venue, clock = Noting(), Clock()
    await venue.start()
    account = venue.do(Opened(Account.from_key(KEY).address, 100_000_000_000))
    driver, clock.ahead = Synthetix(KEY, int(account), f"{venue.url}/v1", clock), 10 * SECOND
    await driver.submit(order(driver, "a"))
    clock.ahead = 0
    await driver.submit(order(driver, "b", leverage=3))
    await driver.cancel(driver.client_id("b"), "XAU")
    await place_faults(venue, "lose_reply")
    with pytest.raises(Unknown) as lost:
        await driver.submit(order(driver, "c"))
    by_now = time.time_ns() // 1_000_000 + EXPIRES_MS
    first, *later = venue.came
    assert first.nonce < later[0].nonce < later[1].nonce < later[2].nonce < later[3].nonce
    assert all(one.expires_after - one.nonce > 0 and one.expires_after <= by_now for one in later)
    # Until then the lost one may come, and no longer.
    assert lost.value.until == later[-1].expires_after * 1_000_000
    # What has no time left is not sent at all.
    soon = order(driver, "d", not_after=Nanos(time.time_ns() + 5 * SECOND))
    refused = await driver.submit(soon)
    assert (refused.reason, refused.retryable) == (Reason.BUSY, True)
    clock.ahead = HOUR
    await driver.submit(order(driver, "e"))
    clock.ahead, came = 0, len(venue.came)
    assert (await driver.submit(order(driver, "f"))).reason is Reason.BUSY
    assert (await driver.cancel(driver.client_id("e"), "XAU")).reason is Reason.BUSY
    assert len(venue.came) == came
    await driver.close()
    await venue.stop()


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
