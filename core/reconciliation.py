"""Whether chain, engine and ledger say the same of every account, to the micro-unit. Pure.

Nobody stops for the comparison, so money is on its way while it is made. What is on its way is known exactly: deposits that are final
and not credited, reserved withdrawals that the chain has not paid, deltas of a cut batch that a page has not taken. Each of the books
therefore says what the chain must hold *now*, and nothing is left to tolerance.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations
from types import MappingProxyType
from typing import Final, NamedTuple

from core.netting import may_be_undone


class OnChain(NamedTuple):
    """A used slot, micro-USDC; `last_withdrawal` is the number of the last co-signed withdrawal that it paid.

    `unapplied` is the sum of what batches could not take from it (below 0) or held back (above 0).
    """

    page: int
    slot: int
    account: int
    owner: str
    balance: int
    last_withdrawal: int
    unapplied: int = 0


class Reserved(NamedTuple):
    """A withdrawal that is taken from the account, and paid or not."""

    withdrawal: int
    amount: int


class Booked(NamedTuple):
    """What one of the books says of an account with a slot, micro-USDC.

    `settled` is what the chain holds for it once the last cut has landed, as far as `unapplied` tells, and its reserved withdrawals
    are paid, None where these books no longer know; `delta` is what that cut moves. `owner` is empty where the books do not know it.
    `foreign` is the number of the last withdrawal that was none of the exchange's and was taken over, 0 for none.
    """

    account: int
    owner: str
    page: int
    slot: int
    balance: int
    settled: int | None
    delta: int
    unapplied: int = 0
    foreign: int = 0


class Books(NamedTuple):
    """All of one side: `last_withdrawal` is the highest number that was reserved when it was read.

    `strangers` are slots, (page, slot), that an operator has accepted as none of the exchange's.
    """

    accounts: Mapping[int, Booked]
    reserved: Mapping[int, Sequence[Reserved]]
    last_withdrawal: int
    strangers: frozenset[tuple[int, int]] = frozenset()


class Why(StrEnum):
    """What is different about an account."""

    BALANCE = "balance_differs"
    """The slot holds something else than the books say."""
    SLOT = "slot_differs"
    """The slot is another account's or owner's, or is not there, or has an account of which the books know nothing."""
    WITHDRAWAL = "withdrawal_differs"
    """The slot holds what the books say, and has paid a withdrawal of a number that the exchange had not given by a later look."""
    UNAPPLIED = "unapplied_differs"
    """The slot holds what the books say, but others had it do something else besides: its `unapplied` is not what the books have."""
    BOOKS = "books_differ"
    """Engine and ledger disagree with each other at the same journal sequence."""


@dataclass(frozen=True)
class Difference:
    """One account about which not all say the same. Micro-USDC: what is on chain, and what each of the books says is there now.

    None where a side says nothing. Of `books_differ` these are the two balances in the books, of `unapplied_differs` the sums of
    what batches did not do, of `withdrawal_differs` the last numbers of withdrawals.
    """

    why: str
    account: int
    owner: str
    page: int
    slot: int
    chain: int | None
    engine: int | None
    ledger: int | None

    def sentence(self) -> str:
        said = ", ".join(
            f"{name} {'nothing' if amount is None else amount}"
            for name, amount in (("chain", self.chain), ("engine", self.engine), ("ledger", self.ledger))
        )
        return f"account {self.account} in slot {self.page}/{self.slot} ({self.why}): {said}"


@dataclass(frozen=True)
class OnItsWay:
    """What explains why an account's slot does not hold what the books have settled, in micro-USDC.

    `deposits` are final and not credited, `withdrawals` reserved and not paid, `unlanded` is minus the delta of a cut that the page
    has not taken, `claims` minus what its owner claimed alone and is not booked, `unapplied` what a page did not do and is not booked:
    the slot holds their sum more than `Booked.settled`.
    """

    account: int
    deposits: int
    withdrawals: int
    unlanded: int
    claims: int = 0
    unapplied: int = 0


@dataclass
class Compared:
    """`ahead` has the slots' last withdrawals, by account, of which the books do not know.

    `moving` are those accounts whose withdrawal may have been asked for and paid while the sides were read: to be looked at again.

    `strays` are slots that name an account which has another one, or none: nobody here ordered them, and they are left out.
    """

    accounts: int = 0
    differences: list[Difference] = field(default_factory=list)
    on_its_way: list[OnItsWay] = field(default_factory=list)
    ahead: dict[int, int] = field(default_factory=dict)
    moving: list[int] = field(default_factory=list)
    strays: list[OnChain] = field(default_factory=list)


_NOTHING_SEEN: Final[Mapping[int, int]] = MappingProxyType({})


@dataclass(frozen=True)
class Flight:
    """Deposits on their way by account, whether a page has taken the last cut, and claims that are final and not booked by account.

    `final`: the books have heard that the last cut is final, and before that what it did not do.
    """

    deposits: Mapping[int, int]
    landed: Callable[[int], bool]
    claims: Mapping[int, int] = field(default_factory=dict)
    final: bool = False


def compare(
    slots: Sequence[OnChain],
    flight: Flight,
    engine: Books | None,
    ledger: Books | None,
    seen: Mapping[int, int] = _NOTHING_SEEN,
) -> Compared:
    """Compare the chain's slots with the books that there are, by account.

    `seen` is the `ahead` of an earlier comparison: what slots had paid before these books were read, the books know by now.
    """
    at, strays = by_account(slots, [books for books in (engine, ledger) if books is not None])
    found = Compared(strays=strays)
    known = {id for books in (engine, ledger) if books is not None for id in books.accounts}
    for account in sorted(at.keys() | known):
        slot = at.get(account)
        if slot is not None and _ahead(slot.last_withdrawal, account, engine, ledger):
            found.ahead[account] = slot.last_withdrawal
            if not _ahead(seen.get(account, 0), account, engine, ledger):
                found.moving.append(account)
                continue
        found.accounts += 1
        _look(found, account, slot, flight, engine, ledger)
    return found


def _ahead(withdrawal: int, account: int, *sides: Books | None) -> bool:
    """Whether one of the books has not given that number to a withdrawal and not taken it over either."""
    return any(
        withdrawal > books.last_withdrawal
        and withdrawal > (books.accounts[account].foreign if account in books.accounts else 0)
        for books in sides
        if books is not None
    )


def by_account(slots: Sequence[OnChain], sides: Sequence[Books]) -> tuple[dict[int, OnChain], list[OnChain]]:
    """Each account's slot, the one in the books if there is one, else the first; and all others that name such an account."""
    booked = [books.accounts for books in sides]
    strange = frozenset[tuple[int, int]]().union(*(books.strangers for books in sides))

    def ordered(slot: OnChain) -> bool:
        return any(slot.account in one and _placed(one[slot.account], slot) for one in booked)

    at: dict[int, OnChain] = {}
    for slot in slots:
        if (slot.page, slot.slot) in strange:
            continue
        if slot.account not in at or (ordered(slot) and not ordered(at[slot.account])):
            at[slot.account] = slot
    return at, [slot for slot in slots if at.get(slot.account) is not slot]


