"""An instruction of the escrow's IDL as a signed transaction of its own."""

from typing import Any, Final

from solana.rpc.async_api import AsyncClient
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from chain.addresses import EscrowAddresses
from chain.idl import escrow_idl
from chain.rpc import CONFIRMED, ask
from chain.signers.interface import Signer
from chain.transactions import Blockhash, Budget, SignedTransaction, signed, unsigned

UNITS: Final = {
    "initialize": 120_000,
    "create_page": 80_000,
    "close_page": 30_000,
    "open_account": 30_000,
    "reuse_slot": 30_000,
    "deposit": 30_000,
    "withdraw": 40_000,
    "open_batch": 20_000,
    "seal_batch": 20_000,
    "carry_batch": 20_000,
    "abort_batch": 20_000,
    "set_pause": 20_000,
    "propose": 20_000,
    "cancel_proposal": 20_000,
    "execute_proposal": 20_000,
}
"""Compute unit limits. The first two search for addresses, 1,500 units a try and a fixed number of tries for each address: an unlucky
one must not make a page impossible."""


class Building:
    """Builds for one escrow on one cluster.

    Raises `ChainUnavailable` when no blockhash can be had, `SigningFailed` when a signer does not sign.
    """

    def __init__(self, client: AsyncClient, addresses: EscrowAddresses) -> None:
        self._client = client
        self._at = addresses
        from anchorpy import Program, Provider, Wallet  # as in `chain.idl`

        # The wallet is never used: every method is given the keys it signs with.
        provider = Provider(client, Wallet(Keypair()))
        self._program = Program(escrow_idl(), addresses.program_id, provider)

    async def blockhash(self) -> Blockhash:
        """The newest confirmed blockhash: as long a life as can be had without the risk of a fork."""
        value = (await ask(self._client.get_latest_blockhash(CONFIRMED))).value
        return Blockhash(value.blockhash, value.last_valid_block_height)

    def on_escrow(self, role: str, signer: Signer) -> dict[str, Pubkey]:
        """The accounts of an instruction on the escrow account that `signer` signs as operator, admin, guardian or owner."""
        return {"escrow": self._at.escrow, role: signer.pubkey}

    def on_page(self, page: int, role: str, signer: Signer) -> dict[str, Pubkey]:
        return {**self.on_escrow(role, signer), "page": self._at.page(page)}

    def instruction(self, name: str, accounts: dict[str, Pubkey], arguments: tuple[Any, ...]) -> Instruction:
        from anchorpy import Context

        built: Instruction = self._program.instruction[name](*arguments, ctx=Context(accounts=accounts))
        return built

    async def signed(
        self,
        name: str,
        accounts: dict[str, Pubkey],
        arguments: tuple[Any, ...],
        payer: Signer,
        price: int,
        units: int | None = None,
    ) -> SignedTransaction:
        """One instruction, its fee paid by `payer`, who alone signs, at `price` micro-lamports per compute unit."""
        instruction = self.instruction(name, accounts, arguments)
        budget = Budget(units or UNITS[name], price)
        return await signed(unsigned(payer.pubkey, instruction, budget, await self.blockhash()), [payer])
