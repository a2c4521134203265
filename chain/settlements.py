"""With which deltas a page took a batch: what the landed transaction says, whoever sent it. A batch's root is public before its pages
land, so whoever has the operator's key can open a batch with it and settle something else.
"""

from collections.abc import AsyncIterator, Sequence
from hashlib import sha256
from typing import Final

from solana.rpc.async_api import AsyncClient
from solders.signature import Signature

from chain.addresses import EscrowAddresses
from chain.deposits import called
from chain.rpc import CONFIRMED, FINALIZED, ask
from chain.vault_listing import SIGNATURES_PER_CALL

_SETTLE: Final = sha256(b"global:settle_page").digest()[:8]
_BATCH_BYTES: Final = 8
_LENGTH_BYTES: Final = 4


async def settled_deltas(
    client: AsyncClient, at: EscrowAddresses, page: int, batch: int, likely: Sequence[str], commitment: str
) -> bytes | None:
    """The bytes of the deltas with which `page` took the chain's `batch`, None where the node shows no transaction that did it.

    The signatures that are `likely` are looked at first, then those of the page, the newest first. Raises `ChainUnavailable`.
    """
    for signature in likely:
        found = await _deltas_in(client, at, page, batch, signature, commitment)
        if found is not None:
            return found
    async for signature in _of_page(client, at, page, commitment):
        found = await _deltas_in(client, at, page, batch, signature, commitment)
        if found is not None:
            return found
    return None


async def _deltas_in(
    client: AsyncClient, at: EscrowAddresses, page: int, batch: int, signature: str, commitment: str
) -> bytes | None:
    call = client.get_transaction(
        Signature.from_string(signature), "base64", commitment, max_supported_transaction_version=0
    )
    transaction = (await ask(call)).value
    if transaction is None or transaction.transaction.meta.err is not None:
        return None
    begin = _SETTLE + batch.to_bytes(_BATCH_BYTES, "little")
    for program, keys, data in called(transaction):
        if program == at.program_id and data.startswith(begin) and keys[:2] == [at.escrow, at.page(page)]:
            return data[len(begin) + _LENGTH_BYTES :]
    return None


async def _of_page(
    client: AsyncClient, at: EscrowAddresses, page: int, commitment: str
) -> AsyncIterator[str]:
    # Nodes list nothing below confirmed.
    level, before = FINALIZED if commitment == FINALIZED else CONFIRMED, None
    while True:
        call = client.get_signatures_for_address(at.page(page), before, None, SIGNATURES_PER_CALL, level)
        piece = (await ask(call)).value
        for one in piece:
            if one.err is None:
                yield str(one.signature)
        if len(piece) < SIGNATURES_PER_CALL:
            return
        before = piece[-1].signature
