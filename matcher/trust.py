"""How far each market's index is believed at an instant, and what that stops. Reads only; the table is `core.validity`."""

from collections.abc import Iterable
from typing import Final

from core.validity import Action, Validity, allowed, worse
from matcher.account import Account
from matcher.rejections import Code, Rejection
from matcher.state import Exchange, validity_of


def validity(state: Exchange, market: int, at: int) -> Validity:
    """How far the market's index is believed at `at`.

    As the feed judged it last, but aged once that is older than the market's `fill_max_age`, and unavailable once it is older than
    its `index_max_age`: of a silent feed nothing is known.
    """
    index, listed = state.indexes.get(market), state.markets[market]
    age = at - index.published if index is not None else 0
    if index is None or age > listed.index_max_age:
        return Validity.UNAVAILABLE
    return worse(validity_of(index), Validity.AGED) if age > listed.fill_max_age else validity_of(index)


def trusted(state: Exchange, market: int, action: Action, at: int) -> bool:
    """Whether `action` may be taken at the market's index at `at`."""
    return allowed(validity(state, market, at), action)


def liquidated_at(state: Exchange, account: Account) -> Action:
    """As what an account's positions are closed when it is short of margin: who is short only because its owner keeps money from it
    is like anybody who reduces, and must find a price at which others would trade."""
    return Action.FILL if state.bound(account) else Action.LIQUIDATE


def known(state: Exchange, account: Account, at: int) -> set[int]:
    """Markets of the account's positions in which it may be liquidated: only there it may lose anything.

    Elsewhere its positions count at the last mark that was believed: a lot in a market that is in doubt makes nobody immune.
    """
    if liquidated_at(state, account) is Action.FILL:
        return {market for market in account.positions if at <= state.fills_until[market]}
    return {market for market in account.positions if trusted(state, market, Action.LIQUIDATE, at)}


def untrusted(state: Exchange, markets: Iterable[int], action: Action, at: int) -> Rejection | None:
    """The refusal of `action` by the first of `markets` whose index is not believed for it at `at`; None when all are."""
    for market in markets:
        found = validity(state, market, at)
        if not allowed(found, action):
            symbol = state.markets[market].symbol
            return Rejection(
                Code.INDEX_UNAVAILABLE,
                f"The index of {symbol} is {found.code}: no {_NOUNS[action]} until it is believed again.",
            )
    return None


def only_gets_out(state: Exchange, account: Account, market: int, at: int) -> bool:
    """Whether the account may only shrink its position in `market`, because one that it holds elsewhere can not be valued at `at`."""
    if at <= state.values_until:
        return False
    return not all(other == market or trusted(state, other, Action.MARGIN, at) for other in account.positions)


_NOUNS: Final = {
    Action.FILL: "fills",
    Action.MARGIN: "withdrawals and no new risk for those who hold it",
    Action.LIQUIDATE: "liquidations",
    Action.FUND: "funding",
    Action.SETTLE: "settlement",
}
