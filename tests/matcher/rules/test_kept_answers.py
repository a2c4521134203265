"""How long final answers are kept for repeats of their keys, and how many, whoever asks or has stopped asking."""

import pytest

from matcher import commands as c
from matcher.limits import FORGOTTEN_AT_ONCE, KEYS_KEPT, UNFILLED_KEPT
from matcher.rejections import Repeated


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


def test_many_accounts_share_what_is_kept_without_fills(world, maker, monkeypatch):
    monkeypatch.setattr("matcher.apply.UNFILLED_KEPT_IN_ALL", 12)
    monkeypatch.setattr("matcher.apply.UNFILLED_KEPT_LEAST", 2)
    trader = world.agent(2)
    for number in range(7):
        cancelled(world, trader, f"k{number}")
    assert kept(world, trader) == ["k1", "k2", "k3", "k4", "k5", "k6"], "two accounts keep six each"
    other = world.agent(3)
    for number in range(3):
        cancelled(world, other, f"o{number}")
    assert kept(world, trader) == ["k3", "k4", "k5", "k6"], "three keep four each, whoever asks"
    for number in range(4, 12):
        world.agent(number)
    cancelled(world, trader, "k7")
    assert kept(world, trader) == ["k6", "k7"], "so many are kept at least"


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
    assert FORGOTTEN_AT_ONCE < UNFILLED_KEPT
