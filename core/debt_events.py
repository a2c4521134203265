"""Records of debts: what an account without a position owed, and who paid it."""

from bisect import bisect_left

from msgspec.structs import replace

from core.event import Event

EVERYBODY = 0
"""Stands for all who shared, where a debtor is told what they paid."""


class DebtCovered(Event, frozen=True, array_like=True, tag=31):
    """An account that held nothing had less than nothing, by `debt`: `fund` came from the insurance fund, `treasury` from the
    treasury, and `shares` from others, (account, amount) ascending by account, as `core.debts` says. `left` waits for money, or for
    an operator's decision. Before the end of a market it is what an account will owe at its price, and only its family and owner pay:
    the `MarketSettled` that follows has the rest.

    All micro-USDC.
    """

    account: int
    debt: int
    fund: int
    treasury: int
    shares: tuple[tuple[int, int], ...]
    left: int


class DebtAwaited(Event, frozen=True, array_like=True, tag=121):
    """Volatile: nobody who must pay of the account's debt can, until money comes in, a mark moves or an operator decides."""

    account: int


def came_to(event: DebtCovered, account: int) -> int:
    """What came to an account by the record, negative for whoever paid; micro-USDC."""
    if account == event.account:
        return event.debt - event.left
    place = bisect_left(event.shares, (account,))
    paid = place < len(event.shares) and event.shares[place][0] == account
    return -event.shares[place][1] if paid else 0


def part_of(event: DebtCovered, account: int) -> DebtCovered:
    """What an account that the record concerns is told: its own part, and of whom it came from or went to no name."""
    if account == event.account:
        shared = sum(amount for _, amount in event.shares)
        return replace(event, shares=((EVERYBODY, shared),) if shared else ())
    return replace(
        event, account=0, debt=0, fund=0, treasury=0, left=0, shares=((account, -came_to(event, account)),)
    )


def without_shares(event: DebtCovered) -> DebtCovered:
    """The record without who shared."""
    return replace(event, shares=())


DEBT_RECORDS = DebtCovered
