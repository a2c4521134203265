"""A liquidation as its journal tells it, each record derived once more from what the journal had said before it.

Nothing is taken from the records but what nobody could derive: which makers bid how much, and after which record an auction was
decided. The rest is decided again, on the state replayed to that point, and compared field by field; so is whose turn it was.
"""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from msgspec.structs import replace

from core.event import Event
from core.events import Filled, RequestClosed
from core.liquidation_events import (
    Deleveraged,
    LiquidationEnded,
    LiquidationSliced,
    LiquidationStarted,
    TakenOver,
)
from core.position import Position, trade
from core.quantities import SECOND
from core.waterfall import Auction
from matcher.account import Account
from matcher.apply import apply
from matcher.auctions import auction_record, limit_at_close, limit_of, standing
from matcher.decide_liquidation import start, step_due, waterfall_step
from matcher.precedence import Due, riskier
from matcher.state import Exchange
from matcher.trust import known

Journal = Callable[[], Iterable[tuple[int, Event]]]
"""Reads a journal's records in order, from its first one that is left or from the one after a snapshot, each with its sequence; called
twice."""
Decided = tuple[int, int, int]
"""What an auction was to be: its market, the lots asked for (signed: what is closed), and the limit in ticks."""

_STEPS: Final = LiquidationStarted | LiquidationSliced | TakenOver | Deleveraged | LiquidationEnded
_FILL_SHOWS: Final = ("fee", "taker_realized", "maker_realized", "taker_cost", "maker_cost", "index")
_NOTHING: Final = Position(0, 0)
_NAMED: Final = 5


class Step(msgspec.Struct):
    """A record of the liquidation, and a sentence for everything about it that does not follow from the records before it."""

    sequence: int
    record: Event
    differences: list[str] = []


class Found(msgspec.Struct):
    """The records of a liquidation; `asked_by` has for each auction's record the request and the fills that lead to it."""

    account: int
    first: int
    steps: list[Step] = []
    asked_by: dict[int, tuple[int, list[Step]]] = {}

    @property
    def last(self) -> int:
        return self.steps[-1].sequence


class BeganEarlier(Exception):
    """The journal has records of the liquidation, but no longer its first ones."""


def retrace(journal: Journal, liquidation: int, before: Exchange | None = None) -> list[Step]:
    """Every record of a liquidation in order, its fills among them, each checked; empty when the journal has none of that number.

    `before` is the state before the first record that `journal` reads, a snapshot from before the liquidation, which is taken at its
    word and played on; None: an empty one. Raises `BeganEarlier`, and what reading raises.
    """
    found = find(journal, liquidation)
    if found is None:
        return []
    if before is not None and before.seq and not isinstance(found.steps[0].record, LiquidationStarted):
        raise BeganEarlier
    state = before or Exchange()
    retracing = Retracing(found, state)
    for sequence, event in journal():
        retracing.check(sequence)
        if sequence == found.last:
            break
        apply(state, event)
        retracing.applied(event)
    return found.steps


def find(journal: Journal, liquidation: int) -> Found | None:
    """The records of a liquidation, not looked at yet; None when the journal has none of that number."""
    found: Found | None = None
    request, fills = 0, list[Step]()
    for sequence, event in journal():
        if isinstance(event, _STEPS) and event.liquidation == liquidation:
            if found is None:
                found = Found(event.account, sequence)
            step = Step(sequence, event)
            found.steps.append(step)
            if isinstance(event, LiquidationSliced):
                found.asked_by[sequence] = request, fills
            elif fills:
                step.differences.append("fills before it belong to no auction's record")
            request, fills = 0, []
            if isinstance(event, LiquidationEnded):
                break
        elif found is not None:
            match event:
                case Filled() if found.account in (event.taker, event.maker):
                    fills.append(Step(sequence, event))
                    found.steps.append(fills[-1])
                    request = event.request
                case RequestClosed(account=found.account, key=""):
                    request = event.request
    return found


