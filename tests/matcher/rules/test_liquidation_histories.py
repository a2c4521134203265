"""Crashes played at random: whatever is liquidated, money adds up, nobody ends below zero, and a dead process changes nothing.

Hours of funding end and are paid late, marks leave the index, prices are doubted, owners have several accounts and isolated ones, a
market may be delisted, at once or after its last hour, money is taken out, also by owners alone, whose claims leave batches short, and
owners bound what a batch may take.
"""

from random import Random

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from api.outbound import Outbound, account_hash
from api.units import Markets
from core import events as e
from core import liquidation_events as le
from core.accounts import INSURANCE
from core.batches import BatchStatus
from core.concerns import concerns
from core.debt_events import DebtCovered
from core.exit_events import DeltasUnapplied, ExitClaimed, ExitMatured, ExitReleased
from core.fund import DRAWDOWN
from core.funding import HOUR, FundingTerms
from core.liquidation import LiquidationTerms
from core.loss_limit_events import LossLimitsSeen
from core.operator_events import DelistingAnnounced, MarketSettled, SharingOrdered
from core.quantities import MILLION, SECOND
from core.rates import PERCENT, Rate
from core.settlement_price import MINUTE, WINDOW
from core.subaccount_events import Transferred
from core.validity import Validity
from matcher import commands as c
from matcher.gates import below_zero
from matcher.image import dump, load, state_hash
from matcher.state import AT_ONCE
from perpdex_sdk.answers import Account
from perpdex_sdk.books import Books
from perpdex_sdk.markets import Market
from perpdex_sdk.messages import read

AGENTS = 8
OWNERS = 4
STARTS = {1: 600_000, 2: 300_000}
SLICED = LiquidationTerms(whole_up_to=100_000_000)


