"""What is done about accounts in trouble, one step at a time: each is decided anew from balances and marks."""

from typing import Final

from msgspec.structs import replace

from core.account_risk import counts_for
from core.accounts import INSURANCE, OF_EXCHANGE
from core.deleveraging import deleverage, greedy, pro_rata
from core.events import Event
from core.fund import Fund, Part, may_take
from core.liquidation import Stage, slice_to_close, stage, warning_in_force
from core.liquidation_events import (
    Deleveraged,
    FundStanding,
    Handover,
    LiquidationEnded,
    LiquidationPaused,
    LiquidationStarted,
    MarginWarned,
    PriceAwaited,
    ReviewAsked,
    TakenOver,
)
from core.operator_events import ReviewOrdered
from core.position import Position
from core.quantities import Lots, MarketId, MicroUsdc
from core.validity import Action
from core.waterfall import (
    Auction,
    Deleverage,
    Takeover,
    bankruptcy_parts,
    heaviest_market,
    next_step,
    trade_for_value,
    without_gift,
)
from matcher import commands as c
from matcher.account import Account
from matcher.auctions import closing_now, limit_of
from matcher.closing import cancelled, pull_everything
from matcher.decide_requests import not_tradable
from matcher.exiting import promised
from matcher.limits import AUCTION_PAUSE
from matcher.offering import auction
from matcher.opposite import opposite
from matcher.rejections import Code, Outcome, Rejection
from matcher.state import Exchange
from matcher.trust import known, liquidated_at, trusted
from matcher.watch import Liquidation

_NOTHING: Final = Position(0, 0)
"""What an account has in a market that it does not hold."""


def go_on(state: Exchange, at: int) -> list[Event]:
    """The next step of the riskiest account, or else the next warning; `state.watch` has found that there is one.

    What happened to others that an account's margin depends on since its last look may have saved it: then it gets another.
    """
    riskiest = state.watch.riskiest()
    if riskiest is None:
        return _warn(state, state.accounts[next(iter(state.watch.warned))], at)
    account = state.accounts[riskiest]
    waits = _nothing_known(state, account, at)
    if waits is not None:
        return [waits]
    going = state.liquidations.get(riskiest)
    if going is not None:
        return step_due(state, account, going, at)
    if not state.margin_of(account).liquidatable:
        return [ReviewAsked(at, riskiest)]
    return start(state, account, at)


def _nothing_known(state: Exchange, account: Account, at: int) -> PriceAwaited | None:
    """A market that an account must wait for: none of those that it holds has a price that is trusted."""
    if not account.positions or known(state, account, at):
        return None
    awaited, action = state.watch.awaited, liquidated_at(state, account)
    market = next(id for id in sorted(account.positions) if (id, action) not in awaited)
    return PriceAwaited(at, market, action)


def _warn(state: Exchange, account: Account, at: int) -> list[Event]:
    for market in sorted(account.positions):
        if not trusted(state, market, Action.MARGIN, at):
            return [PriceAwaited(at, market, Action.MARGIN)]
    risk = state.margin_of(account)
    level = warning_in_force(account.warned, risk.equity, risk.maintenance)
    if level == account.warned:
        return [ReviewAsked(at, account.id)]
    return [MarginWarned(at, account.id, level, risk.equity, risk.maintenance)]


def start(state: Exchange, account: Account, at: int) -> list[Event]:
    """The start of an account's liquidation. Whatever it had open is withdrawn, the insurance fund's own sale too."""
    risk = state.margin_of(account)
    held = tuple(
        (market, position.size, state.mark_price(market))
        for market, position in sorted(account.positions.items())
    )
    started = LiquidationStarted(
        at, state.last_liquidation + 1, account.id, risk.equity, risk.maintenance, held
    )
    sale = state.book.open_keys.get(account.id, {}).get("")
    ended = [cancelled(state.book.requests[sale], at)] if sale is not None else []
    return [started, *ended, *pull_everything(state, account.id, "liquidation", at)]


