"""What a key was answered first, how many final answers are kept for that, and when there is no room for another."""

from collections import deque

from core.accounts import FIRST_AGENT
from core.events import RequestClosed, RequestOpened
from core.quantities import SECOND
from matcher.account import Account
from matcher.limits import (
    FILLED_KEPT,
    KEYS_SURE,
    UNFILLED_KEPT,
    UNFILLED_KEPT_BEYOND,
    UNFILLED_KEPT_IN_ALL,
    UNFILLED_KEPT_LEAST,
)
from matcher.rejections import Code, Rejection
from matcher.state import Exchange


def first_answer(state: Exchange, account: Account, key: str) -> RequestOpened | RequestClosed | None:
    """What the account's request under `key` has led to: its opening while it is open, else its final answer. None for a key that is
    not known: then nothing has come of it, or it was forgotten.
    """
    open_keys = state.book.open_keys.get(account.id)
    if open_keys is not None and key in open_keys:
        return state.book.requests[open_keys[key]].opened
    if key in account.keys:
        return account.closed[account.keys[key]]
    return None


def unfilled_share(state: Exchange) -> int:
    """Answers without fills that each account may have kept when all together have as many as there is room for."""
    return max(UNFILLED_KEPT_LEAST, UNFILLED_KEPT_IN_ALL // (state.next_account - FIRST_AGENT))


def unfilled_full(state: Exchange, account: Account, at: int) -> bool:
    """Whether there is no room at `at` for another answer of the account without a fill: it has as many as it may, or all together
    have and it has its share, and a key that is forgotten before `KEYS_SURE` can trade twice.
    """
    kept = account.unfilled
    if kept is None:
        return False
    most = UNFILLED_KEPT
    if state.unfilled_kept >= UNFILLED_KEPT_IN_ALL:
        most = min(most, unfilled_share(state))
    return len(kept) >= most and kept[0].at >= at - KEYS_SURE


def no_room_for_key(state: Exchange, account: Account, at: int) -> Rejection | None:
    """Why the account asks nothing new at `at` that may add risk, or None when there is room for the answer."""
    if account.filled and _full(account.filled, FILLED_KEPT, at):
        return _FULL
    if account.unfilled and unfilled_full(state, account, at):
        return _FULL
    return None


def room_beyond(account: Account, at: int) -> bool:
    """Whether an account without room may ask at `at` for what only shrinks a position.

    Of that room nobody else takes anything: what strangers have kept must not hold anybody in a position.
    """
    return not _full(account.filled, FILLED_KEPT, at) and not _full(account.beyond, UNFILLED_KEPT_BEYOND, at)


def _full(kept: deque[RequestClosed] | None, most: int, at: int) -> bool:
    return kept is not None and len(kept) >= most and kept[0].at >= at - KEYS_SURE


_FULL = Rejection(
    Code.TOO_MANY_ANSWERS_KEPT,
    f"Answers of the last {KEYS_SURE // (60 * SECOND)} minutes are kept for repeats of their ids, and there are as many as fit.",
)
