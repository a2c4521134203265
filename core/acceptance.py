"""What the books have to take over so that they say of every slot what the chain holds. Pure: what follows a comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from core.reconciliation import Booked, Books, Flight, OnChain, by_account, expected


class Ahead(NamedTuple):
    """By how much the chain's totals are above the engine's, micro-USDC: deposits, claims of owners alone, and co-signed withdrawals,
    without those that the engine has reserved. What it has accepted as astray it counts among none of them."""

    deposits: int
    claimed: int
    paid: int


class Held(NamedTuple):
    """A slot that holds `holds` where the books have `settled`; as in `matcher.commands.HeldSlot`."""

    account: int
    settled: int
    holds: int
    unapplied: int
    withdrawal: int


@dataclass(frozen=True)
class Acceptance:
    """Slots that differ, and what becomes of the rest, micro-USDC (`core.custody_events.ChainAccepted`)."""

    slots: tuple[Held, ...]
    left_over: int
    astray: int
    lost: int
    strangers: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Obstacle:
    """Why nothing can be taken over as things are."""

    sentence: str


def acceptance(
    slots: Sequence[OnChain],
    flight: Flight,
    books: Books,
    ahead: Ahead,
    clearing: int,
    left_over: int,
    withdrawn: Mapping[int, int],
) -> Acceptance | Obstacle:
    """What to take over where `slots`, with what is in `flight`, are not what the engine's `books` say.

    `clearing` is the chain's, `left_over` what the books know of it. `withdrawn` are co-signed withdrawals that a person found, by
    account. Those from slots that the books do not know need not be found: what lies there and what left from there is lost alike.
    """
    at, strays = by_account(slots, [books])
    unknown = [
        slot for account, slot in at.items() if account not in books.accounts and _unexplained(slot, flight)
    ]
    held = []
    for account, booked in sorted(books.accounts.items()):
        slot = at.get(account)
        if slot is None or (slot.page, slot.slot) != (booked.page, booked.slot):
            if booked.settled:
                return Obstacle(f"account {account} is not in the slot that the books have for it")
            continue
        if (one := _held(books, booked, slot, flight)) is not None:
            held.append(one)
    change = sum(one.holds - one.settled + withdrawn.get(one.account, 0) for one in held)
    stray = sum(slot.balance for slot in (*strays, *unknown))
    came = ahead.deposits - sum(flight.deposits.values())
    astray = stray - came + ahead.claimed - sum(flight.claims.values())
    unfound = ahead.paid - sum(withdrawn.values())
    if unfound and not (unfound > 0 and (strays or unknown)):
        return Obstacle(
            f"{unfound} micro-USDC left by co-signed withdrawals that nobody has named: look for their Withdrawn events"
        )
    if astray < 0:
        return Obstacle(
            "what came into slots that the books do not know is not there, and was not claimed from there"
        )
    strangers = sorted(books.strangers | {(slot.page, slot.slot) for slot in unknown})
    return Acceptance(tuple(held), clearing, astray, left_over - clearing - change, tuple(strangers))


def paid_and_reserved(slots: Sequence[OnChain], books: Books) -> int:
    """Micro-USDC of reserved withdrawals that the chain has paid: the engine counts them as paid in a moment."""
    at, _ = by_account(slots, [books])
    return sum(
        one.amount
        for account, reserved in books.reserved.items()
        for one in reserved
        if account in at and at[account].last_withdrawal == one.withdrawal
    )


def _held(books: Books, booked: Booked, slot: OnChain, flight: Flight) -> Held | None:
    """None of a slot that holds what the books say, with what is on its way, and of which they know what was not done."""
    there, undone = expected(books, booked, slot, flight)
    foreign = slot.last_withdrawal if slot.last_withdrawal > max(books.last_withdrawal, booked.foreign) else 0
    if slot.balance == there and booked.unapplied - slot.unapplied == undone and not foreign:
        return None
    settled = booked.settled or 0
    return Held(booked.account, settled, settled + undone + slot.balance - there, slot.unapplied, foreign)


def _unexplained(slot: OnChain, flight: Flight) -> bool:
    """Whether a slot of an account of which the books know nothing holds something else than what was paid into it."""
    return slot.balance != flight.deposits.get(slot.account, 0) - flight.claims.get(slot.account, 0)