def _placed(booked: Booked, slot: OnChain) -> bool:
    return (booked.page, booked.slot) == (slot.page, slot.slot) and booked.owner in ("", slot.owner)


def _look(
    found: Compared,
    account: int,
    slot: OnChain | None,
    flight: Flight,
    engine: Books | None,
    ledger: Books | None,
) -> None:
    held = slot.balance if slot is not None else None
    sides = [_said(books, account, slot, flight) for books in (engine, ledger)]
    amounts = [side.amount if side is not None else None for side in sides]
    booked = [side.booked for side in sides if side is not None and side.booked is not None]
    why = ""
    if any(side is not None and not side.placed for side in sides):
        why = Why.SLOT
    elif any(amount is not None and amount != (held or 0) for amount in amounts):
        why = Why.BALANCE
    elif slot is not None and account in found.ahead:
        why, held = Why.WITHDRAWAL, slot.last_withdrawal
        amounts = [books.last_withdrawal if books is not None else None for books in (engine, ledger)]
    elif slot is not None and any(_strange(one, slot, flight) for one in booked):
        why, held = Why.UNAPPLIED, slot.unapplied
        amounts = [side.booked.unapplied if side and side.booked else None for side in sides]
    elif len(booked) == 2 and booked[0].balance != booked[1].balance:
        why, amounts = Why.BOOKS, [one.balance for one in booked]
    if why:
        place = slot or booked[0]
        found.differences.append(
            Difference(why, account, place.owner, place.page, place.slot, held, amounts[0], amounts[1])
        )
        return
    way = next((side.way for side in sides if side is not None and any(side.way)), None)
    if way is not None:
        found.on_its_way.append(OnItsWay(account, *way))


