"""Whose a vault is: shares for money that comes in, money for shares that go back, and the manager's fee.

Everybody deals at the value of the next snapshot, so nobody can choose a price that is known already (forward pricing, 17 CFR
270.22c-1). Shares made are rounded down at the vault's value rounded up, money paid is rounded down at the value rounded down: what a
rounding leaves stays with all others. The arithmetic is that of ERC-4626 (https://eips.ethereum.org/EIPS/eip-4626). Its known trap is
that a share grown very dear swallows what rounding takes from a small deposit; here a deposit that makes too few shares is refused.

The fee is a part of what is gained above the highest value of a share so far after fees (the high-water mark), paid in new shares, at
every snapshot at which somebody may deal. So the value that others deal at is always net of it, and no loss is charged for twice;
what was once earned is not given back when the value falls later. Who enters below the mark pays nothing until it is reached.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple

from core.quantities import MILLION, MONEY_MAX, MicroUsdc, divide_up

SHARES_MIN: Final = 10_000
"""Millionths of a share that a deposit must make, and a holder give back, at least: rounding then takes less than a ten-thousandth of
it. Who has less gives all back."""
WORTH_MIN: Final = 1_000
"""A share that is worth less than one part in so many of a dollar is no base to make more of."""
FEE_MAX_PPM: Final = 500_000


class Refusal(StrEnum):
    """Why a transfer was not carried out; stable."""

    TOO_FEW_SHARES = "too_few_shares"
    VAULT_WORTHLESS = "vault_worthless"
    VAULT_FULL = "vault_full"
    VAULT_CASH_SHORT = "vault_cash_short"
    SHARES_SHORT = "shares_short"
    VAULT_HAS_SHARES = "vault_has_shares"


class Mark(NamedTuple):
    """The high-water mark as an exact fraction: `nav` micro-USDC for `shares` millionths of a share; 0, 0 before there were any."""

    nav: int
    shares: int


@dataclass(frozen=True)
class Pool:
    """A vault at one instant. `nav` and `nav_up` are its value rounded down and up, `free` what of it its positions can do without."""

    nav: int
    nav_up: int
    free: int
    shares: int
    mark: Mark


class Fee(NamedTuple):
    """The manager's: micro-USDC of value, and the shares made for it."""

    amount: MicroUsdc
    shares: int


def charge(pool: Pool, rate_ppm: int) -> tuple[Pool, Fee]:
    """Move the mark up to today's value, and give the manager its part of the gain in new shares; both round down.

    The shares are worth the fee once they are made: ``made / (shares + made) = fee / nav``.
    """
    if not pool.shares:
        return pool, Fee(MicroUsdc(0), 0)
    gain = pool.nav - divide_up(pool.mark.nav * pool.shares, pool.mark.shares)
    if gain <= 0:
        return pool, Fee(MicroUsdc(0), 0)
    amount = gain * rate_ppm // MILLION
    made = amount * pool.shares // (pool.nav - amount)
    shares = pool.shares + made
    if shares > MONEY_MAX:
        return pool, Fee(MicroUsdc(0), 0)
    return replace(pool, shares=shares, mark=Mark(pool.nav, shares)), Fee(MicroUsdc(amount), made)


def deposit(pool: Pool, amount: int) -> tuple[Pool, int] | Refusal:
    """The vault after `amount` micro-USDC (positive) came in, and the shares made for it, rounded down.

    The first shares are one for each dollar; what the vault had without anybody's shares is then theirs.
    """
    if not pool.shares:
        made = amount
    elif pool.nav * WORTH_MIN < pool.shares:
        return Refusal.VAULT_WORTHLESS
    else:
        made = amount * pool.shares // pool.nav_up
    if not pool.shares and pool.nav < 0:
        return Refusal.VAULT_WORTHLESS
    if made < SHARES_MIN:
        return Refusal.TOO_FEW_SHARES
    if max(pool.shares + made, pool.nav_up + amount) > MONEY_MAX:
        return Refusal.VAULT_FULL
    after = replace(
        pool,
        nav=pool.nav + amount,
        nav_up=pool.nav_up + amount,
        free=pool.free + amount,
        shares=pool.shares + made,
    )
    return (after if pool.shares else replace(after, mark=Mark(after.nav, made))), made


def withdraw(pool: Pool, shares: int) -> tuple[Pool, MicroUsdc] | Refusal:
    """The vault after `shares` millionths of a share (positive) went back, and the micro-USDC paid for them, rounded down.

    Who holds all shares is paid all there is. Positions are not sold for it: more than they can do without is refused.
    """
    if shares > pool.shares:
        return Refusal.SHARES_SHORT
    paid = shares * pool.nav // pool.shares
    if paid <= 0:
        return Refusal.VAULT_WORTHLESS
    if paid > pool.free:
        return Refusal.VAULT_CASH_SHORT
    left = pool.shares - shares
    after = replace(
        pool,
        nav=pool.nav - paid,
        nav_up=pool.nav_up - paid,
        free=pool.free - paid,
        shares=left,
        mark=pool.mark if left else Mark(0, 0),
    )
    return after, MicroUsdc(paid)


def open_with(pool: Pool) -> tuple[Pool, int] | Refusal:
    """The vault after what it began with became somebody's: one share for each dollar of its value, rounded down."""
    if pool.shares:
        return Refusal.VAULT_HAS_SHARES
    if pool.nav < SHARES_MIN:
        return Refusal.VAULT_WORTHLESS
    return replace(pool, shares=pool.nav, mark=Mark(pool.nav, pool.nav)), pool.nav
