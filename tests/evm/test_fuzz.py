"""Random histories of everybody's doings against a small model of the rules: the contracts do exactly what the model does, money is
neither made nor lost, and a vault's cash goes nowhere but to its venue and back unless its owner says so."""

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

USD, OZ = 10**6, 10**8
ALL = 2**128 - 1
VAULTS = 3


def cost(size: int, price: int) -> int:
    """Rounded up: a buyer pays more, a seller gets less."""
    return -(-size * price // 10**10)


class Refusal(Exception):
    """The model's name of an error."""


class Order(NamedTuple):
    vault: int
    id: int
    size: int
    limit: int
    cash_in: int
    cash_out: int


@dataclass
class Model:
    """The whole market in plain integers."""

    price: int
    fresh: bool = True
    cash: list[int] = field(default_factory=lambda: [10_000 * USD] * VAULTS)
    allowed: list[int] = field(default_factory=lambda: [10**13] * VAULTS)
    out: list[int] = field(default_factory=lambda: [0] * VAULTS)
    position: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)] * VAULTS)
    pool: int = 0
    """All cash with the market."""
    room: int = 10**15
    limit: int = 10**15
    known: set[tuple[int, int]] = field(default_factory=set)

    def copy(self) -> "Model":
        lists = {name: list(getattr(self, name)) for name in ("cash", "allowed", "out", "position")}
        return Model(
            self.price,
            self.fresh,
            **lists,
            pool=self.pool,
            room=self.room,
            limit=self.limit,
            known=set(self.known),
        )

    def fill(self, order: Order) -> int:
        """Carry an order out; the cash that went back. Raises `Refusal`, half done: work on a copy."""
        vault = order.vault
        if order.cash_in > self.room:
            raise Refusal("AdapterAllowanceExceeded")
        if order.cash_in:
            if self.out[vault] + order.cash_in > self.allowed[vault]:
                raise Refusal("AllowanceExceeded")
            if order.cash_in > self.cash[vault]:
                raise Refusal("ERC20InsufficientBalance")
            self.move(vault, -order.cash_in)
            self.out[vault] += order.cash_in
            self.room -= order.cash_in
        if not (order.size or order.cash_in or order.cash_out):
            raise Refusal("OrderEmpty")
        if (vault, order.id) in self.known:
            raise Refusal("OrderKnown")
        size, cash = self.position[vault]
        priced = order.size or (size and order.cash_out)
        if priced and not self.fresh:
            raise Refusal("FeedStale")
        if (order.size > 0 and self.price > order.limit) or (order.size < 0 and self.price < order.limit):
            raise Refusal("LimitNotMet")
        after, cash = size + order.size, cash + order.cash_in - cost(order.size, self.price)
        needed = 2 * cost(-after, self.price) if after < 0 else 0
        back = max(0, cash - needed) if order.cash_out == ALL else order.cash_out
        cash -= back
        only_smaller = abs(after) < abs(size) and after * size >= 0
        if (back or (order.size and not only_smaller)) and cash < needed:
            raise Refusal("NotCovered")
        self.known.add((vault, order.id))
        self.pay(vault, after, cash, back)
        self.room = min(self.limit, self.room + back)
        return back

    def leave(self, vault: int) -> int:
        """The owner closes everything."""
        size, cash = self.position[vault]
        if not size and not cash:
            raise Refusal("NothingToClose")
        if size and not self.fresh:
            raise Refusal("FeedStale")
        back = max(0, cash - cost(-size, self.price))
        self.pay(vault, 0, cash - cost(-size, self.price) - back, back)
        return back

    def liquidate(self, vault: int) -> None:
        size, cash = self.position[vault]
        if size >= 0:
            raise Refusal("NothingToClose")
        if not self.fresh:
            raise Refusal("FeedStale")
        if cash >= -(-cost(-size, self.price) * 3 // 2):
            raise Refusal("StillCovered")
        self.position[vault] = (0, max(0, cash - cost(-size, self.price)))

    def pay(self, vault: int, size: int, cash: int, back: int) -> None:
        self.position[vault] = (size, max(0, cash) if size == 0 else cash)
        if back:
            net = sum(size for size, _ in self.position)
            if net and not self.fresh:
                raise Refusal("FeedStale")
            owed = sum(cash for _, cash in self.position) - cost(-net, self.price)
            if self.pool - back < owed:
                raise Refusal("PoolShort")
        self.move(vault, back)
        self.out[vault] = max(0, self.out[vault] - back)

    def move(self, vault: int, cash: int) -> None:
        self.cash[vault] += cash
        self.pool -= cash


@st.composite
def orders(draw):
    """Mostly orders that could well be carried out: those that can not are easily come by."""
    size = draw(
        st.one_of(st.integers(-OZ, OZ), st.sampled_from([OZ, -OZ, OZ // 2, -OZ // 2, 0, 1, -1, 2**100]))
    )
    enough = abs(size) % 2**99 * draw(st.sampled_from([0, 15, 20, 30, 50]))
    odd = draw(st.one_of(st.just(0), st.just(0), st.integers(0, 6_000 * USD), st.sampled_from([1, 10**12])))
    limit = draw(st.one_of(*[st.just(2**64 - 1 if size > 0 else 0)] * 4, st.integers(1_000 * OZ, 4_000 * OZ)))
    back = draw(st.one_of(st.just(0), st.just(ALL), st.just(ALL), st.integers(0, 3_000 * USD)))
    return Order(
        draw(st.integers(0, VAULTS - 1)), draw(st.integers(0, 2**20)), size, limit, enough + odd, back
    )


class Market(RuleBasedStateMachine):
    kit: Any

    @initialize()
    def begin(self):
        self.world = self.kit.World(vaults=VAULTS)
        self.model = Model(2_000 * OZ)
        self.minted = VAULTS * 10_000 * USD
        self.met = Counter()
        self.withdrawn = 0

    def leg(self, order):
        return self.world.leg(
            order.vault, order.size, order.cash_in, order.cash_out, order.limit, order_id=order.id
        )

    def expect(self, action):
        """What the model makes of it: the model after it, or the name of the refusal."""
        model = self.model.copy()
        try:
            action(model)
        except Refusal as refusal:
            return None, str(refusal)
        return model, ""

    def do(self, action, sender, to, function, *args):
        """Do one thing in both worlds, and agree on what came of it."""
        model, refusal = self.expect(action)
        if model is None:
            with pytest.raises(self.kit.Reverted) as caught:
                self.world.send(sender, to, function, *args)
            assert caught.value.error.name == refusal
            self.met[refusal] += 1
            return
        self.world.send(sender, to, function, *args)
        self.model = model

    @rule(batch=st.lists(orders(), min_size=1, max_size=5))
    def execute_each_for_itself(self, batch):
        self.execute(batch, atomic=False)

    @rule(batch=st.lists(orders(), min_size=1, max_size=3))
    def execute_all_or_none(self, batch):
        self.execute(batch, atomic=True)

    @rule(batch=st.lists(orders(), min_size=3, max_size=5), price=st.integers(1_500 * OZ, 4_000 * OZ))
    def execute_at_a_new_price(self, batch, price):
        self.price_moves(price)
        self.execute(batch, atomic=False)

    def execute(self, batch, atomic):
        expected, model, failed = [], self.model.copy(), False
        for order in batch:
            trial = model.copy()
            try:
                expected.append((True, trial.fill(order)))
                model = trial
            except Refusal as refusal:
                expected.append((False, str(refusal)))
                failed = True
        legs = [self.leg(order) for order in batch]
        if atomic and failed:
            with pytest.raises(self.kit.Reverted) as caught:
                self.world.execute(*legs, atomic=True)
            index, inner = caught.value.error.args
            first = [done for done, _ in expected].index(False)
            assert (index, self.name(inner)) == (first, expected[first][1])
            return
        self.met.update(refusal if not done else "filled" for done, refusal in expected)
        results = self.world.execute(*legs, atomic=atomic)
        found = [(done, back if done else self.name(answer)) for done, back, answer in results]
        assert found == expected
        self.model = model

    def name(self, data):
        return self.kit.abi.error_of(data, self.world.interfaces.values()).name

    @rule(price=st.integers(800 * OZ, 5_000 * OZ))
    def price_moves(self, price):
        self.world.move(60)
        self.world.price(price)
        self.model.price, self.model.fresh = price, True

    @rule(really=st.sampled_from([True, False, False]))
    def feed_falls_silent(self, really):
        if not really:
            return
        self.world.move(self.kit.MAX_AGE + 1)
        self.world.price(self.model.price, updatedAt=self.world.now - self.kit.MAX_AGE - 1)
        self.model.fresh = False

    @rule(vault=st.integers(0, VAULTS - 1))
    def owner_leaves(self, vault):
        self.do(
            lambda model: model.leave(vault),
            self.kit.OWNERS[vault],
            self.world.vaults[vault],
            "exit",
            self.world.gold,
        )

    @rule(vault=st.integers(0, VAULTS - 1))
    def somebody_liquidates(self, vault):
        self.do(
            lambda model: model.liquidate(vault),
            self.kit.STRANGER,
            self.world.gold,
            "liquidate",
            self.world.vaults[vault],
        )

    @rule(vault=st.integers(0, VAULTS - 1), limit=st.sampled_from([1_000 * USD, 5_000 * USD, 10**13, 10**13]))
    def owner_allows(self, vault, limit):
        self.world.send(
            self.kit.OWNERS[vault], self.world.vaults[vault], "setAllowance", self.world.gold, limit
        )
        self.model.allowed[vault] = limit

    @rule(limit=st.sampled_from([2_000 * USD, 10_000 * USD, 10**15, 10**15]))
    def registrar_allows(self, limit):
        self.world.register("mock_gold", self.world.gold, limit)
        self.model.limit = self.model.room = limit

    @rule(to=st.integers(-1, VAULTS - 1), amount=st.integers(1, 5_000 * USD))
    def somebody_pays_in(self, to, amount):
        self.world.send(
            self.kit.ADMIN,
            self.world.token,
            "mint",
            self.world.gold if to < 0 else self.world.vaults[to],
            amount,
        )
        self.minted += amount
        if to < 0:
            self.model.pool += amount
        else:
            self.model.cash[to] += amount

    @rule(vault=st.integers(0, VAULTS - 1), amount=st.integers(1, 20_000 * USD))
    def owner_withdraws(self, vault, amount):
        def withdraw(model):
            if amount > model.cash[vault]:
                raise Refusal("ERC20InsufficientBalance")
            model.cash[vault] -= amount

        owner = self.kit.OWNERS[vault]
        before = self.model
        self.do(withdraw, owner, self.world.vaults[vault], "withdraw", owner, amount)
        self.withdrawn += amount if self.model is not before else 0

    @rule(
        who=st.sampled_from(["ADMIN", "REGISTRAR", "GUARDIAN", "EXECUTOR", "STRANGER"]),
        vault=st.integers(0, VAULTS - 1),
    )
    def others_try_to_take(self, who, vault):
        thief = getattr(self.kit, who)
        for function, *args in (
            ("withdraw", thief, 1),
            ("setAllowance", thief, 10**9),
            ("release", self.kit.EXECUTOR, thief, 1),
            ("returned", self.world.gold, 1),
            ("exit", self.world.gold),
        ):
            with pytest.raises(self.kit.Reverted):
                self.world.send(thief, self.world.vaults[vault], function, *args)

    @invariant()
    def both_worlds_are_the_same(self):
        world, model = self.world, self.model
        assert [world.balance(vault) for vault in world.vaults] == model.cash
        assert world.balance(world.gold) == model.pool
        assert [world.position(vault) for vault in range(VAULTS)] == model.position
        assert [world.ask(vault, "allowances", world.gold)[1] for vault in world.vaults] == model.out
        assert world.ask(world.router, "adapters", b"mock_gold".ljust(32, b"\0"))[2] == model.room
        assert world.ask(world.gold, "total") == tuple(map(sum, zip(*model.position, strict=True)))

    @invariant()
    def money_is_neither_made_nor_lost(self):
        held = sum(map(self.world.balance, [self.world.router, self.world.gold, *self.world.vaults]))
        assert held == self.minted - self.withdrawn
        assert self.world.balance(self.world.router) == 0


def test_histories(kit):
    machine = type("Histories", (Market,), {"kit": kit})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=30, stateful_step_count=25, deadline=None)
    )


@pytest.mark.parametrize("seed", range(2))
def test_long_histories(kit, seed):
    """Hypothesis likes short histories with small numbers; in these long ones everything that can happen does."""
    market, draw = type("History", (Market,), {"kit": kit})(), Random(seed)
    market.begin()
    for _ in range(600):
        vault = draw.randrange(VAULTS)
        price = draw.randrange(1_400 * OZ, 3_600 * OZ)
        match draw.randrange(16):
            case 0 | 1 | 2 | 3 | 4 | 5 | 6:
                market.execute(
                    [made_up(draw) for _ in range(draw.randrange(1, 6))], atomic=draw.random() < 0.3
                )
            case 7 | 8 | 9:
                market.price_moves(price)
            case 10:
                market.feed_falls_silent(really=draw.random() < 0.4)
            case 11:
                market.owner_leaves(vault)
            case 12:
                market.somebody_liquidates(vault)
            case 13:
                market.owner_allows(vault, draw.choice([500 * USD, 6_000 * USD, 10**13]))
                market.registrar_allows(draw.choice([2_000 * USD, 10**15, 10**15]))
            case 14:
                market.somebody_pays_in(
                    draw.choice([-1, *range(VAULTS)] * 3 + [0]), draw.randrange(1, 1_000 * USD)
                )
            case 15:
                market.owner_withdraws(vault, draw.randrange(1, 3_000 * USD))
                market.others_try_to_take(draw.choice(["ADMIN", "EXECUTOR", "STRANGER"]), vault)
        market.both_worlds_are_the_same()
        market.money_is_neither_made_nor_lost()
    assert market.met["filled"] > 100
    met = {"NotCovered", "PoolShort", "FeedStale", "StillCovered", "AllowanceExceeded", "NothingToClose"}
    assert met <= set(market.met)


def made_up(draw):
    size = draw.choice([0, *[draw.randrange(-OZ, OZ)] * 5])
    limit = 2**64 - 1 if size > 0 else 0
    if draw.random() < 0.1:
        limit = draw.randrange(1_500 * OZ, 3_500 * OZ)
    cash_in = abs(size) * draw.choice([0, 0, 15, 25, 40])
    return Order(
        draw.randrange(VAULTS),
        draw.randrange(10**6),
        size,
        limit,
        cash_in,
        draw.choice([0, 0, ALL, ALL, 10**8]),
    )
