"""What holds after every command of a crash, by looking at all accounts, and the escrow as far as the engine hears of it."""

import pytest

from core import events as e
from core import liquidation_events as le
from core.accounts import INSURANCE
from core.debt_events import DebtCovered
from core.fund import DRAWDOWN
from core.operator_events import SharingOrdered
from core.quantities import MILLION
from matcher import commands as c
from matcher.gates import below_zero


class Watched:
    """Plays commands, also those that come by themselves, and checks every rule after each. `kinds` are the events that there were."""

    def __init__(self, world):
        self.world = world
        self.kinds = set()

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

    def advance(self):
        while 0 < self.world.state.next_deadline() <= self.world.now:
            assert self.do(c.Advance())

    def pay_an_hour(self, market):
        """The oldest hour that is unpaid, if one is: nobody's equity changes."""
        state = self.world.state
        owed = state.funding[market].owed(self.world.now)
        before = {id: state.margin_of(state.accounts[id]).equity for id in state.owned}
        if owed:
            assert isinstance(self.do(c.SettleFunding(market, owed[0].number)), list)
            assert {id: state.margin_of(state.accounts[id]).equity for id in state.owned} == before

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

    def check_due_work_is_done(self):
        """Nobody is below zero but who waits for bids that are being made, or for a price of everything that it holds."""
        state = self.world.state
        waiting = set().union(*state.watch.waiting.values())
        for id in really_below(state):
            going = state.liquidations.get(id)
            waits = id in waiting or id in state.watch.unpaid
            assert waits or (going is not None and (going.request or id == INSURANCE)), id


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
            fund = before[INSURANCE].equity
            if event.account == INSURANCE and fund >= 0:
                assert state.margin_of(state.accounts[INSURANCE]).equity == fund
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


@pytest.fixture
def watched():
    return Watched


@pytest.fixture
def new_chain(new_slot):
    return lambda state: Chain(state, new_slot)


@pytest.fixture
def below():
    """Who is below zero in a state, by looking at all."""
    return really_below
