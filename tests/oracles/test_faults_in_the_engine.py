"""Sources that drop, lie and go back in time, through the real feed into a real engine: what the table says stops, and resumes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from api.collaborators import EscrowInfo
from api.history import History
from api.quant import VaultTrading
from api.server import Given, Server
from api.sessions import Sessions
from api.vault_books import VaultBooks
from api.withdrawals import TemporalWithdrawals
from core.batches import BatchStatus
from core.events import Filled
from core.margin_terms import MarginTerms, Tier
from core.market import DEFAULT_MARKETS
from core.quantities import SECOND, Nanos
from core.risk_template import RiskTemplate
from core.validity import ALLOWED, Action, Validity
from feeding import feed_into
from ledger.database import open_pool
from ledger.queries import Queries
from matcher import commands as c
from matcher.engine import Engine
from matcher.limits import SETTLEMENT_PATIENCE
from matcher.rejections import Rejection
from matcher.trust import trusted, validity
from oracles.feed import PriceFeed
from oracles.index import Fault
from oracles.router import Accepted
from oracles.sources import Source
from settings import Settings
from wiring import temporal_client
from workflows.exec_service import ExecService

BTC = DEFAULT_MARKETS[0]
HONEST = (59_240 * 10**8, -8, 10**8)
"""Price, exponent and confidence in Pyth's account: a dollar's doubt."""
OWNERS = (
    "11111111111111111111111111111112",
    "11111111111111111111111111111113",
    "11111111111111111111111111111114",
)


@dataclass
class Trading:
    """An exchange at the end of a live feed; two of its accounts hold positions, the third holds nothing and quotes."""

    outside: object
    engine: Engine
    feed: PriceFeed
    http: httpx.AsyncClient
    accounts: list[int] = field(default_factory=list)
    tries: int = 0

    @property
    def reasons(self) -> tuple[tuple[str, Fault], ...]:
        return self.feed.routed[BTC.symbol].reasons

    @property
    def index(self) -> int:
        return self.engine.state.indexes[BTC.id].price

    async def take(self, command: c.Command) -> bool:
        return not isinstance(await self.engine.ask(command), Rejection)

    async def open(self) -> None:
        for number, owner in enumerate(OWNERS):
            (registered,) = await self.engine.ask(c.RegisterAgent(owner, "a"))
            assert await self.take(c.BindSlot(registered.account, 0, 2 + number))
            assert await self.take(c.CreditDeposit(registered.account, 10**12, owner))
            self.accounts.append(registered.account)

    async def stand(self) -> None:
        """Have two owners quote both sides deep enough to say a price."""
        price, until = self.index, self.engine.clock() + 30 * SECOND
        for maker in self.accounts[:2]:
            quotes = c.SetQuotes(maker, BTC.id, ((price - 2, 5_000),), ((price + 2, 5_000),), until)
            assert await self.take(quotes)

    async def fill(self, maker: int, taker: int) -> bool:
        price, key = self.index, f"request {self.tries}"
        until = self.engine.clock() + 30 * SECOND
        await self.engine.ask(c.SetQuotes(maker, BTC.id, ((price - 1, 9),), ((price + 1, 9),), until))
        outcome = await self.engine.ask(c.OpenRequest(taker, key, BTC.id, 1, 5, price + 1, SECOND))
        return isinstance(outcome, list) and any(isinstance(event, Filled) for event in outcome)

    async def taken(self) -> set[Action]:
        """The actions that the engine takes now."""
        self.tries += 1
        holder, _, idle = self.accounts
        state, taken = self.engine.state, set()
        if await self.fill(idle, holder):
            taken.add(Action.FILL)
        if await self.take(c.ReserveWithdrawal(holder, 1, f"withdrawal {self.tries}")):
            taken.add(Action.MARGIN)
            assert await self.take(c.FinishWithdrawal(state.last_withdrawal, False, ""))
        batch = 1 + (state.cut.batch if state.cut else 0)
        if await self.take(c.CutSettlement(batch)):
            landing = (BatchStatus.SUBMITTED, BatchStatus.CONFIRMED) if state.cut.deltas else ()
            for status in (*landing, BatchStatus.FINAL):
                assert await self.take(c.AdvanceBatch(batch, status))
            taken.add(Action.SETTLE)
        # Liquidation and funding ask this and nothing else.
        others = (Action.LIQUIDATE, Action.FUND)
        return taken | {one for one in others if trusted(state, BTC.id, one, self.engine.last_at)}

    def lied(self, mid: Decimal) -> bool:
        """Whether the feed has heard of this mid, which is never quite the same."""
        price = self.feed.routed[BTC.symbol].inputs[-1].price
        return price is not None and abs(Decimal(price.value).scaleb(price.exponent) - mid) < 1

    async def stretched(self) -> int:
        """An account that has just opened with the initial requirement and a little, in a market that asks for more by then: what it
        may still lose is 0.5 % of what it holds."""
        price, until = self.index, self.engine.clock() + 30 * SECOND
        (registered,) = await self.engine.ask(c.RegisterAgent("11111111111111111111111111111115", "a"))
        assert await self.take(c.BindSlot(registered.account, 0, 9))
        value = BTC.notional(price, 100_000)
        assert await self.take(c.CreditDeposit(registered.account, value * 21 // 1_000, "stretched"))
        quotes = c.SetQuotes(self.accounts[2], BTC.id, (), ((price + 1, 100_000),), until)
        assert await self.take(quotes)
        opened = c.OpenRequest(registered.account, "stretched", BTC.id, 1, 100_000, price + 1, SECOND)
        assert await self.take(opened)
        assert self.engine.state.accounts[registered.account].positions[BTC.id].size == 100_000
        assert await self.take(
            c.SetLimits(BTC.id, max_leverage=33, margin=MarginTerms((Tier(0, 30_304),)), who="a", why="b")
        )
        return registered.account

    async def until(self, wanted: Validity, tried: bool = True) -> None:
        """Look at the sources until the engine believes its index just so far; then exactly its actions are taken.

        Nothing is `tried` where accounts are to stay as they are."""
        async with asyncio.timeout(20):
            while True:
                self.feed.step(Nanos(self.outside.clock()))
                if validity(self.engine.state, BTC.id, self.engine.clock()) is wanted:
                    break
                await asyncio.sleep(0.005)
        if self.accounts and tried:
            cut = self.engine.state.cut
            waited = cut is not None and self.engine.clock() - cut.at > SETTLEMENT_PATIENCE
            # A cut waits for no index longer than that.
            assert await self.taken() == ALLOWED[wanted] | ({Action.SETTLE} if waited else set())
            await self.shown(wanted)

    async def shown(self, wanted: Validity) -> None:
        """The same stands in the status and in the metrics, for everybody."""
        prices = (await self.http.get("/api/v1/status")).json()["prices"]
        (market,) = prices["markets"]
        assert (market["market"], market["validity"]) == (BTC.symbol, wanted.code)
        assert set(market["allows"]) == {action.value for action in ALLOWED[wanted]}
        reasons = {(one["source"], one["fault"]) for one in market["reasons"]}
        assert reasons == set(self.feed.routed[BTC.symbol].reasons)
        assert reasons or wanted is Validity.VALID
        metrics = (await self.http.get("/metrics")).text.splitlines()
        assert f'perpdex_index_validity{{market="{BTC.symbol}"}} {wanted.rank}.0' in metrics


@asynccontextmanager
async def running(source) -> AsyncIterator[None]:
    task = asyncio.create_task(source.run())
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@asynccontextmanager
async def served(engine: Engine, journal: Path, feed: PriceFeed) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the exchange's real server, which has neither database nor Temporal behind it."""
    pool = open_pool("postgresql://127.0.0.1:1/none")
    temporal = await temporal_client(Settings(), lazy=True)
    server = await Server.start(
        Given(
            engine=engine,
            journal=journal,
            sessions=Sessions(b"s" * 32, {"operator": "t" * 32}, engine.clock),
            reads=History(Queries(pool)),
            withdrawals=TemporalWithdrawals(temporal, "none"),
            quant=VaultTrading(ExecService(temporal, "none"), pool),
            escrow=EscrowInfo("11111111111111111111111111111112", "e", "v", "m", "http://127.0.0.1:1"),
            prices=feed,
            vaults=VaultBooks(lambda: pool, frozenset(), RiskTemplate(frozenset(), None, {})),
            clock=engine.clock,
            lag_max=60 * SECOND,
        )
    )
    async with httpx.AsyncClient(base_url=server.http_url, timeout=20) as http:
        yield http
    await server.stop()
    await pool.dispose()


