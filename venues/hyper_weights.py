"""What Hyperliquid's requests weigh, as it documents them: an address may ask 1,200 in a minute, over HTTP."""

from typing import Any, Final

A_MINUTE: Final = 1_200
FOR_LOOKING: Final = A_MINUTE * 2 // 3
"""The rest is for fifty orders: one weighs at most eight, with its price, its leverage and how it stands."""
ACTION: Final = 1
LIGHT: Final = 2
ROWS: Final = 20
"""Of answers that are lists of what an account did: so many rows weigh one more."""
_HEAVY: Final = 20
_LIGHT: Final = frozenset(
    {"l2Book", "allMids", "clearinghouseState", "orderStatus", "spotClearinghouseState", "exchangeStatus"}
)


def weight_of(body: dict[str, Any]) -> int:
    """Of a request to `/info`, without what its answer adds."""
    return LIGHT if body["type"] in _LIGHT else _HEAVY


def weight_of_rows(rows: list[Any]) -> int:
    """What the rows of an answer add, rounded down."""
    return len(rows) // ROWS
