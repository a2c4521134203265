"""The compiled escrow program in the real SVM, driven through its IDL."""

import re
import struct
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from anchorpy import Context, EventParser, Idl, Program, Provider, Wallet
from solders.account import Account
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM
from solders.system_program import CreateAccountParams, create_account
from solders.sysvar import INSTRUCTIONS
from solders.transaction import Transaction
from solders.transaction_metadata import FailedTransactionMetadata
from spl.token import instructions as spl
from spl.token.constants import MINT_LEN
from spl.token.constants import TOKEN_PROGRAM_ID as TOKEN

FOLDER = Path(__file__).parents[2] / "contracts" / "solana"
IDL = Idl.from_json((FOLDER / "escrow" / "idl.json").read_text())
SLOT = struct.Struct("<32s3Qq8I")


class Slot(NamedTuple):
    owner: bytes
    balance: int
    pending: int
    loss_used: int
    unapplied: int
    account: int
    last_withdrawal: int
    exit_at: int
    loss_limit: int
    loss_window: int
    next_limit: int
    next_limit_at: int
    closed_batch: int


PROGRAM = Pubkey.from_bytes(b"escrow program of the test suite")
NOW = 1_800_000_000
LIMITS = {
    "hour_floor": 1_000_000,
    "day_floor": 3_000_000,
    "hour_share": 10_000,
    "day_share": 100_000,
    "exit_delay": 3_600,
    "timelock": 7_200,
    "loss_window": 600,
    "limit_delay": 900,
}


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class Escrow:
    """One escrow with a mint, an operator, and owners that hold USDC."""

    code = (FOLDER / "escrow.so").read_bytes()

    def __init__(self, program: Pubkey = PROGRAM, *, deployed: bool = True) -> None:
        self.svm = LiteSVM()
        self.id = program
        if deployed:
            self.svm.add_program(self.id, self.code)
        keys = (Keypair.from_seed(bytes([n]) * 32) for n in (1, 2, 3, 6))
        self.admin, self.operator, self.mint_key, self.guardian = keys
        self.owners = [Keypair.from_seed(bytes([10 + n]) * 32) for n in range(4)]
        self.treasury, self.insurance = (Keypair.from_seed(bytes([n]) * 32).pubkey() for n in (4, 5))
        for key in (self.admin, self.operator, self.guardian, *self.owners):
            self.svm.airdrop(key.pubkey(), 100_000_000_000)
        self.mint = self.make_mint(self.mint_key)
        self.program = Program(IDL, self.id, Provider(None, Wallet(self.admin)))  # type: ignore[arg-type]
        self.address = self.derive(b"escrow", bytes(self.admin.pubkey()))
        self.vault = self.derive(b"vault", bytes(self.address))
        self.units = 0
        self.now = NOW
        self.wait(0)
        self.logs: list[str] = []

    def wait(self, seconds: int) -> None:
        """Let the chain's clock go on."""
        self.now += seconds
        clock = self.svm.get_clock()
        clock.unix_timestamp = self.now
        self.svm.set_clock(clock)

    def derive(self, *seeds: bytes) -> Pubkey:
        return Pubkey.find_program_address(list(seeds), self.id)[0]

    def page(self, index: int) -> Pubkey:
        return self.derive(b"page", bytes(self.address), struct.pack("<I", index))

    def make_mint(self, key: Keypair) -> Pubkey:
        size = self.svm.minimum_balance_for_rent_exemption(MINT_LEN)
        created = create_account(
            CreateAccountParams(
                from_pubkey=self.admin.pubkey(),
                to_pubkey=key.pubkey(),
                lamports=size,
                space=MINT_LEN,
                owner=TOKEN,
            )
        )
        initialized = spl.initialize_mint(
            spl.InitializeMintParams(6, TOKEN, key.pubkey(), self.admin.pubkey())
        )
        assert self.send([created, initialized], self.admin, key) is None
        return key.pubkey()

    def wallet(self, owner: Keypair, amount: int, mint: Pubkey | None = None) -> Pubkey:
        """The owner's token account, holding `amount` more than before."""
        mint = mint or self.mint
        address = spl.get_associated_token_address(owner.pubkey(), mint)
        steps = []
        if self.svm.get_account(address) is None:
            steps.append(spl.create_associated_token_account(self.admin.pubkey(), owner.pubkey(), mint))
        steps.append(spl.mint_to(spl.MintToParams(TOKEN, mint, address, self.admin.pubkey(), amount)))
        assert self.send(steps, self.admin) is None
        return address

    def send(self, instructions: list[Instruction], payer: Keypair, *signers: Keypair) -> int | str | None:
        """None when it landed, the program's error code, or the cluster's error."""
        self.svm.expire_blockhash()
        blockhash = self.svm.latest_blockhash()
        message = Message.new_with_blockhash(instructions, payer.pubkey(), blockhash)
        transaction = Transaction([payer, *signers], message, blockhash)
        self.size = len(bytes(transaction))
        result = self.svm.send_transaction(transaction)
        if isinstance(result, FailedTransactionMetadata):
            self.logs = result.meta().logs()
            inner = getattr(result.err(), "err", None)
            return getattr(inner, "code", None) or str(inner or result.err())
        self.units, self.logs = result.compute_units_consumed(), result.logs()
        return None

    def accounts(self, name: str, **changes: Any) -> dict[str, Pubkey]:
        """The right accounts of an instruction, with some replaced."""
        owner = changes.pop("owner", self.owners[0].pubkey())
        right = {
            "escrow": self.address,
            "vault": self.vault,
            "page": self.page(changes.pop("index", 0)),
            "mint": self.mint,
            "admin": self.admin.pubkey(),
            "operator": self.operator.pubkey(),
            "guardian": self.guardian.pubkey(),
            "payer": self.operator.pubkey(),
            "owner": owner,
            "source": spl.get_associated_token_address(owner, self.mint),
            "target": spl.get_associated_token_address(owner, self.mint),
            "instructions": INSTRUCTIONS,
            "system_program": SYSTEM,
            "token_program": TOKEN,
        }
        idl = next(one for one in IDL.instructions if snake(one.name) == name)
        names = [snake(account.name) for account in idl.accounts]
        return {name: changes.get(name, right[name]) for name in names}

    def build(self, name: str, *args: Any, **changes: Any) -> Instruction:
        return self.program.instruction[name](*args, ctx=Context(accounts=self.accounts(name, **changes)))

    def initialize(self, **changes: Any) -> int | str | None:
        args = [self.operator.pubkey(), self.guardian.pubkey(), self.treasury, self.insurance]
        args.append(self.limits(**changes.pop("limits", {})))
        budget = set_compute_unit_limit(400_000)
        return self.send([budget, self.build("initialize", *args, **changes)], self.admin)

    def limits(self, **changes: int) -> Any:
        return self.program.type["Limits"](**{**LIMITS, **changes})

    def by(self, signer: Keypair, name: str, *args: Any, **changes: Any) -> int | str | None:
        """An instruction that one key signs."""
        return self.send([self.build(name, *args, **changes)], signer)

    def owns(self, number: int, name: str, *args: Any, **changes: Any) -> int | str | None:
        """An instruction that an owner signs alone."""
        owner = self.owners[number]
        return self.by(owner, name, *args, **{"owner": owner.pubkey(), **changes})

    def propose(self, **changes: Any) -> int | str | None:
        """Propose the settings as they are at the beginning, with some replaced."""
        keys = {"admin": self.admin, "operator": self.operator, "guardian": self.guardian}
        new = [changes.pop(name, key.pubkey()) for name, key in keys.items()]
        return self.by(self.admin, "propose", *new, self.limits(**changes))

    def events(self) -> list[tuple[str, Any]]:
        """(name, data) of what the last transaction logged."""
        found: list[Any] = []
        EventParser(self.id, self.program.coder).parse_logs(self.logs, found.append)
        return [(event.name, event.data) for event in found]

    def open(self, number: int, account: int, **changes: Any) -> int | str | None:
        built = self.build("open_account", self.owners[number].pubkey(), account, **changes)
        return self.send([built], self.operator)

    def reuse(self, number: int, account: int, slot: int, **changes: Any) -> int | str | None:
        built = self.build("reuse_slot", self.owners[number].pubkey(), account, slot, **changes)
        return self.send([built], self.operator)

    def deposit(self, number: int, slot: int, amount: int, **changes: Any) -> int | str | None:
        owner = self.owners[number]
        built = self.build("deposit", slot, amount, **{"owner": owner.pubkey(), **changes})
        return self.send([built], owner)

    def withdraw(
        self, number: int, slot: int, amount: int, withdrawal: int, **changes: Any
    ) -> int | str | None:
        owner = self.owners[number]
        built = self.build("withdraw", slot, amount, withdrawal, **{"owner": owner.pubkey(), **changes})
        return self.send([built], owner, self.operator)

    def open_batch(self, id: int, pages: int, root: bytes = bytes(32)) -> int | str | None:
        return self.send([self.build("open_batch", id, list(root), pages)], self.operator)

    def settle(self, id: int, data: bytes, **changes: Any) -> int | str | None:
        budget = [set_compute_unit_limit(100_000), set_compute_unit_price(1)]
        return self.send([*budget, self.build("settle_page", id, data, **changes)], self.operator)

    def seal(self, id: int) -> int | str | None:
        return self.send([self.build("seal_batch", id)], self.operator)

    def state(self) -> Any:
        account = self.svm.get_account(self.address)
        assert account is not None
        return self.program.coder.accounts.decode(account.data)

    def slots(self, index: int = 0) -> list[Slot]:
        """The used slots of a page."""
        account = self.svm.get_account(self.page(index))
        assert account is not None
        (used,) = struct.unpack_from("<I", account.data, 84)
        return [Slot(*SLOT.unpack_from(account.data, 104 + 96 * number)) for number in range(used)]

    def short(self, index: int = 0) -> list[int]:
        """The slots whose loss limit kept the last debit from being taken in full."""
        account = self.svm.get_account(self.page(index))
        assert account is not None
        bits = account.data[88:102]
        return [slot for slot in range(105) if bits[slot // 8] >> slot % 8 & 1]

    def set_slot(self, number: int, slot: Slot, index: int = 0) -> None:
        """Forge a slot."""
        account = self.svm.get_account(self.page(index))
        assert account is not None
        data = bytearray(account.data)
        SLOT.pack_into(data, 104 + 96 * number, *slot)
        self.put(self.page(index), bytes(data))

    def balances(self, index: int = 0) -> list[int]:
        return [slot.balance for slot in self.slots(index)]

    def tokens(self, address: Pubkey) -> int:
        account = self.svm.get_account(address)
        assert account is not None
        return int(struct.unpack_from("<Q", account.data, 64)[0])

    def put(self, address: Pubkey, data: bytes, owner: Pubkey | None = None) -> Pubkey:
        """Forge an account."""
        self.svm.set_account(address, Account(10**9, data, owner or self.id))
        return address


@pytest.fixture
def fresh() -> type[Escrow]:
    """Makes escrows that are not initialized, at any program address, deployed or not."""
    return Escrow


@pytest.fixture
def bare() -> Escrow:
    """Deployed, not initialized."""
    return Escrow()


@pytest.fixture
def escrow(bare: Escrow) -> Escrow:
    """Two owners in slots 2 and 3 of page 0 with 1,000 micro-USDC each."""
    assert bare.initialize() is None, bare.logs
    for number in (0, 1):
        bare.wallet(bare.owners[number], 10_000)
        assert bare.open(number, 16 + number) is None, bare.logs
        assert bare.deposit(number, 2 + number, 1_000) is None, bare.logs
    return bare
