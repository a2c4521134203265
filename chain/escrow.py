"""The escrow's client: transactions built through the IDL and signed but not sent, and everything that can be read."""

import base64
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from anchorpy import Context, EventParser, Idl, Program, Provider, Wallet
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed, Finalized
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import ID as SYSTEM
from solders.transaction import Transaction
from spl.token.constants import TOKEN_PROGRAM_ID as TOKEN
from spl.token.instructions import get_associated_token_address

IDL_FILE: Final = Path(str(files("chain"))).parent / "contracts" / "solana" / "escrow" / "idl.json"
SLOT_LAYOUT: Final = struct.Struct("<32s6Q2I")
PAGE_HEADER: Final = struct.Struct("<8s32sQII16s")
SETTLE_UNITS: Final = 60_000
STEP_UNITS: Final = 60_000
CREATE_UNITS: Final = 300_000
READ_AT_ONCE: Final = 100


@dataclass(frozen=True)
class Signed:
    """A signed transaction that has not been sent: the bytes to persist and send, and until when they can land."""

    raw: bytes
    signature: str
    last_valid_block_height: int


@dataclass(frozen=True)
class Unsigned:
    """The bytes of a message for others to sign."""

    message: bytes
    last_valid_block_height: int


@dataclass(frozen=True)
class SlotView:
    """One used slot of a page. Money in micro-USDC."""

    page: int
    slot: int
    owner: str
    account: int
    balance: int
    last_withdrawal: int


@dataclass(frozen=True)
class PageView:
    index: int
    last_batch: int
    slots: tuple[SlotView, ...]


@dataclass(frozen=True)
class Deposit:
    """A deposit seen on chain; `index` counts the deposits of one transaction."""

    signature: str
    index: int
    page: int
    slot: int
    owner: str
    account: int
    amount: int
    number: int


