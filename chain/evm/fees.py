"""What a transaction offers for its gas (EIP-1559), and what it must offer more to replace one that waits."""

from dataclasses import dataclass
from typing import Final

from chain.evm.node import Block

BUMP_PER_MILLE: Final = 1125
"""Nodes take a replacement for a tenth more; an eighth leaves room for their rounding."""


@dataclass(frozen=True, slots=True)
class Fees:
    """In wei a unit of gas: the most that is paid in all, and the part of it for the block's maker."""

    most: int
    priority: int


def going_rate(block: Block, priority: int, cap: int) -> Fees:
    """Enough for now and for six full blocks after `block`, each of which raises the base fee by an eighth; never above `cap`."""
    most = min(2 * block.base_fee + priority, cap)
    return Fees(most, min(priority, most))


def replacement(waiting: Fees, rate: Fees, cap: int) -> Fees | None:
    """What replaces a transaction that offers `waiting` and is at least the going rate; None when that is above `cap`."""
    most = max(rate.most, _more(waiting.most))
    priority = max(rate.priority, _more(waiting.priority))
    if most > cap:
        # As much as may be paid, if that is still enough more.
        most = cap
    if most < _more(waiting.most) or most < priority:
        return None
    return Fees(most, priority)


def _more(fee: int) -> int:
    return max(fee + 1, -(-fee * BUMP_PER_MILLE // 1000))
