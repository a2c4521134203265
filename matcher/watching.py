"""Until which marks an account whose margin follows from more than its own marks needs no look. Changes nothing."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from core.account_risk import AccountRisk, RiskMark
from core.edge_prices import shared_span, watch_prices
from core.margin_terms import steps
from core.quantities import Ticks
from matcher.account import Account

if TYPE_CHECKING:
    from matcher.state import Exchange

Edge = tuple[bool, int, Ticks]
"""Whether it is crossed by a price that falls, a market, and a price in ticks."""


def edges_of(state: "Exchange", account: Account, risk: AccountRisk, level: int) -> list[Edge] | None:
    """The prices until which the account does not come to `level`; None when the next mark may bring it there, whichever it is.

    A price that falls is the lower one of a market's mark and of what it would settle at, one that rises the higher one
    (`Exchange.span_of`): outside of a last hour both are the mark.
    """
    tied, ending = state.watch.tied.get(account.id, ()), state.ends.keys()
    if not tied and ending.isdisjoint(account.positions):
        ticks = {id: state.markets[id].value_per_tick_lot for id in account.positions}
        prices = watch_prices(risk, account.positions, state.marks, ticks, level)
        return [(account.positions[market].size > 0, market, price) for market, price in prices.items()]
    others = [state.accounts[id] for id in tied if id != account.id]
    if tied and not all(ending.isdisjoint(one.positions) for one in (account, *others)):
        return None
    return _in_the_worst_case(state, account, others, risk, level)


def _in_the_worst_case(
    state: "Exchange", account: Account, others: list[Account], risk: AccountRisk, level: int
) -> list[Edge] | None:
    """The same if whatever moves goes against the account: either it comes to give all that the chain may pay and does not take from
    it yet, whatever the others lose, or it gives what they have less to leave with than now. What leaves more room counts."""
    spans = {market: state.span_of(market) for market in account.positions}
    maintenance = sum(
        _at(state, market, spans[market][1]).maintenance_of(held.size)
        for market, held in account.positions.items()
    )
    most = state.payable(account) - state.claimable(account) if others else 0
    found = [shared_span(risk.equity - most, maintenance, [account.positions], state.marks, level)]
    if others:
        equity = risk.equity - sum(_may_lose_of_free(state, one) for one in others)
        held = [account.positions, *(one.positions for one in others)]
        found.append(shared_span(equity, maintenance, held, state.marks, level))
        if not _wider(*found):
            found.pop(0)
            spans |= {market: state.span_of(market) for one in others for market in one.positions}
    return list(_around(state, spans, *found[0])) if found[0] is not None else None


def _wider(one: tuple[int, int] | None, other: tuple[int, int] | None) -> bool:
    """Whether the one room is no smaller than the other."""
    return other is None or (one is not None and one[0] * other[1] >= other[0] * one[1])


def _around(state: "Exchange", spans: dict[int, tuple[int, int]], gain: int, total: int) -> Iterator[Edge]:
    """Both sides of each span, moved away by `gain` / `total` of the mark, rounded towards it."""
    for market, (low, high) in spans.items():
        away = state.mark_price(market) * gain // total
        yield True, market, Ticks(max(0, low - away))
        yield False, market, Ticks(high + away)


def _at(state: "Exchange", market: int, price: int) -> RiskMark:
    """The market's mark if it were `price` ticks."""
    mark = state.marks[market]
    return RiskMark.of(mark.steps, price * state.markets[market].value_per_tick_lot)


def _may_lose_of_free(state: "Exchange", account: Account) -> int:
    """Micro-USDC that an account would have less free if open interest raised its initial requirement as far as it can."""
    worth = state.worth_of(account)
    most = 0
    for market, held in account.positions.items():
        terms = state.markets[market].margin_terms
        highest = steps(terms, terms.open_interest_upper)
        most += RiskMark.of(highest, state.marks[market].value_per_lot).initial_of(held.size)
    return max(0, min(worth.available, most - worth.initial))
