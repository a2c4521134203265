"""Delisting: every position of a market closes at one price, and what bankrupt accounts cannot pay is shared by a stated rule."""

from collections.abc import Sequence

import msgspec

from core.deleveraging import Holder, pro_rata
from core.quantities import AccountId, MicroUsdc


class Settled(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An account's end in a delisted market, micro-USDC: what its position realized, and what it gave (negative) or was given."""

    account: AccountId
    realized: MicroUsdc
    shared: MicroUsdc


class Delisting(msgspec.Struct, frozen=True):
    """All accounts in the order given. What they share adds up to `fund`, paid by the insurance fund; `uncovered` nobody could pay."""

    settled: list[Settled]
    fund: MicroUsdc
    uncovered: MicroUsdc


def settle_at(holders: Sequence[Holder], value_per_lot: int, fund_has: int) -> Delisting:
    """Close all `holders` at one price, a lot being worth `value_per_lot` micro-USDC; their sizes must add up to zero.

    Each realizes value less cost, exact, so what all realize is minus the cost of what they held. An account whose equity is negative
    then is raised to zero: the insurance fund pays first, up to `fund_has`, then those who gained here, in proportion to what each
    gained and still has (largest remainders first), so nobody falls below zero for it. What even they cannot pay stays with the
    negative accounts in proportion. `equity` of a holder is with its positions at that price, its family and owner having paid.
    """
    realized = [holder.profit(value_per_lot) for holder in holders]
    owed = [max(0, -holder.equity) for holder in holders]
    gains = [max(0, min(gain, holder.equity)) for gain, holder in zip(realized, holders, strict=True)]
    fund = min(sum(owed), max(0, fund_has))
    given = min(sum(owed) - fund, sum(gains))
    raised = pro_rata(fund + given, owed)
    taken = pro_rata(given, gains)
    settled = [
        Settled(AccountId(holder.account), MicroUsdc(gain), MicroUsdc(plus - minus))
        for holder, gain, plus, minus in zip(holders, realized, raised, taken, strict=True)
    ]
    return Delisting(settled, MicroUsdc(fund), MicroUsdc(sum(owed) - fund - given))
