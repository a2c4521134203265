"""The router: who may do what, what a batch is, and that a leg that fails leaves nothing behind."""

import pytest

USD, OZ = 10**6, 10**8


def refusal(kit, call, *args, **how):
    with pytest.raises(kit.Reverted) as caught:
        call(*args, **how)
    return caught.value.error


def test_legs_of_many_vaults_in_one_transaction(world, kit):
    legs = [world.leg(0, OZ, 2_000 * USD), world.leg(1, -OZ, 2_000 * USD), world.leg(2, OZ // 2, 1_000 * USD)]
    results = world.execute(*legs)
    assert [done for done, _, _ in results] == [True] * 3
    assert [world.position(vault) for vault in range(4)] == [
        (OZ, 0),
        (-OZ, 4_000 * USD),
        (OZ // 2, 0),
        (0, 0),
    ]
    assert world.balance(world.gold) == 5_000 * USD
    executed = [event for event in world.events if event.name == "LegExecuted"]
    assert [event.args["index"] for event in executed] == [0, 1, 2]
    assert [event.args["vault"] for event in executed] == [leg.vault.lower() for leg in legs]
    (ended,) = [event for event in world.events if event.name == "BatchExecuted"]
    assert (ended.args["done"], ended.args["failed"], ended.args["executor"]) == (3, 0, kit.EXECUTOR)
    assert world.ask(world.router, "executedIn", world.last.id) == world.number


def test_a_leg_that_fails_leaves_no_trace_and_the_others_stand(world, kit):
    before = world.state()
    failing = [
        world.leg(0, OZ, 1_999 * USD),
        world.leg(1, OZ, 20_000 * USD),
        world.leg(2, 0, 0, 0),
        world.leg(3, OZ, 2_000 * USD, adapter="nowhere"),
        world.leg(3, OZ, 2_000 * USD, order=b"short"),
    ]
    results = world.execute(*failing)
    assert [done for done, _, _ in results] == [False] * 5
    assert world.state() == before
    names = [kit.abi.error_of(answer, world.interfaces.values()).name for _, _, answer in results]
    assert names == ["NotCovered", "ERC20InsufficientBalance", "OrderEmpty", "AdapterUnknown", ""]
    assert {event.name for event in world.events} == {"LegFailed", "BatchExecuted"}

    results = world.execute(world.leg(0, OZ, 2_000 * USD), *failing[:2], world.leg(2, OZ, 2_000 * USD))
    assert [done for done, _, _ in results] == [True, False, False, True]
    assert [world.position(vault)[0] for vault in range(4)] == [OZ, 0, OZ, 0]


def test_an_atomic_batch_that_fails_leaves_nothing_not_even_its_id(world, kit):
    before = world.state()
    legs = (world.leg(0, OZ, 2_000 * USD), world.leg(1, OZ, 1_999 * USD))
    error = refusal(kit, world.execute, *legs, atomic=True)
    assert error.name == "LegReverted"
    index, inner = error.args
    assert index == 1
    cause = kit.abi.error_of(inner, world.interfaces.values())
    assert cause == kit.ContractError("NotCovered", (-1 * USD, 0))
    assert world.state() == before
    assert world.ask(world.router, "executedIn", world.last.id) == 0
    assert all(done for done, _, _ in world.execute(legs[0], world.leg(1, OZ, 2_000 * USD), atomic=True))


def test_a_batch_is_carried_out_once(world, kit):
    batch = world.batch(world.leg(0, OZ, 2_000 * USD))
    world.send(kit.EXECUTOR, world.router, "executeMulti", batch.encoded())
    block = world.number
    world.move(12)
    state = world.state()
    error = refusal(kit, world.send, kit.EXECUTOR, world.router, "executeMulti", batch.encoded())
    assert error == kit.ContractError("BatchKnown", (batch.id, block))
    assert world.state() == state


def test_a_batch_is_for_until_its_deadline(world, kit):
    late = world.batch(world.leg(0, OZ, 2_000 * USD), deadline=world.now - 1)
    error = refusal(kit, world.send, kit.EXECUTOR, world.router, "executeMulti", late.encoded())
    assert error == kit.ContractError("BatchExpired", (world.now - 1,))
    just = world.batch(world.leg(0, OZ, 2_000 * USD), deadline=world.now)
    world.send(kit.EXECUTOR, world.router, "executeMulti", just.encoded())


def test_a_batch_without_legs_is_refused(world, kit):
    assert refusal(kit, world.execute).name == "BatchEmpty"


@pytest.mark.parametrize("cut", [0, 31, 32, 64, 160, 200, 400])
def test_data_that_is_cut_off_changes_nothing(world, kit, cut):
    whole = world.batch(world.leg(0, OZ, 2_000 * USD)).encoded()
    before = world.state()
    assert refusal(kit, world.send, kit.EXECUTOR, world.router, "executeMulti", whole[:cut]).name == ""
    assert world.state() == before


def test_only_an_executor_executes(world, kit):
    for who in (kit.ADMIN, kit.REGISTRAR, kit.GUARDIAN, kit.STRANGER, kit.OWNERS[0]):
        error = refusal(kit, world.execute, world.leg(0, OZ, 2_000 * USD), sender=who)
        assert error == kit.ContractError("AccessControlUnauthorizedAccount", (who, kit.role("EXECUTOR")))


def test_an_executor_moves_only_vaults_that_named_it(world, kit):
    world.send(kit.ADMIN, world.router, "grantRole", kit.role("EXECUTOR"), kit.STRANGER)
    assert world.try_leg(world.leg(0, OZ, 2_000 * USD)) is None
    # Not even with no money to move: a position could be closed at a bad moment.
    for order in ((OZ, 2_000 * USD), (-OZ, 0)):
        ((done, _, answer),) = world.execute(world.leg(0, *order), sender=kit.STRANGER)
        assert not done
        error = kit.abi.error_of(answer, world.interfaces.values())
        assert error == kit.ContractError("NotOperator", (kit.STRANGER,))
    assert world.position(0) == (OZ, 0)


def test_a_pause_stops_batches_and_only_the_admin_ends_it(world, kit):
    for who in (kit.ADMIN, kit.REGISTRAR, kit.EXECUTOR, kit.STRANGER):
        assert refusal(kit, world.send, who, world.router, "pause").args == (who, kit.role("GUARDIAN"))
    world.send(kit.GUARDIAN, world.router, "pause")
    assert [event.name for event in world.events] == ["Paused"]
    assert refusal(kit, world.execute, world.leg(0, OZ, 2_000 * USD)).name == "EnforcedPause"
    assert refusal(kit, world.send, kit.GUARDIAN, world.router, "pause").name == "EnforcedPause"
    assert refusal(kit, world.send, kit.GUARDIAN, world.router, "unpause").args == (
        kit.GUARDIAN,
        kit.role("")[:32],
    )
    world.send(kit.ADMIN, world.router, "unpause")
    assert [event.name for event in world.events] == ["Unpaused"]
    assert refusal(kit, world.send, kit.ADMIN, world.router, "unpause").name == "ExpectedPause"
    assert world.try_leg(world.leg(0, OZ, 2_000 * USD)) is None


def test_only_the_registrar_names_adapters(world, kit):
    name = b"other".ljust(32, b"\0")
    for who in (kit.ADMIN, kit.GUARDIAN, kit.EXECUTOR, kit.STRANGER):
        error = refusal(kit, world.send, who, world.router, "setAdapter", name, world.gold, 1, 1)
        assert error.args == (who, kit.role("REGISTRAR"))
    world.register("other", world.gold, 5 * USD, gas=400_000)
    (event,) = world.events
    assert (event.name, dict(event.args)) == (
        "AdapterSet",
        {"id": name, "venue": world.gold.lower(), "gasLimit": 400_000, "limit": 5 * USD},
    )


@pytest.mark.parametrize(
    ("venue", "gas", "limit"), [("nobody", 1, 1), ("gold", 0, 1), ("zero", 1, 0), ("zero", 0, 1)]
)
def test_an_adapter_is_a_contract_with_gas_or_nothing_at_all(world, kit, venue, gas, limit):
    address = {"nobody": kit.STRANGER, "gold": world.gold, "zero": "0x" + "00" * 20}[venue]
    error = refusal(kit, world.register, "mock_gold", address, limit, gas)
    assert error.name == "AdapterInvalid"


def test_an_adapter_out_of_use_takes_no_orders(world, kit):
    world.register("mock_gold", "0x" + "00" * 20, limit=0, gas=0)
    error = world.try_leg(world.leg(0, OZ, 2_000 * USD))
    assert error == kit.ContractError("AdapterUnknown", (b"mock_gold".ljust(32, b"\0"),))


def test_an_adapter_takes_no_more_than_its_allowance_until_it_gives_back(world, kit):
    world.register("mock_gold", world.gold, limit=3_000 * USD)
    assert world.try_leg(world.leg(0, OZ, 2_000 * USD)) is None
    error = world.try_leg(world.leg(1, OZ // 2, 1_000 * USD + 1))
    expected = (b"mock_gold".ljust(32, b"\0"), 1_000 * USD + 1, 1_000 * USD)
    assert error == kit.ContractError("AdapterAllowanceExceeded", expected)
    assert world.try_leg(world.leg(1, OZ // 2, 1_000 * USD)) is None
    assert world.try_leg(world.leg(2, 0, 1)) is not None
    assert world.try_leg(world.leg(0, -OZ, 0, 2_000 * USD)) is None
    assert world.ask(world.router, "adapters", b"mock_gold".ljust(32, b"\0"))[2] == 2_000 * USD
    # What it gives back beyond what it took is a gain, and no reason to trust it with more.
    world.send(kit.ADMIN, world.token, "mint", world.gold, 9_000 * USD)
    world.price(20_000 * OZ)
    assert world.try_leg(world.leg(1, -OZ // 2, 0, kit.EVERYTHING)) is None
    assert world.ask(world.router, "adapters", b"mock_gold".ljust(32, b"\0"))[2:] == (3_000 * USD,) * 2


def test_too_little_gas_undoes_the_batch_instead_of_failing_legs(world, kit):
    legs = [world.leg(vault, OZ, 2_000 * USD) for vault in range(4)]
    before = world.state()
    for gas in (430_000, 450_000, 500_000, 600_000):
        error = refusal(kit, world.execute, *legs, gas=gas)
        assert error.name == "GasTooLow"
        assert world.state() == before
    assert all(done for done, _, _ in world.execute(*legs, gas=2_000_000))


def test_a_leg_is_carried_out_by_the_router_only(world, kit):
    leg = world.leg(0, OZ, 2_000 * USD)
    given = (leg.adapter.encode().ljust(32, b"\0"), leg.vault, leg.cash_in, leg.order)
    for who in (kit.ADMIN, kit.EXECUTOR, kit.STRANGER):
        assert refusal(kit, world.send, who, world.router, "executeLeg", who, given).name == "OnlySelf"


def test_a_leg_for_something_that_is_no_vault_fails_alone(world, kit):
    for address in (kit.STRANGER, world.token, world.gold, world.router, world.feed):
        leg = world.leg(0, OZ, 2_000 * USD)
        nowhere = type(leg)(leg.adapter, address, leg.cash_in, leg.order)
        (failed, done) = world.execute(nowhere, world.leg(0, OZ // 100, 20 * USD))
        assert (failed[0], done[0]) == (False, True)


def test_the_admin_changes_hands_in_two_steps_with_a_delay(world, kit):
    """A stolen admin key takes a day to lock its owner out, and the owner sees it coming."""
    assert refusal(
        kit, world.send, kit.ADMIN, world.router, "grantRole", kit.role("")[:32], kit.STRANGER
    ).name
    world.send(kit.ADMIN, world.router, "beginDefaultAdminTransfer", kit.STRANGER)
    world.move(kit.ADMIN_DELAY)
    error = refusal(kit, world.send, kit.STRANGER, world.router, "acceptDefaultAdminTransfer")
    assert error.name == "AccessControlEnforcedDefaultAdminDelay"
    world.move(1)
    world.send(kit.STRANGER, world.router, "acceptDefaultAdminTransfer")
    assert world.ask(world.router, "defaultAdmin") == kit.STRANGER
    assert refusal(
        kit, world.send, kit.ADMIN, world.router, "grantRole", kit.role("EXECUTOR"), kit.ADMIN
    ).name
