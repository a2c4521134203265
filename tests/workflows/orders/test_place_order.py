"""The one step that sends an order: of all that try, whenever and however often, one sends."""

import asyncio
import time
from dataclasses import replace

import pytest
from temporalio.testing import ActivityEnvironment

from activities.order_rules import OrderAsked, OrderRules
from activities.orders import PLACED, SKEW, UNKNOWN, UNSENT, OrderActivities, facts_of
from core.market import Side
from core.quantities import SECOND
from core.risk_template import Lifecycle, VenueLimits
from core.tickets import Leg, notional_up
from core.vault_risk import Rules
from ledger.vault_transfers import VaultTransfers
from ledger.venue_orders import Standing
from venues.driver import VenueOrder
from venues.errors import VenueError
from venues.local.hyperliquid import LocalHyperliquid
from venues.local.hyperliquid_actions import Funding
from venues.prices import LegPrice, VenuePriceRouter
from venues.prices import Standing as PriceStanding
from venues.synthetix import Synthetix

STEP = "place_order"


@pytest.fixture
async def desk(desk_at):
    return await desk_at("hyper")


@pytest.fixture
def asked(desk, vault):
    return OrderAsked.of(vault, desk.ticket(Side.BUY), "one", "ada")


async def placed(desk, asked, late=0):
    before = desk.clock() + (60 - late) * SECOND
    return await ActivityEnvironment().run(desk.steps.place_order, asked, before)


async def sent(desk):
    return sum(one.size for one in await desk.told())


@pytest.mark.cell(STEP, "duplicate")
async def test_of_several_that_send_at_once_one_does(desk, asked):
    steps = await asyncio.gather(*(placed(desk, asked) for _ in range(5)))
    assert sorted(one.kind for one in steps) == [PLACED] + [UNKNOWN] * 4
    assert await sent(desk) == desk.place.size
    # And whoever comes afterwards is told what came of it.
    again = await placed(desk, asked)
    assert (again.kind, again.facts.venue_order_id) == (
        PLACED,
        next(one.facts.venue_order_id for one in steps if one.kind == PLACED),
    )
    assert await sent(desk) == desk.place.size


@pytest.mark.cell(STEP, "delayed")
async def test_what_comes_too_late_sends_nothing(desk, asked):
    step = await placed(desk, asked, late=60)
    assert (step.kind, step.code) == (UNSENT, "too_late")
    assert await sent(desk) == 0


@pytest.mark.cell(STEP, "delayed")
async def test_one_that_stands_still_before_it_sends_sends_nothing(desk, asked):
    # To the step it is ten seconds ago, and to the driver now: so much passes between their looks at the clock.
    desk.ahead = -10 * SECOND
    step = await ActivityEnvironment().run(desk.steps.place_order, asked, desk.clock() + 5 * SECOND)
    assert (step.kind, step.code) == (UNSENT, "too_late")
    assert (await desk.orders.order(asked.ticket)).status == "accepted"
    assert await sent(desk) == 0


async def test_the_orders_own_latest_time_holds_for_every_try(desk, asked):
    run, last = ActivityEnvironment().run, desk.clock() + 30 * SECOND
    desk.ahead = 30 * SECOND
    for again in (last, last + 600 * SECOND):
        step = await run(desk.steps.place_order, asked, desk.clock() + 60 * SECOND, again)
        assert (step.kind, step.code) == (UNSENT, "too_late")
    given_up = await run(desk.steps.give_up_order, asked, step.words, step.code)
    assert (given_up.facts.status, given_up.facts.code) == ("not_sent", "too_late")
    kept = await desk.orders.order(asked.ticket)
    assert (kept.status, kept.code, kept.not_after) == ("not_sent", "too_late", last)
    assert await sent(desk) == 0


async def test_a_try_that_is_over_lets_go_of_its_own_turn_only(desk, asked):
    await placed(desk, asked, late=60)
    now = desk.clock()
    for since in (now, now + 1):
        assert await desk.orders.move(asked.ticket, Standing.ACCEPTED, Standing.SENT, since)
        assert await desk.orders.move(asked.ticket, Standing.SENT, Standing.ACCEPTED, since, since=since)
    await desk.orders.move(asked.ticket, Standing.ACCEPTED, Standing.SENT, now + 2)
    assert not await desk.orders.move(asked.ticket, Standing.SENT, Standing.ACCEPTED, now + 3, since=now + 1)
    assert (await desk.orders.order(asked.ticket)).status == "sent"


