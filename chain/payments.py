"""Co-signed withdrawals as they stand in signed bytes and in landed transactions, and which of them the chain has still to pay."""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any, Final, NamedTuple

from solders.pubkey import Pubkey
from solders.transaction import Transaction

from chain.addresses import EscrowAddresses
from chain.deposits import called, logs_of
from chain.events import LogsTruncated, Withdrawn, parse_events
from chain.layout import Page

_WITHDRAW: Final = sha256(b"global:withdraw").digest()[:8]
_NUMBERS_AT: Final = 8
_WITHDRAW_BYTES: Final = 26


class SignedPayment(NamedTuple):
    """`amount` micro-USDC out of a slot, to be paid as withdrawal number `withdrawal` of the exchange."""

    page: Pubkey
    slot: int
    owner: Pubkey
    amount: int
    withdrawal: int


def payment_in(raw: bytes) -> SignedPayment:
    """The payment of a transaction that `EscrowClient.withdraw_message` began: the last instruction, after those of the budget."""
    message = Transaction.from_bytes(raw).message
    call = message.instructions[-1]
    _, page, owner = (message.account_keys[index] for index in call.accounts[:3])
    return _payment(page, owner, bytes(call.data))


def payments_of(transaction: Any, at: EscrowAddresses) -> list[SignedPayment]:
    """What a successful transaction, as the node's client parses it from base64, paid out of our escrow by co-signed withdrawals.

    Read from the events; where the cluster cut the logs, from what was called, so that nobody hides a payment behind noise.
    """
    try:
        events = [one for one in parse_events(logs_of(transaction), at) if isinstance(one, Withdrawn)]
    except LogsTruncated:
        return [
            _payment(keys[1], keys[2], data)
            for program, keys, data in called(transaction)
            if program == at.program_id
            and data[:_NUMBERS_AT] == _WITHDRAW
            and len(data) == _WITHDRAW_BYTES
            and keys[0] == at.escrow
        ]
    return [SignedPayment(at.page(one.page), one.slot, one.owner, one.amount, one.number) for one in events]


def _payment(page: Pubkey, owner: Pubkey, instruction: bytes) -> SignedPayment:
    data = instruction[_NUMBERS_AT:]
    slot, amount, withdrawal = (
        int.from_bytes(data[at : at + size], "little") for at, size in ((0, 2), (2, 8), (10, 8))
    )
    return SignedPayment(page, slot, owner, amount, withdrawal)


def unpaid(
    payments: Iterable[SignedPayment], pages: Iterable[Page], at: EscrowAddresses
) -> list[SignedPayment]:
    """Those that their `pages` have not taken: a slot's numbers rise, so it has all up to its last one, or never will."""
    last = {(at.page(page.index), slot.index): slot.last_withdrawal for page in pages for slot in page.slots}
    return [one for one in payments if last.get((one.page, one.slot), 0) < one.withdrawal]
