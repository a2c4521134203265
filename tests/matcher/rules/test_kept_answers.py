"""How long final answers are kept for repeats of their keys, and how many, whoever asks or has stopped asking."""

import pytest

from core.quantities import SECOND
from matcher import commands as c
from matcher.decide import decide
from matcher.image import dump, load, state_hash
from matcher.limits import FORGOTTEN_AT_ONCE, KEYS_KEPT, KEYS_SURE, UNFILLED_KEPT_LONG
from matcher.rejections import Code, Repeated


@pytest.fixture
def maker(world):
    maker = world.agent(1)
    world.play(c.Subscribe(maker, (1,)))
    return maker


def cancelled(world, account, key):
    """A request that ends without a fill."""
    world.play(c.CancelRequest(account, world.opened(world.request(account, key, 1, 1, 601_000)).request))


def wait(world, nanoseconds):
    world.now += nanoseconds
    world.index(1, 600_000)


def kept(world, account):
    return sorted(world.state.accounts[account].keys)


def test_who_asks_no_more_keeps_its_answers_for_a_day(world, maker):
    gone, asking = world.agent(2), world.agent(3)
    cancelled(world, gone, "last")
    wait(world, KEYS_KEPT)
    for number in range(3):
        cancelled(world, asking, f"a{number}")
    assert isinstance(world.request(gone, "last", 1, 1, 601_000), Repeated)
    wait(world, 1)
    for number in range(3):
        cancelled(world, asking, f"b{number}")
    assert (kept(world, gone), len(world.state.accounts[gone].closed)) == ([], 0)
    assert len(kept(world, asking)) == 6


def test_answers_are_kept_for_five_minutes_and_what_needs_more_room_is_refused(world, maker, monkeypatch):
    monkeypatch.setattr("matcher.keys.UNFILLED_KEPT", 3)
    trader, other = world.agent(2), world.agent(3)
    for number in range(3):
        cancelled(world, trader, f"k{number}")
        wait(world, SECOND)
    full = world.request(trader, "k3", 1, 1, 601_000)
    assert (full.code, full.retryable) == (Code.TOO_MANY_ANSWERS_KEPT, True)
    assert isinstance(world.request(trader, "k0", 1, 1, 601_000), Repeated)
    cancelled(world, other, "its own")
    wait(world, KEYS_SURE - 3 * SECOND)
    assert world.request(trader, "k3", 1, 1, 601_000).code == Code.TOO_MANY_ANSWERS_KEPT
    wait(world, 1)
    cancelled(world, trader, "k3")
    assert kept(world, trader) == ["k0", "k1", "k2", "k3"], "there is room to keep them longer"


def test_answers_with_fills_have_a_bound_of_their_own(world, maker, monkeypatch):
    monkeypatch.setattr("matcher.keys.FILLED_KEPT", 2)
    trader = world.agent(2)
    world.play(c.SetQuotes(maker, 1, (), ((600_100, 10),), world.now + 50 * SECOND))
    for key in "ab":
        assert world.closed(world.request(trader, key, 1, 1, 601_000)).filled == 1
    assert world.request(trader, "c", 1, 1, 601_000).code == Code.TOO_MANY_ANSWERS_KEPT
    assert isinstance(world.request(trader, "a", 1, 1, 601_000), Repeated)


def test_when_all_keep_too_many_each_has_its_share(world, maker, monkeypatch):
    monkeypatch.setattr("matcher.keys.UNFILLED_KEPT_IN_ALL", 12)
    monkeypatch.setattr("matcher.keys.UNFILLED_KEPT_LEAST", 2)
    trader, other = world.agent(2), world.agent(3)
    for number in range(11):
        cancelled(world, trader, f"k{number}")
    cancelled(world, other, "o")
    assert world.state.unfilled_kept == 12
    assert world.request(trader, "k11", 1, 1, 601_000).code == Code.TOO_MANY_ANSWERS_KEPT
    for number in range(3):
        cancelled(world, other, f"o{number}")
    assert world.request(other, "o3", 1, 1, 601_000).code == Code.TOO_MANY_ANSWERS_KEPT, (
        "three keep four each"
    )
    wait(world, KEYS_SURE + 1)
    cancelled(world, trader, "later")
    assert kept(world, trader) == ["k10", "k8", "k9", "later"], "beyond five minutes only the share"
    cancelled(world, other, "later")
    assert (
        world.state.unfilled_kept
        == 8
        == sum(len(one.unfilled or ()) for one in world.state.accounts.values())
    )
    assert load(dump(world.state)).unfilled_kept == 8