PAUSED = ("vault_paused", Rules())
TIGHTENED = [
    PAUSED,
    ("venue_not_allowed", Rules(venues=frozenset())),
    ("symbol_not_allowed", Rules(symbols=frozenset({"BTC"}))),
    ("leverage_too_high", Rules(per_venue={"hyper": VenueLimits(max_leverage=2)})),
]


@pytest.mark.parametrize(("code", "rules"), TIGHTENED)
async def test_what_is_decided_between_two_tries_counts_for_the_second(desk, vault, code, rules):
    asked = OrderAsked.of(vault, desk.ticket(Side.BUY, leverage=3), "one", "ada")
    await desk.place.faults.limit_rate()
    assert (await placed(desk, asked)).kind == UNSENT
    await desk.vaults.pause(vault, code == "vault_paused", "ada", "enough", 2)
    await desk.vaults.set_risk(vault, "operator", rules, "ada", "enough", 2)
    refused = await placed(desk, asked)
    assert (refused.kind, refused.facts.status, refused.facts.code) == (PLACED, "refused", code)
    # It stays so, whatever is decided afterwards: its sender was told.
    await desk.vaults.pause(vault, False, "ada", "again", 3)
    await desk.vaults.set_risk(vault, "operator", Rules(), "ada", "again", 3)
    assert await placed(desk, asked) == refused
    assert await sent(desk) == 0


async def test_what_only_reduces_is_sent_while_the_vault_is_paused(desk, asked, vault):
    await placed(desk, asked)
    await ActivityEnvironment().run(desk.following.follow_order, asked.ticket, 1)
    out = OrderAsked(vault, "out", "hyper", desk.place.symbol, close=True)
    await desk.place.faults.limit_rate()
    assert (await placed(desk, out)).kind == UNSENT
    await desk.vaults.pause(vault, True, "ada", "enough", 2)
    await desk.vaults.set_risk(vault, "operator", Rules(venues=frozenset()), "ada", "enough", 2)
    assert (await placed(desk, out)).facts.status == "filled"
    assert await sent(desk) == 2 * desk.place.size


async def test_a_venue_that_closes_between_two_tries_takes_no_more(desk, asked):
    """The worker is started again with another setting, and goes on with what was kept."""
    await desk.place.faults.limit_rate()
    assert (await placed(desk, asked)).kind == UNSENT
    closing = {"hyper": Lifecycle.CLOSE_ONLY}
    rules = OrderRules(closing, desk._terms, desk._held, desk._index, desk.clock)
    desk.steps = OrderActivities(desk.orders, rules, desk.books, desk.drivers, desk.clock)
    refused = await placed(desk, asked)
    assert (refused.facts.status, refused.facts.code) == ("refused", "venue_close_only")
    assert await sent(desk) == 0


@pytest.mark.cell(STEP, "killed before")
async def test_one_that_died_before_sending_is_sent_once_it_can_not_have_been(desk, asked):
    assert (await placed(desk, asked, late=60)).kind == UNSENT
    await desk.orders.move(asked.ticket, Standing.ACCEPTED, Standing.SENT, desk.clock())
    assert (await placed(desk, asked)).kind == UNKNOWN
    run, until = ActivityEnvironment().run, desk.clock() + 15 * SECOND
    assert (await run(desk.steps.resolve_order, asked.ticket, until)).kind == UNKNOWN
    assert await sent(desk) == 0
    desk.ahead = 20 * SECOND
    assert (await run(desk.steps.resolve_order, asked.ticket, until)).kind == UNSENT
    assert (await placed(desk, asked)).kind == PLACED
    assert await sent(desk) == desk.place.size


@pytest.mark.cell(STEP, "reply lost")
async def test_one_whose_reply_is_lost_is_found(desk, asked):
    await desk.place.faults.lose_reply()
    step = await placed(desk, asked)
    assert step.kind == UNKNOWN
    assert step.until > desk.clock()
    found = await ActivityEnvironment().run(desk.steps.resolve_order, asked.ticket, step.until)
    assert (found.kind, found.facts.status) == (PLACED, "filled")
    assert (await placed(desk, asked)).kind == PLACED
    assert await sent(desk) == desk.place.size


class Slow(LocalHyperliquid):
    """Judges a question, and answers when `between` is over."""

    between = None

    async def _info(self, request):
        answer = await super()._info(request)
        if self.between is not None:
            await self.between()
        return answer


