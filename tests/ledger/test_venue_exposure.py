"""How much a vault may hold at a venue that keeps no leverage: by what is behind it, whatever it asks for in how many orders."""

import asyncio

import pytest

from activities.backing import VaultBacking
from activities.order_rules import OrderAsked, OrderRules, VaultTerms
from core.backing import Exposure
from core.market import Side
from core.risk_template import Lifecycle, RiskTemplate, VenueLimits
from core.tickets import Leg, OrderType, PriceE8, Ticket, price_from, size_from
from ledger.database import open_pool
from ledger.vault_cash import move_cash
from ledger.venue_exposure import VenueExposure
from ledger.venue_fills import TakenFill, VenueFills
from ledger.venue_orders import Standing, VenueOrders
from venues.driver import Mid
from venues.errors import Unavailable
from venues.prices import LAST_AGE_MAX, VenuePriceRouter

NOW = 1_700_000_000 * 10**9
ONCE = VenueLimits(max_leverage=1)


class Account:
    """This network's side of a vault, as far as margin goes: what its account is worth."""

    equity_now: int | None = 1_000_000_000

    async def equity(self):
        if self.equity_now is None:
            raise Unavailable("agents", "away")
        return self.equity_now


class Desk:
    """A vault with a thousand dollars, the rules, and the ledger that they read."""

    def __init__(self, pool):
        self.pool = pool
        self.fills = VenueFills(pool)
        self.orders = VenueOrders(pool)
        self.account = Account()
        self.prices = {"XAU": price_from("100"), "BTC-PERP": price_from("100"), "ETH": price_from("10")}
        self.template = RiskTemplate(
            frozenset({"mock_gold", "agents", "hyper"}),
            None,
            {"mock_gold": ONCE, "agents": ONCE, "hyper": ONCE},
        )
        self.router = VenuePriceRouter(
            dict.fromkeys(self.template.venues, self.mids),
            [],
            lambda leg: None,
            lambda: self.now,
            elapsed=lambda: self.now,
        )
        self.backing = VaultBacking(VenueExposure(pool), self.router, self)
        lifecycles = dict.fromkeys(self.template.venues, Lifecycle.ACTIVE)
        self.rules = OrderRules(
            lifecycles, self.terms, self.held, self.index, lambda: NOW, self.backing.by_venue()
        )
        self.number, self.now = 0, NOW

    async def mids(self, symbols):
        return {name: Mid(self.prices[name], self.now) for name in symbols if name in self.prices}

    async def driver(self, vault, venue):
        return self.account

    async def terms(self, vault):
        return VaultTerms(False, self.template)

    async def held(self, vault, leg):
        return (await self.fills.held(vault)).get(leg.venue, {}).get(leg.symbol, 0)

    async def index(self, vault, leg):
        return PriceE8(self.prices[leg.symbol]) if leg.symbol in self.prices else None

    async def named(self, vault, venue, ticket):
        return f"0x{ticket}"

    async def paid_in(self, dollars):
        row = {"kind": "deposit", "reference": "first", "amount": dollars * 10**6, "at": 1}
        async with self.pool.begin() as connection:
            await move_cash(connection, [{"vault": "v", "venue": "", **row}])

    async def order(self, side, size, venue="mock_gold", symbol="XAU", **terms):
        """What becomes of a ticket: its code, or nothing once it is accepted."""
        self.number += 1
        ticket = Ticket(symbol, size_from(size), side, venue, **terms)
        asked = OrderAsked.of("v", ticket, f"id-{self.number}", "ann")
        judged = await self.rules.judged(asked, self.named, 0)
        kept = await self.orders.accept(judged.order, None, judged.most)
        return kept.code

    async def filled(self, side, size, price, venue="mock_gold", symbol="XAU"):
        """The last order, whole."""
        since, _ = await self.fills.cursors("v", venue)
        fill = TakenFill(
            f"f{self.number}",
            f"0xv/id-{self.number}",
            "1",
            symbol,
            side,
            size_from(size),
            price_from(price),
            0,
            2,
        )
        await self.fills.record("v", venue, since, [fill], f"{since}.", 2)
        await self.orders.advance(f"v/id-{self.number}", Standing.FILLED, 3)


@pytest.fixture
async def desk(postgres_url):
    pool = open_pool(postgres_url)
    made = Desk(pool)
    await made.paid_in(1_000)
    yield made
    await pool.dispose()


async def test_a_vault_holds_at_mock_gold_no_more_than_its_leverage_times_what_it_is_worth(desk):
    assert await desk.order(Side.BUY, "6") == ""
    # It waits, and counts: six at a hundred each leave room for four.
    assert await desk.order(Side.BUY, "4.00000001") == "leverage_too_high"
    assert await VenueExposure(desk.pool).exposures("v", "mock_gold") == {"XAU": Exposure(0, size_from("6"))}
    assert await desk.order(Side.BUY, "4") == ""
    await desk.filled(Side.BUY, "4", "100")
    assert await desk.order(Side.BUY, "0.00000001") == "leverage_too_high"
    # The other side has room of its own, from what is held: 4 to -10.
    assert await desk.order(Side.SELL, "14.00000001") == "leverage_too_high"
    assert await desk.order(Side.SELL, "14") == ""
    # What only reduces always passes.
    assert await desk.order(Side.SELL, "4", reduce_only=True) == ""
    assert await desk.order(Side.BUY, "1", leverage=1) == "leverage_too_high"


