"""An account of the money kept beside the engine, from nothing but the journal's records and their postings."""

from collections import Counter, defaultdict

from core.accounts import CLEARING, INSURANCE
from core.events import Event
from core.liquidation_events import LiquidationSliced
from core.postings import OUTSIDE, RESERVED, postings
from matcher.owed import kept_of_hours
from matcher.state import Exchange, conserved, positions_zero_sum
from stress.books import Books
from stress.losses import Losses


class Audit:
    """What every account must have, and what happened how often.

    `insurance` are the insurance fund's postings, summed by reason; `sold` are the auctions that sold something.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.insurance: Counter[str] = Counter()
        self.sold = 0
        self.broken: dict[str, str] = {}
        self._balances: defaultdict[int, int] = defaultdict(int)
        self._books = Books()
        self.losses = Losses()

    def hear(self, sequence: int, event: Event) -> None:
        """Take note of an event; `sequence` is 0 for volatile ones, which move no money."""
        self.counts[type(event).__name__] += 1
        if not sequence:
            return
        self.sold += isinstance(event, LiquidationSliced) and event.size != 0
        self._books.enter(event)
        self.losses.enter(event)
        for posting in postings(event):
            self._balances[posting.debit] -= posting.amount
            self._balances[posting.credit] += posting.amount
            for account, amount in ((posting.debit, -posting.amount), (posting.credit, posting.amount)):
                if account == INSURANCE:
                    self.insurance[posting.why] += amount

    def check(self, state: Exchange, at: str) -> None:
        """Look whether money and positions add up, and keep the first time that they did not."""
        checks = (
            ("conservation", conserved(state)),
            ("positions add up to zero", positions_zero_sum(state)),
            ("equities add up to what is in", sum(equities(state).values()) == present(state)),
        )
        for what, held in checks:
            if not held:
                self.broken.setdefault(what, f"not so {at}")

    def unexplained(self, state: Exchange) -> list[int]:
        """Accounts whose equity is not what they paid in, paid for and hold, as the records tell it."""
        # The records do not say what an hour costs whom before it is paid.
        return [
            id
            for id, account in state.accounts.items()
            if id != CLEARING
            and state.worth_of(account).equity + state.owed(account) != self._books.worth(id, state)
        ]

    def differing(self, state: Exchange) -> list[int]:
        """Accounts whose balance in the engine is not what the postings of all records come to."""
        have = {account.id: account.balance for account in state.accounts.values()}
        have[RESERVED] = state.reserved
        have[OUTSIDE] = state.paid_out - state.deposited
        return [id for id, balance in have.items() if balance != self._balances[id]]


def equities(state: Exchange) -> dict[int, int]:
    """What every account but clearing is worth at the marks, in micro-USDC, as if all hours of funding that have ended were paid."""
    worth = {id: state.worth_of(account).equity for id, account in state.accounts.items() if id != CLEARING}
    for id, amount in kept_of_hours(state).items():
        worth[id] += amount
    return worth


def present(state: Exchange) -> int:
    """Micro-USDC that came in and neither left nor are about to."""
    return state.deposited - state.paid_out - state.reserved