def step_due(state: Exchange, account: Account, going: Liquidation, at: int) -> list[Event]:
    """The next step of a liquidation that goes on."""
    risk, fund = state.margin_of(account), fund_standing(state)
    match waterfall_step(state, account, at):
        case Auction(market, size, worst):
            limit = limit_of(worst, 1 if size < 0 else -1, state.markets[market].value_per_tick_lot)
            if limit == 0 or not_tradable(state, market, at) is not None:
                return [LiquidationPaused(at, account.id, at + going.pause())]
            return auction(state, account, market, -size, limit, at)
        case Takeover(parts):
            took = _taken_over(state, account, parts)
            return [TakenOver(at, going.id, account.id, risk.equity, risk.maintenance, fund, took)]
        case Deleverage(part):
            closed_some = _deleveraged(state, account, going, part, at)
            # Nobody can pay for the fund's own position now: asking again makes no record.
            paused = LiquidationPaused(at, account.id, at + AUCTION_PAUSE, stuck=True)
            return [closed_some] if closed_some.parts else [paused]
        case _:
            why = "recovered" if account.positions else going.step
            return [LiquidationEnded(at, going.id, account.id, why, risk.equity, risk.maintenance)]


def waterfall_step(state: Exchange, account: Account, at: int) -> Auction | Takeover | Deleverage | None:
    """What the account's liquidation calls for as things stand."""
    fund, markets = state.accounts[INSURANCE], state.markets
    terms = {market: markets[market].liquidation for market in account.positions}
    ticks = {market: markets[market].value_per_tick_lot for market in account.positions}
    funds, within = state.backing(account), known(state, account, at)
    risk, going = state.margin_of(account), state.liquidations.get(account.id)
    offered = within - going.unsold if going is not None else within
    if offered and state.offered_first(account):
        return _offered(state, account, offered)
    if account is fund:
        step = next_step(funds, fund.positions, state.marks, terms, ticks, False, within, state.ends)
        return Deleverage(_fund_part(state, fund, step.part)) if isinstance(step, Deleverage) else step
    over = stage(risk.equity, risk.maintenance) is Stage.TAKEOVER
    parts = _parts(state, account, within) if over else ()
    takes = over and may_take(_able(state), parts, state.marks, state.ends)
    step = next_step(funds, account.positions, state.marks, terms, ticks, takes, within, state.ends)
    match step:
        case Takeover():
            return Takeover(parts)
        case Deleverage():
            return Deleverage(parts[0])
        case _:
            return step


def _able(state: Exchange) -> Fund:
    """The fund as it takes over: without what whoever has its slot's key asked the chain for, which may be gone when it is needed.

    What leaves is no loss by takeovers, so it is not in what the fund had when the period began either.
    """
    fund = state.accounts[INSURANCE]
    leaving = promised(state, fund)
    balance = state.funds(fund) - state.overstated(fund) - leaving
    return Fund(balance, fund.positions, state.insurance_floor, state.fund_began - leaving)


def _offered(state: Exchange, account: Account, within: set[int]) -> Auction:
    """The next slice of an account that must be closed although it is solvent."""
    positions, marks = account.positions, state.marks
    market = heaviest_market({id: positions[id] for id in positions if id in within}, marks)
    listed = state.markets[market]
    lots = slice_to_close(listed.liquidation, positions[market].size, marks[market].value_per_lot)
    part = closing_now(state, account, market, lots)
    worst = part.worst_price(listed.liquidation, listed.value_per_tick_lot, must_close=True)
    return Auction(MarketId(market), Lots(part.size), worst)


def _parts(state: Exchange, account: Account, within: set[int]) -> tuple[Part, ...]:
    """What others take of an account's positions, and for what."""
    backing, funds = state.backing(account), state.funds(account) - state.overstated(account)
    parts = bankruptcy_parts(backing, account.positions, state.marks, within, state.ends)
    if backing == funds:
        return parts
    lowest = bankruptcy_parts(funds, account.positions, state.marks, within, state.ends)
    worst: dict[int, int] = {part.market: _worst_value(state, part.market, part.size) for part in parts}
    terms = {id: state.markets[id].liquidation for id in worst}
    return without_gift(parts, lowest, worst, terms)


