"""How fast new agents are let in. Each costs the operator a slot on chain, so no one caller may use up what is meant for all."""

from collections import OrderedDict
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from api.bucket import Bucket, Rate
from api.errors import ApiError

ALL: Final = Rate(per_second=50, burst=2_000)
PER_ADDRESS: Final = Rate(per_second=1, burst=200)
"""One machine may bring a whole fleet at once, then one agent a second."""
AGENTS_PER_OWNER: Final = 100
"""Accounts of one owner key, for good: slots are not given back."""
ADDRESSES_MAX: Final = 16_384
"""A bucket is full again after at most 200 s, in which all addresses together take at most 12,000 places: forgetting the one that
was used least recently forgets nothing."""


class Admission:
    """Places for new agents: one bucket for all, one for each address, and a number for each owner. `now` is monotonic nanoseconds."""

    def __init__(self, everyone: Rate, per_address: Rate, now: int) -> None:
        self._everyone = Bucket(everyone, now)
        self._per_address = per_address
        self._addresses: OrderedDict[str, Bucket] = OrderedDict()

    def check(self, address: str, owned: int, now: int) -> None:
        """Whether an owner with `owned` accounts may have one more. Takes nothing: a caller may still fail to prove who it is.

        Raises `ApiError` too_many_agents or rate_limited.
        """
        if owned >= AGENTS_PER_OWNER:
            raise ApiError("too_many_agents", f"An owner has at most {AGENTS_PER_OWNER} agents.")
        bucket = self._addresses.get(network(address))
        if not self._everyone.has(now) or (bucket is not None and not bucket.has(now)):
            raise ApiError("rate_limited")

    def take(self, address: str, now: int) -> None:
        """Use up a place that `check` just found."""
        key = network(address)
        bucket = self._addresses.pop(key, None) or Bucket(self._per_address, now)
        self._addresses[key] = bucket
        if len(self._addresses) > ADDRESSES_MAX:
            self._addresses.popitem(last=False)
        bucket.take(now)
        self._everyone.take(now)


def network(address: str) -> str:
    """What one caller can be told by: the address, or of an IPv6 address its first 64 bits, since a host has all of the rest."""
    try:
        parsed = IPv6Address(address)
    except AddressValueError:
        return address
    return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> 64 << 64))
