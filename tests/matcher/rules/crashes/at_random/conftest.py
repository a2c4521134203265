"""Crashes played at random.

Hours of funding end and are paid late, marks leave the index, prices are doubted, owners have several accounts and isolated ones, a
market may be delisted, at once or after its last hour, money is taken out, also by owners alone, whose claims leave batches short, and
owners bound what a batch may take.
"""

from random import Random

import pytest
from msgspec.structs import replace

from core.accounts import INSURANCE
from core.batches import BatchStatus
from core.events import MarketListed
from core.funding import HOUR, FundingTerms
from core.liquidation import LiquidationTerms
from core.quantities import SECOND
from core.rates import PERCENT, Rate
from core.settlement_price import MINUTE, WINDOW
from core.validity import Validity
from matcher import commands as c
from matcher.state import AT_ONCE

AGENTS = 8
OWNERS = 4
STARTS = {1: 600_000, 2: 300_000}
SLICED = LiquidationTerms(whole_up_to=100_000_000)


class History:
    """Makers who sometimes quote, agents at high leverage, marks that fall and rise, and every rule checked after each command."""

    def __init__(self, watched, new_chain, rng, greedy, fund, floor):
        world = watched.world
        self.world, self.rng = world, rng
        self.watched, self.do, self.kinds = watched, watched.do, watched.kinds
        self.delists, self.announces = rng.randrange(50, 900), rng.randrange(50, 600)
        self.bounds = rng.random() < 0.5
        self.leans = {market: rng.choice((0, 0, rng.randrange(-6, 7))) for market in (1, 2)}
        # An hour costs up to 0.75 % of the notional, three quarters of what liquidation begins at: more than is taken today.
        funding = FundingTerms(Rate(rng.choice((-6, 6)) * PERCENT), Rate(6 * PERCENT))
        for market in (1, 2):
            listed = world.state.markets[market]
            terms = replace(listed, liquidation=SLICED, greedy_deleveraging=greedy, funding=funding)
            world.record(MarketListed(world.now, terms))
        # Poor makers are ruined themselves, and leave the fund what nobody can pay for.
        self.makers = [world.agent(number, rng.choice((5 * 10**9, 10**12))) for number in (1, 2)]
        self.agents = [
            world.agent(3 + number % OWNERS, rng.randrange(10**8, 3 * 10**9), f"a{number}")
            for number in range(AGENTS)
        ]
        for account, market in zip(self.agents[:2], (1, 2), strict=True):
            sub = world.play(c.OpenSubAccount(account, market))[0].account
            world.play(c.Transfer(account, account, sub, 5 * 10**7, "stake"))
        self.idle = world.agent(21, 10**9)
        self.last = world.agent(20, 10**14)
        if fund:
            world.play(c.CreditDeposit(INSURANCE, fund, "fund"))
        world.play(c.SetInsuranceFloor(floor))
        world.play(c.Subscribe(self.makers[0], (1, 2)))
        self.chain = new_chain(world.state)

    def step(self, number):
        """Something happens somewhere."""
        world, rng = self.world, self.rng
        world.now += rng.choice((0, SECOND // 10, SECOND // 2))
        market = rng.choice((1, 2))
        index = world.state.indexes[market].price
        match rng.choices(range(13), [30, 20, 25, 5, 5, 5, 3, 2, 2, 3, 6, 3, 3])[0]:
            case 0:
                moved = index * rng.choice((-90, -30, -9, -4, -2, -1, 1, 2, 4, 9, 20, 60)) // 1_000
                low, high = STARTS[market] // 2, STARTS[market] * 2
                price = min(high, max(low, index + moved))
                validity = rng.choice(tuple(Validity)) if rng.random() < 0.1 else Validity.VALID
                self.do(c.UpdateIndex(market, price, 0, world.now, "t", validity))
            case 1:
                self.quote(rng.choice(self.makers), market)
            case 2:
                account = world.state.accounts[rng.choice(self.agents)]
                self.leverage(rng.choice((account, account, *account.subs)), market, number)
            case 3:
                account = rng.choice((*self.agents, INSURANCE))
                amount = rng.randrange(1, 10**8)
                self.do(c.CreditDeposit(account, amount, f"d{number}"))
                self.chain.slots[account].balance += amount
            case 4:
                self.take_out(rng.choice(self.agents), number)
            case 5:
                self.do(c.SellInventory(market))
                self.do(c.ReviewAccount(rng.choice((*self.agents, INSURANCE))))
            case 6:
                self.watched.pay_an_hour(market)
            case 7:
                world.now = (world.now // HOUR + 1) * HOUR + rng.randrange(SECOND)
                for one in (1, 2):
                    self.do(c.UpdateIndex(one, world.state.indexes[one].price, 0, world.now, "t"))
            case 8:
                self.settle(number)
            case 9:
                self.leave(rng.choice((*self.agents, INSURANCE)))
            case 10:
                self.watch_exits(number)
            case 11:
                self.transfer(rng.choice(self.agents[:2]), number)
            case _:
                self.bound(rng.choice(self.agents))
        if number == self.announces:
            self.begin_last_hour()
        if world.state.ends and rng.random() < 0.1:
            self.wait(rng.randrange(1, 8))
        if number == self.delists:
            self.do(c.DelistMarket(2, force=True, who="ada", why="its source is gone"))
        if rng.random() < 0.8:
            self.answer()
            self.watched.advance()
            self.watched.check_due_work_is_done()

    def begin_last_hour(self):
        """The end of the second market, announced a day ago, is an hour away, or a little more or less."""
        world = self.world
        self.do(c.DelistMarket(2, who="ada", why="nobody quotes it"))
        announced = world.state.breakers.announced.get(2)
        if announced is not None:
            world.now = announced.settles_at - WINDOW + self.rng.randrange(-SECOND, MINUTE)
            self.wait(1)

    def wait(self, times):
        """Prices stand for a while."""
        for _ in range(times):
            self.world.now += self.rng.randrange(MINUTE)
            for market in (1, 2):
                self.do(c.UpdateIndex(market, self.world.state.indexes[market].price, 0, self.world.now, "t"))

    def bound(self, account):
        """An owner limits what batches may take, or a new window begins for all."""
        if not self.bounds:
            return
        if self.rng.random() < 0.3:
            for slot in self.chain.slots.values():
                slot.used = 0
        else:
            self.chain.slots[account].bound(self.rng.choice((0, self.rng.randrange(2 * 10**9))))
        self.see_limits()

    def see_limits(self, landed=True):
        cut = self.world.state.cut
        slots = tuple(self.chain.slots[id].seen(id) for id in self.agents)
        self.do(c.SeeLossLimits(cut.batch if cut is not None else 0, landed, slots))

    def take_out(self, account, number):
        """Some of what may be taken out, or all."""
        state = self.world.state
        held = state.accounts[account]
        most = min(state.margin_of(held).withdrawable, held.settled)
        amount = most if self.rng.random() < 0.5 else self.rng.randrange(1, 10**8)
        reserved = self.do(c.ReserveWithdrawal(account, amount, f"w{number}"))
        if isinstance(reserved, list):
            # The chain pays no more than it holds yet: a batch may be on its way.
            paid = self.chain.slots[account].balance >= amount
            self.chain.slots[account].balance -= amount if paid else 0
            self.do(c.FinishWithdrawal(reserved[0].withdrawal, paid, "s"))

    def leave(self, account):
        """An owner asks for some or all of its money on chain, or takes its request back."""
        request = self.chain.asked.pop(account, None)
        if request is not None and self.rng.random() < 0.3:
            self.do(c.ReleaseExit(account, self.world.state.claimed))
            return
        free = self.world.state.margin_of(self.world.state.accounts[account]).available
        amount = self.rng.choice((10**12, self.rng.randrange(1, 2 * 10**9), max(1, free), 1))
        exit_at = self.world.now // SECOND + self.rng.randrange(1, 120)
        self.chain.asked[account] = amount, exit_at
        self.do(c.RequestExit(account, amount, exit_at))

    def watch_exits(self, number):
        """What the chain may pay it sometimes does; what stands is told again, and reduced for."""
        for account, (amount, exit_at) in sorted(self.chain.asked.items()):
            if exit_at * SECOND <= self.world.now and self.rng.random() < 0.3:
                self.claim(account, amount, f"claim:{number}:{account}")
            else:
                self.do(c.RequestExit(account, amount, exit_at))
                self.do(c.ReduceForExit(account, self.world.state.claimed))

    def claim(self, account, amount, key):
        slot = self.chain.slots[account]
        if slot.unapplied < 0 and self.rng.random() < 0.9:
            return  # The program lets who owes wait for days.
        del self.chain.asked[account]
        paid = min(amount, slot.balance)
        if not paid:
            self.do(c.ReleaseExit(account, self.world.state.claimed))
            return
        slot.balance -= paid
        assert isinstance(self.do(c.ClaimExit(account, paid, key)), list)

    def transfer(self, account, number):
        (sub,) = self.world.state.accounts[account].subs
        giver, receiver = self.rng.choice(((account, sub.id), (sub.id, account)))
        self.do(c.Transfer(account, giver, receiver, self.rng.randrange(1, 2 * 10**8), f"m{number}"))

    def settle(self, number):
        """Cut a batch, if one may be cut, and let it land; owners may claim in between, and leave it short."""
        last = self.world.state.cut.batch if self.world.state.cut is not None else 0
        if isinstance(self.do(c.CutSettlement(last + 1)), list):
            assert (
                sum(self.world.state.cut.equities.values()) == self.world.state.deposited - self.taken_out()
            )
            self.watch_exits(number)
            self.see_limits(landed=False)
            for status in (BatchStatus.SUBMITTED, BatchStatus.CONFIRMED):
                self.do(c.AdvanceBatch(last + 1, status, ("s",)))
            slots = self.chain.land(self.world.state)
            assert isinstance(self.do(c.TakeUnapplied(last + 1, 0, slots)), list)
            self.do(c.AdvanceBatch(last + 1, BatchStatus.FINAL, ("s",)))
            state = self.world.state
            held = {id: slot.balance for id, slot in self.chain.slots.items()}
            assert {id: state.accounts[id].settled for id in held} == held
            self.see_limits()

    def taken_out(self):
        return self.world.state.paid_out + self.world.state.reserved

    def quote(self, maker, market):
        index = self.world.state.indexes[market].price
        away, lots = self.rng.randrange(1, index // 100), self.rng.randrange(1, 200_000)
        middle, expires = index + index * self.leans[market] // 1_000, self.world.now + 5 * SECOND
        self.do(c.SetQuotes(maker, market, ((middle - away, lots),), ((middle + away, lots),), expires))

    def leverage(self, held, market, number):
        """Open or close about as much as margin allows."""
        world, state, account = self.world, self.world.state, held.id
        market = held.market or market
        mark, free = state.marks[market], state.margin_of(held).available
        most = max(0, free) * 10**6 // (mark.value_per_lot * mark.initial)
        lots = most * self.rng.randrange(50, 100) // 100
        side, index = self.rng.choice((1, -1)), state.indexes[market].price
        if lots:
            self.do(
                c.SetQuotes(self.makers[1], market, ((index - 1, lots),), ((index + 1, lots),), world.now + 1)
            )
            self.do(c.OpenRequest(account, f"t{number}", market, side, lots, index + side, SECOND))

    def answer(self):
        """The subscribed maker bids for some of what is auctioned."""
        world = self.world
        for request in list(world.state.book.requests.values()):
            terms = request.opened
            if self.rng.random() < 0.6:
                self.do(c.PassRequest(self.makers[0], terms.request))
                continue
            bid, size = terms.limit + self.rng.randrange(-2, 30), self.rng.randrange(1, terms.size + 1)
            expires = world.now + SECOND
            self.do(c.AnswerRequest(self.makers[0], terms.request, bid, bid + 1, size, 1, expires))

    def finish(self):
        """Marks stay where they are until nothing is being liquidated, and what was announced has come; a maker bids more than the
        marks, one side at a time, in turns that no pause between auctions keeps step with."""
        world = self.world
        for number in range(2_000):
            world.now += MINUTE // 2 if world.state.breakers.announced and number % 4 == 0 else SECOND // 4
            for market in (1, 2):
                self.do(c.UpdateIndex(market, world.state.indexes[market].price, 0, world.now, "t"))
                self.stand(market, number // 3 % 2)
            self.watched.advance()
            ended = not world.state.liquidations and world.state.next_deadline() != AT_ONCE
            if ended and not world.state.breakers.announced:
                self.watched.share_all()
                return self.watched.pay_all()
        pytest.fail(f"still being liquidated: {world.state.liquidations}")

    def stand(self, market, buys):
        index, expires = self.world.state.indexes[market].price, self.world.now + SECOND
        bids, asks = ((index + 5, 10**6),), ((index - 5, 10**6),)
        self.do(c.SetQuotes(self.last, market, bids if buys else (), () if buys else asks, expires))


@pytest.fixture
def new_history(new_world, watched, new_chain):
    """Begin a history with a seed: `greedy` deleveraging, the insurance `fund` and its `floor` in micro-USDC."""

    def begin(seed, greedy=False, fund=10**8, floor=0):
        return History(watched(new_world()), new_chain, Random(seed), greedy, fund, floor)

    return begin
