"""One driver for each account at each venue, and names that somebody has."""

import asyncio

import pytest

from core.risk_template import Lifecycle
from core.tickets import price_from
from venues.driver import Mid
from venues.mock_gold import MockGold
from venues.registry import Registry, VenueUnknown


@pytest.fixture
def registry(tmp_path):
    opened, closed = [], []

    class Counted(MockGold):
        async def close(self):
            closed.append(self)

    async def source():
        return Mid(price_from("4000"), 1)

    async def gold(vault):
        opened.append(vault)
        await asyncio.sleep(0)
        return Counted(tmp_path / "gold.db", vault, source, 1, lambda: 1)

    made = Registry({"mock_gold": (Lifecycle.ACTIVE, gold), "old": (Lifecycle.DEAD, gold)})
    made.opened, made.closed = opened, closed
    return made


def test_the_venues_of_the_settings(registry):
    assert registry.allowed("mock_gold, old,,") == {"mock_gold", "old"}
    assert registry.allowed("") == frozenset()
    with pytest.raises(VenueUnknown, match=r"atlantis; there are mock_gold, old"):
        registry.allowed("old,atlantis")


def test_lifecycles_are_of_every_venue(registry):
    assert registry.lifecycles == {"mock_gold": Lifecycle.ACTIVE, "old": Lifecycle.DEAD}


def test_an_operator_closes_a_venue_for_all_but_what_reduces():
    async def none(vault):
        raise AssertionError(vault)

    venues = {"hyper": (Lifecycle.ACTIVE, none), "old": (Lifecycle.DEAD, none), "x": (Lifecycle.ACTIVE, none)}
    closing = Registry(venues, "hyper, old")
    # What is dead stays dead: nothing can be sent there at all.
    assert closing.lifecycles == {
        "hyper": Lifecycle.CLOSE_ONLY,
        "old": Lifecycle.DEAD,
        "x": Lifecycle.ACTIVE,
    }
    with pytest.raises(VenueUnknown, match="atlantis"):
        Registry(venues, "hyper,atlantis")


async def test_a_vault_has_one_driver_at_a_venue_however_many_ask_at_once(registry):
    first, second = await asyncio.gather(registry.driver("v", "mock_gold"), registry.driver("v", "mock_gold"))
    assert first is second is await registry.driver("v", "mock_gold")
    # Both had opened one; the one that nobody uses was closed.
    assert registry.opened == ["v", "v"]
    assert len(registry.closed) == 1
    assert first not in registry.closed
    assert await registry.driver("w", "mock_gold") is not first
    with pytest.raises(VenueUnknown):
        await registry.driver("v", "atlantis")
    await registry.close()
    assert first in registry.closed
    assert len(registry.closed) == 3
    assert await registry.driver("v", "mock_gold") is not first
