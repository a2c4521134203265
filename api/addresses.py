"""Buckets by network address, for callers that have not said who they are."""

from collections import OrderedDict
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from api.bucket import Bucket, Rate

ADDRESSES_MAX: Final = 16_384
"""Registrations fill up again after at most 200 s, in which all addresses together take at most 12,000 places: forgetting the one
that was used least recently forgets nothing. Calls fill up again within seconds."""


class Addresses:
    """One bucket for each address, all of the same rate. `now` is monotonic nanoseconds."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def has(self, address: str, now: int) -> bool:
        """Whether `take` would say yes."""
        bucket = self._buckets.get(network(address))
        return bucket is None or bucket.has(now)

    def take(self, address: str, now: int) -> bool:
        """Whether one more is within the address's rate; then it is counted."""
        key = network(address)
        bucket = self._buckets.pop(key, None) or Bucket(self._rate, now)
        self._buckets[key] = bucket
        if len(self._buckets) > ADDRESSES_MAX:
            self._buckets.popitem(last=False)
        return bucket.take(now)


def network(address: str) -> str:
    """What one caller can be told by: the address, or of an IPv6 address its first 64 bits, since a host has all of the rest."""
    try:
        parsed = IPv6Address(address)
    except AddressValueError:
        return address
    return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> 64 << 64))