class EscrowClient:
    """Reads and builds against one escrow. Every `build_*` asks for a blockhash and sends nothing."""

    def __init__(self, rpc: AsyncClient, program: Pubkey, admin: Pubkey, mint: Pubkey) -> None:
        self.rpc = rpc
        self.program = program
        self.admin = admin
        self.mint = mint
        self._idl = Idl.from_json(IDL_FILE.read_text())
        self._anchor = Program(self._idl, program, Provider(rpc, Wallet(Keypair())))
        self.address = self._derive(b"escrow", bytes(admin))
        self.vault = self._derive(b"vault", bytes(self.address))

    def page_address(self, index: int) -> Pubkey:
        return self._derive(b"page", bytes(self.address), struct.pack("<I", index))

    def wallet_of(self, owner: Pubkey) -> Pubkey:
        """The owner's associated token account of the escrow's mint."""
        return get_associated_token_address(owner, self.mint)

    async def build_initialize(
        self, admin: Keypair, operator: Pubkey, guardian: Pubkey, treasury: Pubkey, insurance: Pubkey
    ) -> Signed:
        accounts = {
            "escrow": self.address,
            "vault": self.vault,
            "page": self.page_address(0),
            "mint": self.mint,
            "admin": admin.pubkey(),
            "system_program": SYSTEM,
            "token_program": TOKEN,
        }
        step = self._step("initialize", (operator, guardian, treasury, insurance), accounts)
        return await self._signed([set_compute_unit_limit(CREATE_UNITS), step], [admin])

    async def build_create_page(self, operator: Keypair, index: int, fee: int = 0) -> Signed:
        accounts = {
            "escrow": self.address,
            "page": self.page_address(index),
            "operator": operator.pubkey(),
            "system_program": SYSTEM,
        }
        return await self._operated("create_page", (index,), accounts, operator, CREATE_UNITS, fee)

    async def build_open_account(
        self, operator: Keypair, page: int, owner: Pubkey, account: int, fee: int = 0
    ) -> Signed:
        return await self._operated(
            "open_account", (owner, account), self._settling(operator, page), operator, STEP_UNITS, fee
        )

    async def build_deposit(self, owner: Keypair, page: int, slot: int, amount: int) -> Signed:
        accounts = {
            "escrow": self.address,
            "page": self.page_address(page),
            "owner": owner.pubkey(),
            "source": self.wallet_of(owner.pubkey()),
            "vault": self.vault,
            "token_program": TOKEN,
        }
        return await self._signed([self._step("deposit", (slot, amount), accounts)], [owner])

    async def withdrawal_message(
        self,
        operator: Pubkey,
        owner: Pubkey,
        page: int,
        slot: int,
        amount: int,
        withdrawal: int,
        target: Pubkey | None = None,
    ) -> Unsigned:
        """The message that both sign; the operator pays the fee."""
        accounts = {
            "escrow": self.address,
            "page": self.page_address(page),
            "owner": owner,
            "operator": operator,
            "target": target or self.wallet_of(owner),
            "vault": self.vault,
            "token_program": TOKEN,
        }
        step = self._step("withdraw", (slot, amount, withdrawal), accounts)
        blockhash, height = await self._blockhash()
        return Unsigned(bytes(Message.new_with_blockhash([step], operator, blockhash)), height)

    def sign_withdrawal(self, unsigned: Unsigned, operator: Keypair, owner_signature: str) -> Signed:
        """Both signatures on the message. Raises `ValueError` when the owner's is not of this message."""
        message = Message.from_bytes(unsigned.message)
        signature = Signature.from_string(owner_signature)
        signers = message.account_keys[: message.header.num_required_signatures]
        owner = next(key for key in signers if key != operator.pubkey())
        if not signature.verify(owner, unsigned.message):
            raise ValueError("the signature is not the owner's over this message")
        mine = operator.sign_message(unsigned.message)
        ordered = [mine if key == operator.pubkey() else signature for key in signers]
        raw = bytes(Transaction.populate(message, ordered))
        return Signed(raw, str(ordered[0]), unsigned.last_valid_block_height)

    async def build_open_batch(
        self, operator: Keypair, id: int, root: bytes, pages: int, fee: int = 0
    ) -> Signed:
        accounts = {"escrow": self.address, "operator": operator.pubkey()}
        return await self._operated(
            "open_batch", (id, list(root), pages), accounts, operator, STEP_UNITS, fee
        )

    async def build_settle_page(
        self, operator: Keypair, id: int, page: int, deltas: bytes, fee: int = 0
    ) -> Signed:
        return await self._operated(
            "settle_page", (id, deltas), self._settling(operator, page), operator, SETTLE_UNITS, fee
        )

    async def build_seal_batch(self, operator: Keypair, id: int, fee: int = 0) -> Signed:
        accounts = {"escrow": self.address, "operator": operator.pubkey()}
        return await self._operated("seal_batch", (id,), accounts, operator, STEP_UNITS, fee)

    async def state(self, finalized: bool = False) -> Any | None:
        """The escrow's fields by their IDL names in snake case, or None while it is not initialized."""
        commitment = Finalized if finalized else Confirmed
        found = (await self.rpc.get_account_info(self.address, commitment)).value
        return self._anchor.coder.accounts.decode(bytes(found.data)) if found is not None else None

    async def pages(self, count: int, finalized: bool = False) -> list[PageView]:
        """The first `count` pages, a hundred in one call."""
        views: list[PageView] = []
        commitment = Finalized if finalized else Confirmed
        for start in range(0, count, READ_AT_ONCE):
            indexes = range(start, min(count, start + READ_AT_ONCE))
            addresses = [self.page_address(index) for index in indexes]
            found = (await self.rpc.get_multiple_accounts(addresses, commitment)).value
            for index, account in zip(indexes, found, strict=True):
                if account is None:
                    raise LookupError(f"page {index} is not on chain")
                views.append(parse_page(bytes(account.data)))
        return views

    async def page(self, index: int) -> PageView:
        found = (await self.rpc.get_account_info(self.page_address(index), Confirmed)).value
        if found is None:
            raise LookupError(f"page {index} is not on chain")
        return parse_page(bytes(found.data))

    async def vault_amount(self, finalized: bool = False) -> int:
        """Micro-USDC in the vault."""
        commitment = Finalized if finalized else Confirmed
        found = (await self.rpc.get_account_info(self.vault, commitment)).value
        if found is None:
            raise LookupError("the vault is not on chain")
        return int.from_bytes(bytes(found.data)[64:72], "little")

    async def deposits_since(self, signature: str | None) -> tuple[list[Deposit], str | None]:
        """Finalized deposits after a transaction, in chain order, and the last transaction read."""
        until = Signature.from_string(signature) if signature else None
        newest_first: list[Signature] = []
        before: Signature | None = None
        while True:
            page = (
                await self.rpc.get_signatures_for_address(self.vault, before, until, 1_000, Finalized)
            ).value
            newest_first += [one.signature for one in page if one.err is None]
            if len(page) < 1_000:
                break
            before = page[-1].signature
        deposits: list[Deposit] = []
        for one in reversed(newest_first):
            deposits += await self._deposits_of(one)
        return deposits, str(newest_first[0]) if newest_first else signature

    async def _deposits_of(self, signature: Signature) -> list[Deposit]:
        answer = (await self.rpc.get_transaction(signature, "base64", Finalized)).value
        if answer is None or answer.transaction.meta is None:
            raise LookupError(f"the node does not give transaction {signature}")
        events: list[Any] = []
        logs = answer.transaction.meta.log_messages or []
        EventParser(self.program, self._anchor.coder).parse_logs(logs, events.append)
        found = [event.data for event in events if event.name == "Deposited"]
        return [
            Deposit(
                str(signature), index, one.page, one.slot, str(one.owner), one.account, one.amount, one.number
            )
            for index, one in enumerate(found)
        ]

    def _derive(self, *seeds: bytes) -> Pubkey:
        return Pubkey.find_program_address(list(seeds), self.program)[0]

    def _settling(self, operator: Keypair, page: int) -> dict[str, Pubkey]:
        return {"escrow": self.address, "page": self.page_address(page), "operator": operator.pubkey()}

    def _step(self, name: str, args: Sequence[Any], accounts: dict[str, Pubkey]) -> Instruction:
        built: Instruction = self._anchor.instruction[name](*args, ctx=Context(accounts=accounts))
        return built

    async def _operated(
        self,
        name: str,
        args: Sequence[Any],
        accounts: dict[str, Pubkey],
        operator: Keypair,
        units: int,
        fee: int,
    ) -> Signed:
        budget = [set_compute_unit_limit(units), *([set_compute_unit_price(fee)] if fee else [])]
        return await self._signed([*budget, self._step(name, args, accounts)], [operator])

    async def _blockhash(self) -> tuple[Hash, int]:
        value = (await self.rpc.get_latest_blockhash(Confirmed)).value
        return value.blockhash, value.last_valid_block_height

    async def _signed(self, steps: list[Instruction], signers: list[Keypair]) -> Signed:
        blockhash, height = await self._blockhash()
        message = Message.new_with_blockhash(steps, signers[0].pubkey(), blockhash)
        transaction = Transaction(signers, message, blockhash)
        return Signed(bytes(transaction), str(transaction.signatures[0]), height)


def parse_page(data: bytes) -> PageView:
    """A page account's bytes."""
    _, _, last_batch, index, used, _ = PAGE_HEADER.unpack_from(data)
    slots = []
    for slot in range(used):
        fields = SLOT_LAYOUT.unpack_from(data, PAGE_HEADER.size + slot * SLOT_LAYOUT.size)
        owner, account, balance, _, _, _, last_withdrawal, _, _ = fields
        slots.append(SlotView(index, slot, str(Pubkey(owner)), account, balance, last_withdrawal))
    return PageView(index, last_batch, tuple(slots))


def error_name(code: int) -> str:
    """The program's name for an error code, or the number."""
    return _ERRORS.get(code, str(code))


def _errors() -> dict[int, str]:
    text = IDL_FILE.read_text()
    return {int(code): name for code, name in re.findall(r'"code": (\d+),\s*"name": "(\w+)"', text)}


_ERRORS: Final = _errors()


def encoded(raw: bytes) -> str:
    """Transaction bytes as the RPC takes them."""
    return base64.b64encode(raw).decode()
