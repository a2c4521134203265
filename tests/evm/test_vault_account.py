"""A vault's account: its owner takes cash out, its operator trades within what the owner allowed, and nobody else moves anything."""

import pytest

from chain.evm.abi import load

USD, OZ = 10**6, 10**8


def refusal(kit, call, *args, **how):
    with pytest.raises(kit.Reverted) as caught:
        call(*args, **how)
    return caught.value.error


def test_deposits_and_withdrawals(world, kit):
    vault, owner = world.vaults[0], kit.OWNERS[0]
    world.send(kit.ADMIN, world.token, "mint", kit.STRANGER, 100)
    world.send(kit.STRANGER, world.token, "approve", vault, 60)
    world.send(kit.STRANGER, vault, "deposit", 60)
    assert ("Deposited", {"from": kit.STRANGER, "amount": 60}) in [
        (event.name, event.args) for event in world.events
    ]
    assert refusal(kit, world.send, kit.STRANGER, vault, "deposit", 1).name == "ERC20InsufficientAllowance"
    world.send(owner, vault, "withdraw", kit.STRANGER, 10)
    assert ("Withdrawn", {"to": kit.STRANGER, "amount": 10}) in [
        (event.name, event.args) for event in world.events
    ]
    assert world.balance(vault) == 10_000 * USD + 50
    assert world.balance(kit.STRANGER) == 50
    assert (
        refusal(kit, world.send, owner, vault, "withdraw", owner, 10**12).name == "ERC20InsufficientBalance"
    )


@pytest.mark.parametrize(
    ("function", "args"),
    [
        ("withdraw", ("0x" + "a5" * 20, 1)),
        ("setOperator", ("0x" + "a5" * 20,)),
        ("setAllowance", ("0x" + "a5" * 20, 1)),
        ("exit", ("0x" + "a5" * 20,)),
        ("transferOwnership", ("0x" + "a5" * 20,)),
    ],
)
def test_what_only_the_owner_does(world, kit, function, args):
    for who in (kit.ADMIN, kit.EXECUTOR, kit.REGISTRAR, kit.GUARDIAN, kit.STRANGER, kit.OWNERS[1]):
        error = refusal(kit, world.send, who, world.vaults[0], function, *args)
        assert error == kit.ContractError("OwnableUnauthorizedAccount", (who,))


def test_what_only_the_router_does(world, kit):
    for who in (kit.ADMIN, kit.EXECUTOR, kit.OWNERS[0], kit.STRANGER):
        error = refusal(kit, world.send, who, world.vaults[0], "release", kit.EXECUTOR, world.gold, 1)
        assert error == kit.ContractError("NotRouter", (who.lower(),))
        assert refusal(kit, world.send, who, world.vaults[0], "returned", world.gold, 1).name == "NotRouter"


def test_ownership_changes_hands_in_two_steps_and_is_never_given_up(world, kit):
    vault, owner = world.vaults[0], kit.OWNERS[0]
    assert refusal(kit, world.send, owner, vault, "renounceOwnership").name == "OwnerNeeded"
    world.send(owner, vault, "transferOwnership", kit.STRANGER)
    assert world.ask(vault, "owner") == owner
    world.send(kit.STRANGER, vault, "acceptOwnership")
    assert refusal(kit, world.send, owner, vault, "withdraw", owner, 1).name == "OwnableUnauthorizedAccount"
    world.send(kit.STRANGER, vault, "withdraw", kit.STRANGER, 1)


def test_an_account_without_an_owner_is_not_made(world, kit):
    error = refusal(
        kit,
        world.deploy,
        load("VaultAccount"),
        world.token,
        world.router,
        "0x" + "00" * 20,
        kit.EXECUTOR,
    )
    assert error.name == "OwnableInvalidOwner"