def _worst_value(state: Exchange, market: int, size: int) -> int:
    """Micro-USDC per lot that `size` lots count for, or are worth at the index, whichever is worse for who leaves with them."""
    at_index = state.indexes[market].price * state.markets[market].value_per_tick_lot
    return (min if size > 0 else max)(_counts(state, market, size), at_index)


def _counts(state: Exchange, market: int, size: int) -> int:
    """Micro-USDC per lot that a position of `size` lots counts for: at the mark, or at what the market's last hour would settle at."""
    return counts_for(size, state.marks[market].value_per_lot, state.ends.get(market)) // size


def _fund_part(state: Exchange, fund: Account, part: Part) -> Part:
    """A position of the fund's own, at what it counts for: others pay for it only what keeps the fund from ending below zero."""
    if state.margin_of(fund).equity < 0:
        return part
    return replace(part, value=MicroUsdc(part.size * _counts(state, part.market, part.size)))


def fund_standing(state: Exchange) -> FundStanding:
    """The insurance fund as things stand."""
    risk = state.margin_of(state.accounts[INSURANCE])
    return FundStanding(risk.equity, risk.maintenance, state.insurance_floor, risk.initial, state.fund_began)


def review_account(state: Exchange, command: c.ReviewAccount, at: int) -> Outcome:
    if command.account not in state.owned and command.account not in OF_EXCHANGE:
        return Rejection(Code.ACCOUNT_UNKNOWN, "No agent has that account.")
    ordered = [ReviewOrdered(at, command.account, command.who, command.why)] if command.why else []
    return [*ordered, ReviewAsked(at, command.account)]


def _taken_over(state: Exchange, account: Account, parts: tuple[Part, ...]) -> tuple[Handover, ...]:
    fund, took = state.accounts[INSURANCE].positions, []
    for market, size, value in ((part.market, part.size, part.value) for part in parts):
        theirs, mark = fund.get(market, _NOTHING), state.mark_price(market)
        took.append(_handover(account.positions[market], INSURANCE, theirs, market, mark, size, value))
    return tuple(took)


def _deleveraged(state: Exchange, account: Account, going: Liquidation, part: Part, at: int) -> Deleveraged:
    market, mark = part.market, state.mark_price(part.market)
    policy = greedy if state.markets[market].greedy_deleveraging else pro_rata
    value_per_lot = _counts(state, market, -part.size)
    shared = deleverage(part.size, part.value, opposite(state, market, part.size), value_per_lot, policy)
    side = 1 if part.size > 0 else -1
    takers: list[tuple[int, int, int]] = list(shared.closed)
    if shared.left and account.id != INSURANCE:
        takers.append((INSURANCE, shared.left, part.value - sum(value for _, _, value in shared.closed)))
    mine, parts = account.positions[market], []
    for other, lots, value in takers:
        theirs = state.accounts[other].positions.get(market, _NOTHING)
        handed = _handover(mine, other, theirs, market, mark, side * lots, value)
        mine = Position(mine.size - handed.size, handed.cost)
        parts.append(handed)
    risk = state.margin_of(account)
    return Deleveraged(
        at,
        going.id,
        account.id,
        risk.equity,
        risk.maintenance,
        fund_standing(state),
        market,
        mark,
        part.size,
        part.value,
        policy is greedy,
        side * shared.left,
        tuple(parts),
    )


def _handover(
    giver: Position, other: int, taker: Position, market: int, mark: int, size: int, value: int
) -> Handover:
    """`size` lots (signed) for `value` micro-USDC (signed alike) from who has the position `giver` to `other`, who has `taker`."""
    _, cost, realized = trade_for_value(giver.size, giver.cost, -size, -value)
    _, other_cost, other_realized = trade_for_value(taker.size, taker.cost, size, value)
    return Handover(other, market, mark, size, value, cost, realized, other_cost, other_realized)
