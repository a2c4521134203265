"""Prices of legs: the chain in its order, each source failing in turn, and nothing that is too old or made up taken for a price."""

import asyncio
import csv
import gzip
import itertools
import time

import pytest
from eth_account import Account

from core.market import Side
from core.quantities import MILLISECOND, SECOND
from core.tickets import PRICE_MAX, Leg, NotATicket, PriceE8, price_from, size_from
from oracles.chainlink import Round, checked, to_price
from oracles.polling import SourceFailed
from oracles.price import Price
from oracles.refusal import Reason, Refused
from oracles.route import MINUTE, Ages, Limits
from venues.budget import Budget, Turn, looking
from venues.dead import SYNTHETIX_V3, DeadVenue
from venues.driver import Acknowledged, Mid, VenueOrder
from venues.errors import Unavailable
from venues.hyper import Hyper
from venues.local.hyperliquid import LocalHyperliquid
from venues.mock_gold import MockGold
from venues.prices import AHEAD_MAX, LAST_AGE_MAX, MID_AGE_MAX, LegPrice, NoPrice, Standing, VenuePriceRouter

START = 1_700_000_000 * SECOND


class Venue:
    """Middles as a venue tells them; a price may be replaced by what goes wrong."""

    def __init__(self, clock, **prices):
        self.clock, self.prices, self.wrong, self.age, self.asked = clock, prices, None, 0, []

    async def mids(self, symbols):
        self.asked.append(set(symbols))
        if self.wrong is not None:
            raise self.wrong
        at = self.clock() - self.age
        return {name: Mid(price_from(self.prices[name]), at) for name in symbols if name in self.prices}


class Oracle:
    """A polled source whose answers tests set."""

    every_s = 10.0

    def __init__(self, name, clock, **prices):
        self.label, self.clock, self.prices, self.wrong, self.age, self.asked = (
            name,
            clock,
            prices,
            None,
            0,
            0,
        )

    def limits(self, symbol):
        ages = Ages(10 * SECOND, MINUTE, 60 * MINUTE)
        return Limits(self.label, self.label, ages, 10_000) if symbol in self.prices else None

    async def latest(self):
        self.asked += 1
        if self.wrong is not None:
            raise self.wrong
        return {
            name: value if isinstance(value, Refused | Price) else self.price(name, value)
            for name, value in self.prices.items()
        }

    def price(self, name, value, confidence=0):
        return Price(name, int(value) * 100, -2, confidence, self.clock() - self.age, self.label)


class World:
    def __init__(self):
        self.now = START
        clock = self.clock = lambda: self.now
        self.hyper = Venue(clock, ETH="3001.5", BTC="60001")
        self.chainlink = Oracle("chainlink", clock, ETH=3_000, XAU=4_000)
        self.pyth = Oracle("pyth hermes", clock, ETH=2_999, BTC=59_999, XAU=4_001)

    def router(self, **terms):
        mids = {"hyper": self.hyper.mids, "mock_gold": None}
        return VenuePriceRouter(
            terms.pop("mids", mids),
            [self.chainlink, self.pyth],
            lambda leg: leg.symbol,
            self.clock,
            elapsed=terms.pop("elapsed", self.clock),
            **terms,
        )

    def later(self, nanos):
        self.now += nanos


@pytest.fixture
def world():
    return World()


async def one(router, text, venue=None):
    return (await router.get_index_prices([text], venue))[text]


async def test_names_with_and_without_a_venue_in_one_question(world):
    router = world.router()
    found = await router.get_index_prices(["hyper::ETH", "mock_gold::XAU", "BTC"])
    assert found == {
        "hyper::ETH": LegPrice(price_from("3001.5"), START, "hyper mid", Standing.VENUE),
        "mock_gold::XAU": LegPrice(price_from("4000"), START, "chainlink", Standing.ORACLE),
        "BTC": LegPrice(price_from("60001"), START, "hyper mid", Standing.VENUE),
    }
    assert world.hyper.asked == [{"ETH", "BTC"}]
    assert (await one(router, "XAU", "mock_gold")).price == price_from("4000")
    assert await router.get_index_prices([]) == {}
    with pytest.raises(NotATicket):
        await router.get_index_prices(["::ETH"])


