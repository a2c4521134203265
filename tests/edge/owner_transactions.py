"""What the owner of a slot does alone: ask to leave and leave, bound its losses, close its account.

The SDK has what users run; here it is one step at a time, whenever a test wants it.
"""

from solders.pubkey import Pubkey

from chain.addresses import TOKEN_PROGRAM, wallet_of
from chain.escrow import EscrowClient
from chain.limits import UNLIMITED
from chain.signers.interface import Signer
from chain.transactions import SignedTransaction

UNITS = 40_000
"""Compute units that any of these stays below."""
EVERYTHING = 2**64 - 1
"""An amount to ask for: whatever the balance is when it is claimed."""


class OwnerTransactions:
    """Each method builds and signs; the owner pays the fee. `page` and `slot` say where the owner's account is."""

    def __init__(self, escrow: EscrowClient) -> None:
        self._building = escrow._building
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

    async def build_set_loss_limit(
        self, owner: Signer, page: int, slot: int, limit_usdc: int | None, *, price: int = 0
    ) -> SignedTransaction:
        """Let settlement take at most `limit_usdc` whole USDC within a window, or anything. A lower limit takes effect later."""
        limit = UNLIMITED if limit_usdc is None else limit_usdc
        accounts = self._building.on_page(page, "owner", owner)
        return await self._building.signed("set_loss_limit", accounts, (slot, limit), owner, price, UNITS)

    async def build_close_account(
        self, owner: Signer, page: int, slot: int, *, price: int = 0
    ) -> SignedTransaction:
        """Give up an empty account. What batches under way still credit stays the owner's to claim."""
        accounts = self._building.on_page(page, "owner", owner)
        return await self._building.signed("close_account", accounts, (slot,), owner, price, UNITS)
