"""From a comparison to the command that has the books take over what the chain holds."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from activities.reconciliation import PENDING, REASONS
from activities.sides import Reading
from cli.door import NotDone
from core.acceptance import Ahead, Obstacle, acceptance, paid_and_reserved
from matcher import commands as c

TAKEN_OVER: Final = ("accounts_differ", "withdrawals_differ", *PENDING)
"""What a theft looks like in the totals."""


def found_withdrawal(text: str) -> c.ForeignWithdrawal:
    """Of ACCOUNT:MICRO_USDC:SIGNATURE. Raises `ValueError`."""
    account, amount, signature = text.split(":")
    return c.ForeignWithdrawal(int(account), int(amount), signature)


def accepting(
    differs: str, reading: Reading, withdrawn: Sequence[c.ForeignWithdrawal], why: str
) -> c.AcceptChain:
    """The command after a reading whose totals and accounts `differs` is about, a code of `REASONS`, empty where all agree.

    Raises `NotDone` where nothing can be taken over.
    """
    engine, books, chain = reading.engine, reading.books, reading.chain
    if engine is None or books is None:
        raise NotDone("the exchange does not answer, and it is its books that take something over")
    if reading.open_batch:
        raise NotDone(
            f"batch {reading.open_batch} is open on chain: finish it first (perpdex settlement carry, or abort)"
        )
    if differs not in ("", *TAKEN_OVER):
        raise NotDone(f"{REASONS[differs]}: that is no matter of who has what")
    apart = [one.account for one in reading.compared.differences if one.ledger not in (None, one.engine)]
    if apart:
        raise NotDone(f"engine and ledger differ from each other about accounts {apart}")
    gone = Counter[int]()
    for one in withdrawn:
        gone[one.account] += one.amount
    paid = (chain.withdrawals - chain.claimed) - (engine.withdrawals - engine.claimed - engine.astray)
    ahead = Ahead(
        chain.deposits - engine.deposits,
        chain.claimed - engine.claimed,
        paid - paid_and_reserved(reading.slots, books),
    )
    found = acceptance(reading.slots, reading.flight, books, ahead, chain.clearing, reading.left_over, gone)
    if isinstance(found, Obstacle):
        raise NotDone(found.sentence)
    slots = tuple(c.HeldSlot(*one) for one in found.slots)
    return c.AcceptChain(
        slots, found.left_over, found.astray, found.lost, found.strangers, tuple(withdrawn), why=why
    )