async def test_what_a_market_ended_at_is_a_price_be_it_nothing_and_stays(world):
    ended = {"YES": Mid(price_from("1"), START, final=True), "NO": Mid(price_from("0"), START, final=True)}

    async def mids(symbols):
        if world.hyper.wrong:
            raise world.hyper.wrong
        return {name: ended[name] for name in symbols}

    router = world.router(mids={"polymarket": mids})
    found = await router.get_index_prices(["polymarket::YES", "polymarket::NO"])
    assert [(one.price, one.standing.value) for one in found.values()] == [
        (10**8, "resolved"),
        (0, "resolved"),
    ]
    # Once told, it needs nobody to confirm it.
    world.hyper.wrong = Unavailable("polymarket", "away")
    world.later(7 * 24 * 60 * MINUTE)
    assert await router.get_index_prices(["polymarket::YES", "polymarket::NO"]) == found
    # Of a market that goes on nothing is no price.
    world.hyper.wrong, ended["NO"] = None, Mid(price_from("0"), world.now)
    assert isinstance(await one(world.router(mids={"polymarket": mids}), "polymarket::NO"), NoPrice)


async def test_each_source_of_the_chain_stands_in_for_the_one_before(world):
    router = world.router()
    assert (await one(router, "ETH")).standing is Standing.VENUE
    world.hyper.wrong = Unavailable("hyper", "away")
    assert (await one(router, "ETH")).source == "chainlink"
    world.later(10 * SECOND)
    world.chainlink.wrong = SourceFailed("behind", "The node stands still.")
    found = await one(router, "ETH")
    assert (found.source, found.price, found.standing) == ("pyth hermes", price_from("2999"), Standing.ORACLE)
    world.later(10 * SECOND)
    world.pyth.wrong = SourceFailed("timeout", "Silent.")
    last = await one(router, "ETH")
    assert last == LegPrice(found.price, found.at, "pyth hermes", Standing.LAST_GOOD)
    world.later(LAST_AGE_MAX - 10 * SECOND)
    assert await one(router, "ETH") == last
    world.later(1)
    assert await one(router, "ETH") == NoPrice(
        (
            "hyper mid: hyper: away",
            "chainlink: behind: The node stands still.",
            "pyth hermes: timeout: Silent.",
            "pyth hermes: was good 600 s ago",
        )
    )
    world.hyper.wrong = None
    assert (await one(router, "ETH")).standing is Standing.VENUE


@pytest.mark.parametrize(
    ("age", "standing"),
    [
        (MID_AGE_MAX, Standing.VENUE),
        (MID_AGE_MAX + 1, Standing.ORACLE),
        (-AHEAD_MAX, Standing.VENUE),
        (-AHEAD_MAX - 1, Standing.ORACLE),
    ],
)
async def test_a_middle_of_another_time_is_none(world, age, standing):
    world.hyper.age = age
    assert (await one(world.router(), "ETH")).standing is standing


@pytest.mark.parametrize("wrong", ["refused", "zero", "negative", "uncertain", "old", "ahead", "unknown"])
async def test_what_an_oracle_says_is_held_to_its_limits(world, wrong):
    world.hyper.prices = {}
    chainlink = world.chainlink
    match wrong:
        case "refused":
            chainlink.prices["ETH"] = Refused(Reason.CARRIED_OVER, "round 3")
        case "zero" | "negative":
            chainlink.prices["ETH"] = 0 if wrong == "zero" else -5
        case "uncertain":
            chainlink.prices["ETH"] = chainlink.price("ETH", 3_000, confidence=3_001)
        case "old":
            chainlink.age = MINUTE + 1
        case "ahead":
            chainlink.age = -AHEAD_MAX - 1
        case "unknown":
            del chainlink.prices["ETH"]
    assert (await one(world.router(), "ETH")).source == "pyth hermes"


async def test_a_symbol_that_no_oracle_prices_has_its_venue_alone(world):
    router = VenuePriceRouter(
        {"polymarket": Venue(world.clock, **{"71": "0.4"}).mids},
        [world.chainlink],
        lambda _: None,
        world.clock,
    )
    assert (await one(router, "polymarket::71")).price == price_from("0.4")
    assert await one(router, "polymarket::72") == NoPrice(("polymarket mid: has no middle of it",))
    assert world.chainlink.asked == 0


async def test_a_venue_that_is_not_there_has_no_prices(world):
    demo = LegPrice(PriceE8(1), START, "seed 1", Standing.DEMO)
    router = world.router(demo=lambda _: demo)
    assert await one(router, "nowhere::ETH") == NoPrice(("there is no venue nowhere",))


async def test_a_dead_venue_is_priced_by_oracles_so_that_what_it_held_has_a_value(world):
    router = world.router(mids={SYNTHETIX_V3: DeadVenue(SYNTHETIX_V3, "It has shut down.").mids})
    assert (await one(router, f"{SYNTHETIX_V3}::ETH")).source == "chainlink"


