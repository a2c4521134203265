"""Prices from a Chainlink feed: what is taken, what is refused and as what; real rounds of mainnet."""

import csv
import gzip

import pytest

from chain.evm.abi import load

USD, OZ = 10**6, 10**8


def bought(world, **how):
    return world.try_leg(world.leg(0, OZ, 5_000 * USD, **how))


@pytest.mark.parametrize(
    ("round_", "error"),
    [
        ({"startedAt": 0}, "FeedIncomplete"),
        ({"updatedAt": 0}, "FeedIncomplete"),
        ({"startedAt": 0, "updatedAt": 0, "answer": 0}, "FeedIncomplete"),
        ({"roundId": 9, "answeredInRound": 8}, "FeedIncomplete"),
        ({"answer": 0}, "FeedNotPositive"),
        ({"answer": -1}, "FeedNotPositive"),
        ({"answer": -(2**255)}, "FeedNotPositive"),
        ({"updated_in": 1}, "FeedAhead"),
        ({"updated_in": -90_001}, "FeedStale"),
        ({"answer": 2**64}, "SafeCastOverflowedUintDowncast"),
        ({"answer": 2**255 - 1}, "SafeCastOverflowedUintDowncast"),
    ],
)
def test_rounds_that_money_must_not_depend_on(world, round_, error):
    answer = round_.pop("answer", 2_000 * OZ)
    if "updated_in" in round_:
        round_["updatedAt"] = world.now + round_.pop("updated_in")
    world.price(answer, **round_)
    before = world.state()
    assert bought(world).name == error
    assert world.state() == before


def test_the_oldest_price_that_is_taken(world, kit):
    world.move(kit.MAX_AGE)
    assert bought(world) is None
    world.move(1)
    error = world.try_leg(world.leg(1, OZ, 5_000 * USD))
    assert error == kit.ContractError("FeedStale", (kit.NOW, kit.NOW + 1))


def test_a_feed_that_changes_its_units_is_not_believed(world, kit):
    world.send(kit.ADMIN, world.feed, "setDecimals", 6)
    assert bought(world) == kit.ContractError("FeedDecimals", (6,))
    world.send(kit.ADMIN, world.feed, "setDecimals", 8)
    assert bought(world) is None


@pytest.mark.parametrize(
    ("decimals", "answer", "buys_at", "sells_at"),
    [
        (0, 2_000, 2_000 * OZ, 2_000 * OZ),
        (2, 200_001, 200_001 * 10**6, 200_001 * 10**6),
        (8, 200_000_000_001, 200_000_000_001, 200_000_000_001),
        (10, 20_000_000_000_001, 200_000_000_001, 200_000_000_000),
        (18, 2_000 * 10**18 + 1, 200_000_000_001, 200_000_000_000),
    ],
)
def test_feeds_of_other_units(kit, decimals, answer, buys_at, sells_at):
    world = kit.World(feed_decimals=decimals)
    world.price(answer)
    for size, price in ((OZ // 2, buys_at), (-OZ // 2, sells_at)):
        ((done, _, result),) = world.execute(world.leg(0, size, 2_500 * USD))
        assert (done, int.from_bytes(result)) == (True, price)


def test_a_price_that_rounds_to_nothing_is_none(kit):
    world = kit.World(feed_decimals=18)
    world.price(10**9)
    assert world.try_leg(world.leg(0, -OZ, 5_000 * USD)).name == "FeedNotPositive"


def test_finer_feeds_than_eighteen_digits_are_not_supported(world, kit):
    feed = world.deploy(load("TestFeed"), kit.ADMIN, 19)
    with pytest.raises(kit.Reverted) as caught:
        world.deploy(load("AdapterMockGold"), world.token, world.router, feed, kit.MAX_AGE)
    assert caught.value.error == kit.ContractError("FeedDecimals", (19,))


def test_only_its_owner_sets_the_test_feed_and_mints_test_money(world, kit):
    calls = [
        (world.feed, "setRound", (1, 1, 1, 1, 1)),
        (world.feed, "setDecimals", 1),
        (world.token, "mint", kit.STRANGER, 1),
    ]
    for to, function, *args in calls:
        with pytest.raises(kit.Reverted) as caught:
            world.send(kit.STRANGER, to, function, *args)
        assert caught.value.error == kit.ContractError("OwnableUnauthorizedAccount", (kit.STRANGER,))


@pytest.mark.parametrize("pair", ["ETH", "BTC"])
def test_real_rounds_of_mainnet(kit, pair):
    """Recorded rounds, the first fifty and then every tenth: the empty first one is refused, all others are the price as published."""
    (path,) = kit.recorded.glob(f"mainnet-{pair}-USD-rounds-*.csv.gz")
    with gzip.open(path, "rt") as file:
        rounds = [{name: int(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert len(rounds) > 6_000
    rounds = rounds[:50] + rounds[50::10]
    world = kit.World(vaults=1)
    world.send(kit.ADMIN, world.token, "mint", world.vaults[0], 10**15)
    empty, taken = 0, 0
    for row in rounds:
        if row["update"]:
            world.move(row["update"] - world.now)
        world.price(
            row["answer"],
            roundId=row["round"],
            startedAt=row["start"],
            updatedAt=row["update"],
            answeredInRound=row["answeredInRound"],
        )
        # A hundredth, bought and sold at once, so that nothing is left but the rounding.
        buying, selling = world.execute(
            world.leg(0, OZ // 100, 10**9), world.leg(0, -OZ // 100, 0, kit.EVERYTHING)
        )
        if row["update"] == 0:
            assert not buying[0]
            error = kit.abi.error_of(buying[2], world.interfaces.values())
            assert error.name == "FeedIncomplete"
            empty += 1
            continue
        assert (buying[0], selling[0]) == (True, True)
        assert int.from_bytes(buying[2]) == int.from_bytes(selling[2]) == row["answer"]
        taken += 1
    assert (empty, taken) == (1, len(rounds) - 1)
    assert world.position(0) == (0, 0)
