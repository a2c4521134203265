"""What an owner that leaves takes with it, of a family of accounts that shares a slot on chain.

From the instant at which the chain pays a request to the owner alone, nothing here can keep the money: a position that loses it loses
somebody else's. So what the chain would pay backs nothing from then on. Before, the next batch still moves a loss to who gained it.
"""

from collections.abc import Sequence

from core.quantities import SECOND

LEAD = 60 * SECOND
"""Nanoseconds for which the chain's clock may be ahead of ours, and a batch or a liquidation take."""


def sell_by(exit_at: int) -> int:
    """The second of the chain's clock at which a sale for a request that it pays from second `exit_at` on must have come as far from
    the mark as it goes: `LEAD` before, whatever batches land until then. May lie before the request was seen."""
    return exit_at - LEAD // SECOND


def matures_at(seen: int, exit_at: int, landed: int = 0) -> int:
    """When a request seen at `seen` that the chain pays from `exit_at` on counts as paid: `LEAD` before, and as much earlier as the
    chain will be behind then, but not in the first half of the time that is left, which is the owner's to reduce in.

    `landed` is the instant as of which the chain holds equities, 0 while there is nothing to settle: who has lost since then would
    be paid what it lost, and the next batch may take as long as this one has taken so far. All are instants in nanoseconds.
    """
    last = exit_at - LEAD
    if landed:
        last = min(last, (last + landed) // 2)
    return max(seen + max(0, exit_at - seen) // 2, last)


def taken(amount: int, family: Sequence[tuple[int, int]]) -> list[int]:
    """What each account of a family, (equity, initial requirement), gives when the chain pays `amount`; all micro-USDC.

    In their order, the slot's own account first: all of them what they have free, then what their positions need. Together never more
    than they have: what an account gives comes out of its equity, and leaves it at nothing at least.
    """
    free = [max(0, min(equity, equity - initial)) for equity, initial in family]
    given = []
    for one in free:
        given.append(min(amount, one))
        amount -= given[-1]
    for place, (equity, _) in enumerate(family):
        more = min(amount, max(0, equity) - free[place])
        given[place] += more
        amount -= more
    return given
