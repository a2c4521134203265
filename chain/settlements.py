"""With which deltas a page took a batch: what the landed transaction says, whoever sent it. A batch's root is public before its pages
land, so whoever has the operator's key can open a batch with it and settle something else.
"""

from collections.abc import AsyncIterator, Sequence
from hashlib import sha256
from typing import Any, Final

from solana.rpc.async_api import AsyncClient
from solders.compute_budget import ID as COMPUTE_BUDGET
from solders.signature import Signature

from chain.addresses import EscrowAddresses
from chain.deposits import called
from chain.landed import landed_transaction
from chain.rpc import CONFIRMED, FINALIZED, LEVELS, ask
from chain.send import commitment_of
from chain.vault_listing import SIGNATURES_PER_CALL

_SETTLE: Final = sha256(b"global:settle_page").digest()[:8]
_BATCH_AT: Final = len(_SETTLE)
_DELTAS_AT: Final = _BATCH_AT + 8 + 4
"""After the batch's number (u64) and the length of the deltas (u32)."""
_OPERATOR: Final = 2
"""Place of whoever settles among the accounts of `settle_page`, after the escrow and the page."""
_STATUSES_PER_CALL: Final = 256


async def settled_deltas(
    client: AsyncClient, at: EscrowAddresses, page: int, batch: int, likely: Sequence[str], commitment: str
) -> bytes | None:
    """The bytes of the deltas with which `page` took the chain's `batch`, None where the node shows no transaction that did it.

    The signatures that are `likely` are looked at first. When the node has one of them as landed and does not show it, it shows the
    rest later as well, and nothing else is looked through. Otherwise those of the page are, the newest first, down to the first slot
    in which the page took an earlier batch: its batches only grow. Raises `ChainUnavailable`, and `NodeLies` as `landed_transaction`.
    """
    unseen = []
    for signature in likely:
        settled = await _settled_in(client, at, page, signature, commitment)
        if settled is None:
            unseen.append(signature)
        elif batch in settled:
            return settled[batch]
    if unseen and await _any_landed(client, unseen, commitment):
        return None
    earliest = 0
    async for signature, slot in _of_page(client, at, page, commitment):
        # Within a slot nodes list by place or by signature, as their release has it.
        if slot < earliest:
            return None
        settled = await _settled_in(client, at, page, signature, commitment) or {}
        if batch in settled:
            return settled[batch]
        if any(number < batch for number in settled):
            earliest = slot
    return None


async def _settled_in(
    client: AsyncClient, at: EscrowAddresses, page: int, signature: str, commitment: str
) -> dict[int, bytes] | None:
    """The deltas of every batch that the page took in a transaction, None while the node does not show it."""
    transaction = await landed_transaction(client, signature, commitment)
    if transaction is None:
        return None
    return _settled(transaction, at, page) if transaction.transaction.meta.err is None else {}


def _settled(transaction: Any, at: EscrowAddresses, page: int) -> dict[int, bytes]:
    """Only what the settling key signed for counts. What programs called is the node's word: it counts only where a program besides
    the escrow is called at all, which the exchange itself never does, and the escrow calls nothing that settles.
    """
    message = transaction.transaction.transaction.message
    signers = message.account_keys[: message.header.num_required_signatures]
    programs = {message.account_keys[one.program_id_index] for one in message.instructions}
    settled = {}
    for program, keys, data in called(transaction, nested=not programs <= {at.program_id, COMPUTE_BUDGET}):
        ours = program == at.program_id and keys[:_OPERATOR] == [at.escrow, at.page(page)]
        if ours and data.startswith(_SETTLE) and keys[_OPERATOR] in signers:
            settled[int.from_bytes(data[_BATCH_AT : _BATCH_AT + 8], "little")] = data[_DELTAS_AT:]
    return settled


async def _any_landed(client: AsyncClient, signatures: Sequence[str], commitment: str) -> bool:
    """Whether the node says of one of the first of them that it succeeded and lies at that commitment."""
    asked = [Signature.from_string(one) for one in signatures[:_STATUSES_PER_CALL]]
    found = (await ask(client.get_signature_statuses(asked, search_transaction_history=True))).value
    return any(
        one is not None and one.err is None and LEVELS[commitment_of(one)] >= LEVELS[commitment]
        for one in found
    )


async def _of_page(
    client: AsyncClient, at: EscrowAddresses, page: int, commitment: str
) -> AsyncIterator[tuple[str, int]]:
    """Signature and slot of every successful transaction that names the page, the newest first."""
    # Nodes list nothing below confirmed.
    level, before = FINALIZED if commitment == FINALIZED else CONFIRMED, None
    while True:
        call = client.get_signatures_for_address(at.page(page), before, None, SIGNATURES_PER_CALL, level)
        piece = (await ask(call)).value
        for one in piece:
            if one.err is None:
                yield str(one.signature), one.slot
        if len(piece) < SIGNATURES_PER_CALL:
            return
        before = piece[-1].signature
