"""What a hypothetical trade would do to an account: the engine's own checks before a fill, without a counterparty. Changes nothing."""

import msgspec

from core.account_risk import RiskMark, TradePreview, account_risk, counts_for, preview
from core.bands import any_beyond
from core.position import Position
from core.quantities import share_up
from matcher.account import Account
from matcher.decide_requests import not_tradable, would_open
from matcher.exposure import exposure
from matcher.fills import lengthened
from matcher.rejections import Code
from matcher.state import Exchange


class Previewed(msgspec.Struct, frozen=True):
    """`mark` is the market's at the open interest after the trade, `fee` in micro-USDC; `code` is why it would be refused, or
    `open_interest_cap` where not all of it would fill: the rest of the answer is about all of it.

    `overstated` are the micro-USDC by which the account's positions are worth more at the marks than they count for after it
    (`Exchange.overstated`).
    """

    trade: TradePreview
    mark: RiskMark
    fee: int
    code: Code | None
    overstated: int


def preview_trade(
    state: Exchange, account: Account, market: int, change: int, price: int, at: int
) -> Previewed:
    """The account after taking `change` lots (signed, not zero) at `price` ticks, as if against somebody who holds nothing.

    The market must have a mark. Everything is judged that the engine judges of a request that fills at that price; only whether
    anybody quotes it is not.
    """
    listed, held = state.markets[market], account.positions.get(market, Position(0, 0))
    value_per_lot = price * listed.value_per_tick_lot
    fee = share_up(abs(change) * value_per_lot, listed.taker_fee)
    longer = lengthened(held.size, 0, change)
    open_interest = state.open_interest[market] + longer
    mark = state.mark_at(market, open_interest)
    end, overstated = state.ends.get(market), state.overstated(account)
    here = _overstated(held.size, mark, end)
    balance = state.backing(account) + here
    others = account_risk(balance, account.positions, state.marks, leaving_out=market)
    trade = preview(others, held, change, value_per_lot, fee, mark, end)
    code = _untakable(state, account, market, change, price, at)
    if code is None:
        code = exposure(state, account, market, {}, at).refusal(change, value_per_lot, fee, listed, mark)
    if code is None and longer > 0 and open_interest > listed.open_interest_cap:
        code = Code.OPEN_INTEREST_CAP
    return Previewed(trade, mark, fee, code, overstated - here + _overstated(trade.size, mark, end))


def _overstated(size: int, mark: RiskMark, end: int | None) -> int:
    """Micro-USDC by which a position of `size` lots is worth more at the mark than it counts for."""
    return size * mark.value_per_lot - counts_for(size, mark.value_per_lot, end)


def _untakable(
    state: Exchange, account: Account, market: int, change: int, price: int, at: int
) -> Code | None:
    """Why nobody, or not this account, may trade `change` lots there at all, whatever its means; in the engine's order."""
    if account.id in state.liquidations:
        return Code.BEING_LIQUIDATED
    refused = not_tradable(state, market, at) or would_open(state, account, market, change)
    if refused is not None:
        return refused.code
    beyond = any_beyond(state.markets[market], (price,), state.indexes[market].price)
    return Code.PRICE_OUT_OF_BAND if beyond else None
