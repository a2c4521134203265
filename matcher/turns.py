"""A queue of accounts in which nobody stands twice."""

from collections import deque
from collections.abc import Iterable


class Turns:
    """Accounts that wait for their look, each once, who came first first. Entries of who had it elsewhere stay until they come up."""

    __slots__ = ("_order", "_waiting")

    def __init__(self) -> None:
        self._order: deque[int] = deque()
        self._waiting: set[int] = set()

    def __contains__(self, account: int) -> bool:
        return account in self._waiting

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, accounts: Iterable[int]) -> None:
        new = [account for account in accounts if account not in self._waiting]
        self._waiting.update(new)
        self._order.extend(new)

    def drop(self, account: int) -> None:
        self._waiting.discard(account)

    def take(self) -> int | None:
        """The next account, which waits no more; None when nobody does."""
        while self._order:
            account = self._order.popleft()
            if account in self._waiting:
                self._waiting.remove(account)
                return account
        return None
