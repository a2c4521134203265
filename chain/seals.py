"""Who sealed a batch: the exchange itself, or somebody else with the operator's key. The root stands in that transaction for ever."""

from typing import Final

from solana.rpc.async_api import AsyncClient

from chain.addresses import EscrowAddresses
from chain.events import BatchSealed, LogsTruncated, parse_events
from chain.landed import landed_transaction
from chain.rpc import FINALIZED, ask

LOOKED_THROUGH: Final = 300
"""Newest transactions of the escrow that are looked at: all of its batches, deposits and withdrawals name it, and a seal is looked for
within moments."""


async def seal_of(client: AsyncClient, at: EscrowAddresses, number: int, root: bytes) -> str:
    """Signature of the finalized transaction that sealed the chain's batch `number` with that root; empty where the node shows none.

    Raises `ChainUnavailable`, and `NodeLies` as `landed_transaction`.
    """
    listed = await ask(client.get_signatures_for_address(at.escrow, None, None, LOOKED_THROUGH, FINALIZED))
    for one in listed.value:
        signature = str(one.signature)
        found = await landed_transaction(client, signature, FINALIZED) if one.err is None else None
        logs = tuple(found.transaction.meta.log_messages or ()) if found is not None else ()
        try:
            sealed = [event for event in parse_events(logs, at) if isinstance(event, BatchSealed)]
        except LogsTruncated:
            # Nobody's seal, or one that no proof could be checked against either: anybody can name the escrow and log a lot.
            continue
        if any((event.id, event.root) == (number, root) for event in sealed):
            return signature
    return ""
