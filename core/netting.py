"""What a settlement batch changes on chain: one delta per account, summing to zero."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from core.accounts import INSURANCE

DELTA_MAX: Final = (1 << 48) - 1
"""Largest magnitude of one delta in micro-USDC, about 281 million USDC: what a page of the escrow program takes."""
_ALONE: Final[Mapping[int, int]] = MappingProxyType({})


def net(
    settled: Mapping[int, int],
    equity: Mapping[int, int],
    parents: Mapping[int, int] = _ALONE,
    left_over: int = 0,
) -> dict[int, int]:
    """Deltas (micro-USDC, zero ones left out) that bring every account with a slot on chain from `settled` to its equity.

    `settled` is what the chain holds for each of them once every earlier batch has landed. `parents` has the accounts without a slot,
    and in whose slot what is theirs is held. The keys of `equity` are those of both, its total that of `settled` and `left_over`.
    That is what earlier batches took and gave to nobody, `DELTA_MAX` at most (below 0: gave and took from nobody): the deltas sum to
    it, so it goes to those who lack it.

    The chain holds no negative balance, so an account with negative equity settles to zero, be it one of several that share a slot,
    and its shortfall is paid from the insurance fund's balance first, then taken from this batch's gains in proportion to them (each
    share rounded down, the remainder from the largest gains first). No delta is larger than `DELTA_MAX`: what is beyond waits, and
    as much of the other side's deltas with it, in the same proportion. What waits stays owed, because the next cut starts
    from what was settled. Raises `ValueError` when the totals differ: that would make or lose money.
    """
    total = sum(settled.values()) + left_over
    if equity.keys() != settled.keys() | parents.keys() or total != sum(equity.values()):
        raise ValueError("settled and equity must cover the same accounts with the same total")
    target = {account: max(0, equity[account]) for account in settled}
    for account, parent in parents.items():
        target[parent] += max(0, equity[account])
    shortfall = sum(target.values()) - sum(equity.values())
    if shortfall and INSURANCE in target:
        target[INSURANCE] -= min(shortfall, target[INSURANCE])
    credits, debits = {}, {}
    for account, value in target.items():
        delta = value - settled[account]
        if delta > 0:
            credits[account] = min(delta, DELTA_MAX)
        elif delta < 0:
            debits[account] = min(-delta, DELTA_MAX)
    excess = sum(credits.values()) - sum(debits.values()) - left_over
    _defer(credits, max(0, excess))
    _defer(debits, max(0, -excess))
    deltas = credits | {account: -debit for account, debit in debits.items()}
    return {account: deltas[account] for account in target if deltas.get(account)}


def may_be_undone(delta: int, undone: int) -> bool:
    """Whether a page can have left `undone` of a batch's `delta`: it gives or takes some of what it was sent, and nothing besides."""
    return min(0, delta) <= undone <= max(0, delta)


def _defer(amounts: dict[int, int], excess: int) -> None:
    """Take `excess` out of `amounts` in proportion to them, rounded down, the remainder from the largest first."""
    if excess == 0:
        return
    total, left = sum(amounts.values()), excess
    largest_first = sorted(amounts.items(), key=lambda item: (-item[1], item[0]))
    for account, amount in largest_first:
        share = excess * amount // total
        amounts[account] -= share
        left -= share
    for account, _ in largest_first:
        step = min(left, amounts[account])
        amounts[account] -= step
        left -= step
