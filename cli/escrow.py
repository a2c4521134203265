"""The escrow of a development chain: created once for each operator's key, with keys made here."""

from collections.abc import Callable
from typing import Final

from chain.cluster import ClusterView
from chain.escrow import EscrowClient
from chain.keys import KeyFileRefused, KeypairSigner
from chain.layout import LayoutMismatch
from chain.rpc import ChainUnavailable
from chain.send import Landed, send_until
from chain.signers.interface import Signer, SigningFailed
from cli.probes import rpc
from cli.processes import StackFailed
from core.hosts import only_hosts
from places import rpc_url
from settings import Settings
from wiring import escrow_client, operator_signer

OPERATOR_LAMPORTS: Final = 10**12
"""Test SOL for the operator on the local chain: rent of pages and fees."""


async def create_escrow(settings: Settings, say: Callable[[str], None]) -> None:
    """Create escrow, vault and first page unless they are there. Raises `StackFailed`."""
    try:
        escrow = await escrow_client(settings)
    except (KeyFileRefused, SigningFailed) as error:
        raise StackFailed(f"The operator's key cannot be used: {error}") from None
    try:
        if await escrow.view.escrow_state() is not None:
            return
        say("creating the escrow on chain")
        async with operator_signer(settings) as operator:
            await _create(settings, escrow, operator)
    except SigningFailed as error:
        raise StackFailed(f"The operator's key does not sign: {error}") from None
    except ChainUnavailable as error:
        raise StackFailed(f"The chain at {only_hosts(rpc_url(settings))} does not answer: {error}") from error
    except LayoutMismatch as error:
        raise StackFailed(
            f"What is on the chain at {only_hosts(rpc_url(settings))} cannot be used: {error}; set PERPDEX_DATA to an empty "
            f"directory, or go on with the release that filled {settings.perpdex_data}."
        ) from error
    finally:
        await escrow.client.close()


async def _create(settings: Settings, escrow: EscrowClient, operator: Signer) -> None:
    keys = settings.perpdex_data / "keys"
    cluster = await ClusterView(escrow.client).cluster()
    if cluster is not None:
        # Keys made on the fly and floors of millions are for the local chain.
        raise StackFailed(
            f"There is no escrow at {escrow.addresses.escrow} on {cluster.name}: create it with `perpdex escrow initialize`."
        )
    if settings.escrow_admin not in ("", str(operator.pubkey)):
        raise StackFailed(
            f"There is no escrow of {settings.escrow_admin}, and the operator's key is another one: correct ESCROW_ADMIN."
        )
    if not settings.solana_rpc_url:
        rpc(rpc_url(settings), "requestAirdrop", str(operator.pubkey), OPERATOR_LAMPORTS)
    signed = await escrow.build_initialize(
        operator,
        operator=operator.pubkey,
        guardian=KeypairSigner.load_or_create(keys / "guardian.json").pubkey,
        treasury=KeypairSigner.load_or_create(keys / "treasury.json").pubkey,
        insurance=KeypairSigner.load_or_create(keys / "insurance.json").pubkey,
    )
    fate = await send_until(escrow.client, signed)
    if not isinstance(fate, Landed):
        raise StackFailed(f"The escrow could not be created on chain: {fate}")
