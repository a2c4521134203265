"""What a minute of requests to Hyperliquid may weigh, as its page on rate limits has it."""

from collections import deque
from typing import Any, Final

A_MINUTE: Final = 1_200
MINUTE_MS: Final = 60_000
WEIGHTS: Final = {
    "l2Book": 2,
    "allMids": 2,
    "clearinghouseState": 2,
    "orderStatus": 2,
    "spotClearinghouseState": 2,
    "exchangeStatus": 2,
    "userRole": 60,
}
OTHER: Final = 20
PER_ROWS: Final = frozenset({"userFills", "userFillsByTime", "fundingHistory", "userFunding"})
"""Twenty rows of these weigh one more."""


class Weights:
    """Of the last minute, from whoever asks: on this machine all have one address."""

    def __init__(self) -> None:
        self._taken: deque[tuple[int, int]] = deque()

    def takes(self, weight: int, now_ms: int) -> bool:
        """Whether there is room for a request; then it is counted."""
        while self._taken and self._taken[0][0] <= now_ms - MINUTE_MS:
            self._taken.popleft()
        if sum(one for _, one in self._taken) + weight > A_MINUTE:
            return False
        self._taken.append((now_ms, weight))
        return True

    def add(self, kind: str, answer: Any, now_ms: int) -> None:
        """Count what an answer adds, rounded down."""
        if kind in PER_ROWS:
            self._taken.append((now_ms, len(answer) // 20))


def of_info(kind: str) -> int:
    return WEIGHTS.get(kind, OTHER)


def of_action(action: dict[str, Any]) -> int:
    """One, and one more for every forty in a batch."""
    batch = action.get("orders") or action.get("cancels") or []
    return 1 + len(batch) // 40
