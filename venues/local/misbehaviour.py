"""What a local venue does wrong on request: the same list for every one of them, set at `/control/misbehaviour`.

`docs/venues/local.md` describes each kind for those who use them.
"""

from collections import deque
from enum import StrEnum

import msgspec


class Kind(StrEnum):
    LOSE_REPLY = "lose_reply"
    """Take the next orders, then break the connection instead of answering."""
    LOSE_REQUEST = "lose_request"
    """Break the connection of the next orders without taking them."""
    TIME_OUT = "time_out"
    """Take the next orders and say nothing until the client gives up."""
    PROXY_TIME_OUT = "proxy_time_out"
    """Take the next orders, and answer as something in between does that lost patience: HTTP 408, in other words than the venue's."""
    RATE_LIMIT = "rate_limit"
    """Refuse the next orders because there were too many."""
    FAIL = "fail"
    """Answer the next orders with an error of the server, without taking them."""
    PARTIAL_FILL = "partial_fill"
    """Fill at once at most half of each of the next orders."""
    DUPLICATE = "duplicate"
    """Tell every fill twice, until this is taken back."""
    STALE_BOOK = "stale_book"
    """Show prices and books as they are now, until this is taken back; orders meet the real ones."""
    LATE_TRADES = "late_trades"
    """List no trade that happens from now on, until this is taken back; all else shows them. Only Polymarket does."""
    FORGET_ENDED = "forget_ended"
    """Show nothing of an order that has ended, until this is taken back. Only Polymarket does."""
    COUNT_WEIGHT = "count_weight"
    """Refuse what is more than the venue documents that it takes from an address in a minute, until this is taken back. Only
    Hyperliquid does."""
    DISCONNECT = "disconnect"
    """Break every WebSocket now."""


LASTING = frozenset({Kind.DUPLICATE, Kind.STALE_BOOK, Kind.LATE_TRADES, Kind.FORGET_ENDED, Kind.COUNT_WEIGHT})


class Request(msgspec.Struct, frozen=True):
    """`times` counts orders; it means nothing to a kind that lasts, and 0 takes that back."""

    kind: Kind
    times: int = 1


class Misbehaviour:
    """What has been asked for and not been done yet."""

    def __init__(self) -> None:
        self._next: deque[Kind] = deque()
        self._lasting: set[Kind] = set()

    def ask(self, request: Request) -> None:
        if request.kind in LASTING:
            (self._lasting.add if request.times else self._lasting.discard)(request.kind)
        else:
            self._next.extend([request.kind] * request.times)

    def clear(self) -> None:
        self._next.clear()
        self._lasting.clear()

    def next(self) -> Kind | None:
        """What to do to the order that comes now."""
        return self._next.popleft() if self._next else None

    def lasts(self, kind: Kind) -> bool:
        return kind in self._lasting

    def shown(self) -> dict[str, list[str]]:
        return {"next": list(self._next), "lasting": sorted(self._lasting)}
