"""How fast new agents are let in. Each stays in the books for good, so no one caller may use up what is meant for all."""

from typing import Final

from api.addresses import Addresses
from api.bucket import Bucket, Rate
from api.errors import ApiError

ALL: Final = Rate(per_second=50, burst=2_000)
PER_ADDRESS: Final = Rate(per_second=1, burst=200)
"""One machine may bring a whole fleet at once, then one agent a second."""
AGENTS_PER_OWNER: Final = 100
"""Accounts of one owner key, for good: slots are not given back."""


class Admission:
    """Places for new agents: one bucket for all, one for each address, and a number for each owner. `now` is monotonic nanoseconds."""

    def __init__(self, everyone: Rate, per_address: Rate, now: int) -> None:
        self._everyone = Bucket(everyone, now)
        self._addresses = Addresses(per_address)

    def check(self, address: str, owned: int, now: int) -> None:
        """Whether an owner with `owned` accounts may have one more. Takes nothing: a caller may still fail to prove who it is.

        Raises `ApiError` too_many_agents or rate_limited.
        """
        if owned >= AGENTS_PER_OWNER:
            raise ApiError("too_many_agents", f"An owner has at most {AGENTS_PER_OWNER} agents.")
        if not self._everyone.has(now) or not self._addresses.has(address, now):
            raise ApiError("rate_limited")

    def take(self, address: str, now: int) -> None:
        """Use up a place that `check` just found."""
        self._addresses.take(address, now)
        self._everyone.take(now)