@pytest.fixture
async def trading(outside, tmp_path) -> AsyncIterator[Trading]:
    async with exchange(outside, tmp_path, await outside.source()) as made:
        yield made


@pytest.fixture
async def trusting(outside, tmp_path) -> AsyncIterator[Trading]:
    """The same with Pyth's accounts alone, whose node could say anything."""
    outside.account_says(*HONEST)
    async with exchange(outside, tmp_path, await outside.lone_source()) as made:
        yield made


@asynccontextmanager
async def exchange(outside, tmp_path: Path, source: Source) -> AsyncIterator[Trading]:
    engine = Engine(tmp_path / "journal", outside.clock)
    await engine.ask(c.ListMarket(BTC))
    feed = feed_into(engine, source)
    async with running(source), served(engine, tmp_path / "journal", feed) as http:
        made = Trading(outside, engine, feed, http)
        await made.until(Validity.VALID)
        await made.open()
        assert await made.fill(made.accounts[1], made.accounts[0])
        assert engine.state.open_interest[BTC.id]
        yield made
    engine.close()


async def test_sources_that_drop_one_after_another_and_come_back(outside, trading):
    outside.up |= {"hermes": False, "venue": False}
    outside.pass_by(11)
    await trading.until(Validity.AGED)
    outside.pass_by(55)
    await trading.until(Validity.STALE)
    outside.pass_by(3_600)
    await trading.until(Validity.LONE)
    outside.up["node"] = False
    outside.pass_by(7_200)
    await trading.until(Validity.UNAVAILABLE)
    outside.up |= {"node": True, "venue": True}
    outside.chain_says(59_240)
    await trading.until(Validity.VALID)


