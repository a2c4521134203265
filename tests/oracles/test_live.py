"""All live sources together over real HTTP: each drops, lies, stands still and comes back by itself, and the index says so."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from core.quantities import SECOND, Nanos
from core.validity import Action, Validity, allowed
from oracles.feed import PriceFeed
from oracles.hermes import Hermes
from oracles.index import Fault, Routed
from oracles.live import Live
from oracles.polling import BROKEN
from oracles.price import to_ticks
from oracles.pyth_account import PythAccounts
from oracles.refusal import Reason
from oracles.route import AGREED, ALONE
from oracles.router import Accepted

BTC = "BTC-PERP"


@asynccontextmanager
async def running(feed: PriceFeed):
    task = asyncio.create_task(feed.run())
    try:
        yield feed
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.fixture
async def feed(outside):
    async with running(await outside.feed()) as feed:
        yield feed


async def until(feed: PriceFeed, true) -> Routed:
    """The first index of which `true` holds."""
    async with asyncio.timeout(10):
        while BTC not in feed.routed or not true(feed.routed[BTC]):
            await asyncio.sleep(0.005)
    return feed.routed[BTC]


def chosen(routed: Routed) -> tuple[str | None, Validity]:
    return (routed.chosen.limits.source if routed.chosen else None), routed.validity


async def all_agree(feed: PriceFeed) -> Routed:
    return await until(feed, lambda routed: routed.validity is Validity.VALID and not routed.reasons)


async def test_three_publishers_agree_and_the_first_is_the_index(outside, feed):
    routed = await all_agree(feed)
    assert chosen(routed) == ("pyth hermes", Validity.VALID)
    assert feed.source_label == ("live Pyth (127.0.0.1), Chainlink (127.0.0.1), Hyperliquid mids (127.0.0.1)")
    assert [one.limits.source for one in routed.inputs] == ["pyth hermes", "chainlink", "hyperliquid mid"]
    assert [to_ticks(price, "0.1") for price in routed.witnesses] == [592_405]
    assert not feed.troubles
    assert feed.accepted["pyth hermes", Accepted.NEWER] == 1


async def test_every_source_drops_is_named_and_comes_back_by_itself(outside, feed):
    await all_agree(feed)
    for part, trouble in (("node", "Chainlink (127.0.0.1)"), ("venue", "Hyperliquid mids (127.0.0.1)")):
        outside.up[part] = False
        await until(feed, lambda _, trouble=trouble: (trouble, "") in feed.troubles)
        assert feed.troubles == {(trouble, ""): "failing"}
        outside.up[part] = True
        await until(feed, lambda _: not feed.troubles)
    outside.up["hermes"] = False
    outside.pass_by(11)
    routed = await until(feed, lambda one: chosen(one) == ("chainlink", Validity.VALID))
    assert ("pyth hermes", Fault.AGED) in routed.reasons
    await until(feed, lambda _: ("127.0.0.1", "") in feed.troubles)
    outside.up["hermes"] = True
    outside.live_at(outside.late)
    # All three are back, but at twice the price from one look to the next: the average has to follow first.
    await until(feed, lambda one: chosen(one) == ("pyth hermes", Validity.VOLATILE) and one.confirmed)
    outside.pass_by(4)
    await until(feed, lambda _: not feed.troubles)


async def test_a_lying_venue_or_chain_is_outvoted(outside, feed):
    await all_agree(feed)
    outside.perp_says(70000)
    routed = await until(feed, lambda one: one.reasons)
    assert chosen(routed) == ("pyth hermes", Validity.VALID)
    assert routed.reasons == (("hyperliquid mid", Fault.DISAGREES),)
    outside.perp_says(59240)
    await all_agree(feed)
    outside.chain_says(50_000)
    routed = await until(feed, lambda one: one.reasons)
    assert (chosen(routed), routed.reasons) == (
        ("pyth hermes", Validity.VALID),
        (("chainlink", Fault.DISAGREES),),
    )


async def test_when_all_disagree_everything_stops_and_is_told_once(outside, feed):
    await all_agree(feed)
    outside.perp_says(70000)
    outside.chain_says(50_000)
    routed = await until(feed, lambda one: one.validity is Validity.DISPUTED)
    assert not any(allowed(routed.validity, action) for action in Action)
    assert outside.told[-1].validity is Validity.DISPUTED
    told = len(outside.told)
    await asyncio.sleep(0.05)
    assert len(outside.told) == told
    outside.perp_says(59240)
    await until(feed, lambda one: one.validity is Validity.VALID)


async def test_a_chain_that_goes_back_in_time_is_refused_and_what_it_said_before_stays(outside, feed):
    await all_agree(feed)
    second = outside.now // SECOND
    outside.node.say(outside.aggregator, "BTC / USD", (0, 1, second, second, 0))
    await until(feed, lambda _: feed.troubles)
    assert feed.troubles == {("Chainlink (127.0.0.1)", BTC): Reason.WENT_BACK}
    assert not feed.routed[BTC].reasons
    outside.chain_says(59_241)
    await until(feed, lambda _: not feed.troubles)


async def test_a_source_that_breaks_in_a_way_nobody_expected_ends_no_other(outside, http):
    """What breaks here is our own check of signatures, in the stream and in the question that helps it out."""
    nobody = object()
    outside.hermes = Hermes(http, {BTC: outside.pyth_feed}, [nobody], outside.site.url)  # type: ignore[list-item]
    async with running(await outside.feed()) as feed:
        routed = await until(feed, lambda one: one.validity is Validity.VALID)
        assert chosen(routed) == ("chainlink", Validity.VALID)
        outside.pass_by(4)
        await until(feed, lambda _: len(feed.troubles) == 2)
        assert feed.troubles == {("127.0.0.1 stream", ""): BROKEN, ("127.0.0.1", ""): BROKEN}
        outside.node.broken["eth_getBlockByNumber"] = '{"x":' + "[" * 100_000
        await until(feed, lambda _: ("Chainlink (127.0.0.1)", "") in feed.troubles)
        outside.node.broken.clear()
        await until(feed, lambda _: ("Chainlink (127.0.0.1)", "") not in feed.troubles)
        assert feed.routed[BTC].validity is Validity.VALID


async def test_a_quiet_index_is_repeated_so_that_a_dead_feed_is_told_apart(outside):
    feed = await outside.feed()
    for second in range(11):
        feed.step(Nanos(outside.now + second * SECOND))
    assert [routed.at - outside.now for routed in outside.told] == [0, 5 * SECOND, 10 * SECOND]
    assert {routed.validity for routed in outside.told} == {Validity.UNAVAILABLE}


async def test_who_names_several_sources_waits_for_them(outside):
    outside.up = dict.fromkeys(outside.up, False)
    feed = await outside.feed()
    assert feed.source_label.startswith("live")
    async with running(feed):
        outside.pass_by(4)  # long enough for the stream to be helped out by asking
        await until(feed, lambda _: len(feed.troubles) == 4)  # both ways to the one, and the other two
        assert feed.routed[BTC].validity is Validity.UNAVAILABLE
        outside.up = dict.fromkeys(outside.up, True)
        await all_agree(feed)


def test_the_rule_follows_from_how_many_publishers_are_configured(outside, http):
    def rule(*polled, hermes=None):
        return Live([BTC], hermes, polled, outside.clock, outside.sleep).routes()[0].rule

    accounts = PythAccounts.of(http, outside.site.url, {BTC: outside.pyth_feed}, {})
    assert rule(hermes=outside.hermes) is ALONE
    assert rule(accounts, hermes=outside.hermes) is ALONE  # two ways to one publisher
    assert rule(outside.chainlink) is ALONE
    assert rule(outside.mids, hermes=outside.hermes) is AGREED
    assert rule(outside.chainlink, outside.mids) is AGREED
    with pytest.raises(ValueError, match="could be the index"):
        rule(outside.mids)
