"""Transactions of the escrow program: built from its IDL and signed, never sent from here (see `chain.send`)."""

from typing import Any, Final

from anchorpy import Context, Program, Provider, Wallet
from solana.rpc.async_api import AsyncClient
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM

from chain.addresses import TOKEN_PROGRAM, wallet_of
from chain.deltas import decode_deltas
from chain.deposits import Deposit
from chain.escrow_view import EscrowSnapshot, EscrowView, NotOnChain, Receipt
from chain.idl import error_name, escrow_idl
from chain.layout import EscrowState, PageView, SlotView, parse_page
from chain.rpc import Level, ask
from chain.transactions import Blockhash, Budget, Signed, Unsigned, co_signed, signed, unsigned

__all__ = [
    "Deposit",
    "EscrowClient",
    "EscrowSnapshot",
    "EscrowState",
    "NotOnChain",
    "PageView",
    "Receipt",
    "Signed",
    "SlotView",
    "Unsigned",
    "error_name",
    "parse_page",
]

UNITS: Final = {
    "initialize": 60_000,
    "create_page": 30_000,
    "open_account": 30_000,
    "deposit": 30_000,
    "withdraw": 40_000,
    "open_batch": 20_000,
    "seal_batch": 20_000,
}
"""Compute unit limits: above what each was measured to use, because the search for an address varies."""
SETTLE_UNITS: Final = 20_000
SETTLE_UNITS_PER_DELTA: Final = 250