async def test_one_that_comes_while_the_venue_answers_that_it_is_not_there_is_found(
    desk_of, places, tmp_path, vault
):
    place = places["hyper"](tmp_path, None)
    place.venue = Slow()
    desk = await desk_of("hyper", place)
    asked, run = OrderAsked.of(vault, desk.ticket(Side.BUY), "one", "ada"), ActivityEnvironment().run
    assert (await placed(desk, asked, late=60)).kind == UNSENT
    await desk.orders.move(asked.ticket, Standing.ACCEPTED, Standing.SENT, desk.clock())
    order, driver = await desk.orders.order(asked.ticket), await desk.driver()

    async def arrives():
        """What was lost, a second before it could not come any more; the answer is on its way for four."""
        place.venue.between = None
        await driver.submit(VenueOrder(order.venue_client_id, order.symbol, Side.BUY, desk.place.size))
        desk.ahead = 4 * SECOND

    place.venue.between = arrives
    until = desk.clock() - SKEW + SECOND
    step = await run(desk.steps.resolve_order, asked.ticket, until)
    assert (step.kind, step.until) == (UNKNOWN, until)
    assert (await desk.orders.order(asked.ticket)).status == "sent"
    found = await run(desk.steps.resolve_order, asked.ticket, until)
    assert (found.kind, found.facts.status) == (PLACED, "filled")
    assert await sent(desk) == desk.place.size


async def test_what_is_given_up_is_never_sent(desk, asked):
    await placed(desk, asked, late=60)
    run = ActivityEnvironment().run
    given_up = await run(desk.steps.give_up_order, asked, "the venue was silent")
    assert (given_up.kind, given_up.facts.status) == (PLACED, "not_sent")
    assert (await placed(desk, asked)).facts.status == "not_sent"
    assert await sent(desk) == 0
    # And what is being sent is not given up.
    other = OrderAsked.of(asked.vault, desk.ticket(Side.BUY), "two", "ada")
    await placed(desk, other, late=60)
    await desk.orders.move(other.ticket, Standing.ACCEPTED, Standing.SENT, desk.clock())
    assert (await run(desk.steps.give_up_order, other, "too late")).kind == UNKNOWN


async def test_one_that_is_given_up_while_it_is_judged_is_never_sent(desk_of, places, tmp_path, vault):
    """Also when nobody had kept it yet: its user was told that it was not sent."""
    run, judging, told = ActivityEnvironment().run, asyncio.Event(), asyncio.Event()
    place = places["hyper"](tmp_path, None)

    async def slowly(vault):
        judging.set()
        await told.wait()
        return await place.open()

    desk = await desk_of("hyper", place, slowly)
    asked = OrderAsked.of(vault, desk.ticket(Side.BUY), "one", "ada")
    first = asyncio.create_task(placed(desk, asked))
    await judging.wait()
    assert (await run(desk.steps.resolve_order, asked.ticket, 0)).kind == UNSENT
    given_up = await run(desk.steps.give_up_order, asked, "It was taken back.", "too_late")
    assert (given_up.kind, given_up.facts.status, given_up.facts.code) == (PLACED, "not_sent", "too_late")
    told.set()
    assert await first == given_up
    assert await desk.told() == []
    # And for ever, whoever asks.
    assert await placed(desk, asked) == given_up
    assert facts_of(await desk.orders.order(asked.ticket)) == given_up.facts
    assert [one.payload["status"] for one in await desk.events()] == ["not_sent"]


async def test_what_was_refused_before_it_was_an_order_is_refused_for_ever(desk, asked, vault):
    out = OrderAsked(vault, "flat", "hyper", desk.place.symbol, close=True)
    nobodys = replace(asked, vault="nobody")
    refused = [(await placed(desk, one)).facts for one in (out, nobodys)]
    assert [(one.status, one.code) for one in refused] == [
        ("refused", "no_position"),
        ("refused", "vault_unknown"),
    ]
    assert (refused[0].side, refused[0].size) == (0, 0)
    # There is a position now.
    await placed(desk, asked)
    await ActivityEnvironment().run(desk.following.follow_order, asked.ticket, 1)
    assert [(await placed(desk, one)).facts for one in (out, nobodys)] == refused
    # Another order under that client id is another order, and taking a refused one back ends nothing.
    assert (await placed(desk, replace(asked, client_id="flat"))).facts.code == "client_id_used"
    given_up = await ActivityEnvironment().run(desk.steps.give_up_order, out, "It was taken back.")
    assert given_up.facts == refused[0]
    other = await ActivityEnvironment().run(
        desk.steps.give_up_order, replace(asked, client_id="flat"), "It was taken back."
    )
    assert other.facts.code == "client_id_used"
    assert await sent(desk) == desk.place.size