async def test_what_the_vault_gains_and_loses_anywhere_is_behind_it(desk):
    await desk.order(Side.BUY, "10", "hyper", "ETH")
    await desk.filled(Side.BUY, "10", "10", "hyper", "ETH")
    # Cash is 900, ten at ten dollars are held: worth a thousand as before. At 60 a piece it is 1,500.
    assert await desk.order(Side.BUY, "10.1") == "leverage_too_high"
    desk.prices["ETH"] = price_from("60")
    assert await desk.order(Side.BUY, "15.1") == "leverage_too_high"
    assert await desk.order(Side.BUY, "15") == ""
    await desk.filled(Side.BUY, "15", "100")
    # Beyond it by a loss, it may get smaller and not larger.
    desk.prices["ETH"] = price_from("1")
    assert await desk.order(Side.BUY, "0.1") == "leverage_too_high"
    assert await desk.order(Side.SELL, "5", order_type=OrderType.LIMIT, limit_price=price_from("100")) == ""
    del desk.prices["ETH"]
    assert await desk.order(Side.SELL, "1") == ""
    desk.now += LAST_AGE_MAX + 1
    assert await desk.order(Side.SELL, "1") == "price_unavailable"
    assert await desk.order(Side.SELL, "1", reduce_only=True) == ""


async def test_at_this_network_the_account_there_is_behind_it(desk):
    leg = {"venue": "agents", "symbol": "BTC-PERP"}
    desk.account.equity_now = 500_000_000
    assert await desk.order(Side.SELL, "5.00000001", **leg) == "leverage_too_high"
    assert await desk.order(Side.SELL, "5", **leg) == ""
    desk.template = RiskTemplate(desk.template.venues, None, {"agents": VenueLimits(max_leverage=3)})
    assert await desk.order(Side.SELL, "10", **leg) == ""
    assert await desk.order(Side.SELL, "0.00000001", **leg) == "leverage_too_high"
    desk.account.equity_now = None
    assert await desk.order(Side.BUY, "1", **leg) == "price_unavailable"
    # Nobody bounds it: nobody asks.
    desk.template = RiskTemplate(desk.template.venues, None, {})
    assert await desk.order(Side.BUY, "100", **leg) == ""


async def test_at_this_network_a_ticket_is_held_to_the_leverage_that_it_names(desk):
    """The network knows none, so an order must not come to more than its sender meant."""
    leg = {"venue": "agents", "symbol": "BTC-PERP"}
    desk.account.equity_now = 500_000_000
    desk.template = RiskTemplate(desk.template.venues, None, {"agents": VenueLimits(max_leverage=3)})
    assert await desk.order(Side.BUY, "10.00000001", **leg, leverage=2) == "leverage_too_high"
    assert await desk.order(Side.BUY, "10", **leg, leverage=2) == ""
    assert await desk.order(Side.BUY, "0.1", **leg, leverage=2) == "leverage_too_high"
    assert await desk.order(Side.BUY, "5", **leg) == ""
    assert await desk.order(Side.BUY, "1", **leg, leverage=4) == "leverage_too_high"
    # Also where nobody else bounds it.
    desk.template = RiskTemplate(desk.template.venues, None, {})
    assert await desk.order(Side.BUY, "4.9", **leg, leverage=4) == ""
    assert await desk.order(Side.BUY, "0.2", **leg, leverage=4) == "leverage_too_high"


async def test_a_venue_that_keeps_leverage_itself_is_left_to_it(desk):
    assert await desk.order(Side.BUY, "1000", "hyper", "ETH", leverage=1) == ""
    assert Leg("hyper", "ETH").venue not in desk.backing.by_venue()


async def test_of_many_tickets_at_one_instant_no_more_are_taken_than_are_carried(desk):
    """All are judged before any is kept: each of them alone would be carried."""
    asked = [
        OrderAsked.of("v", Ticket("XAU", size_from(size), Side.BUY, "mock_gold"), f"id-{number}", "ann")
        for number, size in enumerate(["3"] * 20 + ["1"] * 20)
    ]
    judged = [await desk.rules.judged(one, desk.named, 0) for one in asked]
    assert {one.order.status for one in judged} == {"accepted"}
    kept = await asyncio.gather(*(desk.orders.accept(one.order, None, one.most) for one in judged))
    taken = [one for one in kept if one.status == "accepted"]
    # Threes and ones fill ten to the last one, in whatever order they come.
    assert sum(one.size for one in taken) == size_from("10")
    refused = [one for one in kept if one not in taken]
    assert {(one.status, one.code, one.venue_client_id) for one in refused} == {
        ("refused", "leverage_too_high", "")
    }
    assert (await VenueExposure(desk.pool).exposures("v", "mock_gold"))["XAU"].buys == size_from("10")
    # And again: each is what it was.
    again = await asyncio.gather(*(desk.orders.accept(one.order, None, one.most) for one in judged))
    assert again == kept


async def test_what_was_priced_without_what_is_there_by_now_is_judged_again(desk):
    desk.prices["XAG"] = price_from("50")
    asked = OrderAsked.of("v", Ticket("XAU", size_from("6"), Side.BUY, "mock_gold"), "late", "ann")
    late = await desk.rules.judged(asked, desk.named, 0)
    assert await desk.order(Side.BUY, "10", symbol="XAG") == ""
    assert await desk.orders.accept(late.order, None, late.most) is None
    assert await desk.orders.order("v/late") is None
    assert (await desk.rules.judged(asked, desk.named, 0)).order.code == "leverage_too_high"
    # What is kept already is told, whatever is there by now.
    kept = await desk.orders.order("v/id-1")
    blind = late.most._replace(bound=late.most.bound._replace(prices={}))
    assert await desk.orders.accept(kept, None, blind) == kept
