"""One margin account, and whose it is besides."""

from collections import deque
from typing import Final

from core.events import RequestClosed
from core.position import Position

WAITING, GONE = -1, -2
"""Pages of accounts that have no slot yet, and of those whose slot was closed and is another's now: they get no other."""
UNVALUED: Final = -1
"""The number of marks that an account has never been valued at."""


class Account:
    """One margin account. `settled` is what the chain holds for it once every batch cut so far has landed.

    `unapplied` is the chain's sum of what settlement could not do for it (`core.exit_events.DeltasUnapplied`). `foreign` is the number
    of the last withdrawal from its slot that was none of the exchange's, 0 for none (`core.custody_events.AcceptedSlot`).

    `closed` keeps recent final answers by request id, and `keys` finds them by client key. `filled` and `unfilled` have the same by
    kind in the order in which they were given (a dict that loses its first entry again and again finds the next one ever more
    slowly), and are None until there is one; so has `beyond` those of `unfilled` for which there was no room (`matcher.keys`).
    `number` is the head of its numbered private stream and `newest` the sequence of that record, 0 when it is from before the
    snapshot; `generation` counts how often its sessions were revoked. `owned` lists all accounts of its owner, itself among them.
    `gain` and `required` are the unrealized profit less the funding that is owed, and the initial requirement, at the marks of number
    `valued` (`Exchange.value`). `warned` is the warning level in force (0: none). `market` is the only one that a sub-account of
    `parent` trades, 0 for all others; `subs` are an account's own.
    """

    __slots__ = (
        "balance",
        "beyond",
        "closed",
        "deposited",
        "filled",
        "foreign",
        "gain",
        "generation",
        "id",
        "keys",
        "market",
        "name",
        "newest",
        "number",
        "owned",
        "owner",
        "page",
        "parent",
        "positions",
        "required",
        "settled",
        "slot",
        "subs",
        "tier",
        "unapplied",
        "unfilled",
        "valued",
        "warned",
        "withdrawals_open",
    )

    def __init__(self, id: int, owner: str, name: str, owned: list["Account"]) -> None:
        self.id = id
        self.owned = owned
        self.owner = owner
        self.name = name
        self.tier = 0
        self.page = WAITING
        self.slot = -1
        self.balance = 0
        self.settled = 0
        self.foreign = 0
        self.unapplied = 0
        self.deposited = 0
        self.number = self.newest = 0
        self.generation = 0
        self.withdrawals_open = 0
        self.positions: dict[int, Position] = {}
        self.keys: dict[str, int] = {}
        self.closed: dict[int, RequestClosed] = {}
        self.filled: deque[RequestClosed] | None = None
        self.unfilled: deque[RequestClosed] | None = None
        self.beyond: deque[RequestClosed] | None = None
        self.gain = self.required = 0
        self.valued = UNVALUED
        self.warned = 0
        self.parent: Account | None = None
        self.market = 0
        self.subs: tuple[Account, ...] = ()

    @property
    def root(self) -> "Account":
        """The account in whose slot on chain what is this one's is held: its parent, or itself."""
        return self.parent or self

    def keep(self, final: RequestClosed, *, beyond: bool) -> None:
        """Keep the newest final answer; `beyond` says that there was no room for it."""
        if final.filled:
            kept = self.filled = self.filled or deque()
        else:
            kept = self.unfilled = self.unfilled or deque()
        kept.append(final)
        if beyond:
            self.beyond = self.beyond or deque()
            self.beyond.append(final)
        self.closed[final.request] = final
        self.keys[final.key] = final.request

    def forget(self, final: RequestClosed) -> None:
        """Answer no repeat of the oldest request of its kind any more, unless its key has been that of another since."""
        if self.beyond and self.beyond[0].request == final.request:
            self.beyond.popleft()
        del self.closed[final.request]
        if self.keys.get(final.key) == final.request:
            del self.keys[final.key]


def join(parent: Account, sub: Account, market: int) -> None:
    """Make an account the sub-account of `parent` for `market`."""
    sub.parent, sub.market = parent, market
    parent.subs = (*parent.subs, sub)


def sides_of_owner(account: Account, market: int) -> tuple[int, int]:
    """Lots that all accounts of this one's owner hold long in a market, and short: both positive, an owner has few accounts."""
    sizes = [owned.positions[market].size for owned in account.owned if market in owned.positions]
    longs = sum([size for size in sizes if size > 0])
    return longs, longs - sum(sizes)
