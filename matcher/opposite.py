"""Who stands opposite to a position that is deleveraged. Changes nothing but accounts' memory of their value."""

from core.accounts import INSURANCE
from core.deleveraging import Holder
from matcher.state import Exchange


def opposite(state: Exchange, market: int, size: int) -> list[Holder]:
    """Agents' accounts whose position in the market is opposite to `size`, in no order: `core.deleveraging.deleverage` ranks them.

    Only that side is looked at, each account once, and its value is reckoned once for each mark, however many are deleveraged at it:
    the same equity and initial requirement as `Exchange.margin_of`, which is asked where what an owner keeps back matters.
    """
    accounts, marked = state.accounts, state.marked
    limits, matured = state.loss_limits, state.matured
    found = []
    for id, held in (state.shorts if size > 0 else state.longs).get(market, {}).items():
        if id == INSURANCE:
            continue
        account = accounts[id]
        if account.valued != marked:
            state.value(account)
        equity = account.balance + account.gain
        if (limits or matured) and ((root := account.root.id) in limits or root in matured):
            equity = state.margin_of(account).equity
        found.append(Holder(id, held.size, held.cost, equity, account.required, held.required))
    return found
