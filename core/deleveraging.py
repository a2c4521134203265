"""Deleveraging: closing a bankrupt account's position against opposite ones when the insurance fund is at its floor."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Final

import msgspec

from core.quantities import AccountId, Lots, MicroUsdc

_RANK_SCALE: Final = 10**12
_ACCOUNT: Final = attrgetter("account")


class Holder(msgspec.Struct, frozen=True, gc=False):
    """An account in the market: its position (signed lots, signed cost in micro-USDC) and the equity of the whole account.

    `required` is the whole account's initial requirement, and `own` the position's part of it, micro-USDC. Plain integers, as there
    may be very many.
    """

    account: int
    size: int
    cost: int
    equity: int
    required: int = 0
    own: int = 0

    def profit(self, value_per_lot: int) -> int:
        """Unrealized profit of the position at the mark, micro-USDC; exact."""
        return self.size * value_per_lot - self.cost


Policy = Callable[[int, Sequence[int]], list[int]]
"""Shares a number among holders ranked first to last, each up to its capacity; the capacities hold at least the number."""


def pro_rata(total: int, capacities: Sequence[int]) -> list[int]:
    """Everybody gives the same part of its capacity, rounded down; what is left, one each by the largest remainder, then by rank."""
    whole = sum(capacities)
    if whole == 0:
        return [0] * len(capacities)
    shares = [total * capacity // whole for capacity in capacities]
    left = total - sum(shares)
    if left:
        remainders = [total * capacity % whole for capacity in capacities]
        # The sort is stable, in reverse as well: of equal remainders the first in rank comes first.
        for i in sorted(range(len(shares)), key=remainders.__getitem__, reverse=True)[:left]:
            shares[i] += 1
    return shares


def greedy(total: int, capacities: Sequence[int]) -> list[int]:
    """The first in rank gives all it can, then the next."""
    shares = []
    for capacity in capacities:
        shares.append(min(capacity, total))
        total -= shares[-1]
    return shares


def rank(holder: Holder, value_per_lot: int) -> int:
    """Place in the queue, the highest first: return on cost times effective leverage; losers by return over leverage. Rounded down.

    Source: BitMEX and Bybit's ranking (Hyperliquid's is its first line with mark / entry for the return). In parts of 10**12; for
    holders whose equity is not negative.
    """
    worth, cost, equity = holder.size * value_per_lot, abs(holder.cost) or 1, holder.equity
    profit, notional = worth - holder.cost, abs(worth)
    if profit > 0:
        return profit * notional * _RANK_SCALE // (cost * (equity if equity > 0 else 1))
    return profit * equity * _RANK_SCALE // (cost * notional)


def capacity(holder: Holder, lots: int, shortfall: int) -> int:
    """Lots that `holder` can close when closing `lots` costs the other side `shortfall` micro-USDC against the mark.

    Rounded down so that its equity cannot fall below zero; an account already there is no counterparty.
    """
    if holder.equity < 0:
        return 0
    held = abs(holder.size)
    return held if shortfall <= 0 else min(held, holder.equity * lots // shortfall)


def sound_capacity(holder: Holder, lots: int, shortfall: int) -> int:
    """Lots of `capacity` that leave `holder` its initial requirement for what remains, or bring it nearer to it.

    What a lot frees counts as its share of the position's requirement; tiers free more at first. To within two micro-USDC, because
    requirements and values are rounded.
    """
    most, held = capacity(holder, lots, shortfall), abs(holder.size)
    worse = shortfall * held - holder.own * lots
    if worse <= 0:
        return most
    return min(most, max(0, holder.equity - holder.required) * lots * held // worse)


class Deleveraging(msgspec.Struct, frozen=True):
    """Who closes how much: (account, lots, micro-USDC the bankrupt side receives for them; negative: pays), and the lots left over."""

    closed: list[tuple[AccountId, Lots, MicroUsdc]]
    left: Lots


def deleverage(
    size: int,
    brings: int,
    holders: Iterable[Holder],
    value_per_lot: int,
    policy: Policy = pro_rata,
) -> Deleveraging:
    """Close `size` bankrupt lots (signed) for `brings` micro-USDC (signed alike: their bankruptcy value) against `holders`.

    Only opposite positions count: first those in profit at the mark, then the others, each only as far as it still has its initial
    requirement for what remains: whoever hedges elsewhere is not ruined by losing one side while somebody else can give. Only for
    what these cannot take everybody gives down to nothing, in the same order. Within each the ranking decides, accounts of equal
    rank by number. The value is shared by lots, each running total rounded down, so nothing is lost, and nobody's equity falls below
    zero. What `left` holds nobody could pay for.

    One pass over all of them, because nothing that decides can be kept in order beforehand: shares are of what everybody can give,
    and places go by the equity of whole accounts, which every mark changes. Who can give nothing, or is not come to, is not ranked.
    """
    side, lots = (1, size) if size > 0 else (-1, -size)
    shortfall = brings - size * value_per_lot
    winners: list[Holder] = []
    losers: list[Holder] = []
    for holder in sorted(holders, key=_ACCOUNT):
        if holder.size * side < 0:
            (winners if holder.size * value_per_lot > holder.cost else losers).append(holder)
    gives: dict[int, int] = {}
    left = lots
    for most, tier in itertools.product((sound_capacity, capacity), (winners, losers)):
        if not left:
            break
        # Lists of integers side by side: tuples would have the collector run, several times over.
        able, ranks, limits = [], [], []
        for holder in tier:
            limit = most(holder, lots, shortfall) - gives.get(holder.account, 0)
            if limit:
                able.append(holder.account)
                ranks.append(rank(holder, value_per_lot))
                limits.append(limit)
        # They are in the order of their numbers, and the sort is stable, in reverse as well.
        order = sorted(range(len(able)), key=ranks.__getitem__, reverse=True)
        shares = policy(min(left, sum(limits)), [limits[place] for place in order])
        for place, share in zip(order, shares, strict=True):
            if share:
                gives[able[place]] = gives.get(able[place], 0) + share
                left -= share
    closed: list[tuple[AccountId, Lots, MicroUsdc]] = []
    done = paid = 0
    for account, share in gives.items():
        done += share
        value = brings * done // lots - paid
        paid += value
        closed.append((AccountId(account), Lots(share), MicroUsdc(value)))
    return Deleveraging(closed, Lots(left))