async def test_demo_prices_come_last_where_they_are_allowed_and_say_what_they_are(world):
    world.hyper.prices, world.chainlink.prices, world.pyth.prices = {}, {}, {}
    assert isinstance(await one(world.router(), "ETH"), NoPrice)
    demo = LegPrice(PriceE8(5), START, "recording of 2023", Standing.DEMO)
    router = world.router(demo=lambda leg: demo if leg == Leg("hyper", "ETH") else None)
    assert await one(router, "ETH") == demo
    assert isinstance(await one(router, "BTC"), NoPrice)
    # Made up once is not good afterwards.
    router._demo = None
    assert isinstance(await one(router, "ETH"), NoPrice)


async def test_a_venue_that_is_silent_keeps_nobody_waiting_for_ever(world):
    async def silent(symbols):
        await asyncio.Event().wait()

    mids = {"slow": silent, "hyper": world.hyper.mids}
    router = world.router(mids=mids, patience_s=0.01)
    found = await router.get_index_prices(["slow::ETH", "slow::SOL", "hyper::ETH"])
    assert found["hyper::ETH"].standing is Standing.VENUE
    assert found["slow::ETH"].standing is Standing.ORACLE
    assert found["slow::SOL"].tried[0] == "slow mid: no answer in time"


async def test_oracles_are_asked_when_they_have_something_new_and_by_one_at_a_time(world):
    world.hyper.prices = {}
    router = world.router()
    await asyncio.gather(*(one(router, "ETH") for _ in range(20)))
    assert (world.chainlink.asked, world.pyth.asked) == (1, 1)
    world.later(10 * SECOND - 1)
    await one(router, "ETH")
    assert world.chainlink.asked == 1
    world.later(1)
    await one(router, "ETH")
    assert world.chainlink.asked == 2


async def test_a_clock_that_steps_back_keeps_no_oracle_from_being_asked_nor_an_old_price_good(world):
    step = 3_600 * SECOND
    router = world.router(mids={"mock_gold": None}, elapsed=lambda: elapsed)
    elapsed = 0
    assert (await one(router, "mock_gold::XAU")).price == price_from("4000")
    world.now -= step
    world.chainlink.prices["XAU"], elapsed = 4_007, 60 * SECOND
    found = await one(router, "mock_gold::XAU")
    assert (found.price, found.standing, world.chainlink.asked) == (price_from("4007"), Standing.ORACLE, 2)
    world.chainlink.wrong = world.pyth.wrong = SourceFailed("down", "it is")
    elapsed += LAST_AGE_MAX
    assert (await one(router, "mock_gold::XAU")).standing is Standing.LAST_GOOD
    elapsed += 1
    assert isinstance(await one(router, "mock_gold::XAU"), NoPrice)


@pytest.mark.parametrize("final", [False, True])
async def test_a_middle_beyond_what_can_be_counted_is_none(world, final):
    async def mids(symbols):
        return {"ETH": Mid(PRICE_MAX + 1, world.now, final)}

    world.chainlink.prices.clear()
    world.pyth.wrong = SourceFailed("refused", "no\x00\x1b[31m")
    found = await one(world.router(mids={"hyper": mids}), "ETH")
    assert found == NoPrice(
        (
            f"hyper mid: {PRICE_MAX + 1} is no price",
            "chainlink: does not price ETH",
            "pyth hermes: refused: no  [31m",
        )
    )


async def test_what_goes_wrong_in_ways_that_nobody_expects_is_not_swallowed(world):
    world.hyper.wrong = RuntimeError("a bug")
    with pytest.raises(RuntimeError, match="a bug"):
        await one(world.router(), "ETH")


async def test_an_oracle_that_breaks_takes_no_price_from_the_others_nor_from_venues(world):
    world.chainlink.wrong = RecursionError("deep")
    router = world.router()
    found = await router.get_index_prices(["hyper::ETH", "mock_gold::XAU"])
    assert (found["hyper::ETH"].source, found["mock_gold::XAU"].source) == ("hyper mid", "pyth hermes")
    world.pyth.wrong = OverflowError("1e999")
    world.later(11 * SECOND)
    found = await router.get_index_prices(["hyper::ETH", "mock_gold::XAU"])
    assert (found["hyper::ETH"].source, found["mock_gold::XAU"].standing) == ("hyper mid", Standing.LAST_GOOD)


async def test_gold_is_quoted_around_what_oracles_say(world, tmp_path):
    router = world.router()
    driver = MockGold(
        tmp_path / "gold.db", "vault", lambda: router.mid(Leg("mock_gold", "XAU")), 7, world.clock
    )
    assert (await driver.mids(["XAU"]))["XAU"].price == price_from("4000")
    order = VenueOrder(driver.client_id("a"), "XAU", Side.BUY, size_from("0.5"))
    assert isinstance(await driver.submit(order), Acknowledged)
    world.chainlink.prices, world.pyth.prices = {}, {}
    world.later(LAST_AGE_MAX + 1)
    assert await router.mid(Leg("mock_gold", "XAU")) is None
    assert await driver.mids(["XAU"]) == {}


