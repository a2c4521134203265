"""A debt that no position can pay any more: who pays it, by a stated rule."""

from collections.abc import Sequence

import msgspec

from core.deleveraging import pro_rata
from core.quantities import AccountId, MicroUsdc


class Payer(msgspec.Struct, frozen=True, gc=False):
    """Somebody who may have to share: equity and initial requirement of the whole account (micro-USDC), whether it holds anything."""

    account: AccountId
    equity: MicroUsdc
    initial: MicroUsdc
    holds: bool


class Cover(msgspec.Struct, frozen=True):
    """What the insurance fund, the treasury and others pay; what is `left` nobody can. `shares` are in the order of the payers,
    without zeros. All micro-USDC."""

    fund: MicroUsdc
    treasury: MicroUsdc
    shares: list[tuple[AccountId, MicroUsdc]]
    left: MicroUsdc


def cover(debt: int, fund_has: int, treasury_has: int, payers: Sequence[Payer]) -> Cover:
    """Who pays a debt in micro-USDC: the insurance fund first, then the treasury, each what it has, then `payers`.

    Those who hold positions share first, what they have above their initial requirement, because they chose this exchange's risk; then
    those who hold none, what they have; then everybody all that is left, down to nothing. Within each the parts are in proportion to
    what each can give, exact by largest remainders. So nobody falls below zero for it, and something is left only when all together
    have less than the debt.
    """
    left = debt
    fund = min(left, max(0, fund_has))
    left -= fund
    treasury = min(left, max(0, treasury_has))
    left -= treasury
    given = [0] * len(payers)
    free = [max(0, payer.equity - payer.initial) for payer in payers]
    for able in (
        [one if payer.holds else 0 for payer, one in zip(payers, free, strict=True)],
        [0 if payer.holds else one for payer, one in zip(payers, free, strict=True)],
        [max(0, payer.equity) - one for payer, one in zip(payers, free, strict=True)],
    ):
        if left:
            shares = pro_rata(min(left, sum(able)), able)
            left -= sum(shares)
            given = [one + more for one, more in zip(given, shares, strict=True)]
    shared = [(payer.account, MicroUsdc(one)) for payer, one in zip(payers, given, strict=True) if one]
    return Cover(MicroUsdc(fund), MicroUsdc(treasury), shared, MicroUsdc(left))