def expected(books: Books, booked: Booked, slot: OnChain, flight: Flight) -> tuple[int, int]:
    """Micro-USDC that the slot must hold by these books, and what of it a batch did not do and they do not know."""
    said = _said(books, booked.account, slot, flight)
    assert said is not None
    return said.amount or 0, said.way[4]


class _Said(NamedTuple):
    """What the chain must hold by one of the books (None: they do not know), and what of it is on its way, as in `OnItsWay`."""

    booked: Booked | None
    amount: int | None
    placed: bool
    way: tuple[int, int, int, int, int]


def _said(books: Books | None, account: int, slot: OnChain | None, flight: Flight) -> _Said | None:
    if books is None:
        return None
    coming, claimed = flight.deposits.get(account, 0), flight.claims.get(account, 0)
    booked = books.accounts.get(account)
    if booked is None:
        # A slot is opened, and may be paid into, before the books hear of it.
        return _Said(None, coming - claimed, True, (coming, 0, 0, -claimed, 0))
    if slot is None:
        return _Said(booked, booked.settled, not booked.settled, (0, 0, 0, 0, 0))
    placed = _placed(booked, slot)
    if booked.settled is None:
        return _Said(booked, None, placed, (0, 0, 0, 0, 0))
    unlanded = 0 if flight.landed(booked.page) else booked.delta
    undone = 0 if _strange(booked, slot, flight) else booked.unapplied - slot.unapplied
    base = booked.settled - unlanded + coming - claimed + undone
    unpaid = _unpaid(books.reserved.get(account, ()), slot, base)
    return _Said(booked, base + unpaid, placed, (coming, unpaid, -unlanded, -claimed, undone))


def _strange(booked: Booked, slot: OnChain, flight: Flight) -> bool:
    """Whether the slot's `unapplied` says more than that the last cut has landed there and the books have yet to hear how.

    Who has the operator's key writes there what he likes, with batches of his own: it explains nothing that our cut did not ask for.
    """
    undone = slot.unapplied - booked.unapplied
    if not undone:
        return False
    return flight.final or not flight.landed(booked.page) or not may_be_undone(booked.delta, undone)


def _unpaid(reserved: Sequence[Reserved], slot: OnChain, base: int) -> int:
    """Reserved micro-USDC that the chain has not paid.

    A slot takes withdrawals in ascending order: those after its last are unpaid and the last is paid, but one before the last was
    either paid or passed over. Of these, the choice is taken that explains the balance, if there is one.
    """
    certain = sum(one.amount for one in reserved if one.withdrawal > slot.last_withdrawal)
    unclear = [one.amount for one in reserved if one.withdrawal < slot.last_withdrawal]
    return next(
        (certain + extra for extra in _sums(unclear) if base + certain + extra == slot.balance),
        certain,
    )


def _sums(amounts: Sequence[int]) -> Iterator[int]:
    """Of every choice; an account has four open withdrawals at most."""
    for count in range(len(amounts) + 1):
        for chosen in combinations(amounts, count):
            yield sum(chosen)
