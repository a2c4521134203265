"""What must add up over all accounts, kept with every change, so that whoever asks holds nobody up however many accounts there are."""

from collections.abc import Iterable

from matcher.account import Account


class Sums:
    """`balances` of all accounts and `costs` of all positions, in micro-USDC; `lots` are each market's positions, longs less shorts.

    Every account's own change is added here, so what one side of an event gets and no other side gives shows.
    """

    __slots__ = ("balances", "costs", "lots")

    def __init__(self) -> None:
        self.balances = 0
        self.costs = 0
        self.lots: dict[int, int] = {}

    @property
    def zero(self) -> bool:
        """Whether the positions of every market add up to nothing."""
        return not any(self.lots.values())


def summed(accounts: Iterable[Account]) -> Sums:
    """The sums from nothing but the accounts."""
    sums = Sums()
    lots = sums.lots
    for account in accounts:
        sums.balances += account.balance
        for market, held in account.positions.items():
            sums.costs += held.cost
            lots[market] = lots.get(market, 0) + held.size
    return sums