class History:
    """Makers who sometimes quote, agents at high leverage, marks that fall and rise, and every rule checked after each command."""

    def __init__(self, world, new_slot, rng, greedy, fund, floor):
        self.world, self.rng = world, rng
        self.kinds = set()
        self.delists, self.announces = rng.randrange(50, 900), rng.randrange(50, 600)
        self.bounds = rng.random() < 0.5
        self.leans = {market: rng.choice((0, 0, rng.randrange(-6, 7))) for market in (1, 2)}
        # An hour costs up to 0.75 % of the notional, three quarters of what liquidation begins at.
        funding = FundingTerms(Rate(rng.choice((-6, 6)) * PERCENT), Rate(6 * PERCENT))
        for market in (1, 2):
            listed = world.state.markets[market]
            terms = replace(listed, liquidation=SLICED, greedy_deleveraging=greedy, funding=funding)
            world.play(c.ListMarket(terms))
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
        self.chain = Chain(world.state, new_slot)

    def do(self, command):
        """Play a command, and check what it did to those in trouble."""
        state = self.world.state
        while 0 < state.hour_due <= self.world.now and not isinstance(command, c.Advance):
            self.do(c.Advance())
        before = {id: state.margin_of(state.accounts[id]) for id in (*state.owned, INSURANCE)}
        sizes = {id: held_by(state, id) for id in before}
        worths = {id: state.worth_of(state.accounts[id]).equity for id in state.owned if not sizes[id]}
        solvent = {id for id in state.owned if equity_at_index(state, state.accounts[id]) >= 0}
        outcome = self.world.do(command)
        check_idle(state, worths, command, outcome if isinstance(outcome, list) else [])
        for event in outcome if isinstance(outcome, list) else ():
            self.kinds.add(type(event))
            check_payers(state, sizes, outcome, event)
            check_step(state, before, event)
            check_no_free_put(state, solvent, event)
            check_no_sale_to_oneself(state, event)
            if isinstance(event, e.Filled):
                check_opening(state, sizes, event)
        check_watch(state)
        assert below_zero(state) == really_below(state)
        return outcome

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
                self.pay_an_hour(market)
            case 7:
                world.now = (world.now // HOUR + 1) * HOUR + rng.randrange(SECOND)
                for one in (1, 2):
                    self.do(c.UpdateIndex(one, world.state.indexes[one].price, 0, world.now, "t"))
            case 8:
                self.settle(number)
            case 9:
                self.leave(rng.choice(self.agents))
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
            self.advance()
            check_due_work_is_done(world.state)

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

    def pay_an_hour(self, market):
        """The oldest hour that is unpaid, if one is: nobody's equity changes."""
        state = self.world.state
        owed = state.funding[market].owed(self.world.now)
        before = {id: state.margin_of(state.accounts[id]).equity for id in state.owned}
        if owed:
            assert isinstance(self.do(c.SettleFunding(market, owed[0].number)), list)
            assert {id: state.margin_of(state.accounts[id]).equity for id in state.owned} == before

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

    def advance(self):
        while 0 < self.world.state.next_deadline() <= self.world.now:
            assert self.do(c.Advance())

    def finish(self):
        """Marks stay where they are until nothing is being liquidated, and what was announced has come; a maker bids more than the
        marks, one side at a time, in turns that no pause between auctions keeps step with."""
        world = self.world
        for number in range(2_000):
            world.now += MINUTE // 2 if world.state.breakers.announced and number % 4 == 0 else SECOND // 4
            for market in (1, 2):
                self.do(c.UpdateIndex(market, world.state.indexes[market].price, 0, world.now, "t"))
                self.stand(market, number // 3 % 2)
            self.advance()
            ended = not world.state.liquidations and world.state.next_deadline() != AT_ONCE
            if ended and not world.state.breakers.announced:
                self.share_all()
                return self.pay_all()
        pytest.fail(f"still being liquidated: {world.state.liquidations}")

    def share_all(self):
        """An operator has depositors pay what nobody else could."""
        while self.world.state.watch.unpaid:
            debtor = min(self.world.state.watch.unpaid)
            self.do(c.ShareDebt(debtor, who="ada", why="nobody else is left"))
            self.advance()

    def pay_all(self):
        """No hour stays unpaid."""
        for market in (1, 2):
            while self.world.state.funding[market].unpaid:
                self.pay_an_hour(market)

    def stand(self, market, buys):
        index, expires = self.world.state.indexes[market].price, self.world.now + SECOND
        bids, asks = ((index + 5, 10**6),), ((index - 5, 10**6),)
        self.do(c.SetQuotes(self.last, market, bids if buys else (), () if buys else asks, expires))


class Chain:
    """What the escrow does, as far as the engine hears of it: slots never below zero, claims without the engine, batches that may end
    up short."""

    def __init__(self, state, new_slot):
        self.slots = {id: new_slot(one.balance) for id, one in state.accounts.items() if one.page >= 0}
        for id in self.slots:
            self.slots[id].balance += sum(sub.balance for sub in state.accounts[id].subs)
        self.asked = {}

    def land(self, state):
        """Apply the last cut: what a debtor no longer has, or keeps by its limit, the creditors do not get. Returns the slots' sums,
        as a command takes them."""
        deltas = state.cut.deltas
        short = sum(self.slots[id].settle(delta) for id, delta in sorted(deltas.items()) if delta < 0)
        for id, delta in sorted(deltas.items()):
            if delta > 0:
                held_back = min(delta, short)
                short -= held_back
                self.slots[id].unapplied += held_back
                self.slots[id].settle(delta - held_back)
        assert short == 0
        for slot in self.slots.values():
            slot.landed()
        return tuple((state.accounts[id].slot, slot.unapplied) for id, slot in self.slots.items())


def held_by(state, account):
    return {market: held.size for market, held in state.accounts[account].positions.items()}


def really_below(state):
    """Everybody below zero, by looking at all."""
    return [id for id in sorted({*state.owned, INSURANCE}) if state.margin_of(state.accounts[id]).equity < 0]


def check_due_work_is_done(state):
    """Nobody is below zero but who waits for bids that are being made, or for a price of everything that it holds."""
    waiting = set().union(*state.watch.waiting.values())
    for id in really_below(state):
        going = state.liquidations.get(id)
        waits = id in waiting or id in state.watch.unpaid
        assert waits or (going is not None and (going.request or id == INSURANCE)), id


def check_watch(state):
    """Whoever is below maintenance, looking at all, is due, waits for a price, or is being liquidated; nobody else is due."""
    state.next_deadline()
    found = {id for id in state.owned if state.margin_of(state.accounts[id]).liquidatable}
    waiting = set().union(*state.watch.waiting.values())
    assert found <= state.watch.due | waiting | set(state.liquidations)
    assert state.watch.due - set(state.liquidations) - {INSURANCE} <= found


def check_opening(state, before, event):
    """What was just allowed to grow or to turn around cannot be liquidated at the same mark."""
    for account in (event.taker, event.maker):
        was, now = before[account].get(event.market, 0), held_by(state, account).get(event.market, 0)
        if abs(now) > abs(was) or was * now < 0:
            assert not state.margin_of(state.accounts[account]).liquidatable


def check_step(state, before, event):
    """`before` are equities and requirements before the command that brought `event`, at the same marks."""
    match event:
        case le.LiquidationSliced(account=account):
            was, now = before[account], state.margin_of(state.accounts[account])
            kept = now.equity * was.maintenance >= was.equity * now.maintenance
            # Where an owner asked for the rest, that pays for what a sale below the mark costs.
            rest = (
                3 * was.equity < 2 * was.maintenance and state.worth_of(state.accounts[account]).equity >= 0
            )
            assert kept or rest
            assert event.fee >= 0
        case le.TakenOver(account=account):
            left = state.margin_of(state.accounts[account])
            assert left.equity >= 0
            assert left.equity == 0 or state.accounts[account].positions
            fund, terms = state.margin_of(state.accounts[INSURANCE]), event.fund
            assert fund.equity - terms.floor >= fund.initial
            held = held_by(state, INSURANCE)
            after = {part.market: held.get(part.market, 0) for part in event.parts}
            if any(abs(after[part.market]) > abs(after[part.market] - part.size) for part in event.parts):
                assert fund.equity * MILLION >= terms.began * (MILLION - DRAWDOWN)
        case le.Deleveraged():
            for part in event.parts:
                if part.other != INSURANCE:
                    assert state.margin_of(state.accounts[part.other]).equity >= 0
            assert sum(part.size for part in event.parts) == event.size - (
                event.left if event.account == INSURANCE else 0
            )
        case le.LiquidationEnded(account=account):
            assert not state.margin_of(state.accounts[account]).liquidatable
            owes = state.margin_of(state.accounts[account]).equity < 0
            assert not owes or not state.accounts[account].positions


def value_at_index(state, market):
    """Micro-USDC per lot."""
    return state.indexes[market].price * state.markets[market].value_per_tick_lot


def equity_at_index(state, account):
    """What an account is worth, its positions valued at the index, in micro-USDC."""
    return state.funds(account) + sum(
        held.size * value_at_index(state, market) - held.cost for market, held in account.positions.items()
    )


def check_no_free_put(state, solvent, event):
    """Whoever is worth something at the index leaves the insurance fund no loss there, however it came to be taken over."""
    if isinstance(event, le.TakenOver | le.Deleveraged) and event.account in solvent:
        took = [part for part in event.parts if part.other == INSURANCE]
        assert sum(part.size * value_at_index(state, part.market) - part.value for part in took) >= 0


def check_no_sale_to_oneself(state, event):
    """No fill between accounts of one owner moves money between them by its price."""
    if isinstance(event, e.Filled):
        taker, maker = (state.accounts[id] for id in (event.taker, event.maker))
        if taker.owner == maker.owner:
            index, band = state.indexes[event.market].price, state.markets[event.market].price_band
            assert abs(event.price - index) * MILLION <= band * index


def check_idle(state, worths, command, events):
    """Who holds nothing loses nothing by what others do, but what it pays for a debt, which `check_payers` judges."""
    mover = state.accounts.get(getattr(command, "account", 0))
    own = {one.id for one in (mover.root, *mover.root.subs)} if mover is not None else set()
    filled = {
        account for event in events if isinstance(event, e.Filled) for account in (event.taker, event.maker)
    }
    shared = dict(part for event in events if isinstance(event, DebtCovered) for part in event.shares)
    for id in worths.keys() - own - filled:
        assert state.worth_of(state.accounts[id]).equity >= worths[id] - shared.get(id, 0), id


def check_payers(state, sizes, outcome, event):
    """Nobody pays for a stranger's debt that holds no position, unless an operator has so decided; and the owner pays first."""
    if not isinstance(event, DebtCovered):
        return
    debtor = state.accounts[event.account]
    own = {one.id for one in debtor.owned}
    ordered = any(isinstance(one, SharingOrdered) for one in outcome)
    strangers = [account for account, _ in event.shares if account not in own]
    assert ordered or all(sizes[account] for account in strangers)
    if strangers or event.fund or event.treasury:
        left = [state.worth_of(one).equity for one in debtor.owned if one is not debtor]
        assert max(left, default=0) <= 0


HISTORIES = {
    "seed": st.integers(0, 2**32),
    "greedy": st.booleans(),
    "fund": st.sampled_from([0, 10**8, 10**11]),
    "floor": st.sampled_from([0, 10**8]),
}


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(**HISTORIES)
def test_a_crash_leaves_nobody_below_zero_and_replays_the_same(
    new_world, new_slot, replayed, seed, greedy, fund, floor
):
    world = new_world()
    history = History(world, new_slot, Random(seed), greedy, fund, floor)
    for number in range(300):
        history.step(number)
    history.finish()
    state = world.state
    assert really_below(state) == []
    for id in state.owned:
        risk = state.margin_of(state.accounts[id])
        assert risk.equity >= 0
        assert not risk.liquidatable
    assert state_hash(replayed(world.journal)) == state_hash(state)
    assert dump(load(dump(state))) == dump(state)


def test_these_histories_have_every_step_in_them(new_world, new_slot):
    kinds, shared = set(), 82  # Hardly any history leaves a debt that only an operator ends.
    for seed in (*range(12), shared):
        history = History(new_world(), new_slot, Random(seed), False, (0, 10**8, 10**11)[seed % 3], 0)
        for number in range(300):
            history.step(number)
        history.finish()
        kinds |= history.kinds
    assert kinds >= {
        le.MarginWarned,
        le.LiquidationStarted,
        le.LiquidationSliced,
        le.TakenOver,
        le.Deleveraged,
        le.LiquidationEnded,
        le.LiquidationPaused,
        le.PriceAwaited,
        e.HourEnded,
        e.FundingSettled,
        MarketSettled,
        DebtCovered,
        ExitMatured,
        ExitClaimed,
        ExitReleased,
        DeltasUnapplied,
        LossLimitsSeen,
        DelistingAnnounced,
        e.MarkUpdated,
        Transferred,
        SharingOrdered,
    }


class Falling:
    """Accounts at several distances from the crash's marks: some are auctioned, some taken over, some deleveraged."""

    LEFT = (11_000, 9_600, 9_400, 8_000, 4_000, -3_000, -20_000)
    """Equity at the crash's mark, parts per million of the notional there; maintenance is 10,000."""
    LOTS = 30_000
    INDEX, CRASH = 600_000, 570_000

    def __init__(self, world):
        self.world = world
        self.maker = world.agent(1, 10**12)
        world.play(c.ListMarket(replace(world.state.markets[1], liquidation=SLICED)))
        for number, left in enumerate(self.LEFT, 2):
            value = self.LOTS * 10
            lost = value * (self.INDEX - self.CRASH)
            fee = -(-value * self.INDEX * world.state.markets[1].taker_fee // 10**6)
            opening = value * self.INDEX // 50 + fee
            equity = value * self.CRASH * left // 10**6 + lost + fee
            account = world.agent(number, max(equity, opening))
            world.quotes(self.maker, [], [(self.INDEX, self.LOTS)])
            world.request(account, "open", 1, self.LOTS, self.INDEX)
        world.play(c.CreditDeposit(INSURANCE, 2 * 10**10, "fund"))
        world.play(c.CancelAll(self.maker))
        world.now += SECOND
        world.index(1, self.CRASH)

    def finish(self):
        """The same mark until all has ended; the maker always bids the same for any amount."""
        world = self.world
        for _ in range(100):
            world.now += SECOND // 2
            world.do(c.UpdateIndex(1, self.CRASH, 0, world.now, "t"))
            world.quotes(self.maker, [(self.CRASH - 10, 10**6)], [])
            while 0 < world.state.next_deadline() <= world.now:
                world.play(c.Advance())
            if not world.state.liquidations:
                return
        pytest.fail("still being liquidated")


def standings(state):
    """What everybody has in the end, whatever happened on the way."""
    return {
        account.id: (
            account.balance,
            {id: (held.size, held.cost) for id, held in account.positions.items()},
        )
        for account in state.accounts.values()
    }


def test_a_process_killed_after_any_command_of_a_liquidation_comes_to_the_same_end(new_world, replayed):
    falling = Falling(new_world())
    crashed = falling.world.state.seq
    falling.finish()
    journal, whole = falling.world.journal, standings(falling.world.state)
    kinds = {type(event) for event in journal[crashed:]}
    assert kinds >= {e.Filled, le.LiquidationSliced, le.TakenOver, le.Deleveraged, le.LiquidationEnded}
    cuts = sorted(cut for cut in set(falling.world.ends) if crashed <= cut < len(journal))
    assert len(cuts) > 10
    for cut in cuts:
        falling.world.state = replayed(journal[:cut])
        falling.world.journal = journal[:cut]
        falling.world.play(c.StartEpoch())
        falling.finish()
        assert standings(falling.world.state) == whole, journal[cut]
        assert state_hash(replayed(falling.world.journal)) == state_hash(falling.world.state)


@pytest.mark.parametrize("seed", range(4))
def test_what_agents_are_told_is_enough_to_keep_their_books(new_world, new_slot, seed):
    history = History(new_world(), new_slot, Random(seed), False, 10**8, 0)
    for number in range(300):
        history.step(number)
    history.finish()
    state, markets = history.world.state, Markets(history.world.state.markets)
    units = {
        listed.symbol: Market(listed.symbol, "", listed.tick, listed.lot, 1, 0, None)
        for listed in state.markets.values()
    }
    nothing = Account(0, "0", "0", "0", "0", "0", "0", [], 0, "", None)
    books = {id: Books(units, replace(nothing, account=id)) for id in state.owned}
    outbound = Outbound(markets, lambda fill: 0)
    for seq, event in enumerate(history.world.journal, 1):
        for account in set(concerns(event)) - {INSURANCE}:
            message = outbound.private(account, books[account].head + 1, seq, event)
            told = read(msgspec.json.encode(message))
            assert told is not None
            books[account].take(told)
    for id, kept in books.items():
        assert kept.hash() == account_hash(state, state.accounts[id])
