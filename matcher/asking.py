"""Which makers a request asks, and in which order when there are more than it may ask."""

from typing import Final

from core.quantities import MILLION
from matcher.exiting import leaving_of
from matcher.limits import MAKERS_ASKED_MAX
from matcher.state import Exchange

BACKED_SHARE: Final = 10
"""A maker whose free margin could not back a tenth of the request, and that holds nothing in the market, is not asked."""


def makers_asked(state: Exchange, owner: str, market: int, size: int, at: int) -> list[int]:
    """Subscribed makers of other owners than `owner` that could trade, are not frozen and not being liquidated.

    When there are more than `MAKERS_ASKED_MAX`, requests take turns through them: those who speak before those who do not, then one
    account of each owner before the second of any, so that nobody crowds the others out with accounts.
    """
    book, marked, accounts = state.book, state.marked, state.accounts
    needed = state.marks[market].most_required(-(-size // BACKED_SHARE))
    makers = []
    for maker, other in book.makers[market].items():
        if other == owner:
            continue
        account = accounts[maker]
        if account.valued != marked:
            state.value(account)
        equity = account.balance + account.gain
        spare = equity - account.required - leaving_of(state, account)
        if spare * MILLION >= needed or (equity > 0 and market in account.positions):
            makers.append(maker)
    if state.liquidations:
        makers = [maker for maker in makers if maker not in state.liquidations]
    if book.frozen:
        makers = [maker for maker in makers if book.frozen.get((maker, market), 0) <= at]
    return makers if len(makers) <= MAKERS_ASKED_MAX else _turn(state, market, makers)


def _turn(state: Exchange, market: int, makers: list[int]) -> list[int]:
    book = state.book
    owners = book.makers[market]
    begin = book.next_id % len(makers)
    before: dict[str, int] = {}
    ranked = []
    for place, maker in enumerate(makers[begin:] + makers[:begin]):
        count = before[owners[maker]] = before.get(owners[maker], 0) + 1
        ranked.append((book.silent(maker, market), count, place, maker))
    ranked.sort()
    return [maker for _, _, _, maker in ranked[:MAKERS_ASKED_MAX]]
