"""Gold: the same seed, prices and orders give the same answers, and positions are in the file."""

import sqlite3
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.market import Side
from core.quantities import MILLION
from core.tickets import OrderType, PriceE8, SizeE8, price_from, size_from
from venues.driver import Acknowledged, Mid, Reason, Refused, VenueOrder
from venues.gold_book import LOT, TICK, book, taken
from venues.mock_gold import CASH, LEVERAGE_MAX, TAKER_FEE, MockGold

MIDS = st.integers(price_from("1000"), price_from("9000"))
SIDES = st.sampled_from(Side)


@pytest.fixture
def gold(tmp_path):
    """Opens an account; `price` may be set on what it returns."""

    class Source:
        price = price_from("4010.5")

        async def __call__(self):
            return None if self.price is None else Mid(self.price, 5)

    source = Source()

    def opened(account="vault-1", file="gold.db", seed=1):
        return MockGold(tmp_path / file, account, source, seed, lambda: 1_000)

    opened.source = source
    return opened


def order(driver, ticket, side, size="1", **terms):
    return VenueOrder(driver.client_id(ticket), "XAU", side, size_from(size), **terms)


@given(st.integers(), MIDS, SIDES)
def test_a_book_is_away_from_the_middle_and_of_the_venues_units(seed, mid, side):
    levels = book(seed, mid, side)
    assert levels == book(seed, mid, side)
    assert all(side * (level.price - mid) > 0 for level in levels)
    assert [level.price for level in levels] == sorted(
        (one.price for one in levels), reverse=side is Side.SELL
    )
    assert all(level.price % TICK == 0 and level.size % LOT == 0 and level.size > 0 for level in levels)


