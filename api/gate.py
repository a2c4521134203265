"""What every message of an authenticated connection passes first: its account's allowance, and the measured load."""

import time
from typing import Final

from api import wire
from api.allowance import Allowance
from api.collaborators import Edge
from api.errors import ApiError
from matcher.keys import first_answer

SHEDDABLE: Final = frozenset({wire.Request, wire.Quote, wire.Quotes})
"""Refused while the loop lags: what makes work for others."""
_ANSWERS: Final = (wire.Quote, wire.Pass)


class Flooding(Exception):
    """Even refusing so many messages costs the others too much."""


def admit(edge: Edge, account: int, allowance: Allowance, op: wire.Op) -> None:
    """Let `op` through, or raise `ApiError` rate_limited or overloaded, or `Flooding`.

    What takes risk off is refused by neither, nor is what repeats something the exchange has answered: a refusal would be taken for
    the fate of the first copy. The first answer to a request is free: its maker did not choose when to be asked.
    """
    now, kind = time.monotonic_ns(), type(op)
    cancels = wire.takes_risk_off(op)
    if not _awaited(edge, account, op) and (cancels or not allowance.take(now)):
        if not allowance.bear(now):
            raise Flooding
        if not cancels and not _repeats(edge, account, op):
            raise ApiError("rate_limited")
    if kind in SHEDDABLE and not cancels and edge.lag.is_high(now) and not _repeats(edge, account, op):
        raise ApiError("overloaded")


def _repeats(edge: Edge, account: int, op: wire.Op) -> bool:
    """Whether the exchange knows what came of this message before: nobody else has work with telling it again."""
    state = edge.engine.state
    own = state.accounts[account]
    if isinstance(op, wire.Request):
        return first_answer(state, own, op.id) is not None
    return isinstance(op, wire.Accept) and op.request in own.closed


def _awaited(edge: Edge, account: int, op: wire.Op) -> bool:
    """Whether a request waits for this message."""
    if not isinstance(op, _ANSWERS):
        return False
    request = edge.engine.state.book.requests.get(op.request)
    return request is not None and account in request.waiting
