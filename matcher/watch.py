"""Who needs a look after a mark has moved, and for whom something is due. Derived from the durable state, never journaled.

Per market two heaps hold accounts by the marks at which they may come to their next stage: a warning, liquidation, the insurance
fund, or the end of a warning. A mark that moves pops only the accounts that it crosses. Whatever else changes an account makes it
dirty, which costs nothing until the next mark, when dirty accounts get a look and new prices. Looks are taken a few at a time, so that
an hour of funding or a start with many positions holds nobody up: who has not had its look yet is not due yet, and is never forgotten.
"""

from collections.abc import Iterable
from functools import cmp_to_key
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

import msgspec

from core.account_risk import AccountRisk
from core.accounts import INSURANCE, OF_EXCHANGE, TREASURY
from core.edge_prices import recovery_prices
from core.liquidation import LIFTED_AT, WARNINGS, Stage, compare_risk, stage, warning_in_force
from core.quantities import MILLION, SECOND
from core.validity import Action
from matcher.account import Account
from matcher.edges import Edges
from matcher.limits import AUCTION_PAUSE, AUCTION_PAUSE_MAX
from matcher.turns import Turns
from matcher.watching import edges_of

if TYPE_CHECKING:
    from matcher.state import Exchange

TAKEOVER_LEVEL: Final = 1_500_000
"""Maintenance as a share of equity, parts per million, above which the insurance fund takes over: two thirds the other way round."""
ZERO_LEVEL: Final = 1 << 60
"""The same of an account that has as good as nothing left."""
UNPAID_PAUSE: Final = 10 * SECOND
"""How long nobody is asked again for debts that nobody could pay, unless money comes in."""
LOOKS_AT_ONCE: Final = 64
"""Accounts that get a look before others have their turn: less than a millisecond."""
LOOKS_BEFORE_STEPS: Final = 1 << 17
"""Looks without a break for which steps wait, so that the riskiest of all comes first: less than two seconds. Where marks come faster
than looks, waiting for all of these would have nobody liquidated."""
_STILL: Final = (0, 0)


class Liquidation(msgspec.Struct):
    """A liquidation that goes on. `step` is what closed something last; `unsold` are the markets of which the last auction that a
    bid could win did not sell all it offered.

    The rest is about the open auction and dies with the process: its `request`, what it `asked` for and at which `limit`, the record
    after which that was `decided`, and whether the last one was `called_off`: no bid could win it. No auction is opened before
    `until`, when it is paused, and nothing else done either when it is `stuck`; `vain` are the pauses since somebody bought.
    """

    id: int
    account: int
    step: str = ""
    unsold: set[int] = set()
    request: int = 0
    asked: int = 0
    limit: int = 0
    decided: int = 0
    called_off: bool = False
    until: int = 0
    vain: int = 0
    stuck: bool = False

    @property
    def paused(self) -> bool:
        return self.until > 0

    def pause(self) -> int:
        """How long to wait after one more auction in vain, in nanoseconds."""
        return min(AUCTION_PAUSE << self.vain, AUCTION_PAUSE_MAX)

    def go_on(self, market: int) -> None:
        """Open the next auction now, and wait no longer after it than after the first; what the market's last one sold says nothing
        more."""
        self.until = self.vain = 0
        self.unsold.discard(market)


def _compare(one: tuple[int, int], other: tuple[int, int]) -> int:
    return compare_risk(*other, *one)


_riskiest_first: Final = cmp_to_key(_compare)


