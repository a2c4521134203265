"""What the owner of a slot does alone: besides leaving, it bounds its losses and closes its account.

The SDK has what users run; here it is one step at a time, whenever a test wants it.
"""

from chain import owning
from chain.limits import UNLIMITED
from chain.owning import UNITS
from chain.signers.interface import Signer
from chain.transactions import SignedTransaction


class OwnerTransactions(owning.OwnerTransactions):
    """Each method builds and signs; the owner pays the fee. `page` and `slot` say where the owner's account is."""

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
