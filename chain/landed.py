"""A landed transaction as a node shows it, held against what its signers signed.

Its message is covered by its signatures, so nobody can show another one under its name. What became of it (error, logs, the calls that
programs made, addresses from lookup tables) is the node's word.
"""

from typing import Any

from solana.rpc.async_api import AsyncClient
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from chain.rpc import ChainUnavailable, ask


class NodeLies(ChainUnavailable):
    """A node showed a transaction that nobody signed so: nothing in it is known, and asking again, or another node, is safe."""

    code = "node_lies"


async def landed_transaction(client: AsyncClient, signature: str, commitment: str) -> Any:
    """The transaction as the node's client parses it from base64, None while the node does not have it at that commitment.

    Raises `ChainUnavailable`, and its kind `NodeLies` when it is not the one that was asked for, or not signed by all its signers.
    """
    wanted = Signature.from_string(signature)
    call = client.get_transaction(wanted, "base64", commitment, max_supported_transaction_version=0)
    found = (await ask(call)).value
    if found is not None and not _is_signed(found.transaction.transaction, wanted):
        raise NodeLies(f"what the node shows as {signature} was not signed so")
    return found


def _is_signed(transaction: VersionedTransaction, wanted: Signature) -> bool:
    needed = transaction.message.header.num_required_signatures
    signatures = transaction.signatures
    return (
        0 < needed == len(signatures) and signatures[0] == wanted and all(transaction.verify_with_results())
    )
