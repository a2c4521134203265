"""The cash that an order brings is what the market wants of it, at any price that it may meet: tried on the compiled market."""

import random

import pytest

from chain.evm.batch import EVERYTHING, GoldOrder, Leg
from chain.evm.cover import AWAY_PPM, Held, covered
from core.quantities import MILLION

USD, OZ = 10**6, 10**8
PRICE = 2_000 * OZ
ORDERS = 300


@pytest.mark.parametrize(
    ("held", "size", "limit", "wanted"),
    [
        ((0, 0), OZ, 0, (OZ, 2_020 * OZ, 2_020 * USD)),
        ((0, 0), OZ, 2_001 * OZ, (OZ, 2_001 * OZ, 2_001 * USD)),
        # A limit that is further away is brought nearer: nobody needs cash for that.
        ((0, 0), OZ, 9_000 * OZ, (OZ, 2_020 * OZ, 2_020 * USD)),
        # A short leaves its proceeds and as much again, at the dearest price that it may meet.
        ((0, 0), -OZ, 0, (-OZ, 1_980 * OZ, 2_020 * USD)),
        ((0, 0), -OZ, 1_999 * OZ, (-OZ, 1_999 * OZ, 2_020 * USD)),
        ((OZ, 0), -OZ, 0, (-OZ, 1_980 * OZ, 0)),
        ((-OZ, 4_000 * USD), OZ, 0, (OZ, 2_020 * OZ, 0)),
        # Over to the other side, what lies there counts.
        ((-OZ, 4_000 * USD), 3 * OZ, 0, (3 * OZ, 2_020 * OZ, 2_060 * USD)),
        ((OZ, 0), -3 * OZ, 0, (-3 * OZ, 1_980 * OZ, 2_020 * USD)),
        # A hundred-millionth of an ounce costs a part of a unit, which is rounded up.
        ((0, 0), 1, 0, (1, 2_020 * OZ, 21)),
    ],
)
def test_what_an_order_brings(held, size, limit, wanted):
    cover = covered(Held(*held), size, limit, PRICE, reduce_only=False)
    assert (cover.size, cover.limit_price, cover.cash_in) == wanted


@pytest.mark.parametrize(
    ("held", "size", "wanted"),
    [(OZ, -2 * OZ, -OZ), (OZ, -1, -1), (-OZ, 2 * OZ, OZ), (OZ, OZ, 0), (-OZ, -OZ, 0), (0, OZ, 0)],
)
def test_who_only_reduces_goes_no_further_than_nothing(held, size, wanted):
    cover = covered(Held(held, 0), size, 0, PRICE, reduce_only=True)
    assert (cover.size, cover.cash_in) == (wanted, 0)


def test_the_market_takes_every_order_at_any_price_that_it_may_meet(world, kit):
    """And with one unit less it would not, at the worst of them."""
    chance = random.Random(1)
    world.send(kit.ADMIN, world.token, "mint", world.gold, 10**15)
    world.send(kit.ADMIN, world.token, "mint", world.vaults[0], 10**15)
    price, tight = PRICE, 0
    for _ in range(ORDERS):
        size = chance.choice((-1, 1)) * chance.choice((1, chance.randrange(1, 3 * OZ), OZ))
        cover = covered(Held(*world.position(0)), size, 0, price, reduce_only=False)
        low, high = price * (MILLION - AWAY_PPM) // MILLION, -(-price * (MILLION + AWAY_PPM) // MILLION)
        met = chance.choice((low, high, chance.randrange(low, high + 1)))
        if cover.cash_in:
            before = world.position(0)
            errors = []
            for end in (low, high):
                world.price(end)
                less = leg_of(world, cover, cover.cash_in - 1)
                snapshot = world.evm.snapshot()
                errors.append(world.try_leg(less))
                world.evm.revert(snapshot)
            assert world.position(0) == before
            assert {one.name for one in errors if one} == {"NotCovered"}
            tight += 1
        world.price(met)
        assert world.try_leg(leg_of(world, cover, cover.cash_in)) is None
        price = met
    assert tight > ORDERS // 3


def leg_of(world, cover, cash_in):
    order = GoldOrder(next(world.orders).to_bytes(32), cover.size, cover.limit_price, EVERYTHING)
    return Leg("mock_gold", world.vaults[0], cash_in, order.encoded())
