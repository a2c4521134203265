"""What a settlement batch changes on chain: one delta per account, summing to zero."""

from collections.abc import Mapping

from core.accounts import INSURANCE


def net(settled: Mapping[int, int], equity: Mapping[int, int]) -> dict[int, int]:
    """Deltas (micro-USDC, zero ones left out) that bring every account from `settled` to its equity.

    `settled` is what the chain holds for each account once every earlier batch has landed. Both maps have the same keys and
    the same total. The chain holds no negative balance, so an account with negative equity settles to zero, and its shortfall is
    paid from the insurance fund's balance first, then taken from this batch's gains in proportion to them (each share
    rounded down, the remainder from the largest gains first); what is taken stays owed, because the next cut starts from
    what was settled. Raises `ValueError` when the totals differ: that would make or lose money.
    """
    if settled.keys() != equity.keys() or sum(settled.values()) != sum(equity.values()):
        raise ValueError("settled and equity must cover the same accounts with the same total")
    target = {account: max(0, value) for account, value in equity.items()}
    shortfall = sum(target.values()) - sum(equity.values())
    if shortfall and INSURANCE in target:
        paid = min(shortfall, target[INSURANCE])
        target[INSURANCE] -= paid
        shortfall -= paid
    if shortfall:
        _defer_gains(settled, target, shortfall)
    deltas = {account: value - settled[account] for account, value in target.items()}
    return {account: delta for account, delta in deltas.items() if delta}


def _defer_gains(settled: Mapping[int, int], target: dict[int, int], shortfall: int) -> None:
    gains = {
        account: target[account] - settled[account]
        for account in target
        if target[account] > settled[account]
    }
    total = sum(gains.values())
    left = shortfall
    for account, gain in gains.items():
        share = shortfall * gain // total
        target[account] -= share
        left -= share
    for account, _ in sorted(gains.items(), key=lambda item: (-item[1], item[0])):
        step = min(left, target[account] - settled[account])
        target[account] -= step
        left -= step
