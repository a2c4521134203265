"""Records of owners that leave without the operator, and of what a settlement batch could not do because of what owners did."""

from typing import Final

from core.event import Event

CLAIM: Final = "claim:"
"""What the key of a claim begins with; transaction and index follow as in the key of a deposit."""


class ExitRequested(Event, frozen=True, array_like=True, tag=43):
    """The owner of the account's slot may claim up to `amount` micro-USDC from second `exit_at` of the chain's clock on.

    Replaces what it had asked for before. Until it is claimed or taken back, the account and its sub-accounts keep that much free.
    `sell_by` is the second by which what must be sold for it has been offered as far from the mark as it ever is (`core.exits`); 0 in
    records of releases that went by when the request would mature, which moved as batches landed.
    """

    account: int
    amount: int
    exit_at: int
    sell_by: int = 0


class ExitReleased(Event, frozen=True, array_like=True, tag=44):
    """Nothing is asked for any more in the account's slot: its owner took the request of `amount` for `exit_at` back."""

    account: int
    amount: int
    exit_at: int


class ExitClaimed(Event, frozen=True, array_like=True, tag=45):
    """The chain paid `amount` micro-USDC out of the account's slot, which ends its request.

    `given` is what its sub-accounts, (account, micro-USDC), put in first: they share the slot. `key` names the claim on chain.
    """

    account: int
    amount: int
    key: str
    given: tuple[tuple[int, int], ...]


class ExitMatured(Event, frozen=True, array_like=True, tag=49):
    """The chain may pay the account's request to its owner from here on: it backs no position of the account and its sub-accounts any
    more (`core.exits`)."""

    account: int


class DeltasUnapplied(Event, frozen=True, array_like=True, tag=46):
    """What a page did not do of the deltas of landed batch `batch`: (account, change, sum), micro-USDC.

    A change above 0 was held back from a credit, one below 0 could not be taken. `sum` is the chain's own, of all batches.
    """

    batch: int
    page: int
    parts: tuple[tuple[int, int, int], ...]


EXIT_RECORDS = ExitRequested | ExitReleased | ExitClaimed | DeltasUnapplied | ExitMatured
"""Union of the event types of this family that are journal records."""
