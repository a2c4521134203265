"""State of the exchange: the durable part, rebuilt by replay, and the book of requests and quotes, which dies with the process."""

from collections.abc import Iterator

from core.accounts import CLEARING, FIRST_AGENT, INSURANCE, TREASURY
from core.events import IndexUpdated, RequestClosed, WithdrawalFinished, WithdrawalReserved
from core.margin import Held, Margin, margin
from core.market import Market, MarketStatus
from matcher.book import Book


class Position:
    """Signed lots and their signed cost in micro-USDC."""

    __slots__ = ("cost", "size")

    def __init__(self, size: int, cost: int) -> None:
        self.size = size
        self.cost = cost


class Account:
    """One margin account. `settled` is what the chain holds for it once every batch cut so far has landed.

    `closed` keeps recent final answers by request id and `keys` finds them by client key; `number` is the head of its
    numbered private stream.
    """

    __slots__ = (
        "balance",
        "closed",
        "deposited",
        "id",
        "keys",
        "name",
        "number",
        "owner",
        "page",
        "positions",
        "settled",
        "slot",
        "tier",
    )

    def __init__(self, id: int, owner: str, name: str) -> None:
        self.id = id
        self.owner = owner
        self.name = name
        self.tier = 0
        self.page = -1
        self.slot = -1
        self.balance = 0
        self.settled = 0
        self.deposited = 0
        self.number = 0
        self.positions: dict[int, Position] = {}
        self.keys: dict[str, int] = {}
        self.closed: dict[int, RequestClosed] = {}


class Cut:
    """The last settlement cut: deltas per account, summing to zero, for the records after `previous_seq` up to `seq`."""

    __slots__ = ("at", "balances", "batch", "deltas", "equities", "marks", "previous_seq", "seq")

    def __init__(
        self,
        batch: int,
        at: int,
        seq: int,
        previous_seq: int,
        marks: tuple[tuple[int, int], ...],
        deltas: dict[int, int],
        balances: dict[int, int],
        equities: dict[int, int],
    ) -> None:
        self.batch = batch
        self.at = at
        self.seq = seq
        self.previous_seq = previous_seq
        self.marks = marks
        self.deltas = deltas
        self.balances = balances
        self.equities = equities


class Exchange:
    """Everything the rules read. Only `matcher.apply` changes it.

    `seq` counts durable events, so it equals the journal's sequence.
    """

    def __init__(self) -> None:
        self.seq = 0
        self.epoch = 0
        self.last_fill = 0
        self.last_withdrawal = 0
        self.next_account = FIRST_AGENT
        self.markets: dict[int, Market] = {}
        self.statuses: dict[int, MarketStatus] = {}
        self.indexes: dict[int, IndexUpdated] = {}
        self.open_interest: dict[int, int] = {}
        self.accounts: dict[int, Account] = {
            id: Account(id, "", name)
            for id, name in ((TREASURY, "treasury"), (INSURANCE, "insurance fund"), (CLEARING, "clearing"))
        }
        self.accounts[TREASURY].page, self.accounts[TREASURY].slot = 0, 0
        self.accounts[INSURANCE].page, self.accounts[INSURANCE].slot = 0, 1
        self.owners: dict[str, list[int]] = {}
        self.owned: set[int] = set()
        self.names: dict[tuple[str, str], int] = {}
        self.slots: dict[tuple[int, int], int] = {(0, 0): TREASURY, (0, 1): INSURANCE}
        self.deposits: dict[str, int] = {}
        self.withdrawals: dict[int, WithdrawalReserved] = {}
        self.withdrawal_keys: dict[tuple[int, str], WithdrawalReserved] = {}
        self.finished_withdrawals: dict[int, WithdrawalFinished] = {}
        self.deposited = 0
        self.paid_out = 0
        self.reserved = 0
        self.cut: Cut | None = None
        self.batches: dict[int, int] = {}
        self.book = Book()

    def positions_of_owner(self, owner: str, market: int) -> int:
        """Net lots that all accounts of one owner hold in a market."""
        total = 0
        for id in self.owners[owner]:
            held = self.accounts[id].positions.get(market)
            if held is not None:
                total += held.size
        return total

    def held(self, account: Account, except_market: int = 0) -> Iterator[Held]:
        """The account's positions valued at the marks (here: the index), leaving one market out."""
        for id, position in account.positions.items():
            if id != except_market:
                market = self.markets[id]
                yield Held(
                    position.size,
                    position.cost,
                    self.indexes[id].price * market.value_per_tick_lot,
                    market.initial_fraction,
                )

    def margin_of(self, account: Account) -> Margin:
        return margin(account.balance, self.held(account))

    def next_deadline(self) -> int:
        """Instant of the next thing that expires, or 0 when nothing does."""
        return self.book.deadlines[0][0] if self.book.deadlines else 0


def conserved(state: Exchange) -> bool:
    """Whether balances, reserved withdrawals and clearing add up to what came in less what went out, to the micro-unit."""
    balances = sum(account.balance for account in state.accounts.values())
    costs = sum(
        position.cost for account in state.accounts.values() for position in account.positions.values()
    )
    return (
        balances + state.reserved == state.deposited - state.paid_out
        and state.accounts[CLEARING].balance == -costs
    )


def positions_zero_sum(state: Exchange) -> bool:
    """Whether the positions of every market add up to nothing."""
    sums: dict[int, int] = {}
    for account in state.accounts.values():
        for market, position in account.positions.items():
            sums[market] = sums.get(market, 0) + position.size
    return not any(sums.values())