class Retracing:
    """Derives a liquidation's records while the journal is replayed into `before`: `check` comes before each record, `applied` after
    it. What is late is known of steps that were due for `LATE` since the first record that was `applied`."""

    def __init__(self, found: Found, before: Exchange) -> None:
        self._found = found
        self._state = before
        self._due = Due(found.account)
        self._steps = {step.sequence: step for step in found.steps}
        self._decided_after = {
            step.record.decided_after for step in found.steps if isinstance(step.record, LiquidationSliced)
        }
        self._decided: dict[int, Decided | None] = {}
        self._auctions = {
            fills[0].sequence if fills else sequence: sequence
            for sequence, (_, fills) in found.asked_by.items()
        }
        self._derived: dict[int, Event] = {}
        self._limits: dict[int, int] = {}

    def check(self, sequence: int) -> None:
        """This record is the next."""
        state = self._state
        if state.seq >= self._found.first and state.seq in self._decided_after:
            self._decided[state.seq] = self._auction_due()
        if sequence in self._auctions:
            self._derive_auction(self._steps[self._auctions[sequence]])
        if sequence in self._steps:
            self._check(self._steps[sequence])

    def applied(self, event: Event) -> None:
        self._due.applied(self._state, event)

    def _auction_due(self) -> Decided | None:
        state = self._state
        account = state.accounts[self._found.account]
        if not known(state, account, state.at):
            return None
        step = waterfall_step(state, account, state.at)
        if not isinstance(step, Auction):
            return None
        side = 1 if step.size < 0 else -1
        limit = limit_of(step.worst, side, state.markets[step.market].value_per_tick_lot)
        return step.market, step.size, limit

    def _derive_auction(self, step: Step) -> None:
        """Derive an auction's record from the state before its fills, which is this one."""
        state, record = self._state, step.record
        assert isinstance(record, LiquidationSliced)
        account, going = state.accounts[self._found.account], state.liquidations.get(self._found.account)
        decided = self._decided.get(record.decided_after)
        if going is None or decided is None:
            step.differences.append(f"no auction was due after record {record.decided_after}")
            return
        market, asked, limit = decided
        request, fills = self._found.asked_by[step.sequence]
        fitting = [fill.record for fill in fills if isinstance(fill.record, Filled)]
        per_tick = state.markets[market].value_per_tick_lot
        held, risk = account.positions.get(market, _NOTHING), standing(state, account)
        lots = sum(fill.side * fill.size for fill in fitting)
        if abs(lots) > abs(asked):
            step.differences.append(f"{abs(lots)} lots were closed of {abs(asked)} that were asked for")
            return
        self._derived[step.sequence] = auction_record(
            state,
            replace(going, asked=-asked, limit=limit, decided=record.decided_after),
            request,
            market,
            held.size,
            (risk.equity, risk.maintenance),
            (lots, sum(fill.side * fill.size * fill.price * per_tick for fill in fitting)),
            tuple(fill.fill for fill in fitting),
            record.at,
        )
        closing = (
            limit_at_close(state, account, market, -asked, limit)
            if state.seq != record.decided_after
            else limit
        )
        self._limits[request] = closing

    def _check(self, step: Step) -> None:
        state, record = self._state, step.record
        if isinstance(record, Filled):
            self._check_fill(step, record)
            return
        account = state.accounts[self._found.account]
        going = state.liquidations.get(account.id)
        self._check_turn(step, account, record.at)
        if isinstance(record, LiquidationStarted):
            if not state.margin_of(account).liquidatable or going is not None:
                step.differences.append("the account was not to be liquidated")
            derived: Event | None = start(state, account, record.at)[0]
        elif isinstance(record, LiquidationSliced):
            derived = self._derived.get(step.sequence)
        elif going is None:
            derived = None
            step.differences.append("no liquidation of the account was going on")
        else:
            derived = step_due(state, account, going, record.at)[0]
        if derived is not None:
            step.differences += differences(record, derived)

    def _check_turn(self, step: Step, account: Account, at: int) -> None:
        """Whether anybody had to come before the account, and whether the step was left undone for long."""
        if isinstance(step.record, LiquidationStarted | TakenOver | Deleveraged):
            first = riskier(self._state, account, at)
            if first:
                named = ", ".join(map(str, first[:_NAMED])) + (" and others" if len(first) > _NAMED else "")
                step.differences.append(f"order: riskier accounts were to be begun with before: {named}")
        since = self._due.since(at)
        if since:
            step.differences.append(
                f"late: it was due since record {since}, for {(at - self._due.at) // SECOND} s"
            )

    def _check_fill(self, step: Step, fill: Filled) -> None:
        """An auction's fill: within its limit, where that is known, and with what it does to both positions."""
        state = self._state
        accounts, market = state.accounts, state.markets[fill.market]
        if fill.taker != self._found.account:
            step.differences.append("a quote of the account was filled during its liquidation")
            return
        limit = self._limits.get(fill.request)
        if limit is not None and (not limit or (fill.price - limit) * fill.side > 0):
            step.differences.append(f"price: recorded {fill.price}, the limit was {limit}")
        value, change = fill.price * market.value_per_tick_lot, fill.side * fill.size
        taker = accounts[fill.taker].positions.get(fill.market, _NOTHING)
        maker = accounts[fill.maker].positions.get(fill.market, _NOTHING)
        _, taker_cost, taker_realized = trade(taker.size, taker.cost, change, value)
        _, maker_cost, maker_realized = trade(maker.size, maker.cost, -change, value)
        due = (0, taker_realized, maker_realized, taker_cost, maker_cost, state.indexes[fill.market].price)
        step.differences += differences(fill, replace(fill, **dict(zip(_FILL_SHOWS, due, strict=True))))


def differences(record: Event, derived: Event) -> list[str]:
    """A sentence for each field of a record that is not what it is derived to be."""
    if type(record) is not type(derived):
        return [f"the step: recorded {type(record).__name__}, derived {type(derived).__name__}"]
    return [
        f"{name}: recorded {getattr(record, name)}, derived {getattr(derived, name)}"
        for name in record.__struct_fields__
        if getattr(record, name) != getattr(derived, name)
    ]
