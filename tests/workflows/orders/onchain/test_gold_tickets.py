"""Tickets for gold on chain: gathered into one transaction, each fill written once, each failure ending in its code."""

import asyncio

import pytest

from core.market import Side
from core.quantities import SECOND
from core.tickets import Leg, OrderType, PriceE8, TimeInForce, price_from, size_from
from venues.driver import Reason, Refused, VenueOrder
from venues.errors import Unavailable, Unknown
from workflows.gold_settlement import GOLD_SETTLEMENT

VENUE = "mock_gold_evm"
USD, OZ = 10**6, 10**8
PATIENCE_S = 60
STALE = 1


@pytest.fixture(autouse=True)
async def bounded():
    async with asyncio.timeout(PATIENCE_S):
        yield


def told(facts):
    return facts.status, facts.code


async def closed(desk, vault, **given):
    return await desk.ended(await desk.exec.close(vault, Leg(VENUE, "XAU"), **given))


async def test_orders_of_a_period_are_one_transaction_and_each_is_filled_once(
    desk, chain, vault, other, keep_history
):
    await desk.place.gather(1)
    placed = await asyncio.gather(
        desk.exec.open(vault, desk.ticket(Side.BUY, client_id="long")),
        desk.exec.open(other, desk.ticket(Side.SELL, client_id="short")),
    )
    assert {told(one) for one in placed} == {("open", "")}
    again = await desk.exec.open(vault, desk.ticket(Side.BUY, client_id="long"))
    assert again.ticket == placed[0].ticket
    long, short = await asyncio.gather(*(desk.ended(one) for one in placed))
    assert (told(long), long.filled) == (("filled", ""), OZ)
    assert (told(short), short.filled) == (("filled", ""), OZ)
    assert chain.batches() == [2]
    # A long is paid in full and nothing more; a short leaves what it brings and as much again.
    assert (desk.place.balance(vault), desk.place.balance(other)) == (8_000 * USD, 8_000 * USD)
    for name, side in ((vault, 1), (other, -1)):
        [fill] = await desk.recorded(name)
        assert (fill.ticket, fill.side, fill.size) == (f"{name}/{'long' if side > 0 else 'short'}", side, OZ)
        assert (fill.price, fill.fee) == (2_000 * OZ, 0)
        assert await desk.held(name) == {VENUE: {"XAU": side * OZ}}
        assert await desk.books.compare(name, VENUE) == []
    chain.price(2_100 * OZ)
    await asyncio.gather(closed(desk, vault), closed(desk, other))
    assert await desk.held(vault) == await desk.held(other) == {}
    assert (desk.place.balance(vault), desk.place.balance(other)) == (10_100 * USD, 9_900 * USD)
    # What the ledger says was gained is what lies in the contracts.
    assert await desk.cash() == 0
    await keep_history(desk.client, "gold-tickets", GOLD_SETTLEMENT)


async def test_what_the_chain_would_undo_is_not_sent(desk, chain, vault):
    dear = await desk.exec.open(vault, desk.ticket(Side.BUY, size=size_from("6")))
    assert told(await desk.ended(dear)) == ("rejected", "insufficient_margin")
    await desk.ended(await desk.exec.open(vault, desk.ticket(Side.BUY)))
    chain.price(2_000 * OZ, startedAt=STALE, updatedAt=STALE)
    chain.mine()
    assert await (await desk.driver()).mids(["XAU"]) == {}
    assert told(await closed(desk, vault)) == ("rejected", "no_price")
    chain.price(2_000 * OZ)
    chain.next(lambda world: world.send("0x" + "a3" * 20, world.router, "pause"))
    chain.mine()
    paused = await closed(desk, vault)
    assert (told(paused), paused.words) == (("rejected", "busy"), "EnforcedPause()")
    assert chain.batches() == [1]
    assert await desk.held(vault) == {VENUE: {"XAU": OZ}}


async def test_a_leg_that_is_undone_on_chain_ends_its_order_alone(desk, chain, vault, other):
    await desk.place.gather(1)
    limit = {"order_type": OrderType.LIMIT, "time_in_force": TimeInForce.IOC}
    chain.on_take = lambda: chain.price(2_001 * OZ)
    bound = await desk.exec.open(vault, desk.ticket(Side.BUY, limit_price=price_from("2000"), **limit))
    free = await desk.exec.open(other, desk.ticket(Side.BUY, limit_price=price_from("2010"), **limit))
    bound, free = await asyncio.gather(desk.ended(bound), desk.ended(free))
    assert (told(bound), bound.words) == (
        ("rejected", "no_liquidity"),
        f"LimitNotMet({2_001 * OZ}, {2_000 * OZ})",
    )
    assert told(free) == ("filled", "")
    assert chain.batches() == [2]
    assert (await desk.recorded(other))[0].price == 2_001 * OZ
    assert await desk.recorded(vault) == []
    assert desk.place.balance(vault) == 10_000 * USD


async def test_a_transaction_whose_place_another_took_is_signed_anew_and_filled_once(
    desk, chain, vault, foreign
):
    raw = foreign(chain, 0)
    chain.on_take = lambda: chain.take(raw)
    facts = await desk.ended(await desk.exec.open(vault, desk.ticket(Side.BUY)))
    assert told(facts) == ("filled", "")
    assert chain.count(chain.submissions[0].sender) == 2
    assert chain.batches() == [1]
    assert [one.size for one in await desk.recorded()] == [OZ]