async def test_a_real_driver_prices_its_venue():
    venue = LocalHyperliquid()
    await venue.start()
    driver = Hyper(Account.from_key("0x" + "81" * 32), venue.url, time.time_ns)
    router = VenuePriceRouter({"hyper": driver.mids}, [], lambda _: None, time.time_ns)
    found = await one(router, "PAXG")
    assert (found.price, found.standing) == (price_from("4000"), Standing.VENUE)
    await venue.stop()
    assert (await one(router, "PAXG")).standing is Standing.LAST_GOOD
    await driver.close()


async def test_a_recorded_stretch_with_each_source_failing_in_turn(data_file, world):
    """Seven real minutes by the second: the venue's quotes, the index of its mark price; each is away for a minute, then both."""
    where = "market/binance-usdm-BTCUSDT-2023-04-05-{}.csv.gz"
    marks = rows(data_file(where.format("markprice")))
    quotes = {int(row["event_ms"]) // 1_000: row for row in rows(data_file(where.format("quotes")))}
    router, seen = world.router(), []
    for row in marks:
        world.now = int(row["event_ms"]) * MILLISECOND
        second = world.now // SECOND
        minute = (second - int(marks[0]["event_ms"]) // 1_000) // 60
        quote = quotes.get(second)
        mid = (price_from(quote["bid"]) + price_from(quote["ask"])) // 2 if quote else None
        away = mid is None or minute in (1, 3)
        world.hyper.wrong = Unavailable("hyper", "away") if away else None
        world.hyper.prices = {} if away else {"BTC": str(mid / 10**8)}
        index = int(price_from(row["index"]))
        world.chainlink.prices = {"BTC": Price("BTC", index, -8, 0, world.now, "chainlink")}
        world.chainlink.wrong = SourceFailed("timeout", "away") if minute in (2, 3) else None
        world.pyth.prices = {}
        found = await one(router, "BTC")
        seen.append((minute, found.standing))
        if found.standing is Standing.VENUE:
            assert abs(found.price - mid) <= 1
        assert abs(found.price - index) < index // 500
        assert world.now - found.at <= 2 * 60 * SECOND
    by_minute = {
        minute: {standing for _, standing in some} for minute, some in itertools.groupby(seen, lambda x: x[0])
    }
    assert Standing.VENUE in by_minute[0]
    assert by_minute[1] == {Standing.ORACLE}
    assert Standing.VENUE in by_minute[2]
    # Both are away: the oracle's last answer is still its newest for some seconds, then it is the last good one.
    assert by_minute[3] == {Standing.LAST_GOOD}
    assert Standing.VENUE in by_minute[4]


async def test_real_rounds_of_chainlink(data_file, world):
    """Half a year of BTC / USD: at every tenth round the leg has exactly what was published, and an hour and more later nothing."""
    before = None
    world.hyper.prices = {}
    router = world.router()
    for row in rows(data_file("chainlink/mainnet-BTC-USD-rounds-to-2023-10-14.csv.gz"))[1::10]:
        terms = [int(row[name]) for name in ("round", "answer", "start", "update", "answeredInRound")]
        before = checked(before, Round(*terms), 3_600)
        world.chainlink.prices = {"BTC": to_price("BTC", before, 8)}
        world.pyth.prices = {}
        world.now = before.updated_at * SECOND
        assert await one(router, "BTC") == LegPrice(before.answer, world.now, "chainlink", Standing.ORACLE)
    world.later(LAST_AGE_MAX + 1)
    assert isinstance(await one(router, "BTC"), NoPrice)


def rows(path):
    with gzip.open(path, "rt") as file:
        return list(csv.DictReader(file))


async def test_waiting_for_ones_turn_to_ask_is_not_counted_against_the_venue(world, monkeypatch):
    """A third of a second of our own making, where the venue has a tenth to answer: it used to have no middle then."""
    monkeypatch.setattr("venues.budget.WINDOW_S", 0.3)
    budget, silent = Budget("hyper", 10), asyncio.Event()
    budget.spend(10)

    async def mids(symbols):
        await budget.take(2)
        if silent.is_set():
            await asyncio.sleep(5)
        return await world.hyper.mids(symbols)

    router = world.router(mids={"hyper": mids}, patience_s=0.1)
    with looking(Turn.SOON):
        found = await one(router, "hyper::BTC")
        assert found == LegPrice(price_from("60001"), START, "hyper mid", Standing.VENUE)
        # A venue that is silent is, however long it was not asked.
        budget.spend(10)
        silent.set()
        found = await asyncio.wait_for(one(router, "hyper::BTC"), 3)
    assert found == LegPrice(price_from("59999"), START, "pyth hermes", Standing.ORACLE)