@given(st.integers(), MIDS, SIDES, st.integers(1, 10**6).map(lambda n: n * LOT), st.integers(-500, 500))
def test_nobody_gets_more_than_asked_or_worse_than_the_limit(seed, mid, side, size, cents):
    levels, limit = book(seed, mid, side), PriceE8(mid // TICK * TICK + cents * TICK)
    takes = taken(levels, side, SizeE8(size), limit)
    got = sum(level.size for level in takes)
    within = sum(level.size for level in levels if side * (level.price - limit) <= 0)
    assert got == min(size, within)
    assert all(side * (level.price - limit) <= 0 and level.size > 0 for level in takes)


async def test_the_same_orders_at_the_same_prices_get_the_same_answers(gold):
    async def play(driver):
        answers = [
            await driver.submit(order(driver, "a", Side.BUY, "3.5")),
            await driver.submit(order(driver, "b", Side.SELL, "1.25")),
        ]
        fills = [replace(fill, id="") for fill in (await driver.fills("")).fills]
        return answers, fills, await driver.positions()

    assert await play(gold(file="one.db")) == await play(gold(file="two.db"))
    assert await play(gold(file="three.db", seed=2)) != await play(gold(file="one.db"))


async def test_positions_survive_and_accounts_are_apart(gold):
    driver = gold()
    answer = await driver.submit(order(driver, "a", Side.BUY))
    assert isinstance(answer, Acknowledged)
    again = gold()
    assert await again.order(driver.client_id("a"), "XAU") == answer.order
    assert (await again.positions())["XAU"].size == size_from("1")
    assert (await again.positions())["XAU"].entry_price == answer.average_price
    assert await gold("vault-2").positions() == {}
    assert await gold("vault-2").order(driver.client_id("a"), "XAU") is None


async def test_fills_of_a_new_file_are_told_after_those_of_one_that_was_lost(gold):
    """They were numbered from one again, and whoever had read further was never told of them."""
    driver = gold(file="lost.db")
    for ticket in "abc":
        await driver.submit(order(driver, ticket, Side.BUY))
    lost, cursor, _ = await driver.fills("")
    other = gold(file="new.db")
    # Nothing has happened in it, so whoever read goes on from where it was.
    assert await other.fills(cursor) == ([], cursor, False)
    await other.submit(order(other, "d", Side.BUY))
    told, moved, _ = await other.fills(cursor)
    assert {fill.client_id for fill in told} == {other.client_id("d")}
    assert not {fill.id for fill in told} & {fill.id for fill in lost}
    assert await other.fills(moved) == ([], moved, False)
    again = gold(file="new.db")
    await again.submit(order(again, "e", Side.BUY))
    assert {fill.client_id for fill in (await again.fills(moved)).fills} == {other.client_id("e")}


async def test_a_file_of_before_files_had_names_goes_on_as_it_was(gold, tmp_path):
    driver = gold(file="old.db")
    await driver.submit(order(driver, "a", Side.BUY, "0.001"))
    with sqlite3.connect(tmp_path / "old.db") as rows:
        rows.execute("drop table made")
    driver = gold(file="old.db")
    (fill,), cursor, _ = await driver.fills("")
    assert (fill.id, cursor) == ("mgf-1", "1")
    await driver.submit(order(driver, "b", Side.BUY, "0.001"))
    (fill,), cursor, _ = await driver.fills(cursor)
    assert (fill.id, cursor) == ("mgf-2", "2")
    # A new file in its place has a name, and the cursor is of none.
    other = gold(file="new.db")
    await other.submit(order(other, "c", Side.BUY, "0.001"))
    ((told,), _, _) = await other.fills(cursor)
    assert told.client_id == other.client_id("c")


async def test_a_client_id_is_good_for_one_order(gold):
    driver = gold()
    await driver.submit(order(driver, "a", Side.BUY))
    answer = await driver.submit(order(driver, "a", Side.BUY))
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.CLIENT_ID_USED
    assert (await driver.positions())["XAU"].size == size_from("1")


async def test_without_a_price_nothing_is_filled_and_everything_is_told(gold):
    driver = gold()
    await driver.submit(order(driver, "a", Side.BUY))
    gold.source.price = None
    answer = await driver.submit(order(driver, "b", Side.BUY))
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.NO_PRICE
    assert answer.retryable
    assert await driver.mids(["XAU"]) == {}
    assert len((await driver.fills("")).fills) >= 1
    assert (await driver.positions())["XAU"].size == size_from("1")


async def test_fees_are_of_each_fill_and_rounded_up(gold):
    driver = gold()
    await driver.submit(order(driver, "a", Side.BUY, "0.001"))
    (fill,) = (await driver.fills("")).fills
    exact = fill.price * fill.size * TAKER_FEE
    assert (fill.fee - 1) * 10**10 * MILLION < exact <= fill.fee * 10**10 * MILLION


async def test_an_entry_price_is_the_average_of_what_is_still_held(gold):
    driver = gold()
    first = await driver.submit(order(driver, "a", Side.SELL))
    gold.source.price = price_from("4100")
    second = await driver.submit(order(driver, "b", Side.SELL))
    held = (await driver.positions())["XAU"]
    assert held.size == -2 * size_from("1")
    assert abs(held.entry_price - (first.average_price + second.average_price) // 2) <= 1
    third = await driver.submit(order(driver, "c", Side.BUY, "3"))
    turned = (await driver.positions())["XAU"]
    assert turned.size == size_from("1")
    prices = [
        fill.price for fill in (await driver.fills("")).fills if fill.client_id == third.order.client_id
    ]
    assert min(prices) <= turned.entry_price <= max(prices)


async def test_an_account_carries_its_leverage_times_its_cash_and_no_more(gold):
    """Ten million dollars, of which the fees and the way through the book are paid: a round price, and no book in the way."""
    driver = gold()
    gold.source.price = price_from("4000")
    rest = {"order_type": OrderType.LIMIT, "limit_price": price_from("3000")}
    # 20 x 10,000,000 / 4,000.
    assert (
        await driver.submit(order(driver, "a", Side.BUY, "50000.001", **rest))
    ).reason is Reason.INSUFFICIENT_MARGIN
    assert isinstance(await driver.submit(order(driver, "b", Side.BUY, "50000", **rest)), Acknowledged)
    # What waits counts, and the other side has room of its own.
    short = await driver.submit(order(driver, "c", Side.BUY, "0.001"))
    assert (short.reason, short.retryable) == (Reason.INSUFFICIENT_MARGIN, False)
    assert isinstance(await driver.submit(order(driver, "d", Side.SELL, "0.5")), Acknowledged)
    await driver.cancel(driver.client_id("b"), "XAU")
    once = {**rest, "leverage": 1}
    assert (
        await driver.submit(order(driver, "e", Side.BUY, "2500.501", **once))
    ).reason is Reason.INSUFFICIENT_MARGIN
    assert isinstance(await driver.submit(order(driver, "f", Side.BUY, "2500.0", **once)), Acknowledged)
    await driver.cancel(driver.client_id("f"), "XAU")
    # An order that says nothing keeps what the last one set; one that only reduces asks nobody.
    assert (
        await driver.submit(order(driver, "g", Side.BUY, "2501", **rest))
    ).reason is Reason.INSUFFICIENT_MARGIN
    assert (
        await driver.submit(order(driver, "h", Side.BUY, "1", leverage=21))
    ).reason is Reason.LEVERAGE_INVALID
    gold.source.price = price_from("40000000")
    assert (await driver.submit(order(driver, "i", Side.SELL, "0.1"))).reason is Reason.INSUFFICIENT_MARGIN
    assert isinstance(
        await driver.submit(order(driver, "j", Side.BUY, "0.2", reduce_only=True)), Acknowledged
    )
    # So does one that makes the position smaller without saying so.
    assert isinstance(await driver.submit(order(driver, "k", Side.BUY, "0.2")), Acknowledged)


async def test_a_file_of_before_there_was_cash_is_counted_through(gold, tmp_path):
    driver = gold()
    await driver.submit(order(driver, "a", Side.BUY, "3.5"))
    await driver.submit(order(driver, "b", Side.SELL, "1.25"))

    def kept():
        with sqlite3.connect(tmp_path / "gold.db") as rows:
            return rows.execute("select * from accounts").fetchall()

    before = kept()
    fills = (await driver.fills("")).fills
    paid = sum(one.side * one.size * one.price + one.fee * 10**10 for one in fills)
    assert before == [("vault-1", str(CASH - paid), LEVERAGE_MAX)]
    with sqlite3.connect(tmp_path / "gold.db") as rows:
        rows.execute("drop table accounts")
    again = gold()
    rest = {"order_type": OrderType.LIMIT, "limit_price": price_from("3000"), "leverage": LEVERAGE_MAX}
    await again.submit(order(again, "c", Side.BUY, "1", **rest))
    assert kept() == before
