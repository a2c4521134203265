"""Co-signed withdrawals as they stand in signed bytes, and which of them the chain has still to pay."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from solders.pubkey import Pubkey
from solders.transaction import Transaction

from chain.addresses import EscrowAddresses
from chain.layout import Page

_NUMBERS_AT: Final = 8


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
    data = bytes(call.data)[_NUMBERS_AT:]
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
