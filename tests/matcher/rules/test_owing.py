"""What accounts are told they owe for hours that nobody has paid yet is what they pay when somebody does."""

from collections import Counter
from random import Random

import pytest

from core.funding import HOUR
from core.funding_hour import Basis, hour_of
from core.quantities import SECOND
from matcher import commands as c
from matcher.owing import unpaid_funding

INDEX = 600_000
HOURS = 3


def traded(world, rng, makers, traders):
    """Somebody takes what somebody quotes, away from the index."""
    maker = rng.choice(makers)
    price, size, side = INDEX + rng.randrange(-900, 900), rng.randrange(1, 2_000), rng.choice((1, -1))
    world.play(c.CancelAll(maker))
    world.quotes(maker, [] if side > 0 else [(price, size)], [(price, size)] if side > 0 else [])
    world.request(rng.choice(traders), f"r{rng.getrandbits(60)}", side, size, price)


def stand(world, makers, rng):
    for maker in makers:
        premium = rng.randrange(500, 3_000)
        world.quotes(maker, [(INDEX + premium, 10_000)], [(INDEX + premium + 10, 10_000)])


def lived(world, rng, owners):
    """Hours with trades before and after their ends, none of them paid; quotes of so many owners stand at each sample."""
    world.now = hour_of(world.now) * HOUR
    makers = [world.agent(number, 10**13) for number in (1, 2)]
    traders = [world.agent(number, 10**12) for number in range(3, 7)]
    for _ in range(HOURS):
        for _ in range(12):
            world.now += HOUR // 12
            world.index(1, INDEX)
            stand(world, makers[:owners], rng)
            world.pass_time(0)
            if rng.random() < 0.4:
                traded(world, rng, makers, traders)
    world.now += 5 * SECOND
    world.index(1, INDEX)
    return makers, traders


@pytest.mark.parametrize("seed", range(6))
def test_what_is_said_to_be_owed_is_what_is_paid(world, seed):
    rng = Random(seed)
    makers, traders = lived(world, rng, owners=1 + seed % 2)
    accounts = (*makers, *traders)
    said = {id: unpaid_funding(world.state, world.state.accounts[id], world.now) for id in accounts}
    owed = [hour.number for hour in world.state.funding[1].owed(world.now)]
    assert len(owed) >= HOURS
    paid, bases = Counter(), set()
    for number in owed:
        (record,) = world.play(c.SettleFunding(1, number))
        bases.add(record.basis)
        paid.update(dict(record.payments))
    assert said == {id: paid[id] for id in accounts}
    assert bases == {Basis.SKEW if seed % 2 == 0 else Basis.PREMIUM}
    assert sum(amount != 0 for amount in said.values()) >= 3
    assert all(unpaid_funding(world.state, world.state.accounts[id], world.now) == 0 for id in accounts)


def test_who_left_after_the_hour_is_told_what_it_still_owes(world):
    rng = Random(1)
    makers, traders = lived(world, rng, owners=2)
    owing = max(traders, key=lambda id: abs(world.held(id)[0]))
    account, size = world.state.accounts[owing], world.held(owing)[0]
    before = unpaid_funding(world.state, account, world.now)
    world.play(c.CancelAll(makers[0]))
    side, price = (-1, INDEX - 10) if size > 0 else (1, INDEX + 10)
    world.quotes(
        makers[0], [(price, abs(size))] if side < 0 else [], [] if side < 0 else [(price, abs(size))]
    )
    world.request(owing, "out", side, abs(size), price)
    assert world.held(owing) == (0, 0)
    assert unpaid_funding(world.state, account, world.now) == before != 0
