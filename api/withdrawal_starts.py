"""Which withdrawals are started: each is a workflow, so what the engine would refuse, and what is too much, never becomes one."""

from collections import OrderedDict
from typing import Final

from api.bucket import Bucket, Rate
from api.errors import ApiError, refused
from matcher import commands as c
from matcher.decide import decide
from matcher.rejections import Rejection, Repeated
from matcher.state import Exchange

ALL: Final = Rate(per_second=10, burst=100)
"""More than a worker pays: it has 50 payments under way, each for about 13 seconds."""
PER_OWNER: Final = Rate(per_second=1, burst=8)
BEGUN_KEPT: Final = 4_096
"""Withdrawals begun last that are remembered: at the rate of all, those of the last seven minutes."""


class WithdrawalStarts:
    """The gate before the workflows. `minimum` is the smallest withdrawal in micro-USDC, as the worker has it."""

    def __init__(self, minimum: int, now: int, everyone: Rate = ALL, per_owner: Rate = PER_OWNER) -> None:
        self._minimum = minimum
        self._everyone = Bucket(everyone, now)
        self._per_owner = per_owner
        self._owners: dict[str, Bucket] = {}
        self._begun: OrderedDict[tuple[int, str], None] = OrderedDict()

    def admit(self, state: Exchange, asked: c.ReserveWithdrawal, at: int, now: int) -> None:
        """Let through what the engine would reserve at `at`, or has a record of; a new one is counted, at `now` (monotonic
        nanoseconds).

        One that was let through lately passes whatever the engine says meanwhile: its workflow knows what became of it.
        Raises `ApiError` with the engine's code, or rate_limited.
        """
        place = (asked.account, asked.key)
        if place in self._begun:
            return
        outcome = decide(state, asked, at)
        if isinstance(outcome, Rejection):
            raise refused(outcome)
        if isinstance(outcome, Repeated):
            return
        owner = self._owner(state.accounts[asked.account].owner, now)
        if not owner.has(now) or not self._everyone.take(now):
            raise ApiError("rate_limited")
        owner.take(now)
        self._begun[place] = None
        if len(self._begun) > BEGUN_KEPT:
            self._begun.popitem(last=False)

    def reservation(self, account: int, amount: int, key: str, destination: str) -> c.ReserveWithdrawal:
        """The command that the workflow will give the engine."""
        return c.ReserveWithdrawal(account, amount, key, self._minimum, destination)

    def _owner(self, owner: str, now: int) -> Bucket:
        found = self._owners.get(owner)
        if found is None:
            found = self._owners[owner] = Bucket(self._per_owner, now)
        return found