@pytest.mark.parametrize("venue", [True, False])
async def test_seconds_of_silence_liquidate_nobody_at_an_hour_old_round(outside, tmp_path, venue):
    """The chain's last round is from before the market rose by 0.86 %: it confirms the price that fell silent."""
    before = outside.now // SECOND - 3_000
    outside.node.say(outside.aggregator, "BTC / USD", (1, 58_730 * 10**8, before, before, 1))
    async with exchange(outside, tmp_path, await outside.source()) as trading:
        state, holder = trading.engine.state, await trading.stretched()
        price = trading.index
        assert price == pytest.approx(592_400, abs=100)
        assert state.marks[BTC.id].value_per_lot == price * BTC.value_per_tick_lot
        outside.up |= {"hermes": False, "venue": venue}
        for seconds, validity in ((11, Validity.AGED), (50, Validity.STALE), (500, Validity.STALE)):
            outside.pass_by(seconds)
            await trading.until(validity, tried=False)
            assert trading.index == price
            await trading.engine.ask(c.Advance())
            assert not state.liquidations
            assert state.accounts[holder].positions[BTC.id].size == 100_000


async def test_publishers_that_contradict_each_other(outside, trading):
    before = trading.index
    outside.perp_says(70_000)
    outside.chain_says(50_000)
    await trading.until(Validity.DISPUTED)
    assert trading.index == before
    outside.perp_says(59_240)
    await trading.until(Validity.VALID)


async def test_a_price_far_from_all_that_was_known(outside, trading):
    before = trading.index
    outside.live_at(outside.late)
    await trading.until(Validity.VOLATILE)
    assert trading.index == before
    assert trading.engine.state.mark_price(BTC.id) == before


async def test_a_liar_and_a_chain_that_goes_back_in_time_change_nothing(outside, trading):
    outside.perp_says(70_000)
    second = outside.now // SECOND
    outside.node.say(outside.aggregator, "BTC / USD", (0, 1, second, second, 0))
    async with asyncio.timeout(20):
        while not (trading.feed.troubles and trading.feed.routed[outside.btc].reasons):
            await trading.until(Validity.VALID)
    assert trading.index == pytest.approx(592_400, abs=100)
    assert await trading.taken() == set(Action)


