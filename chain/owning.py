"""What the owner of a slot does alone on chain: ask for its money, take that back, claim it.

Agents have the SDK for it; this is for slots of the exchange's own, whose keys may be in KMS or Vault.
"""

from typing import Final

from solders.pubkey import Pubkey

from chain.addresses import TOKEN_PROGRAM, wallet_of
from chain.building import Building
from chain.escrow import EscrowClient
from chain.signers.interface import Signer
from chain.transactions import SignedTransaction

UNITS: Final = 40_000
"""Compute units that any of these stays below."""
EVERYTHING: Final = 2**64 - 1
"""An amount to ask for: whatever the balance is when it is claimed."""


class OwnerTransactions:
    """Each method builds and signs; the owner pays the fee. `page` and `slot` say where the owner's account is."""

    def __init__(self, escrow: EscrowClient) -> None:
        self._building = Building(escrow.client, escrow.addresses)
        self._at = escrow.addresses
        self._mint = escrow.mint

    async def build_request_withdrawal(
        self, owner: Signer, page: int, slot: int, amount: int = EVERYTHING, *, price: int = 0
    ) -> SignedTransaction:
        """Ask for up to `amount` micro-USDC. One request at a time; settlement goes on until it is claimed."""
        accounts = self._building.on_page(page, "owner", owner)
        return await self._building.signed(
            "request_withdrawal", accounts, (slot, amount), owner, price, UNITS
        )

    async def build_cancel_withdrawal_request(
        self, owner: Signer, page: int, slot: int, *, price: int = 0
    ) -> SignedTransaction:
        accounts = self._building.on_page(page, "owner", owner)
        return await self._building.signed(
            "cancel_withdrawal_request", accounts, (slot,), owner, price, UNITS
        )

    async def build_claim_withdrawal(
        self, owner: Signer, page: int, slot: int, *, target: Pubkey | None = None, price: int = 0
    ) -> SignedTransaction:
        """Take what was asked for, or the balance when that is less, once the exit delay is over.

        `target` is a token account of the owner's, the associated one unless given.
        """
        accounts = {
            **self._building.on_page(page, "owner", owner),
            "target": target or wallet_of(owner.pubkey, self._mint),
            "vault": self._at.vault,
            "token_program": TOKEN_PROGRAM,
        }
        return await self._building.signed("claim_withdrawal", accounts, (slot,), owner, price, UNITS)
