"""Records of isolated sub-accounts: one is opened, and collateral moves between it and its parent."""

from core.event import Event


class SubAccountOpened(Event, frozen=True, array_like=True, tag=28):
    """Account `parent` has an isolated sub-account `account` for `market`, of its own owner and tier, from here on."""

    account: int
    parent: int
    market: int
    name: str


class Transferred(Event, frozen=True, array_like=True, tag=29):
    """`amount` micro-USDC of collateral went from `giver` to `receiver`: one is the parent of the other."""

    key: str
    giver: int
    receiver: int
    amount: int


SUB_ACCOUNT_RECORDS = SubAccountOpened | Transferred
"""Union of the event types of this family that are journal records."""