async def test_an_outside_venue_that_lies_beyond_all_measure_stops_nothing(outside, trading):
    """Hermes and the chain agree; their index goes on for longer than the engine would believe one that it no longer hears."""
    for mid in ("1e12", "1e26", "1e-26", "70000"):
        outside.perp_says(mid)
        async with asyncio.timeout(20):
            while outside.btc not in trading.feed.routed or not trading.lied(Decimal(mid)):
                await trading.until(Validity.VALID)
        assert trading.feed.routed[outside.btc].witnesses == ()
    outside.perp_says("1e12")
    outside.pass_by(11)
    await trading.until(Validity.AGED)
    outside.pass_by(BTC.index_max_age // SECOND)
    await trading.until(Validity.STALE)
    assert not trading.feed.refusals


async def test_a_node_that_serves_impossible_prices_doubts_and_times(outside, trusting):
    """Nothing of it is more than an index that is not believed: the price stays, the process lives, and honest prices count again."""
    for lie, wanted in (
        ((60, 3, 2**64 - 1), Validity.UNAVAILABLE),
        ((59_240 * 10**8, -8, 59_240 * 10**8), Validity.UNAVAILABLE),
        ((2**63 - 1, 30, 0), Validity.UNAVAILABLE),
        ((-(2**63), -8, 2**64 - 1), Validity.UNAVAILABLE),
        ((1, -30, 0), Validity.VOLATILE),
        ((59_240 * 10**8, -8, 59_000 * 10**8), Validity.UNCERTAIN),
    ):
        outside.account_says(*lie)
        await trusting.until(wanted)
        assert trusting.index == 592_400
        outside.account_says(*HONEST)
        await trusting.until(Validity.VALID)
    outside.account_says(*HONEST, ahead_s=10**8)
    async with asyncio.timeout(20):
        while not trusting.feed.accepted["pyth account", Accepted.FROM_THE_FUTURE]:
            await trusting.until(Validity.VALID)
    outside.account_says(*HONEST)
    outside.pass_by(9)
    await trusting.until(Validity.VALID)
    assert not trusting.feed.refusals


async def test_a_chain_that_lies_about_price_and_time(outside, trading):
    """Hermes and the venue agree. What the chain said of the future is not held against what it says next."""
    future = (outside.chainlink.label, BTC.symbol)
    for price, ahead, seen in (
        (2**255 - 1, 0, lambda: ("chainlink", Fault.OUT_OF_RANGE) in trading.reasons),
        (1, 0, lambda: ("chainlink", Fault.DISAGREES) in trading.reasons),
        (59_240 * 10**8, 10**8, lambda: trading.feed.troubles.get(future) == "out_of_range"),
        (59_240 * 10**8, 0, lambda: not trading.feed.troubles and not trading.reasons),
    ):
        outside.round(price, ahead)
        async with asyncio.timeout(20):
            while not seen():
                await trading.until(Validity.VALID)
    assert trading.index == pytest.approx(592_400, abs=100)


async def test_a_feed_that_falls_silent_is_believed_for_a_while_and_is_heard_again(outside, trading):
    outside.pass_by(BTC.fill_max_age // SECOND - 5)
    assert await trading.taken() == set(Action)
    outside.pass_by(6)
    assert await trading.taken() == ALLOWED[Validity.AGED]
    outside.pass_by((BTC.index_max_age - BTC.fill_max_age) // SECOND)
    assert await trading.taken() == set()
    outside.chain_says(59_240)
    await trading.until(Validity.VALID)


async def test_mids_outside_reach_the_mark(outside, trading):
    """Quotes are on both sides, so there is a mark apart from the index."""
    marks = trading.engine.state.mark_records
    outside.perp_says(59_300)
    async with asyncio.timeout(20):
        while BTC.id not in marks or marks[BTC.id].outside != 593_000:
            await trading.stand()
            outside.pass_by(1)
            await trading.until(Validity.VALID)
    quotes = (marks[BTC.id].with_basis + marks[BTC.id].of_quotes) // 2
    index = trading.engine.state.indexes[BTC.id].price
    assert marks[BTC.id].price == sorted((quotes, 593_000, index))[1]
