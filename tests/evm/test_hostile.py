"""Adapters and tokens that cheat: no leg of theirs does anything to others, and none does more to its own vault than it was given."""

import pytest

USD, OZ = 10**6, 10**8
RETURN, REVERT, BURN = range(3)
NOBODY = "0x" + "00" * 20


class Stage:
    """A world with a hostile adapter, registered and trusted by vault 0 with 1,000 dollars."""

    def __init__(self, kit, world):
        self.kit, self.world = kit, world
        self.thief = world.deploy(kit.hostile("HostileAdapter"), world.token)
        world.register("thief", self.thief, limit=1_000 * USD)
        world.send(kit.OWNERS[0], world.vaults[0], "setAllowance", self.thief, 1_000 * USD)

    def plan(self, target=NOBODY, data=b"", pays=0, claims=0, ending=RETURN, length=0):
        self.world.send(
            self.kit.STRANGER, self.thief, "setPlan", (target, data, pays, claims, ending, length)
        )

    def call(self, contract, function, *args):
        return self.world.interfaces[contract].call(function, *args)

    def leg(self, cash_in=0):
        return self.world.leg(0, 0, cash_in, adapter="thief", order=b"")

    def answer(self):
        """What the target said to the adapter's call."""
        agreed = self.world.ask(self.thief, "targetAgreed")
        data = self.world.ask(self.thief, "targetAnswer")
        return None if agreed else self.kit.abi.error_of(data, self.world.interfaces.values())


@pytest.fixture
def stage(kit, world):
    return Stage(kit, world)


def test_it_can_keep_what_it_was_given_and_no_more(stage, world):
    stage.plan()
    assert world.try_leg(stage.leg(600 * USD)) is None
    assert world.try_leg(stage.leg(400 * USD)) is None
    assert world.try_leg(stage.leg(1)).name == "AdapterAllowanceExceeded"
    assert world.balance(stage.thief) == 1_000 * USD
    assert world.balance(world.vaults[0]) == 9_000 * USD
    assert [world.balance(vault) for vault in world.vaults[1:]] == [10_000 * USD] * 3


@pytest.mark.parametrize(
    ("pays", "claims"), [(0, 1), (99, 100), (100, 99), (100, 0), (0, 2**255), (0, 2**256 - 1)]
)
def test_what_it_says_it_paid_must_have_arrived(stage, world, pays, claims):
    stage.plan(pays=pays, claims=claims)
    before = world.state()
    error = world.try_leg(stage.leg(500))
    assert error.name in ("CashMismatch", "Panic")
    assert world.state() == before
    assert world.balance(stage.thief) == 0


def test_it_cannot_begin_another_batch(stage, kit, world):
    """Not even when it is an executor itself, of a vault that trusts it."""
    world.send(kit.ADMIN, world.router, "grantRole", kit.role("EXECUTOR"), stage.thief)
    world.send(kit.OWNERS[1], world.vaults[1], "setOperator", stage.thief)
    inner = world.batch(world.leg(1, OZ, 2_000 * USD))
    stage.plan(world.router, stage.call(world.router, "executeMulti", inner.encoded()))
    assert world.try_leg(stage.leg(5)) is None
    assert stage.answer().name == "ReentrancyGuardReentrantCall"
    assert world.position(1) == (0, 0)


def test_it_cannot_carry_out_legs(stage, kit, world):
    leg = world.leg(1, OZ, 2_000 * USD)
    given = (leg.adapter.encode().ljust(32, b"\0"), leg.vault, leg.cash_in, leg.order)
    stage.plan(world.router, stage.call(world.router, "executeLeg", kit.EXECUTOR, given))
    assert world.try_leg(stage.leg(5)) is None
    assert stage.answer().name == "OnlySelf"


@pytest.mark.parametrize("function", ["release", "returned", "withdraw"])
def test_it_cannot_move_a_vaults_cash(stage, kit, world, function):
    args = {
        "release": (kit.EXECUTOR, stage.thief, 100),
        "returned": (stage.thief, 100),
        "withdraw": (stage.thief, 100),
    }[function]
    for vault in world.vaults[:2]:
        stage.plan(vault, stage.call(vault, function, *args))
        assert world.try_leg(stage.leg(5)) is None
        assert stage.answer().name in ("NotRouter", "OwnableUnauthorizedAccount")


def test_it_cannot_order_at_another_venue(stage, world):
    stage.plan(world.gold, stage.call(world.gold, "execute", world.vaults[1], 10**12, b""))
    assert world.try_leg(stage.leg(5)) is None
    assert stage.answer().name == "NotRouter"


def test_an_owner_in_league_with_its_adapter_does_not_confuse_the_books(stage, kit, world):
    """The owner takes cash out, or leaves another venue, in the middle of a leg: the balances do not fit, the leg is undone."""
    world.execute(world.leg(0, OZ, 2_000 * USD))
    vault = world.vaults[0]
    world.send(kit.OWNERS[0], vault, "transferOwnership", stage.thief)
    world.send(kit.STRANGER, stage.thief, "act", vault, stage.call(vault, "acceptOwnership"))
    before = world.state()
    for call in (("withdraw", stage.thief, 100), ("exit", world.gold)):
        stage.plan(vault, stage.call(vault, *call))
        assert world.try_leg(stage.leg(5)).name == "CashMismatch"
        assert world.state() == before
        assert world.balance(stage.thief) == 0