def test_the_allowance_bounds_what_is_with_an_adapter(world, kit):
    vault, owner = world.vaults[0], kit.OWNERS[0]
    world.send(owner, vault, "setAllowance", world.gold, 2_500 * USD)
    assert world.events[0].args == {"adapter": world.gold.lower(), "limit": 2_500 * USD}
    assert world.try_leg(world.leg(0, OZ, 2_000 * USD)) is None
    error = world.try_leg(world.leg(0, 0, 500 * USD + 1))
    expected = (world.gold.lower(), 2_500 * USD + 1, 2_500 * USD)
    assert error == kit.ContractError("AllowanceExceeded", expected)
    assert world.try_leg(world.leg(0, 0, 500 * USD)) is None
    assert world.try_leg(world.leg(0, 0, 0, 300 * USD)) is None
    assert world.ask(vault, "allowances", world.gold) == (2_500 * USD, 2_200 * USD)
    assert world.try_leg(world.leg(0, 0, 300 * USD)) is None


def test_an_adapter_that_the_owner_never_named_gets_nothing(world, kit):
    """Whoever steals the registrar's key can name a new contract, but no vault trusts it."""
    thief = world.deploy(kit.hostile("HostileAdapter"), world.token)
    world.register("mock_gold", thief)
    error = world.try_leg(world.leg(0, OZ, 1))
    assert error == kit.ContractError("AllowanceExceeded", (thief.lower(), 1, 0))


def test_a_lower_allowance_lets_positions_close(world, kit):
    assert world.try_leg(world.leg(0, OZ, 2_000 * USD)) is None
    world.send(kit.OWNERS[0], world.vaults[0], "setAllowance", world.gold, 0)
    assert world.try_leg(world.leg(0, OZ, 2_000 * USD)).name == "AllowanceExceeded"
    assert world.try_leg(world.leg(0, -OZ, 0, kit.EVERYTHING)) is None
    assert world.ask(world.vaults[0], "allowances", world.gold) == (0, 0)


def test_gains_do_not_raise_what_may_go_out(world, kit):
    world.send(kit.OWNERS[0], world.vaults[0], "setAllowance", world.gold, 2_000 * USD)
    world.send(kit.ADMIN, world.token, "mint", world.gold, 10_000 * USD)
    assert world.try_leg(world.leg(0, OZ, 2_000 * USD)) is None
    world.price(5_000 * OZ)
    assert world.try_leg(world.leg(0, -OZ, 0, kit.EVERYTHING)) is None
    assert world.ask(world.vaults[0], "allowances", world.gold) == (2_000 * USD, 0)
    assert world.balance(world.vaults[0]) == 13_000 * USD
    assert world.try_leg(world.leg(0, 0, 2_000 * USD + 1)).name == "AllowanceExceeded"


def test_without_an_operator_nobody_trades(world, kit):
    world.send(kit.OWNERS[0], world.vaults[0], "setOperator", "0x" + "00" * 20)
    assert [event.name for event in world.events] == ["OperatorSet"]
    assert world.try_leg(world.leg(0, OZ, 2_000 * USD)).name == "NotOperator"


def test_the_owner_leaves_a_venue_without_anybody(world, kit):
    """Neither a pause nor an adapter out of use nor a missing operator keeps the money from its owner."""
    vault, owner = world.vaults[0], kit.OWNERS[0]
    assert world.try_leg(world.leg(0, OZ, 2_300 * USD)) is None
    world.send(kit.GUARDIAN, world.router, "pause")
    world.register("mock_gold", "0x" + "00" * 20, limit=0, gas=0)
    world.send(owner, vault, "setOperator", "0x" + "00" * 20)
    assert world.send(owner, vault, "exit", world.gold) == 2_300 * USD
    assert {"Exited", "Returned"} <= {event.name for event in world.events}
    assert world.balance(vault) == 10_000 * USD
    assert world.position(0) == (0, 0)
    assert world.ask(vault, "allowances", world.gold)[1] == 0
    world.send(owner, vault, "withdraw", owner, 10_000 * USD)
    assert world.balance(owner) == 10_000 * USD
