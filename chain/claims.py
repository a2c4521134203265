"""Finding in a landed transaction what owners took out of the escrow without the operator."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from chain.addresses import TOKEN_PROGRAM, EscrowAddresses
from chain.deposits import SlotReader, called, logs_of
from chain.events import LogsTruncated, WithdrawalClaimed, parse_events
from core.exit_events import CLAIM

_CLAIM: Final = sha256(b"global:claim_withdrawal").digest()[:8]
_CLAIM_BYTES: Final = 10
_TRANSFERS: Final = (b"\x03", b"\x0c")
"""First bytes of the token program's `Transfer` and `TransferChecked`."""


@dataclass(frozen=True, slots=True)
class FoundClaim:
    """A claim in its transaction, which landed in chain slot `slot`, named like a deposit (`chain.deposits.FoundDeposit`).

    When the transaction's logs were cut, `claim.asked` is 0, and `claim.account` is 0 if besides the slot was given to somebody else
    since then.
    """

    signature: str
    index: int
    slot: int
    claim: WithdrawalClaimed

    @property
    def key(self) -> str:
        return f"{CLAIM}{self.signature}:{self.index}"


async def claims_of(
    transaction: Any, signature: str, at: EscrowAddresses, slot_of: SlotReader
) -> list[FoundClaim]:
    """Claims in a successful transaction, from the events, or from what was called where the cluster cut the logs."""
    try:
        events = [one for one in parse_events(logs_of(transaction), at) if isinstance(one, WithdrawalClaimed)]
    except LogsTruncated:
        events = await _from_calls(transaction, at, slot_of)
    return [FoundClaim(signature, index, transaction.slot, event) for index, event in enumerate(events)]


async def _from_calls(transaction: Any, at: EscrowAddresses, slot_of: SlotReader) -> list[WithdrawalClaimed]:
    """The amount is nowhere in a claim: it is in the transfer out of the vault that the program calls next."""
    found = []
    calls = list(called(transaction))
    for place, (program, keys, data) in enumerate(calls):
        ours = program == at.program_id and data[:8] == _CLAIM and len(data) == _CLAIM_BYTES
        if not ours or keys[0] != at.escrow or place + 1 == len(calls):
            continue
        paying, moved, transfer = calls[place + 1]
        if paying != TOKEN_PROGRAM or transfer[:1] not in _TRANSFERS or moved[0] != at.vault:
            continue
        page, owner = keys[1], keys[2]
        number, amount = int.from_bytes(data[8:10], "little"), int.from_bytes(transfer[1:9], "little")
        there = await slot_of(page, number)
        account = there[1].account if there is not None and there[1].owner == owner else 0
        found.append(WithdrawalClaimed(there[0] if there else 0, number, owner, account, amount, 0))
    return found
