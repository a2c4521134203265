"""Builds what reaches the other parts of the network: Temporal, the engine, the chain and the operator's key."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog
from solana.rpc.async_api import AsyncClient
from solders.pubkey import Pubkey
from temporalio.client import Client
from temporalio.envconfig import ClientConfig
from temporalio.runtime import Runtime

from activities.engine_door import EngineDoor
from chain.addresses import EscrowAddresses
from chain.cluster import ClusterView
from chain.escrow import EscrowClient
from chain.keys import KeypairSigner, forbid_core_dumps
from chain.localnet.genesis import PROGRAM_ID, USDC_MINT
from chain.rpc import ChainUnavailable
from chain.signers.interface import Signer
from chain.signers.opening import open_signer
from endings import NotReachable
from places import operator_token, rpc_url
from settings import Settings
from workflows.encryption import data_converter

_log = structlog.get_logger("wiring")
ASK_AGAIN_S: Final = 1.0


async def temporal_client(
    settings: Settings, runtime: Runtime | None = None, *, lazy: bool = False
) -> Client:
    """A client of the configured Temporal, or of the one that the supervisor started; a lazy one connects at its first call.

    TEMPORAL_API_KEY, TEMPORAL_TLS and the like mean what they mean to every Temporal tool. Raises `NotReachable`, and `KeyFileRefused`
    for payload keys that cannot be used.
    """
    connect = ClientConfig.load_client_connect_config()
    connect["target_host"] = settings.temporal_address or f"127.0.0.1:{settings.temporal_port}"
    connect["namespace"] = settings.temporal_namespace
    try:
        return await Client.connect(
            **connect, data_converter=data_converter(settings.payload_keys), runtime=runtime, lazy=lazy
        )
    except RuntimeError as error:  # all that the client says of a failure to connect
        raise NotReachable(
            f"Temporal does not answer at {connect['target_host']}: start it, or set TEMPORAL_ADDRESS ({error})"
        ) from error


def engine_door(settings: Settings) -> EngineDoor:
    return EngineDoor(settings.api_url, operator_token(settings))


@asynccontextmanager
async def operator_signer(settings: Settings) -> AsyncIterator[Signer]:
    """The operator's key, wherever it is; the one in keys/operator.json is made when it is missing.

    Raises `KeyFileRefused` and `SigningFailed`.
    """
    forbid_core_dumps()
    if settings.operator_key:
        async with open_signer(settings.operator_key) as signer:
            yield signer
    else:
        yield KeypairSigner.load_or_create(settings.perpdex_data / "keys" / "operator.json")


async def escrow_client(settings: Settings) -> EscrowClient:
    """The escrow of the configured admin, or of the operator's key. Raises what `operator_signer` raises."""
    admin = await _escrow_admin(settings)
    client = AsyncClient(rpc_url(settings), timeout=10)
    return EscrowClient(client, _escrow_program(settings), admin, escrow_mint(settings))


async def escrow_addresses(settings: Settings) -> EscrowAddresses:
    """Where the accounts of `escrow_client`'s escrow are, for who only names them. Raises what `operator_signer` raises."""
    return EscrowAddresses(_escrow_program(settings), await _escrow_admin(settings))


def escrow_mint(settings: Settings) -> Pubkey:
    return Pubkey.from_string(settings.escrow_mint) if settings.escrow_mint else USDC_MINT


def _escrow_program(settings: Settings) -> Pubkey:
    return Pubkey.from_string(settings.escrow_program) if settings.escrow_program else PROGRAM_ID


async def _escrow_admin(settings: Settings) -> Pubkey:
    if settings.escrow_admin:
        return Pubkey.from_string(settings.escrow_admin)
    async with operator_signer(settings) as operator:
        return operator.pubkey


async def must_be_our_cluster(settings: Settings, *, patient: bool) -> None:
    """See that the node belongs to the cluster that SOLANA_CLUSTER names, before anything is signed for it or shown to agents.

    A node that does not answer is no wrong one: the `patient` ask until it does, others go on. Raises `WrongCluster`.
    """
    async with AsyncClient(rpc_url(settings), timeout=10) as client:
        while True:
            try:
                await ClusterView(client).must_be(settings.solana_cluster)
                return
            except ChainUnavailable as error:
                _log.warning("the node does not say which cluster it belongs to", why=str(error))
            if not patient:
                return
            await asyncio.sleep(ASK_AGAIN_S)
