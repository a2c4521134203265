"""Transactions of the escrow program: built from its IDL and signed, never sent from here (see `chain.send`)."""

from typing import Final

from solana.rpc.async_api import AsyncClient
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import ID as SYSTEM_PROGRAM

from chain.addresses import TOKEN_PROGRAM, EscrowAddresses, wallet_of
from chain.building import UNITS, Building
from chain.deltas import encode_deltas
from chain.escrow_view import EscrowView
from chain.governance import GovernanceTransactions
from chain.limits import DEFAULT_LIMITS, Limits
from chain.signers.interface import Signer
from chain.transactions import Blockhash, Budget, SignedTransaction, UnsignedTransaction, signed, unsigned

SETTLE_UNITS: Final = 20_000
SETTLE_UNITS_PER_DELTA: Final = 450
"""201 when nobody has a loss limit, 482 when everybody has reached one, of which the page's own units bear the rest."""


class EscrowClient:
    """One escrow on one cluster. `view` reads it; the `build_` methods fetch a blockhash, build and sign. `governance` has what
    guardian and admin do; what owners do alone is the SDK's.

    `price` is the priority fee in micro-lamports per compute unit. Builders raise `ChainUnavailable` when no blockhash can be had,
    `SigningFailed` when a signer does not sign, and `ValueError` for what could never be sent.
    """

    def __init__(self, client: AsyncClient, program: Pubkey, admin: Pubkey, mint: Pubkey) -> None:
        self.client = client
        self.mint = mint
        self.addresses = EscrowAddresses(program, admin)
        self.view = EscrowView(client, self.addresses)
        self._building = Building(client, self.addresses)
        self.governance = GovernanceTransactions(self._building)

    async def blockhash(self) -> Blockhash:
        """The newest confirmed blockhash."""
        return await self._building.blockhash()

    def wallet_of(self, owner: Pubkey) -> Pubkey:
        """The owner's associated token account of the escrow's mint."""
        return wallet_of(owner, self.mint)

    async def build_initialize(
        self,
        admin: Signer,
        *,
        operator: Pubkey,
        guardian: Pubkey,
        treasury: Pubkey,
        insurance: Pubkey,
        limits: Limits = DEFAULT_LIMITS,
        price: int = 0,
    ) -> SignedTransaction:
        """Create the escrow, its vault and page 0, whose slots 0 and 1 belong to the treasury's and the insurance fund's owners."""
        accounts = {
            "escrow": self.addresses.escrow,
            "vault": self.addresses.vault,
            "page": self.addresses.page(0),
            "mint": self.mint,
            "admin": admin.pubkey,
            "system_program": SYSTEM_PROGRAM,
            "token_program": TOKEN_PROGRAM,
        }
        arguments = (operator, guardian, treasury, insurance, limits)
        return await self._building.signed("initialize", accounts, arguments, admin, price)

    async def build_create_page(self, operator: Signer, index: int, *, price: int = 0) -> SignedTransaction:
        """Add page `index`, which must be the number of pages so far. The operator pays its rent."""
        accounts = {**self._building.on_page(index, "operator", operator), "system_program": SYSTEM_PROGRAM}
        return await self._building.signed("create_page", accounts, (index,), operator, price)

    async def build_close_page(
        self, operator: Signer, index: int, payer: Pubkey, *, price: int = 0
    ) -> SignedTransaction:
        """Give up the last page, in which nobody has a place any more. Its rent goes to the page's `payer`."""
        accounts = {**self._building.on_page(index, "operator", operator), "payer": payer}
        return await self._building.signed("close_page", accounts, (), operator, price)

    async def build_open_account(
        self, operator: Signer, page: int, owner: Pubkey, account: int, *, price: int = 0
    ) -> SignedTransaction:
        """Give the engine's `account` the next slot of `page`, which nobody had before."""
        accounts = self._building.on_page(page, "operator", operator)
        return await self._building.signed("open_account", accounts, (owner, account), operator, price)

    async def build_reuse_slot(
        self, operator: Signer, page: int, owner: Pubkey, account: int, slot: int, *, price: int = 0
    ) -> SignedTransaction:
        """Give the engine's `account` the slot of a closed account, which the engine must have done with."""
        accounts = self._building.on_page(page, "operator", operator)
        return await self._building.signed("reuse_slot", accounts, (owner, account, slot), operator, price)

    async def build_deposit(
        self,
        owner: Signer,
        page: int,
        slot: int,
        amount: int,
        *,
        source: Pubkey | None = None,
        price: int = 0,
    ) -> SignedTransaction:
        """Move micro-USDC into a slot, out of the owner's associated token account or `source`. The owner pays the fee."""
        accounts = {
            "escrow": self.addresses.escrow,
            "page": self.addresses.page(page),
            "owner": owner.pubkey,
            "source": source or self.wallet_of(owner.pubkey),
            "vault": self.addresses.vault,
            "token_program": TOKEN_PROGRAM,
        }
        return await self._building.signed("deposit", accounts, (slot, amount), owner, price)

    async def withdraw_message(
        self,
        operator: Pubkey,
        owner: Pubkey,
        page: int,
        slot: int,
        amount: int,
        withdrawal: int,
        *,
        target: Pubkey | None = None,
        price: int = 0,
    ) -> UnsignedTransaction:
        """The message that owner and operator both sign; the operator pays the fee.

        The number `withdrawal` must be above the slot's last one, so of all messages with one number at most one is ever paid.
        `target` is a token account of the owner's, the associated one unless given.
        """
        accounts = {
            "escrow": self.addresses.escrow,
            "page": self.addresses.page(page),
            "owner": owner,
            "operator": operator,
            "target": target or self.wallet_of(owner),
            "vault": self.addresses.vault,
            "token_program": TOKEN_PROGRAM,
        }
        instruction = self._building.instruction("withdraw", accounts, (slot, amount, withdrawal))
        return unsigned(
            operator, instruction, Budget(UNITS["withdraw"], price), await self._building.blockhash()
        )

    @staticmethod
    async def combine_withdraw(
        message: UnsignedTransaction, operator: Signer, owner: Pubkey, signature: Signature
    ) -> SignedTransaction:
        """Both signatures on the message. Raises `SignatureRefused` when `signature` is not the owner's over it."""
        return await signed(message, [operator], {owner: signature})

    async def build_withdraw(
        self,
        operator: Signer,
        owner: Signer,
        page: int,
        slot: int,
        amount: int,
        withdrawal: int,
        *,
        target: Pubkey | None = None,
        price: int = 0,
    ) -> SignedTransaction:
        """The same where both keys are at hand."""
        message = await self.withdraw_message(
            operator.pubkey, owner.pubkey, page, slot, amount, withdrawal, target=target, price=price
        )
        return await signed(message, [operator, owner])

    async def build_open_batch(
        self, operator: Signer, batch: int, root: bytes, pages: int, *, price: int = 0
    ) -> SignedTransaction:
        """Open batch `batch`, the last sealed one plus one, of `pages` pages, committing to `root` (32 bytes)."""
        if len(root) != 32:
            raise ValueError("a root has 32 bytes")
        accounts = self._building.on_escrow("operator", operator)
        return await self._building.signed(
            "open_batch", accounts, (batch, list(root), pages), operator, price
        )

    async def build_settle_page(
        self, operator: Signer, batch: int, page: int, deltas: list[tuple[int, int]], *, price: int = 0
    ) -> SignedTransaction:
        """Settle a page by (slot, delta in micro-USDC) pairs in ascending slot order. Any page fits one transaction."""
        units = SETTLE_UNITS + SETTLE_UNITS_PER_DELTA * len(deltas)
        accounts = self._building.on_page(page, "operator", operator)
        return await self._building.signed(
            "settle_page", accounts, (batch, encode_deltas(deltas)), operator, price, units
        )

    async def build_seal_batch(self, operator: Signer, batch: int, *, price: int = 0) -> SignedTransaction:
        """Close a batch that has all its pages and nothing left over."""
        return await self._building.signed(
            "seal_batch", self._building.on_escrow("operator", operator), (batch,), operator, price
        )

    async def build_carry_batch(self, operator: Signer, batch: int, *, price: int = 0) -> SignedTransaction:
        """Close a batch that has all its pages although something is left over: the next batch can give it."""
        accounts = self._building.on_escrow("operator", operator)
        return await self._building.signed("carry_batch", accounts, (batch,), operator, price)

    async def build_abort_batch(self, operator: Signer, batch: int, *, price: int = 0) -> SignedTransaction:
        """Give up the open batch, of which no page is settled. The next one has its number."""
        accounts = self._building.on_escrow("operator", operator)
        return await self._building.signed("abort_batch", accounts, (batch,), operator, price)
