"""The gold market: fills at the feed's price, longs paid in full, shorts covered twice, rounding against the vault, and nobody is
paid from another's cash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

USD, OZ = 10**6, 10**8


def refusal(kit, call, *args, **how):
    with pytest.raises(kit.Reverted) as caught:
        call(*args, **how)
    return caught.value.error


def test_only_the_router_sends_orders(world, kit):
    for who in (kit.ADMIN, kit.EXECUTOR, kit.OWNERS[0], kit.STRANGER):
        error = refusal(kit, world.send, who, world.gold, "execute", world.vaults[0], 0, b"")
        assert error == kit.ContractError("NotRouter", (who.lower(),))


def test_a_long_and_its_profit(world, kit):
    world.send(kit.ADMIN, world.token, "mint", world.gold, 1_000 * USD)
    assert world.try_leg(world.leg(0, 3 * OZ, 6_000 * USD)) is None
    (filled,) = [event for event in world.events if event.name == "OrderFilled"]
    assert filled.args == {
        "vault": world.vaults[0].lower(),
        "id": (1).to_bytes(32),
        "size": 3 * OZ,
        "price": 2_000 * OZ,
        "cashIn": 6_000 * USD,
        "cashOut": 0,
        "sizeAfter": 3 * OZ,
        "cashAfter": 0,
    }
    world.price(2_100 * OZ)
    assert world.try_leg(world.leg(0, -2 * OZ, 0, kit.EVERYTHING)) is None
    assert world.balance(world.vaults[0]) == 10_000 * USD - 6_000 * USD + 4_200 * USD
    assert world.position(0) == (OZ, 0)


def test_a_short_and_its_profit(world, kit):
    assert world.try_leg(world.leg(0, -OZ, 2_000 * USD - 1)).name == "NotCovered"
    assert world.try_leg(world.leg(0, -OZ, 2_000 * USD)) is None
    assert world.position(0) == (-OZ, 4_000 * USD)
    assert world.try_leg(world.leg(0, 0, 0, 1)) == kit.ContractError(
        "NotCovered", (4_000 * USD - 1, 4_000 * USD)
    )
    world.send(kit.ADMIN, world.token, "mint", world.gold, 500 * USD)
    world.price(1_500 * OZ)
    assert world.try_leg(world.leg(0, OZ, 0, kit.EVERYTHING)) is None
    assert world.balance(world.vaults[0]) == 10_500 * USD
    assert world.position(0) == (0, 0)


def test_a_position_turns_over_in_one_order(world):
    assert world.try_leg(world.leg(0, OZ, 2_000 * USD)) is None
    assert world.try_leg(world.leg(0, -2 * OZ, 0, 1)).name == "NotCovered"
    assert world.try_leg(world.leg(0, -2 * OZ, 0)) is None
    assert world.position(0) == (-OZ, 4_000 * USD)
    assert world.try_leg(world.leg(0, 3 * OZ, 2_000 * USD - 1)).name == "NotCovered"
    assert world.try_leg(world.leg(0, 3 * OZ, 2_000 * USD)) is None
    assert world.position(0) == (2 * OZ, 0)


@pytest.mark.parametrize(
    ("size", "limit", "price", "fills"),
    [
        (OZ, 2_000 * OZ, 2_000 * OZ, True),
        (OZ, 2_000 * OZ - 1, 2_000 * OZ, False),
        (-OZ, 2_000 * OZ, 2_000 * OZ, True),
        (-OZ, 2_000 * OZ + 1, 2_000 * OZ, False),
    ],
)
def test_limits(world, kit, size, limit, price, fills):
    world.price(price)
    error = world.try_leg(world.leg(0, size, 4_000 * USD, limit=limit))
    assert error == (None if fills else kit.ContractError("LimitNotMet", (price, limit)))


def test_an_order_is_carried_out_once_and_can_be_asked_about(world, kit):
    assert world.ask(world.gold, "fills", world.vaults[0], (7).to_bytes(32)) == (0, 0, 0)
    assert world.try_leg(world.leg(0, OZ, 2_000 * USD, order_id=7)) is None
    assert world.ask(world.gold, "fills", world.vaults[0], (7).to_bytes(32)) == (OZ, 2_000 * OZ, world.now)
    error = world.try_leg(world.leg(0, OZ, 2_000 * USD, order_id=7))
    assert error == kit.ContractError("OrderKnown", ((7).to_bytes(32),))
    # Another vault's ids are its own.
    assert world.try_leg(world.leg(1, OZ, 2_000 * USD, order_id=7)) is None
    # An order that was refused may come again.
    assert world.try_leg(world.leg(2, OZ, 0, order_id=8)).name == "NotCovered"
    assert world.try_leg(world.leg(2, OZ, 2_000 * USD, order_id=8)) is None


def test_cash_alone_moves_in_and_out(world, kit):
    assert world.try_leg(world.leg(0)).name == "OrderEmpty"
    assert world.try_leg(world.leg(0, 0, 50, order_id=90)) is None
    assert world.ask(world.gold, "fills", world.vaults[0], (90).to_bytes(32)) == (0, 0, world.now)
    assert world.try_leg(world.leg(0, 0, 0, 51)) == kit.ContractError("NotCovered", (-1, 0))
    assert world.try_leg(world.leg(0, 0, 0, 20)) is None
    assert world.try_leg(world.leg(0, 0, 0, kit.EVERYTHING)) is None
    assert world.position(0) == (0, 0)
    assert world.balance(world.vaults[0]) == 10_000 * USD


def test_a_silent_feed_keeps_nobody_from_bringing_cash_or_taking_idle_cash(world, kit):
    assert world.try_leg(world.leg(0, -OZ, 2_000 * USD)) is None
    world.move(kit.MAX_AGE + 1)
    assert world.try_leg(world.leg(0, 0, 100 * USD)) is None
    assert world.try_leg(world.leg(0, 0, 0, 1)).name == "FeedStale"
    assert world.try_leg(world.leg(1, 0, 100 * USD)) is None
    # Idle cash of others is behind what the open position may be owed, which nobody can tell now.
    assert world.try_leg(world.leg(1, 0, 0, 1)).name == "FeedStale"
    world.price(2_000 * OZ)
    assert world.try_leg(world.leg(0, OZ, 0, kit.EVERYTHING)) is None
    world.move(kit.MAX_AGE + 1)
    assert world.try_leg(world.leg(1, 0, 0, kit.EVERYTHING)) is None


def test_a_feed_that_has_ended_keeps_nobody_in(world, kit):
    assert world.try_leg(world.leg(0, OZ, 2_000 * USD)) is None
    assert world.try_leg(world.leg(1, 0, 100 * USD)) is None
    world.move(7 * 86_400)
    assert refusal(kit, world.send, kit.OWNERS[0], world.vaults[0], "exit", world.gold).name == "FeedStale"
    world.move(1)
    assert world.try_leg(world.leg(0, -OZ, 0, kit.EVERYTHING)).name == "FeedStale"
    assert world.send(kit.OWNERS[1], world.vaults[1], "exit", world.gold) == 100 * USD
    assert world.send(kit.OWNERS[0], world.vaults[0], "exit", world.gold) == 2_000 * USD


def test_nobody_is_paid_from_anothers_cash(world, kit):
    assert world.try_leg(world.leg(0, OZ, 2_000 * USD)) is None
    assert world.try_leg(world.leg(1, 0, 3_000 * USD)) is None
    world.price(2_500 * OZ)
    error = world.try_leg(world.leg(0, -OZ, 0, kit.EVERYTHING))
    assert error == kit.ContractError("PoolShort", (5_000 * USD, 5_500 * USD))
    # What it was promised stays promised; it may take the part that is there once nobody else is owed it.
    assert world.try_leg(world.leg(0, -OZ, 0, 2_000 * USD)).name == "PoolShort"
    assert world.try_leg(world.leg(0, -OZ, 0)) is None
    world.send(kit.ADMIN, world.token, "mint", world.gold, 500 * USD)
    assert world.try_leg(world.leg(0, 0, 0, kit.EVERYTHING)) is None
    assert world.send(kit.OWNERS[1], world.vaults[1], "exit", world.gold) == 3_000 * USD
    assert world.balance(world.gold) == 0


def test_a_short_that_runs_out_is_closed_by_anybody(world, kit):
    assert world.try_leg(world.leg(0, -OZ, 2_000 * USD)) is None
    world.price(266_666_660_000)
    error = refusal(kit, world.send, kit.STRANGER, world.gold, "liquidate", world.vaults[0])
    assert error == kit.ContractError("StillCovered", (4_000 * USD, 3_999_999_900))
    world.price(266_666_700_000)
    world.send(kit.STRANGER, world.gold, "liquidate", world.vaults[0])
    (event,) = world.events
    left = 4_000 * USD - 2_666_667_000
    assert (event.name, event.args["cashAfter"]) == ("Liquidated", left)
    assert world.position(0) == (0, left)
    assert world.try_leg(world.leg(0, 0, 0, kit.EVERYTHING)) is None


def test_a_loss_beyond_the_cash_is_the_pools(world, kit):
    assert world.try_leg(world.leg(0, -OZ, 2_000 * USD)) is None
    assert world.try_leg(world.leg(1, -OZ, 2_000 * USD)) is None
    assert world.try_leg(world.leg(2, -OZ, 2_000 * USD)) is None
    world.price(5_000 * OZ)
    world.send(kit.STRANGER, world.gold, "liquidate", world.vaults[0])
    assert world.send(kit.OWNERS[1], world.vaults[1], "exit", world.gold) == 0
    assert world.try_leg(world.leg(2, OZ, 0)) is None
    (borne,) = [event for event in world.events if event.name == "LossBorne"]
    assert borne.args == {"vault": world.vaults[2].lower(), "amount": 1_000 * USD}
    assert [world.position(vault) for vault in range(3)] == [(0, 0)] * 3
    assert world.ask(world.gold, "total") == (0, 0)
    assert world.balance(world.gold) == 6_000 * USD


def test_a_short_may_shrink_and_take_cash_however_little_is_left(world):
    assert world.try_leg(world.leg(0, -2 * OZ, 4_000 * USD)) is None
    world.price(2_900 * OZ)
    assert world.try_leg(world.leg(0, -1, 0)).name == "NotCovered"
    assert world.try_leg(world.leg(0, OZ, 0, 1)).name == "NotCovered"
    assert world.try_leg(world.leg(0, 0, 10 * USD)) is None
    assert world.try_leg(world.leg(0, OZ, 0)) is None


def test_what_there_is_not_cannot_be_closed(world, kit):
    assert refusal(kit, world.send, kit.OWNERS[0], world.vaults[0], "exit", world.gold).name == (
        "NothingToClose"
    )
    for vault in (world.vaults[0], kit.STRANGER):
        error = refusal(kit, world.send, kit.STRANGER, world.gold, "liquidate", vault)
        assert error.name == "NothingToClose"
    assert world.try_leg(world.leg(0, OZ, 2_000 * USD)) is None
    world.price(1)
    error = refusal(kit, world.send, kit.STRANGER, world.gold, "liquidate", world.vaults[0])
    assert error.name == "NothingToClose"


@pytest.mark.parametrize("size", [2**127 - 1, -(2**127), 2**100, -(2**100)])
def test_sizes_beyond_all_money_are_refused(world, size):
    assert world.try_leg(world.leg(0, size, 10_000 * USD)).name in (
        "NotCovered",
        "Panic",
        "SafeCastOverflowedIntDowncast",
    )
    assert world.position(0) == (0, 0)


def test_rounding_is_against_the_vault(kit):
    world = kit.World()

    @given(
        price=st.integers(1, 10**13),
        size=st.integers(-(10**9), 10**9).filter(lambda size: size != 0),
    )
    def there_and_back(price, size):
        world.price(price)
        exact = abs(size) * price
        cash = -(-exact // 10**10)
        before = world.balance(world.vaults[0])
        if cash > before // 2:
            return
        held = world.balance(world.gold)
        first, second = world.execute(
            world.leg(0, size, 2 * cash + 2), world.leg(0, -size, 0, kit.EVERYTHING)
        )
        assert (first[0], second[0]) == (True, True)
        assert world.position(0) == (0, 0)
        lost = before - world.balance(world.vaults[0])
        assert lost == (0 if exact % 10**10 == 0 else 1)
        assert world.balance(world.gold) == held + lost

    there_and_back()