class Watch:
    """`dirty` accounts need a look when a mark moves; those in `pressing` need one now, and after them those in `pending`, which may
    be very many. `due` are those to liquidate or to go on with, `ranked` has them in order; `warned` are those whose warning level
    changed, `debtors` those that owe and hold nothing: none of them waits for a look. `below_zero` were below zero at their last
    look, `unpaid` are debtors whom nobody can pay for; with a mark they were last looked at
    at `unpaid_asked`. `tied` are accounts whose margin depends on others' positions, too, with all of those; `near` get a look with
    the next mark, whichever it is: what they depend on may bring them to their next stage. `awaited`
    are the (market, action) whose price is not trusted and `waiting` the accounts that wait for a market's next one. A look gives an
    account a new stamp, and entries with another are outdated.

    `looked` are the looks taken since nobody needed one.

    `drifts` are the ticks that a lot's holders have come to owe in funding, longs and shorts: entries are of marks and drift together.

    A fill, a deposit or a withdrawal never makes an account liquidatable: margin is checked before. So they may wait.
    """

    def __init__(self) -> None:
        self.below: dict[int, Edges] = {}
        self.above: dict[int, Edges] = {}
        self.drifts: dict[int, tuple[int, int]] = {}
        self.stamps: dict[int, int] = {}
        self.stamp = 0
        self.dirty: set[int] = set()
        self.pressing = Turns()
        self.pending = Turns()
        self.looked = 0
        self.due: set[int] = set()
        self.ranked: list[tuple[object, int, int]] = []
        self.warned: dict[int, None] = {}
        self.below_zero: set[int] = set()
        self.debtors: set[int] = set()
        self.unpaid: set[int] = set()
        self.unpaid_asked = 0
        self.tied: dict[int, tuple[int, ...]] = {}
        self.near: set[int] = set()
        self.awaited: set[tuple[int, str]] = set()
        self.waiting: dict[int, set[int]] = {}

    @property
    def behind(self) -> bool:
        """Whether there are accounts that need a look now."""
        return bool(self.pressing) or bool(self.pending)

    @property
    def holds(self) -> bool:
        """Whether steps wait for more looks: somebody riskier may be among those that need one."""
        return self.behind and self.looked < LOOKS_BEFORE_STEPS

    def unseen(self, account: int) -> bool:
        """Whether an account needs a look now: what is known of it may be outdated."""
        return account in self.pressing or account in self.pending

    def suspect(self, account: int) -> None:
        """Something happened to an account that may have made it liquidatable, or goes on with its liquidation."""
        self._press((account,))

    def suspect_many(self, accounts: list[int]) -> None:
        """Something happened to accounts that may be very many; who is due or to be warned has its turn before the others."""
        self.pending.add(accounts)
        self._press([id for id in accounts if id in self.due or id in self.warned or id in self.debtors])

    def _press(self, accounts: Iterable[int]) -> None:
        self.pressing.add(accounts)
        self.due.difference_update(accounts)
        self.debtors.difference_update(accounts)
        for account in accounts:
            self.warned.pop(account, None)

    def paid_in(self, account: int) -> None:
        """Money came in from outside: the account's own, and there may be somebody now who can pay a debt."""
        self.dirty.add(account)
        if self.unpaid:
            self._press(sorted(self.unpaid | {account}))

    def move(self, market: int, span: tuple[int, int], at: int) -> None:
        """The market's `Exchange.span_of` is `span` at `at`, or its price may have become good enough for those that wait for it.

        Who cannot be paid for asks all that hold anything, so not with every mark.
        """
        found = self.dirty | self.due | self.near | self.warned.keys()
        for account in self.dirty & self.tied.keys():
            found.update(self.tied[account])
        self.dirty, self.near = set(), set()
        if self.unpaid and at - self.unpaid_asked >= UNPAID_PAUSE:
            self.unpaid_asked = at
            found |= self.unpaid
        if market in self.below:
            longs, shorts = self.drifts.get(market, _STILL)
            self.below[market].crossed(longs - span[0], self.stamps, found)
            self.above[market].crossed(span[1] + shorts, self.stamps, found)
        if self.awaited:
            self.awaited = {one for one in self.awaited if one[0] != market}
            found |= self.waiting.pop(market, set())
        self._press(sorted(found))

    def drift(self, market: int, longs: int, shorts: int) -> None:
        """Longs, or shorts, owe so many ticks of each lot from here on, as if the mark had moved against them."""
        before = self.drifts.get(market, _STILL)
        self.drifts[market] = before[0] + longs, before[1] + shorts

    def wait(self, market: int, action: str) -> None:
        """Whoever is due or to be warned gets another look, and waits if it is the market's price that is not trusted."""
        self.awaited.add((market, action))
        self._press(sorted(self.due | self.warned.keys()))

    def presses(self, state: "Exchange") -> bool:
        """Whether somebody is to be liquidated, warned or looked at before anything else: after the next few looks, if any are due."""
        if not (self.due or self.warned or self.debtors or self.pressing.waiting or self.pending.waiting):
            return False  # As nearly always: a look would find nothing, and every command asks.
        self.look(state)
        return bool(self.due or self.warned or self.debtors or self.pressing.waiting or self.pending.waiting)

    def look(self, state: "Exchange") -> None:
        """Give the next few accounts the look that they need now; changes nothing but what is kept here."""
        dirty = self.dirty
        if not (
            dirty.isdisjoint(self.due)
            and self.warned.keys().isdisjoint(dirty)
            and dirty.isdisjoint(self.debtors)
        ):
            self._press(sorted(dirty & (self.due | self.warned.keys() | self.debtors)))
        if TREASURY in self.debtors:
            self._press((TREASURY,))  # Fees come in with every fill, and may have paid what it owed.
        if not self.due:
            self.ranked.clear()
        for _ in range(LOOKS_AT_ONCE):
            id = self.pressing.take() or self.pending.take()
            if id is None:
                break
            self.looked += 1
            self.pending.drop(id)
            if id in dirty:
                dirty.discard(id)
                self.near.update(self.tied.get(id, ()))
            self.near.discard(id)
            self.stamp += 1
            self.stamps[id] = self.stamp
            for known in (self.debtors, self.unpaid, self.below_zero):
                known.discard(id)
            if id in state.owned or id in OF_EXCHANGE:
                self._look_at(state, state.accounts[id])
        if not self.behind:
            self.looked = 0

    def _look_at(self, state: "Exchange", account: Account) -> None:
        if state.loss_limits and account.root.id in state.loss_limits:
            # What it no longer has of what is out of its limit's reach, the sub-accounts after it lack.
            self._press([sub.id for sub in account.root.subs if sub.id > account.id and sub.positions])
        going = state.liquidations.get(account.id)
        if going is None and not account.positions:
            if state.funds(account) < 0:
                self.debtors.add(account.id)
                self.below_zero.add(account.id)
                return
            if not account.warned:
                return
        risk = state.margin_of(account)
        if risk.equity < 0:
            self.below_zero.add(account.id)
        if going is not None and going.request:
            # When its auction closes it becomes dirty again: meanwhile only whether it has anything left matters.
            self._watch(state, account, risk, ZERO_LEVEL)
            return
        now = stage(risk.equity, risk.maintenance)
        if (
            going is not None
            and going.paused
            and (now is Stage.AUCTION or (going.stuck and now is not Stage.NONE))
        ):
            # A pause keeps nobody from the next stage, and nobody who has recovered in liquidation.
            self._watch(state, account, risk, TAKEOVER_LEVEL)
            if account.root.id in state.loss_limits or account.root.id in state.matured:
                self.near.add(account.id)  # What counts of its equity changes with batches, too.
            else:
                self._watch_recovery(state, account, risk, MILLION)
        elif going is not None or risk.liquidatable:
            if self._waits(account, Action.FILL if state.bound(account) else Action.LIQUIDATE):
                self._watch(state, account, risk, ZERO_LEVEL)
            else:
                self.due.add(account.id)
                place = _riskiest_first((risk.equity, risk.maintenance))
                heappush(self.ranked, (place, account.id, self.stamp))
        elif account.id == INSURANCE:
            self._watch(state, account, risk, MILLION)
        elif warning_in_force(account.warned, risk.equity, risk.maintenance) != account.warned:
            self._watch(state, account, risk, MILLION)
            if not self._waits(account, Action.MARGIN):
                self.warned[account.id] = None
        else:
            further = (level for level in WARNINGS if level > account.warned)
            self._watch(state, account, risk, next(further, MILLION))
            if account.warned:
                self._watch_recovery(state, account, risk, account.warned * LIFTED_AT // MILLION)

    def _waits(self, account: Account, action: Action) -> bool:
        """Whether nothing can be done about the account, as no price is trusted that it takes; it is looked at again with the next.

        A warning takes the prices of all that it holds, liquidation one.
        """
        without = [market for market in account.positions if (market, action) in self.awaited]
        if not without or (action is not Action.MARGIN and len(without) < len(account.positions)):
            return False
        for market in without:
            self.waiting.setdefault(market, set()).add(account.id)
        return True

    def _watch(self, state: "Exchange", account: Account, risk: AccountRisk, level: int) -> None:
        """Look again when the account may have come to `level`."""
        edges = edges_of(state, account, risk, level)
        if edges is None:
            self.near.add(account.id)
            return
        for below, market, price in edges:
            self._push(below, market, price, account.id)

    def _watch_recovery(self, state: "Exchange", account: Account, risk: AccountRisk, level: int) -> None:
        """Look again when maintenance may have fallen to `level` of equity; with every mark while its margin follows from more than
        its own."""
        if account.id in self.tied or not state.ends.keys().isdisjoint(account.positions):
            self.near.add(account.id)
            return
        ticks = {id: state.markets[id].value_per_tick_lot for id in account.positions}
        for market, price in recovery_prices(risk, account.positions, state.marks, ticks, level).items():
            self._push(account.positions[market].size < 0, market, price, account.id)

    def _push(self, below: bool, market: int, price: int, account: int) -> None:
        if market not in self.below:
            self.below[market], self.above[market] = Edges(), Edges()
        edges = self.below[market] if below else self.above[market]
        longs, shorts = self.drifts.get(market, _STILL)
        edges.push((longs - price if below else price + shorts, account, self.stamp), self.stamps)

    def riskiest(self) -> int | None:
        """The account to liquidate or to go on with next; it stays due until it gets a look."""
        ranked = self.ranked
        while ranked:
            _, account, stamp = ranked[0]
            if account in self.due and self.stamps[account] == stamp:
                return account
            heappop(ranked)
        return None
