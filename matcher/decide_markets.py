"""What operators decide about markets: listing, status and limits; and whether withdrawals and settlement are held."""

from collections.abc import Iterator

from msgspec.structs import asdict, replace

from core import events as e
from core.account_risk import RiskMark, account_risk
from core.batches import BatchStatus
from core.margin_terms import MarginTerms, steps
from core.market import MarketStatus
from core.market_limits import MarketLimits, flaw, limits_of, unlike, unlistable, with_limits
from core.operator_events import EXCHANGE, LimitsSet, RetryOrdered, SettlementHeld, WithdrawalsHeld
from matcher import commands as c
from matcher.account import Account
from matcher.closing import book_emptied
from matcher.rejections import Code, Outcome, Rejection
from matcher.state import Exchange

_UNKNOWN = Rejection(Code.MARKET_UNKNOWN, "No market has that id.")
_UNPAID = Rejection(Code.MARKET_IN_USE, "Funding of that market is unpaid: its parameters stay until it is.")
_PRICED = Rejection(
    Code.MARKET_IN_USE,
    "That market has had prices, which symbol, tick, lot and feed give their meaning: delist it, and list it under another number "
    "and symbol.",
)
_SETTLED = Rejection(Code.MARKET_SETTLED, "The market was delisted: it stays as it is.")


def list_market(state: Exchange, command: c.ListMarket, at: int) -> Outcome:
    """List a market or replace one in which nobody holds a position, keeping limits that an operator has set. A default of a release
    replaces none that an operator listed.

    Index, mark, quotes, requests and every fill on record are in ticks, so a tick never becomes worth something else once there was
    a price; before it nothing of that can be there.
    """
    market, known = command.market, state.markets.get(command.market.id)
    wrong = unlistable(market)
    if wrong:
        return Rejection(Code.BAD_VALUE, wrong)
    if known is not None and known.id in state.breakers.limited:
        market = with_limits(market, limits_of(known))
    if known == market or (command.who == EXCHANGE and market.id in state.breakers.chosen):
        return []
    if known is not None and state.statuses[known.id] == MarketStatus.SETTLED:
        return _SETTLED
    if known is not None and (state.longs.get(known.id) or state.shorts.get(known.id)):
        return Rejection(
            Code.MARKET_IN_USE,
            "Positions are open in that market: only its limits can be changed, by SetLimits.",
        )
    if known is not None and state.funding[known.id].owed(at):
        return _UNPAID
    if known is not None and known.id in state.indexes and unlike(known, market):
        return _PRICED
    if any(one.symbol == market.symbol and one.id != market.id for one in state.markets.values()):
        return Rejection(Code.BAD_VALUE, "Another market has that symbol.")
    return [e.MarketListed(at, market, command.who, command.why)]


def set_market_status(state: Exchange, command: c.SetMarketStatus, at: int) -> Outcome:
    market, status = command.market, command.status
    if market not in state.markets:
        return _UNKNOWN
    if state.statuses[market] == status:
        return []
    if state.statuses[market] == MarketStatus.SETTLED:
        return _SETTLED
    if status == MarketStatus.SETTLED:
        return Rejection(Code.BAD_VALUE, "Only delisting settles a market.")
    emptied = (
        book_emptied(state, market, Code.MARKET_PAUSED.value, at) if status == MarketStatus.PAUSED else []
    )
    return [*emptied, e.MarketStatusSet(at, market, MarketStatus(status), command.who, command.why)]


def set_limits(state: Exchange, command: c.SetLimits, at: int) -> Outcome:
    """Change limits whether or not positions are open: a cap below what is held refuses only what would grow."""
    market = command.market
    if market not in state.markets:
        return _UNKNOWN
    if state.statuses[market] == MarketStatus.SETTLED:
        return _SETTLED
    listed = state.markets[market]
    given = {name: value for name, value in asdict(command).items() if name in MarketLimits.__struct_fields__}
    limits = replace(limits_of(listed), **{name: value for name, value in given.items() if value is not None})
    if command.no_alarm:
        if command.alarm is not None:
            return Rejection(Code.BAD_VALUE, "An alarm is set or taken away, not both.")
        limits = replace(limits, alarm=None)
    wrong = flaw(_to_judge(command, limits))
    if wrong:
        return Rejection(Code.BAD_VALUE, wrong)
    if limits == limits_of(listed) and market in state.breakers.limited:
        return []
    sunk = _sunk(state, market, with_limits(listed, limits).margin_terms)
    if sunk and not command.force:
        return Rejection(
            Code.LIMITS_WOULD_LIQUIDATE, f"{sunk} accounts would fall below their maintenance requirement."
        )
    return [LimitsSet(at, market, limits, sunk > 0, command.who, command.why)]


def _to_judge(command: c.SetLimits, limits: MarketLimits) -> MarketLimits:
    """Without terms that stay as they are: bounds that came after these hold up no change of something else."""
    if command.margin is None and command.max_leverage is None:
        limits = replace(limits, margin=None)
    if command.funding is None:
        limits = replace(limits, funding=None)
    return replace(limits, mark=None) if command.mark is None else limits


def _sunk(state: Exchange, market: int, terms: MarginTerms) -> int:
    """How many accounts other margin terms would put below their maintenance requirement at the present marks."""
    mark = state.marks.get(market)
    if mark is None or terms == state.markets[market].margin_terms:
        return 0
    value = mark.value_per_lot
    changed = RiskMark.of(steps(terms, state.open_interest[market] * value), value)
    marks = {**state.marks, market: changed}
    return sum(
        account_risk(state.backing(account), account.positions, marks).liquidatable
        and not state.margin_of(account).liquidatable
        for account in _in_question(state, market, changed)
    )


def _in_question(state: Exchange, market: int, changed: RiskMark) -> Iterator[Account]:
    """Holders whose remembered value does not meet the initial requirement under the changed terms, which is never below maintenance,
    or does not count as a whole. Nearly everybody is none of them, and all of this is one turn of the loop."""
    bound, marked = state.loss_limits.keys() | state.matured, state.marked
    for id, held in state.positions_in(market).items():
        account = state.accounts[id]
        if account.valued != marked:
            state.value(account)
        required = account.required - held.required + changed.initial_of(held.size)
        if account.balance + account.gain < required or (bound and account.root.id in bound):
            yield account


def hold_withdrawals(state: Exchange, command: c.HoldWithdrawals, at: int) -> Outcome:
    if state.breakers.held == command.held:
        return []
    return [WithdrawalsHeld(at, command.held, command.who, command.why)]


def hold_settlement(state: Exchange, command: c.HoldSettlement, at: int) -> Outcome:
    """What holds already is held for the first reason: only the end of that is another decision."""
    if (state.breakers.settlement is not None) == command.held:
        return []
    return [SettlementHeld(at, command.held, command.who, command.why)]


def retry_batch(state: Exchange, command: c.RetryBatch, at: int) -> Outcome:
    """Only noted, each time: what is on chain of the batch is seen by whoever asks, not by the rules."""
    if state.breakers.settlement is None:
        return Rejection(Code.BATCH_NOT_RETRIED, "Settlement goes on: hold it first.")
    if state.batches.get(command.batch, BatchStatus.FINAL) == BatchStatus.FINAL:
        return Rejection(Code.BATCH_NOT_RETRIED, f"Batch {command.batch} is not under way.")
    return [RetryOrdered(at, command.batch, command.who, command.why)]