@pytest.mark.parametrize("name", ["hyper", "mock_gold"])
async def test_what_an_account_did_before_its_vault_had_it_is_not_counted_again(desk_at, vault, name):
    desk = await desk_at(name)
    place, driver = desk.place, await desk.driver()
    await driver.submit(VenueOrder(driver.client_id("before"), place.symbol, Side.BUY, place.size))
    if name == "hyper":
        await place.venue.do(Funding(place.symbol, 100))
    (before,) = await desk.told()
    held = {Leg(name, place.symbol): int(place.size)}
    assert await VaultTransfers(desk.pool).begin_with(vault, 17, 10**12, held, "ada", desk.clock())
    asked = OrderAsked.of(vault, desk.ticket(Side.BUY), "one", "ada")
    assert (await placed(desk, asked)).kind == PLACED
    followed = await ActivityEnvironment().run(desk.following.follow_order, asked.ticket, 1)
    await desk.books.collect_funding(vault, name)
    assert (followed.status, followed.filled) == ("filled", place.size)
    (_, bought) = await desk.told()
    assert [one.fill for one in await desk.recorded()] == [bought.id]
    assert bought.id != before.id
    assert await desk.held() == {name: {place.symbol: 2 * place.size}}
    assert await desk.cash() == 10**12 - notional_up(bought.price, bought.size) - bought.fee
    assert await desk.books.compare(vault, name) == []


async def test_nothing_is_sent_or_counted_before_it_is_known_where_reading_begins(desk, asked, vault):
    made_up = LegPrice(desk.place.price, time.time_ns(), "a test", PriceStanding.DEMO)
    desk.prices = VenuePriceRouter({"hyper": None}, [], lambda leg: None, time.time_ns, lambda leg: made_up)
    await desk.place.faults.go_down()
    step = await placed(desk, asked)
    assert (step.kind, step.code) == (UNSENT, "venue_unavailable")
    assert (await desk.orders.order(asked.ticket)).status == "accepted"
    with pytest.raises(VenueError):
        await desk.books.collect(vault, "hyper")
    assert await desk.fills.account(vault, "hyper") is None


async def test_an_order_that_is_only_tried_out_has_ended_and_nobody_asks_for_it(
    desk_of, places, tmp_path, vault
):
    place = places["synthetix"](tmp_path, None)

    async def opening(vault):
        return Synthetix(place.key, int(place.account), f"{place.venue.url}/v1", time.time_ns, dry_run=True)

    desk = await desk_of("synthetix", place, opening)
    asked = OrderAsked.of(vault, desk.ticket(Side.BUY), "one", "ada")
    step = await placed(desk, asked)
    assert (step.kind, step.facts.status, step.facts.filled) == (PLACED, "cancelled", 0)
    assert (await desk.orders.order(asked.ticket)).status == "cancelled"
    assert await ActivityEnvironment().run(desk.following.follow_order, asked.ticket, 1) == step.facts
    assert (await placed(desk, asked)).facts == step.facts
    assert await desk.told() == []
    assert await desk.held() == {}


async def test_a_client_id_that_only_the_ledger_remembers_is_still_used(desk, asked, vault):
    """Temporal forgets an order some time after its end, and then its id begins a workflow of its own."""
    first = (await placed(desk, asked)).facts
    assert first.status in ("open", "filled")
    for changes in (
        {"size": asked.size * 2},
        {"side": -asked.side},
        {"symbol": "ETH"},
        {"reduce_only": True},
        {"close": True, "side": 0, "size": 0},
        {"leverage": 3},
        {"order_type": "limit", "limit_price": 10**8},
    ):
        other = await placed(desk, replace(asked, **changes))
        assert (other.kind, other.facts.status, other.facts.code) == (PLACED, "refused", "client_id_used")
    assert (await placed(desk, replace(asked, placed_by="bob"))).facts == await current(desk, asked)
    assert await sent(desk) == desk.place.size
    await ActivityEnvironment().run(desk.following.follow_order, asked.ticket, 1)
    out = OrderAsked(vault, "out", "hyper", desk.place.symbol, close=True)
    assert (await placed(desk, out)).kind == PLACED
    assert (await placed(desk, out)).facts == await current(desk, out)
    other = await placed(desk, replace(out, size=1))
    assert other.facts.code == "client_id_used"


async def current(desk, asked):
    return facts_of(await desk.orders.order(asked.ticket))
