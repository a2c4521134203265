"""A queue of accounts in which nobody stands twice."""

from collections import deque
from collections.abc import Iterable


class Turns:
    """Accounts that wait for their look, each once, who came first first. Entries of who had it elsewhere stay until they come up."""

    __slots__ = ("_order", "waiting")

    def __init__(self) -> None:
        self._order: deque[int] = deque()
        self.waiting: set[int] = set()
        """Those in the queue: whether there are any is asked with every command."""

    def __contains__(self, account: int) -> bool:
        return account in self.waiting

    def __bool__(self) -> bool:
        return bool(self.waiting)

    def add(self, accounts: Iterable[int]) -> None:
        new = [account for account in accounts if account not in self.waiting]
        self.waiting.update(new)
        self._order.extend(new)

    def drop(self, account: int) -> None:
        self.waiting.discard(account)

    def take(self) -> int | None:
        """The next account, which waits no more; None when nobody does."""
        while self._order:
            account = self._order.popleft()
            if account in self.waiting:
                self.waiting.remove(account)
                return account
        return None
