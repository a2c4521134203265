"""From a comparison to the command that has the books take over what the chain holds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from solders.signature import Signature

from activities.reconciliation import PENDING, REASONS
from activities.sides import Reading
from chain.escrow import EscrowClient
from chain.landed import landed_transaction
from chain.payments import SignedPayment, payments_of
from chain.rpc import FINALIZED
from cli.door import NotDone
from core.acceptance import Ahead, Obstacle, acceptance, paid_and_reserved
from core.reconciliation import Booked
from matcher import commands as c

TAKEN_OVER: Final = ("accounts_differ", "withdrawals_differ", *PENDING)
"""What a theft looks like in the totals."""


def found_withdrawal(text: str) -> c.ForeignWithdrawal:
    """Of ACCOUNT:MICRO_USDC:SIGNATURE. Raises `NotDone` for anything else."""
    try:
        account, amount, signature = text.split(":")
        return c.ForeignWithdrawal(int(account), int(amount), str(Signature.from_string(signature)))
    except ValueError as error:
        raise NotDone(f"{text!r} is not ACCOUNT:MICRO_USDC:SIGNATURE: {error}") from None


async def must_have_left(
    escrow: EscrowClient, accounts: Mapping[int, Booked], named: Sequence[c.ForeignWithdrawal]
) -> None:
    """Raises `NotDone` unless each of those withdrawals left the slot that the books have for its account, finally; `ChainUnavailable`
    where the node does not tell.

    A slip in one would book somebody's money as gone that is there, and that of whoever lost it as there.
    """
    left: dict[str, list[SignedPayment]] = {}
    for one in named:
        booked = accounts.get(one.account)
        if booked is None:
            raise NotDone(f"withdrawal_not_there: account {one.account} has no slot in the books")
        if one.signature not in left:
            left[one.signature] = await _left_by(escrow, one.signature)
        of_slot = [
            paid
            for paid in left[one.signature]
            if (paid.page, paid.slot) == (escrow.addresses.page(booked.page), booked.slot)
            and booked.owner in ("", str(paid.owner))
        ]
        found = next((paid for paid in of_slot if paid.amount == one.amount), None)
        if found is None:
            amounts = ", ".join(str(paid.amount) for paid in of_slot) or "nothing"
            raise NotDone(
                f"withdrawal_not_there: by {one.signature} account {one.account} in slot {booked.page}/{booked.slot} was paid "
                f"{amounts} by co-signed withdrawals, and {one.amount} micro-USDC were named"
            )
        # Named twice, it must have been paid twice.
        left[one.signature].remove(found)


async def _left_by(escrow: EscrowClient, signature: str) -> list[SignedPayment]:
    transaction = await landed_transaction(escrow.client, signature, FINALIZED)
    if transaction is None:
        raise NotDone(
            f"withdrawal_not_final: the node has no final transaction {signature}; wait for finality, or ask a node that keeps it"
        )
    if transaction.transaction.meta.err is not None:
        raise NotDone(f"withdrawal_failed: transaction {signature} failed and moved nothing")
    return payments_of(transaction, escrow.addresses)


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