class EscrowClient(EscrowView):
    """One escrow on one cluster: what `EscrowView` reads, and `build_` methods that fetch a blockhash, build and sign.

    `fee` is the priority fee in micro-lamports per compute unit. Builders raise `ChainUnavailable` when no blockhash can be had, and
    `ValueError` for what could never be sent.
    """

    def __init__(self, rpc: AsyncClient, program: Pubkey, admin: Pubkey, mint: Pubkey) -> None:
        super().__init__(rpc, program, admin)
        self.mint = mint
        # The wallet is never used: every method is given the keys it signs with.
        self._program = Program(escrow_idl(), program, Provider(rpc, Wallet(Keypair())))

    def wallet_of(self, owner: Pubkey) -> Pubkey:
        """The owner's associated token account of the escrow's mint."""
        return wallet_of(owner, self.mint)

    async def build_initialize(
        self,
        admin: Keypair,
        operator: Pubkey,
        guardian: Pubkey,
        treasury: Pubkey,
        insurance: Pubkey,
        fee: int = 0,
    ) -> Signed:
        """Create the escrow, its vault and page 0, whose slots 0 and 1 belong to the treasury's and the insurance fund's owners."""
        accounts = {
            "escrow": self.address,
            "vault": self.vault,
            "page": self.page_address(0),
            "mint": self.mint,
            "admin": admin.pubkey(),
            "system_program": SYSTEM_PROGRAM,
            "token_program": TOKEN_PROGRAM,
        }
        arguments = (operator, guardian, treasury, insurance)
        return await self._signed("initialize", accounts, arguments, admin, fee)

    async def build_create_page(self, operator: Keypair, index: int, fee: int = 0) -> Signed:
        """Add page `index`, which must be the number of pages so far. The operator pays its rent."""
        accounts = {**self._on_page(index, operator), "system_program": SYSTEM_PROGRAM}
        return await self._signed("create_page", accounts, (index,), operator, fee)

    async def build_open_account(
        self, operator: Keypair, page: int, owner: Pubkey, account: int, fee: int = 0
    ) -> Signed:
        """Give the engine's `account` the next free slot of `page`."""
        accounts = self._on_page(page, operator)
        return await self._signed("open_account", accounts, (owner, account), operator, fee)

    async def build_deposit(
        self, owner: Keypair, page: int, slot: int, amount: int, *, source: Pubkey | None = None, fee: int = 0
    ) -> Signed:
        """Move micro-USDC into a slot, out of the owner's associated token account or `source`. The owner pays the fee."""
        accounts = {
            "escrow": self.address,
            "page": self.page_address(page),
            "owner": owner.pubkey(),
            "source": source or self.wallet_of(owner.pubkey()),
            "vault": self.vault,
            "token_program": TOKEN_PROGRAM,
        }
        return await self._signed("deposit", accounts, (slot, amount), owner, fee)

    async def withdrawal_message(
        self,
        operator: Pubkey,
        owner: Pubkey,
        page: int,
        slot: int,
        amount: int,
        withdrawal: int,
        target: Pubkey | None = None,
        fee: int = 0,
    ) -> Unsigned:
        """The message that owner and operator both sign; the operator pays the fee.

        The number `withdrawal` must be above the slot's last one, so of all messages with one number at most one is ever paid.
        `target` is a token account of the owner's, the associated one unless given.
        """
        accounts = {
            "escrow": self.address,
            "page": self.page_address(page),
            "owner": owner,
            "operator": operator,
            "target": target or self.wallet_of(owner),
            "vault": self.vault,
            "token_program": TOKEN_PROGRAM,
        }
        instruction = self._instruction("withdraw", accounts, (slot, amount, withdrawal))
        return unsigned(operator, instruction, Budget(UNITS["withdraw"], fee), await self.blockhash())

    @staticmethod
    def sign_withdrawal(message: Unsigned, operator: Keypair, owner_signature: str) -> Signed:
        """Both signatures on the message. Raises `SignatureRefused` when `owner_signature` (base58) is not the owner's over it."""
        return co_signed(message, operator, owner_signature)

    async def build_open_batch(
        self, operator: Keypair, batch: int, root: bytes, pages: int, fee: int = 0
    ) -> Signed:
        """Open batch `batch`, the last sealed one plus one, of `pages` pages, committing to `root` (32 bytes)."""
        if len(root) != 32:
            raise ValueError("a root has 32 bytes")
        accounts = self._on_escrow(operator)
        return await self._signed("open_batch", accounts, (batch, list(root), pages), operator, fee)

    async def build_settle_page(
        self, operator: Keypair, batch: int, page: int, deltas: bytes, fee: int = 0
    ) -> Signed:
        """Settle a page by its encoded deltas (`chain.deltas`). Any page fits one transaction."""
        units = SETTLE_UNITS + SETTLE_UNITS_PER_DELTA * len(decode_deltas(deltas))
        accounts = self._on_page(page, operator)
        return await self._signed("settle_page", accounts, (batch, deltas), operator, fee, units)

    async def build_seal_batch(self, operator: Keypair, batch: int, fee: int = 0) -> Signed:
        """Close a batch that has all its pages and nothing left over."""
        return await self._signed("seal_batch", self._on_escrow(operator), (batch,), operator, fee)

    async def blockhash(self) -> Blockhash:
        """The newest confirmed blockhash: as long a life as can be had without the risk of a fork."""
        value = (await ask(self.rpc.get_latest_blockhash(Level.CONFIRMED.commitment))).value
        return Blockhash(value.blockhash, value.last_valid_block_height)

    def _on_escrow(self, operator: Keypair) -> dict[str, Pubkey]:
        return {"escrow": self.address, "operator": operator.pubkey()}

    def _on_page(self, page: int, operator: Keypair) -> dict[str, Pubkey]:
        return {**self._on_escrow(operator), "page": self.page_address(page)}

    def _instruction(self, name: str, accounts: dict[str, Pubkey], arguments: tuple[Any, ...]) -> Instruction:
        built: Instruction = self._program.instruction[name](*arguments, ctx=Context(accounts=accounts))
        return built

    async def _signed(
        self,
        name: str,
        accounts: dict[str, Pubkey],
        arguments: tuple[Any, ...],
        payer: Keypair,
        fee: int,
        units: int | None = None,
    ) -> Signed:
        instruction = self._instruction(name, accounts, arguments)
        budget = Budget(units or UNITS[name], fee)
        return signed(unsigned(payer.pubkey(), instruction, budget, await self.blockhash()), [payer])
