"""What the operator pays the network: computed from the transactions that this client builds, to the lamport."""

from dataclasses import dataclass
from typing import Final

from chain.bids import PRIORITY_FEE_MAX
from chain.building import UNITS
from chain.deltas import SLOTS_PER_PAGE
from chain.escrow import SETTLE_UNITS, SETTLE_UNITS_PER_DELTA
from chain.limits import DAY_S
from chain.transactions import LAMPORTS_PER_SIGNATURE, Budget

_PAGES_AHEAD: Final = 2
_TRANSACTIONS_AHEAD: Final = 10_000
_RENT_OVERHEAD: Final = 128
"""Bytes that an account costs besides its data."""
OWN_SLOTS: Final = 2
"""Slots of page 0 that belong to the treasury and the insurance fund."""


@dataclass(frozen=True, slots=True)
class BatchCost:
    """Lamports of one batch: `base` for signatures, `priority` for the compute units that are asked for."""

    pages: int
    base: int
    priority: int

    @property
    def lamports(self) -> int:
        return self.base + self.priority

    def a_day(self, interval_s: int) -> int:
        """Lamports of a day with a batch every `interval_s` seconds."""
        return self.lamports * (DAY_S // interval_s)


def pages_of(accounts: int) -> int:
    """Pages that hold the slots of so many agents, rounded up."""
    return -(-(accounts + OWN_SLOTS) // SLOTS_PER_PAGE)


def batch_cost(deltas: list[int], price: int) -> BatchCost:
    """A batch whose pages have so many deltas each, first tries only, at `price` micro-lamports per compute unit."""
    units = [UNITS["open_batch"], UNITS["seal_batch"]]
    units += [SETTLE_UNITS + SETTLE_UNITS_PER_DELTA * count for count in deltas]
    return BatchCost(
        len(deltas),
        LAMPORTS_PER_SIGNATURE * len(units),
        sum(Budget(each, price).lamports for each in units),
    )


def full_batch(accounts: int, price: int) -> BatchCost:
    """The dearest batch of so many agents: every slot moves."""
    slots, pages = accounts + OWN_SLOTS, pages_of(accounts)
    return batch_cost([min(SLOTS_PER_PAGE, slots - SLOTS_PER_PAGE * page) for page in range(pages)], price)


def rent(size: int, lamports_per_byte: int) -> int:
    """Lamports that stay in an account of `size` bytes for as long as it exists, on a cluster with that rate.

    For what is computed without a node: clusters lower their rate, so what pays asks one (`ClusterView.rent`).
    """
    return (size + _RENT_OVERHEAD) * lamports_per_byte


def operator_lamports_min(page_rent: int) -> int:
    """Rent of two pages, `page_rent` each, and ten thousand transactions: with less, the operator is soon without fees."""
    return _PAGES_AHEAD * page_rent + _TRANSACTIONS_AHEAD * LAMPORTS_PER_SIGNATURE


def keeper_lamports_min(account_rent: int) -> int:
    """What guardian and admin need for one transaction at the most that is offered, and to keep their account, `account_rent`."""
    priority = max(Budget(UNITS[name], PRIORITY_FEE_MAX).lamports for name in ("set_pause", "propose"))
    return account_rent + LAMPORTS_PER_SIGNATURE + priority
