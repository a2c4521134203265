"""Which cluster a node belongs to, and what lies there: the program as it was deployed, the mint."""

import hashlib
import struct
from dataclasses import dataclass
from typing import Any, Final

from solana.rpc.async_api import AsyncClient
from solders.pubkey import Pubkey

from chain.addresses import TOKEN_PROGRAM
from chain.rpc import FINALIZED, ask

UPGRADEABLE_LOADER: Final = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")
_PROGRAM: Final = struct.Struct("<I32s")
_PROGRAM_KIND: Final = 2
_DATA_HEAD: Final = struct.Struct("<IQB32s")
"""Kind, slot of the deployment, whether there is an authority, the authority: before the code."""
_MINT_BYTES: Final = 82
_MINT_DECIMALS_AT: Final = 44


@dataclass(frozen=True, slots=True)
class Cluster:
    """A public cluster. Nobody can make another chain with its genesis hash."""

    name: str
    genesis: str
    usdc: Pubkey


CLUSTERS: Final = (
    Cluster(
        "mainnet",
        "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d",
        Pubkey.from_string("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"),
    ),
    Cluster(
        "devnet",
        "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG",
        Pubkey.from_string("4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU"),
    ),
)


class WrongCluster(Exception):
    """The node belongs to another cluster than SOLANA_CLUSTER names. The text is a sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A program on chain. `code_hash` is that of `code_hash`; `authority` may replace the code, None when nobody may any more."""

    code_hash: str
    authority: Pubkey | None


@dataclass(frozen=True, slots=True)
class Mint:
    decimals: int


def code_hash(code: bytes) -> str:
    """SHA-256 without the zeros at the end, in hex: the loader pads, and `solana-verify` counts the same way."""
    return hashlib.sha256(code.rstrip(b"\0")).hexdigest()


class ClusterView:
    """Reads what does not depend on any escrow. Every method raises `ChainUnavailable` when the node does not tell."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def genesis(self) -> str:
        return str((await ask(self._client.get_genesis_hash())).value)

    async def cluster(self) -> Cluster | None:
        """None for a chain that is none of the public ones."""
        genesis = await self.genesis()
        return next((one for one in CLUSTERS if one.genesis == genesis), None)

    async def must_be(self, wanted: str) -> str:
        """A phrase that says where the node belongs, which is the cluster `wanted`, or with none a chain that is not public.

        Raises `WrongCluster`.
        """
        cluster = await self.cluster()
        name = cluster.name if cluster is not None else ""
        told = name or f"a chain of its own, genesis {await self.genesis()}"
        if name == wanted:
            return told
        if wanted:
            raise WrongCluster(
                f"the node belongs to {told}, SOLANA_CLUSTER is {wanted}: correct SOLANA_RPC_URL"
            )
        raise WrongCluster(f"the node belongs to {told}: set SOLANA_CLUSTER={name} on every machine")

    async def lamports(self, key: Pubkey) -> int:
        return int((await ask(self._client.get_balance(key, FINALIZED))).value)

    async def rent(self, size: int) -> int:
        """Lamports that an account of `size` bytes needs on this cluster, now."""
        return int((await ask(self._client.get_minimum_balance_for_rent_exemption(size, FINALIZED))).value)

    async def deployment(self, program: Pubkey) -> Deployment | None:
        """The finalized program, or None when there is nothing that runs at its address."""
        account = await self._account(program)
        if account is None or not account.executable:
            return None
        if account.owner != UPGRADEABLE_LOADER:
            return Deployment(code_hash(account.data), None)
        kind, data_key = _PROGRAM.unpack_from(account.data)
        data = await self._account(Pubkey(data_key)) if kind == _PROGRAM_KIND else None
        if data is None:
            return None
        _, _, owned, authority = _DATA_HEAD.unpack_from(data.data)
        return Deployment(code_hash(data.data[_DATA_HEAD.size :]), Pubkey(authority) if owned else None)

    async def mint(self, key: Pubkey) -> Mint | None:
        """None when there is no mint of the token program at the address."""
        account = await self._account(key)
        if account is None or account.owner != TOKEN_PROGRAM or len(account.data) != _MINT_BYTES:
            return None
        return Mint(account.data[_MINT_DECIMALS_AT])

    async def _account(self, key: Pubkey) -> Any | None:
        return (await ask(self._client.get_account_info(key, FINALIZED))).value
