"""How much an account may send: over all its connections and HTTP together, and together with the other accounts of its owner.

All matching happens on one thread, so what one owner may have it do each second has to leave most of that second to the others.
"""

from typing import Final, NamedTuple

from api.bucket import Bucket, Rate

CALL_COST: Final = 10
"""Messages that one call over HTTP counts for: it takes the exchange that much longer."""
WITHDRAWAL_COST: Final = 250
"""The same for a withdrawal, which is a workflow of its own whatever becomes of it."""
PROOF_COST: Final = 100
"""The same for a call that makes a proof."""


class Limits(NamedTuple):
    """Rates of one account, of one owner over all its accounts, and of one network address.

    `account` and `owner` are messages that ask for something; `flood` is what an owner may send beyond them, refused or taking risk
    off, before it is hung up on; `address` is calls over HTTP.
    """

    account: Rate = Rate(per_second=1_000, burst=1_000)
    owner: Rate = Rate(per_second=2_000, burst=2_000)
    flood: Rate = Rate(per_second=5_000, burst=2_500)
    address: Rate = Rate(per_second=200, burst=1_000)


LIMITS: Final = Limits()


class _Owner(NamedTuple):
    asking: Bucket
    beyond: Bucket


class Allowance:
    """What one account may still send. `now` is monotonic nanoseconds."""

    __slots__ = ("_own", "_owner")

    def __init__(self, own: Bucket, owner: _Owner) -> None:
        self._own = own
        self._owner = owner

    def take(self, now: int, count: int = 1) -> bool:
        """Whether `count` more messages are within both rates, the account's and its owner's; then both count them."""
        asking = self._owner.asking
        if not self._own.has(now, count) or not asking.take(now, count):
            return False
        self._own.take(now, count)
        return True

    def bear(self, now: int, count: int = 1) -> bool:
        """Whether messages that are refused, or must not be, still cost little enough; then they are counted."""
        return self._owner.beyond.take(now, count)


class Allowances:
    """The allowance of every account that has sent anything."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._accounts: dict[int, Allowance] = {}
        self._owners: dict[str, _Owner] = {}

    def of(self, account: int, owner: str, now: int) -> Allowance:
        """The one allowance of `account`, whose owner never changes."""
        found = self._accounts.get(account)
        if found is None:
            limits = self._limits
            shared = self._owners.get(owner)
            if shared is None:
                shared = self._owners[owner] = _Owner(Bucket(limits.owner, now), Bucket(limits.flood, now))
            found = self._accounts[account] = Allowance(Bucket(limits.account, now), shared)
        return found
