"""Which pages a batch settles, in which order, with which deltas."""

from collections.abc import Iterable
from typing import NamedTuple


class PagePlan(NamedTuple):
    """One page of a batch. `deltas` are (slot, micro-USDC) by ascending slot; `net` is their sum."""

    page: int
    net: int
    deltas: tuple[tuple[int, int], ...]


def plan_pages(deltas: Iterable[tuple[int, int, int]], left_over: int = 0) -> list[PagePlan]:
    """Pages of (page, slot, delta), those that give to the clearing first, largest first, so that it is never below zero.

    `left_over` micro-USDC are in the clearing from earlier batches, and this one gives them. Zero deltas are left out. Raises
    `ValueError` when the deltas do not sum to what is left over, or name a slot twice.
    """
    pages: dict[int, dict[int, int]] = {}
    for page, slot, delta in deltas:
        slots = pages.setdefault(page, {})
        if slot in slots:
            raise ValueError(f"slot {slot} of page {page} is named twice")
        slots[slot] = delta
    plans = [
        PagePlan(
            page, sum(slots.values()), tuple((slot, delta) for slot, delta in sorted(slots.items()) if delta)
        )
        for page, slots in pages.items()
    ]
    if sum(plan.net for plan in plans) != left_over:
        raise ValueError("the deltas of a batch must sum to zero, or to what is left over for it to give")
    return sorted((plan for plan in plans if plan.deltas), key=lambda plan: (plan.net, plan.page))