@pytest.fixture
def crowded(world, maker, monkeypatch):
    """A trader long ten lots, and a stranger that leaves no room to anybody for answers without fills."""
    monkeypatch.setattr("matcher.keys.UNFILLED_KEPT_IN_ALL", 12)
    monkeypatch.setattr("matcher.keys.UNFILLED_KEPT_LEAST", 2)
    monkeypatch.setattr("matcher.keys.UNFILLED_KEPT_BEYOND", 3)
    trader, stranger = world.agent(2), world.agent(3)
    world.quotes(maker, [], [(600_100, 10)])
    assert world.closed(world.request(trader, "long", 1, 10, 601_000)).filled == 10
    for number in range(5):
        cancelled(world, trader, f"k{number}")
    for number in range(7):
        cancelled(world, stranger, f"s{number}")
    assert world.request(trader, "more", 1, 1, 601_000).code == Code.TOO_MANY_ANSWERS_KEPT
    return trader


def shrunk(world, account, key, size=10, **terms):
    """What became of a request to sell, or why it was refused; one that is open is cancelled."""
    outcome = world.request(account, key, -1, size, 599_000, **terms)
    if isinstance(outcome, list):
        world.play(c.CancelRequest(account, world.opened(outcome).request))
        return "asked"
    return outcome.code


def test_strangers_answers_keep_nobody_in_a_position(world, crowded, replayed):
    assert shrunk(world, crowded, "turn", 11) == Code.TOO_MANY_ANSWERS_KEPT
    assert [shrunk(world, crowded, "all", 10), shrunk(world, crowded, "some", 1)] == ["asked", "asked"]
    assert shrunk(world, crowded, "flagged", 10, reduce_only=True) == "asked"
    assert shrunk(world, crowded, "fourth") == Code.TOO_MANY_ANSWERS_KEPT, "its own room is bounded, too"
    assert world.request(crowded, "more", 1, 1, 601_000).code == Code.TOO_MANY_ANSWERS_KEPT
    assert isinstance(world.request(crowded, "all", -1, 10, 599_000), Repeated)
    sell = c.OpenRequest(crowded, "fifth", 1, -1, 1, 599_000, SECOND)
    for state in (load(dump(world.state)), replayed(world.journal)):
        assert state_hash(state) == state_hash(world.state)
        assert decide(state, sell, world.now).code == Code.TOO_MANY_ANSWERS_KEPT
    wait(world, KEYS_SURE + 1)
    assert shrunk(world, crowded, "later") == "asked"


def test_who_has_kept_as_much_as_it_may_still_shrinks_its_position(world, crowded, monkeypatch):
    monkeypatch.setattr("matcher.keys.UNFILLED_KEPT_IN_ALL", 100)
    assert shrunk(world, crowded, "there is room") == "asked"
    assert not world.state.accounts[crowded].beyond
    monkeypatch.setattr("matcher.keys.UNFILLED_KEPT", 6)
    assert world.request(crowded, "more", 1, 1, 601_000).code == Code.TOO_MANY_ANSWERS_KEPT
    assert shrunk(world, crowded, "beyond") == "asked"
    assert [kept.key for kept in world.state.accounts[crowded].beyond] == ["beyond"]


def test_very_many_answers_are_forgotten_a_few_at_a_time(world, maker):
    gone, asking = world.agent(2), world.agent(3)
    for number in range(FORGOTTEN_AT_ONCE + 10):
        cancelled(world, gone, f"k{number}")
    wait(world, KEYS_KEPT + 1)
    left = [len(kept(world, gone))]
    for number in range(6):
        cancelled(world, asking, f"a{number}")
        left.append(len(kept(world, gone)))
    assert sorted(set(left)) == [0, 10, FORGOTTEN_AT_ONCE + 10]
    assert FORGOTTEN_AT_ONCE < UNFILLED_KEPT_LONG
