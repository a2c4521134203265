"""A debt that no position can pay any more: who pays it, by a stated rule."""

from collections.abc import Callable, Sequence
from enum import IntEnum

import msgspec

from core.deleveraging import pro_rata
from core.quantities import AccountId, MicroUsdc


class Tie(IntEnum):
    """What an account has to do with the debtor: the next one is asked only when those before have nothing left."""

    FAMILY = 1
    """It shares the debtor's slot on chain: a parent and its sub-accounts."""
    OWNER = 2
    """It has the same owner."""
    STRANGER = 3


class Payer(msgspec.Struct, frozen=True, gc=False):
    """Somebody who may have to share: equity and initial requirement of the whole account (micro-USDC, the latter never negative),
    whether it holds anything. Plain integers, as there may be very many."""

    account: int
    equity: int
    initial: int
    holds: bool
    tie: Tie = Tie.STRANGER


class Cover(msgspec.Struct, frozen=True):
    """What the insurance fund, the treasury and others pay; `left` is paid by none of them. `shares` are in the order of the payers,
    without zeros. All micro-USDC."""

    fund: MicroUsdc
    treasury: MicroUsdc
    shares: list[tuple[AccountId, MicroUsdc]]
    left: MicroUsdc


def cover(
    debt: int, fund_has: int, treasury_has: int, payers: Sequence[Payer], depositors_share: bool = False
) -> Cover:
    """Who pays a debt in micro-USDC: the debtor's family, then its owner, then the insurance fund and the treasury, each what it has.

    Then strangers that hold positions, because they chose this exchange's risk, what they have above their initial requirement. Here
    it ends, unless an operator has decided that `depositors_share`: then strangers that hold none, what they have; then what positions
    need, which has their holders liquidated. Family and owner give what is above their initial requirement first, and then all. Each
    time the parts are in proportion to what each can give, exact by largest remainders. So nobody falls below zero for it.
    """
    sharing = _Sharing(debt, payers)
    places: dict[Tie, list[int]] = {tie: [] for tie in Tie}
    for place, payer in enumerate(payers):
        places[payer.tie].append(place)
    for tie in (Tie.FAMILY, Tie.OWNER):
        sharing.ask(places[tie], _free)
        sharing.ask(places[tie], _needed)
    fund = sharing.take(fund_has)
    treasury = sharing.take(treasury_has)
    strangers = places[Tie.STRANGER]
    sharing.ask([place for place in strangers if payers[place].holds], _free)
    if depositors_share:
        sharing.ask([place for place in strangers if not payers[place].holds], _free)
        sharing.ask(strangers, _needed)
    given = sharing.given
    shared = [(AccountId(payers[place].account), MicroUsdc(given[place])) for place in sorted(given)]
    return Cover(MicroUsdc(fund), MicroUsdc(treasury), shared, MicroUsdc(sharing.left))


def _free(payer: Payer) -> int:
    """What a payer has above its initial requirement."""
    free = payer.equity - payer.initial
    return free if free > 0 else 0


def _needed(payer: Payer) -> int:
    """What a payer has besides that."""
    return max(0, payer.equity) - _free(payer)


class _Sharing:
    """What is `left` of a debt, and what payers, by their places, have `given` towards it."""

    def __init__(self, debt: int, payers: Sequence[Payer]) -> None:
        self.left = debt
        self.given: dict[int, int] = {}
        self._payers = payers

    def take(self, has: int) -> int:
        """What one payer gives that has so much, or less than nothing."""
        part = min(self.left, max(0, has))
        self.left -= part
        return part

    def ask(self, places: Sequence[int], able: Callable[[Payer], int]) -> None:
        """Have the payers in these places give of what they are `able` to, which nobody has asked them for before."""
        if not self.left or not places:
            return
        payers = self._payers
        has = [able(payers[place]) for place in places]
        shares = pro_rata(min(self.left, sum(has)), has)
        for place, share in zip(places, shares, strict=True):
            if share:
                self.given[place] = self.given.get(place, 0) + share
                self.left -= share
