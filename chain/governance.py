"""What the guardian and the admin do on chain: pause settlement; propose settings, which apply after the timelock."""

from solders.sysvar import INSTRUCTIONS

from chain.building import Building
from chain.limits import Settings
from chain.signers.interface import Signer
from chain.transactions import SignedTransaction


class GovernanceTransactions:
    """Each method builds and signs; whoever signs pays the fee."""

    def __init__(self, building: Building) -> None:
        self._building = building

    async def build_set_pause(self, guardian: Signer, paused: bool, *, price: int = 0) -> SignedTransaction:
        """Stop settlement, or let it go on. Deposits, withdrawals and exits never stop."""
        accounts = self._building.on_escrow("guardian", guardian)
        return await self._building.signed("set_pause", accounts, (paused,), guardian, price)

    async def build_propose(self, admin: Signer, settings: Settings, *, price: int = 0) -> SignedTransaction:
        """Announce all settings as they will be. One proposal is pending at a time."""
        accounts = {**self._building.on_escrow("admin", admin), "instructions": INSTRUCTIONS}
        arguments = (settings.admin, settings.operator, settings.guardian, settings.limits)
        return await self._building.signed("propose", accounts, arguments, admin, price)

    async def build_cancel_proposal(self, admin: Signer, *, price: int = 0) -> SignedTransaction:
        accounts = self._building.on_escrow("admin", admin)
        return await self._building.signed("cancel_proposal", accounts, (), admin, price)

    async def build_execute_proposal(self, anyone: Signer, *, price: int = 0) -> SignedTransaction:
        """Put the pending proposal into effect, once its timelock has run out."""
        accounts = {"escrow": self._building.on_escrow("", anyone)["escrow"]}
        return await self._building.signed("execute_proposal", accounts, (), anyone, price)