def test_it_is_not_entered_twice_by_way_of_the_market(stage, kit, world):
    """A vault's owner leaves a hostile venue that leaves it again, and the gold market while it is at it."""
    vault = world.vaults[0]
    world.execute(world.leg(0, OZ, 2_000 * USD))
    world.send(kit.OWNERS[0], vault, "transferOwnership", stage.thief)
    world.send(kit.STRANGER, stage.thief, "act", vault, stage.call(vault, "acceptOwnership"))
    for call in (("exit", world.gold), ("withdraw", stage.thief, 1)):
        stage.plan(vault, stage.call(vault, *call))
        world.send(kit.STRANGER, stage.thief, "act", vault, stage.call(vault, "exit", stage.thief))
        assert stage.answer().name == "ReentrancyGuardReentrantCall"
    assert world.position(0) == (OZ, 0)


@pytest.mark.parametrize("length", [0, 3, 4, 1_000, 1_024, 1_025, 60_000])
def test_it_cannot_fill_the_batch_with_its_error(stage, world, length):
    stage.plan(ending=REVERT, length=length)
    failed, done = world.execute(stage.leg(5), world.leg(1, OZ, 2_000 * USD))
    assert (failed[0], done[0]) == (False, True)
    assert len(failed[2]) == min(length, 1_024)


def test_it_cannot_fill_the_batch_with_its_result(stage, world):
    stage.plan(length=256)
    ((done, _, result),) = world.execute(stage.leg(5))
    assert (done, len(result)) == (True, 256)
    for length in (257, 5_000):
        stage.plan(length=length)
        assert world.try_leg(stage.leg(5)).name == "ResultTooLong"


def test_it_cannot_use_up_the_batchs_gas(stage, world):
    stage.plan(ending=BURN)
    legs = [stage.leg(5), world.leg(1, OZ, 2_000 * USD), stage.leg(5), world.leg(2, OZ, 2_000 * USD)]
    results = world.execute(*legs, gas=4 * 400_000 + 400_000)
    assert [done for done, _, _ in results] == [False, True, False, True]


@pytest.fixture
def bad(kit):
    return kit.World(kit.hostile("HostileToken"))


@pytest.mark.parametrize("keeps", [1, 1_000])
def test_a_token_that_keeps_a_part_is_not_taken_for_whole(bad, kit, keeps):
    assert bad.try_leg(bad.leg(0, OZ, 2_000 * USD)) is None
    bad.send(kit.STRANGER, bad.token, "setPlan", NOBODY, b"", keeps, False)
    before = bad.state()
    assert bad.try_leg(bad.leg(1, OZ, 2_000 * USD)).name == "CashMismatch"
    assert bad.try_leg(bad.leg(0, -OZ, 0, 500 * USD)).name in ("CashMismatch", "ERC20InsufficientBalance")
    assert bad.state() == before


def test_a_token_that_says_no_undoes_the_leg(bad, kit):
    bad.send(kit.STRANGER, bad.token, "setPlan", NOBODY, b"", 0, True)
    before = bad.state()
    assert bad.try_leg(bad.leg(1, OZ, 2_000 * USD)) == kit.ContractError(
        "SafeERC20FailedOperation", (bad.token.lower(),)
    )
    assert bad.state() == before


def test_a_token_that_calls_back_finds_every_door_shut(bad, kit):
    """The token is executor, owner of a vault and caller of all else, and is called in the middle of each transfer."""
    for vault in range(2):
        assert bad.try_leg(bad.leg(vault, OZ, 2_000 * USD)) is None
    bad.send(kit.ADMIN, bad.router, "grantRole", kit.role("EXECUTOR"), bad.token)
    vault = bad.vaults[0]
    bad.send(kit.OWNERS[0], vault, "transferOwnership", bad.token)
    bad.send(kit.STRANGER, bad.token, "act", vault, bad.interfaces[vault].call("acceptOwnership"))
    bad.price(2_000 * OZ)
    inner = bad.batch(bad.leg(1, OZ, 2_000 * USD))
    doors = {
        "again": (bad.router, "executeMulti", inner.encoded()),
        "withdraw": (vault, "withdraw", bad.token, 100),
        "exit": (vault, "exit", bad.gold),
        "liquidate": (bad.gold, "liquidate", vault),
    }
    for name, (to, *call) in doors.items():
        bad.send(kit.STRANGER, bad.token, "setPlan", to, bad.interfaces[to].call(*call), 0, False)
        # Out of the vault when it pays in, out of the adapter when it pays back: each calls back once.
        for leg in (bad.leg(0, 0, 10), bad.leg(0, 0, 0, 10)):
            before = bad.state()
            error = bad.try_leg(leg)
            if name == "withdraw" and leg.cash_in == 0:
                # The vault is not busy while the adapter pays, so its owner may take cash: then the sums do not fit.
                assert error.name == "CashMismatch"
                assert bad.state() == before
                continue
            assert error is None
            assert not bad.ask(bad.token, "targetAgreed")
            answer = kit.abi.error_of(bad.ask(bad.token, "targetAnswer"), bad.interfaces.values())
            market_is_idle = name == "liquidate" and leg.cash_in > 0
            assert answer.name == ("NothingToClose" if market_is_idle else "ReentrancyGuardReentrantCall")
    assert bad.position(1) == (OZ, 0)
