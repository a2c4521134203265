"""Funding over HTTP and the private stream, and in the agent's own books: an hour passes on a clock of the test's own."""

import time
from decimal import ROUND_DOWN, Decimal
from typing import Any

import pytest

from core.funding import HOUR
from core.funding_hour import SAMPLE_EVERY, hour_of
from matcher import commands as c

SAMPLES = 10
"""Premiums sampled in each hour, at its end."""
ORDER = {"id": "o-1", "market": "BTC-PERP", "side": "buy", "size": "2", "limit": "60010"}


class Clock:
    """The wall's, ahead by as much as a test needs to get to an hour's end."""

    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        return time.time_ns() + self.ahead

    def go_to(self, at: int) -> None:
        self.ahead = at - time.time_ns()


class Hours:
    """An exchange with two makers that stand far above the index, and a trader that is long."""

    def __init__(self, exchange: Any, clock: Clock) -> None:
        self.exchange = exchange
        self.clock = clock

    async def begin(self) -> None:
        # Ten minutes before the end, so that a slow machine does not get past it.
        self.clock.go_to((hour_of(self.clock()) + 1) * HOUR - 600 * 10**9)
        self.hour = hour_of(self.clock())
        for market in (1, 2, 3):
            self.exchange.index(market, 600_000)
        self.makers = [await self.exchange.maker(), await self.exchange.maker("other", "59000", "61000")]
        self.trader = await self.exchange.agent("trader")
        await self.trader.open()
        await self.exchange.http.post("/api/v1/requests", json=ORDER, headers=self.trader.headers)

    def sample(self) -> None:
        """Premiums of quotes that bid 0.1 % above the index."""
        engine = self.exchange.engine
        for _ in range(SAMPLES):
            self.exchange.index(1, 600_000)
            expires = self.clock() + 30 * 10**9
            for maker in self.makers:
                quotes = c.SetQuotes(maker.account, 1, ((600_600, 100_000),), ((606_000, 100_000),), expires)
                engine.submit(quotes, None)
            end = self.clock() + SAMPLE_EVERY
            # What is due is done at its instant, as the engine's timer does it: a sample that comes late misses the next window's.
            while 0 < (due := engine.state.next_deadline()) <= end:
                self.clock.go_to(max(due, engine.last_at))
                engine.submit(c.Advance(), None)
            self.clock.go_to(end)

    async def end(self) -> Any:
        """The hour ends and is paid; the operator's answer."""
        self.clock.go_to(self.hour * HOUR)
        paid = await self.pay(self.hour)
        self.hour += 1
        return paid.json()

    async def pay(self, hour: int) -> Any:
        self.exchange.index(1, 600_000)
        return await self.exchange.operator({"type": "SettleFunding", "market": 1, "hour": hour})

    async def get(self, path: str, agent: Any = None) -> Any:
        answer = await self.exchange.http.get(
            f"/api/v1{path}", headers=agent.headers if agent is not None else {}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
async def hours(new_exchange: Any) -> Hours:
    clock = Clock()
    made = Hours(await new_exchange(clock=clock), clock)
    await made.begin()
    return made


async def test_a_paid_hour_is_in_the_history_of_market_and_account(hours: Hours) -> None:
    hours.sample()
    answer = await hours.end()
    event = answer["events"][0]
    assert (event["type"], event["accounts"], event["payments"]) == ("FundingSettled", 2, [])
    (hour,) = (await hours.get("/markets/BTC-PERP/funding"))["hours"]
    assert hour["hour"] == (hours.hour - 1) * HOUR // 1_000 <= hour["at"]
    assert (hour["basis"], hour["makers"], hour["index"]) == ("premium", 2, "60000.0")
    # Ten windows' time holds the instants of nine to eleven windows, and one more may pass before the hour ends.
    assert SAMPLES - 1 <= hour["samples"] <= SAMPLES + 2
    # Each sampled premium is 0.1 %; those that are missing count as none.
    means = [Decimal(10**9 * count // 720).scaleb(-12) for count in range(SAMPLES - 1, hour["samples"] + 1)]
    assert Decimal(hour["premium"]) in means
    assert hour["hourly"] == "0.000012500000"
    assert (hour["open_interest"], hour["skew"]) == ("2.0000", "2.0000")
    # 2 BTC at 60,000 for 0.00125 %; a maker keeps nine tenths.
    assert (hour["paid"], hour["treasury"], hour["insurance"]) == ("1.500000", "0.150000", "0.000000")
    for agent, amount in ((hours.trader, "-1.500000"), (hours.makers[0], "1.350000")):
        (payment,) = (await hours.get("/account/funding", agent))["payments"]
        assert (payment["amount"], payment["hour"], payment["seq"]) == (amount, hour["hour"], hour["seq"])
    assert (await hours.get("/account/funding", hours.makers[1]))["payments"] == []


@pytest.mark.parametrize("at_once", [1_000, 1])
async def test_an_account_is_told_its_own_part(
    hours: Hours, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("api.streams.PART", at_once)
    hours.sample()
    before = Decimal((await hours.get("/account", hours.trader))["balance"])
    await hours.end()
    told = await hours.trader.until("funding")
    assert (told["market"], told["amount"], told["hourly"]) == ("BTC-PERP", "-1.500000", "0.000012500000")
    account = await hours.get("/account", hours.trader)
    assert Decimal(account["balance"]) == before + Decimal(told["amount"])
    assert account["head"] == told["n"]
    listed = (await hours.get(f"/account/events?after={told['n'] - 1}", hours.trader))["events"]
    assert listed == [told]


async def test_pages_of_the_history(hours: Hours) -> None:
    for _ in range(3):
        hours.sample()
        await hours.end()
        hours.clock.go_to(hours.hour * HOUR - 600 * 10**9)
    found: list[Any] = []
    before = ""
    while page := (await hours.get(f"/markets/BTC-PERP/funding?limit=2{before}"))["hours"]:
        found += page
        before = f"&before={page[-1]['hour']}"
    assert [hour["hour"] for hour in found] == [(hours.hour - ago) * HOUR // 1_000 for ago in (1, 2, 3)]
    payments: list[Any] = []
    before = ""
    while page := (await hours.get(f"/account/funding?limit=2{before}", hours.trader))["payments"]:
        payments += page
        before = f"&before={page[-1]['seq']}"
    assert [payment["hour"] for payment in payments] == [hour["hour"] for hour in found]


async def test_the_prediction_says_what_it_is_made_of(hours: Hours) -> None:
    hours.sample()
    hours.clock.go_to(hours.hour * HOUR)
    hours.hour += 1
    hours.sample()
    said = await hours.get("/markets/BTC-PERP/funding/predicted")
    assert said["hour"] == hours.hour * HOUR // 1_000
    assert SAMPLES <= said["samples"] <= said["expected"] <= SAMPLES + 10
    assert (said["basis"], said["makers"]) == ("premium", 2)
    assert Decimal("0.0004") < Decimal(said["premium"]) <= Decimal("0.001")
    pulled = Decimal(said["premium"]) - Decimal(said["interest_clamp"])
    assert Decimal(said["rate"]) == max(pulled, Decimal(said["interest"]))
    assert (said["skew"], said["open_interest"], said["cap"]) == ("2.0000", "2.0000", "0.060000000000")
    assert said["unpaid"] == [(hours.hour - 1) * HOUR // 1_000]


async def test_an_hour_that_cannot_be_paid_now_says_so_with_a_code(hours: Hours) -> None:
    hours.sample()
    early = (await hours.pay(hours.hour)).json()["error"]
    assert (early["code"], early["retryable"]) == ("funding_not_due", True)
    hours.clock.go_to((hours.hour + 1) * HOUR - 600 * 10**9)
    hours.sample()
    hours.clock.go_to((hours.hour + 1) * HOUR)
    early = (await hours.pay(hours.hour + 1)).json()["error"]
    assert (early["code"], early["retryable"]) == ("funding_out_of_order", True)
    headers = {"Authorization": "Bearer operator-token-of-the-tests-0123456789"}
    listed = (await hours.exchange.http.get("/api/v1/operator/funding", headers=headers)).json()
    assert listed[0]["unpaid"] == [hours.hour, hours.hour + 1]
    assert listed[0]["settled"] < hours.hour
    assert [one["symbol"] for one in listed] == ["BTC-PERP", "ETH-PERP", "SOL-PERP"]
    first = (await hours.pay(hours.hour)).json()
    hours.exchange.engine.submit(c.DelistMarket(2, force=True), None)
    listed = (await hours.exchange.http.get("/api/v1/operator/funding", headers=headers)).json()
    assert listed[1]["symbol"] == "ETH-PERP"
    assert listed[1]["unpaid"]
    for hour in listed[1]["unpaid"]:
        hours.exchange.engine.submit(c.SettleFunding(2, hour), None)
    listed = (await hours.exchange.http.get("/api/v1/operator/funding", headers=headers)).json()
    assert [one["symbol"] for one in listed] == ["BTC-PERP", "SOL-PERP"]
    again = (await hours.pay(hours.hour)).json()
    assert (first["repeated"], again["repeated"]) == (False, True)
    assert again["events"] == first["events"]


async def test_an_unpaid_hour_is_told_to_whoever_will_pay_it(hours: Hours) -> None:
    hours.sample()
    before = [await hours.get("/account", agent) for agent in (hours.trader, *hours.makers)]
    assert [account["unpaid_funding"] for account in before] == ["0.000000"] * 3
    hours.clock.go_to(hours.hour * HOUR)
    hours.exchange.index(1, 600_000)
    owed = [await hours.get("/account", agent) for agent in (hours.trader, *hours.makers)]
    assert [account["unpaid_funding"] for account in owed] == ["1.500000", "-1.350000", "0.000000"]
    unpaid = 'perpdex_funding_unpaid_hours{market="BTC-PERP"} '
    assert f"{unpaid}1.0" in (await hours.exchange.http.get("/metrics")).text
    await hours.end()
    assert f"{unpaid}0.0" in (await hours.exchange.http.get("/metrics")).text
    paid = [await hours.get("/account", agent) for agent in (hours.trader, *hours.makers)]
    assert [account["unpaid_funding"] for account in paid] == ["0.000000"] * 3
    for was, now in zip(owed, paid, strict=True):
        assert Decimal(now["balance"]) == Decimal(was["balance"]) - Decimal(was["unpaid_funding"])


async def test_a_market_says_what_its_funding_is_and_will_be(hours: Hours) -> None:
    hours.sample()
    hours.clock.go_to(hours.hour * HOUR)
    hours.hour += 1
    hours.sample()
    market, said = (
        await hours.get("/markets/BTC-PERP"),
        await hours.get("/markets/BTC-PERP/funding/predicted"),
    )
    funding = market["funding"]
    assert (funding["hour"], funding["rate"], funding["unpaid"]) == (
        said["hour"],
        said["last_rate"],
        said["unpaid"],
    )
    assert len(funding["unpaid"]) == 1
    assert Decimal(funding["predicted"]) > 0
    assert Decimal(funding["predicted_hourly"]) == (Decimal(funding["predicted"]) / 8).quantize(
        Decimal("1e-12"), ROUND_DOWN
    )
    await hours.pay(hours.hour - 1)
    paid = (await hours.get("/markets/BTC-PERP"))["funding"]
    (last,) = (await hours.get("/markets/BTC-PERP/funding"))["hours"]
    assert (paid["rate"], paid["unpaid"]) == (last["rate"], [])
