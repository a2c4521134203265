"""Finding deposits in a landed transaction."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import base58
from solders.pubkey import Pubkey

from chain.addresses import EscrowAddresses
from chain.events import Deposited, LogsTruncated, parse_events
from chain.layout import Slot
from chain.rpc import ChainUnavailable

_DEPOSIT: Final = sha256(b"global:deposit").digest()[:8]
_DEPOSIT_BYTES: Final = 18
SlotReader = Callable[[Pubkey, int], Awaitable[tuple[int, Slot] | None]]
"""Gives a page's index and a slot of it as they are now, by the page's address and the slot's number."""


@dataclass(frozen=True, slots=True)
class FoundDeposit:
    """A deposit in its transaction, which landed in chain slot `slot`.

    Its name for ever is the transaction's signature (base58) and its `index` among that transaction's deposits, from 0.
    `deposit.number` is 0 when the transaction's logs were cut; `deposit.account` is 0 when, besides, the slot was given to
    somebody else since then, so that nobody can tell whose it was.
    """

    signature: str
    index: int
    slot: int
    deposit: Deposited

    @property
    def key(self) -> str:
        return f"{self.signature}:{self.index}"


async def deposits_of(
    transaction: Any, signature: str, at: EscrowAddresses, slot_of: SlotReader
) -> list[FoundDeposit]:
    """Deposits of a successful transaction, as the node's client parses it from base64.

    Read from the events; where the cluster cut the logs, from the instructions, so that nobody hides a deposit behind noise.
    """
    try:
        events = [event for event in parse_events(logs_of(transaction), at) if isinstance(event, Deposited)]
    except LogsTruncated:
        events = [
            await _from_instruction(page, owner, data, slot_of)
            for page, owner, data in _instructions(transaction, at)
        ]
    return [FoundDeposit(signature, index, transaction.slot, event) for index, event in enumerate(events)]


def logs_of(transaction: Any) -> list[str]:
    """What a transaction logged. A node that kept no logs of it has not said that there were none: that is `ChainUnavailable`."""
    logs: list[str] | None = transaction.transaction.meta.log_messages
    if logs is None:
        raise ChainUnavailable("the node has the transaction without its logs")
    return logs


async def _from_instruction(page: Pubkey, owner: Pubkey, data: bytes, slot_of: SlotReader) -> Deposited:
    number, amount = int.from_bytes(data[8:10], "little"), int.from_bytes(data[10:18], "little")
    there = await slot_of(page, number)
    if there is None or there[1].owner != owner:
        return Deposited(there[0] if there else 0, number, owner, 0, amount, 0)
    return Deposited(there[0], number, owner, there[1].account, amount, 0)


def _instructions(transaction: Any, at: EscrowAddresses) -> Iterator[tuple[Pubkey, Pubkey, bytes]]:
    """Page, owner and data of every deposit instruction on our escrow, called by whomever, in the order they ran."""
    for program, keys, data in called(transaction):
        ours = program == at.program_id and data[:8] == _DEPOSIT
        if ours and len(data) == _DEPOSIT_BYTES and keys[0] == at.escrow:
            yield keys[1], keys[2], data


def called(transaction: Any, *, nested: bool = True) -> Iterator[tuple[Pubkey, list[Pubkey], bytes]]:
    """Program, accounts and data of every instruction in the order they ran: those that programs called too, or those alone that the
    transaction's signers signed (not `nested`)."""
    meta = transaction.transaction.meta
    message = transaction.transaction.transaction.message
    loaded = meta.loaded_addresses
    keys = [*message.account_keys, *(loaded.writable if loaded else ()), *(loaded.readonly if loaded else ())]
    within = meta.inner_instructions if nested else None
    inner = {each.index: each.instructions for each in within or ()}
    for index, outer in enumerate(message.instructions):
        for call in (outer, *inner.get(index, ())):
            data = call.data if isinstance(call.data, bytes) else base58.b58decode(call.data)
            yield keys[call.program_id_index], [keys[each] for each in call.accounts], data