async def test_a_node_that_is_down_keeps_an_order_waiting_and_nothing_is_lost(desk, chain, vault):
    chain.on_take = lambda: setattr(chain, "down", True)
    facts = await desk.exec.open(vault, desk.ticket(Side.BUY))
    while not chain.down:
        await asyncio.sleep(0.02)
    with pytest.raises(Unavailable):
        await (await desk.driver()).positions()
    assert (await desk.orders.order(facts.ticket)).status == "open"
    chain.down = False
    assert told(await desk.ended(facts)) == ("filled", "")
    assert chain.batches() == [1]


async def test_an_order_is_taken_back_until_its_batch_is_made(desk, chain, vault, other):
    await desk.place.gather(600)
    facts = await desk.exec.open(vault, desk.ticket(Side.BUY, client_id="one"))
    assert facts.status == "open"
    assert told(await desk.exec.cancel(vault, "one")) == ("cancelled", "")
    await desk.ended(facts)
    assert chain.submissions == []
    await desk.place.gather(0)
    chain.weather = lambda chain: chain.mine() if not chain.pool else None
    facts = await desk.exec.open(vault, desk.ticket(Side.BUY, client_id="two"))
    while not chain.pool:
        await asyncio.sleep(0.02)
    assert (await desk.exec.cancel(vault, "two")).code == "in_batch"
    chain.weather = lambda chain: chain.mine()
    assert told(await desk.ended(facts)) == ("filled", "")


async def test_two_that_close_the_same_position_close_it_once(desk, chain, vault):
    await desk.ended(await desk.exec.open(vault, desk.ticket(Side.BUY)))
    await desk.place.gather(1)
    both = await asyncio.gather(*(closed(desk, vault, client_id=name) for name in ("one", "two")))
    assert sorted(map(told, both)) == [("filled", ""), ("rejected", "would_not_reduce")]
    assert await desk.held() == {}
    assert (await (await desk.driver()).positions()) == {}


async def test_what_an_owner_leaves_is_a_fill_of_no_ticket(desk, chain, vault):
    await desk.ended(await desk.exec.open(vault, desk.ticket(Side.BUY)))
    chain.next(lambda world: world.send(chain.owner(0), world.vaults[0], "exit", world.gold))
    for _ in range(4):
        chain.mine()
    assert await desk.books.compare(vault, VENUE) == []
    assert await desk.held() == {}
    assert [(one.ticket, one.side, one.price) for one in await desk.recorded()][1:] == [("", -1, 2_000 * OZ)]
    assert desk.place.balance(vault) == 10_000 * USD


async def test_what_a_short_loses_beyond_its_cash_is_not_the_vault_s(desk, chain, vault):
    """A short at 2,000 leaves 4,000 there. Left at 5,000 it is a thousand short, which the market's pool bears."""
    await desk.ended(await desk.exec.open(vault, desk.ticket(Side.SELL)))
    before = desk.place.balance(vault)
    assert (before, await desk.cash()) == (8_000 * USD, 2_000 * USD)
    chain.price(5_000 * OZ)
    chain.next(lambda world: world.send(chain.owner(0), world.vaults[0], "exit", world.gold))
    for _ in range(4):
        chain.mine()
    assert await desk.books.compare(vault, VENUE) == []
    for _ in range(2):
        await desk.books.collect_funding(vault, VENUE)
    assert await desk.held() == {}
    assert [(one.side, one.price) for one in await desk.recorded()][1:] == [(1, 5_000 * OZ)]
    # By the fill alone the vault had lost 3,000; the chain says 2,000.
    assert await desk.cash() == desk.place.balance(vault) - 10_000 * USD == -2_000 * USD


async def test_who_never_heard_of_an_order_takes_it_in_time_or_not_at_all(desk, vault):
    """A call that was lost may come whenever a worker is there again: by then its sender may have given it up."""
    hasty = await desk.place.open(vault, within_s=0)
    with pytest.raises(Unknown) as lost:
        await hasty.submit(VenueOrder(hasty.client_id("lost"), "XAU", Side.BUY, desk.place.size))
    assert 10 * SECOND < lost.value.until - desk.clock() <= 15 * SECOND
    slow = await desk.place.open(vault, clock=lambda: desk.clock() - 60 * SECOND)
    with pytest.raises(Unavailable, match="too late"):
        await slow.submit(VenueOrder(slow.client_id("late"), "XAU", Side.BUY, desk.place.size))
    assert await slow.order(slow.client_id("late"), "XAU") is None


async def test_what_no_batch_can_do_is_refused_at_once(desk):
    driver = await desk.driver()
    given = {"client_id": driver.client_id("odd"), "symbol": "XAU", "side": Side.BUY, "size": desk.place.size}
    for changes, reason in (
        ({"symbol": "XAG"}, Reason.SYMBOL_UNKNOWN),
        ({"leverage": 2}, Reason.LEVERAGE_INVALID),
        ({"order_type": OrderType.LIMIT, "limit_price": PriceE8(OZ)}, Reason.NOT_SUPPORTED),
        ({"size": 0}, Reason.ORDER_INVALID),
    ):
        answer = await driver.submit(VenueOrder(**given | changes))
        assert isinstance(answer, Refused)
        assert answer.reason is reason
    assert await driver.order(given["client_id"], "XAU") is None
