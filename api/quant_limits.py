"""How often a vault's key may call, at each venue: what is left goes with every answer."""

from collections import OrderedDict
from typing import Final, NamedTuple

from api.bucket import Bucket, Rate

TRADES: Final = Rate(per_second=5, burst=20)
"""Orders and cancels of one key at one venue: each may become a workflow."""
READS: Final = Rate(per_second=20, burst=100)
"""Calls of one key that only read."""
KEPT: Final = 10_000
"""Keys and venues whose use is remembered; who has not called for longest is forgotten first."""


class Quota(NamedTuple):
    """What a call leaves of its rate, as headers tell it; not `taken`: there was no room for it."""

    taken: bool
    limit: int
    remaining: int
    reset_s: int

    @property
    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_s),
        }


class QuantLimits:
    """Rates by key and venue; what only reads has no venue."""

    def __init__(self, trades: Rate = TRADES, reads: Rate = READS) -> None:
        self._trades = trades
        self._reads = reads
        self._buckets: OrderedDict[tuple[str, str], Bucket] = OrderedDict()

    def take(self, key: str, venue: str, now: int) -> Quota:
        """Count a call at `now` (monotonic nanoseconds), where there is room for it."""
        rate = self._trades if venue else self._reads
        bucket = self._buckets.pop((key, venue), None) or Bucket(rate, now)
        self._buckets[key, venue] = bucket
        if len(self._buckets) > KEPT:
            self._buckets.popitem(last=False)
        taken = bucket.take(now)
        return Quota(taken, rate.burst, bucket.left(now), bucket.full_in_s(now))
