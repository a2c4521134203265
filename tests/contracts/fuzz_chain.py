"""The compiled program on the real machine, for the fuzzer: quick, without signatures, named by its description."""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

from solders.account import Account
from solders.compute_budget import set_compute_unit_limit
from solders.instruction import AccountMeta, Instruction
from solders.litesvm import LiteSVM
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import ID as SYSTEM
from solders.transaction import Transaction
from solders.transaction_metadata import FailedTransactionMetadata
from spl.token.constants import TOKEN_PROGRAM_ID as TOKEN

FOLDER = Path(__file__).parents[2] / "contracts" / "solana"
IDL = json.loads((FOLDER / "escrow" / "idl.json").read_text())
NAMES = {error["code"]: error["name"] for error in IDL["errors"]}
SLOT = struct.Struct("<32s3Qq8I")


def key(name: str) -> Pubkey:
    return Pubkey(hashlib.sha256(name.encode()).digest())


def token_account(mint: Pubkey, owner: Pubkey, amount: int) -> bytes:
    return struct.pack("<32s32sQ36xB56x", bytes(mint), bytes(owner), amount, 1)


def varints(deltas: list[tuple[int, int]]) -> bytes:
    out = bytearray()
    for slot, delta in deltas:
        value = abs(delta) << 1 | (delta < 0)
        out.append(slot)
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
    return struct.pack("<I", len(out)) + bytes(out)


class Chain:
    """The compiled program with one escrow."""

    def __init__(self) -> None:
        self.svm = LiteSVM().with_sigverify(False).with_blockhash_check(False).with_transaction_history(0)
        self.program, self.mint, self.payer = key("program"), key("mint"), key("payer")
        self.svm.add_program_from_file(self.program, FOLDER / "escrow.so")
        self.svm.set_account(self.payer, Account(10**17, b"", SYSTEM))
        mint = struct.pack("<I32sQBB36x", 0, bytes(32), 10**18, 6, 1)
        self.put(self.mint, mint, TOKEN)
        self.escrow = self.derive(b"escrow", bytes(key("admin")))
        self.vault = self.derive(b"vault", bytes(self.escrow))
        self.layouts = {snake(one["name"]): one["accounts"] for one in IDL["instructions"]}
        self.blockhash = self.svm.latest_blockhash()
        self.units = 0

    def derive(self, *seeds: bytes) -> Pubkey:
        return Pubkey.find_program_address(list(seeds), self.program)[0]

    def page(self, index: int) -> Pubkey:
        return self.derive(b"page", bytes(self.escrow), struct.pack("<I", index))

    def put(self, address: Pubkey, data: bytes, owner: Pubkey) -> Pubkey:
        self.svm.set_account(address, Account(10**9, data, owner))
        return address

    def fund(self, owner: Pubkey) -> None:
        self.svm.set_account(owner, Account(10**12, b"", SYSTEM))
        self.put(wallet(owner), token_account(self.mint, owner, 10**15), TOKEN)

    def clock(self, now: int) -> None:
        clock = self.svm.get_clock()
        clock.unix_timestamp = now
        self.svm.set_clock(clock)

    def instruction(
        self, name: str, data: bytes, accounts: dict[str, Pubkey], unsigned: str | None
    ) -> Instruction:
        metas = [
            AccountMeta(
                accounts[snake(one["name"])], one["isSigner"] and snake(one["name"]) != unsigned, one["isMut"]
            )
            for one in self.layouts[name]
        ]
        return Instruction(self.program, hashlib.sha256(f"global:{name}".encode()).digest()[:8] + data, metas)

    def run(self, instruction: Instruction, *, simulate: bool = False) -> str | None:
        """None when it succeeded, else the program's name of the error."""
        message = Message.new_with_blockhash(
            [set_compute_unit_limit(400_000), instruction], self.payer, self.blockhash
        )
        signatures = [Signature.default()] * message.header.num_required_signatures
        transaction = Transaction.populate(message, signatures)
        result = (self.svm.simulate_transaction if simulate else self.svm.send_transaction)(transaction)
        if isinstance(result, FailedTransactionMetadata):
            code = getattr(getattr(result.err(), "err", None), "code", None)
            return NAMES.get(code, str(result.err())) if code is not None else str(result.err())
        if not simulate:
            self.units = max(self.units, result.compute_units_consumed())
        return None

    def data(self, address: Pubkey) -> bytes:
        account = self.svm.get_account(address)
        return account.data if account is not None else b""

    def tokens(self) -> int:
        return int.from_bytes(self.data(self.vault)[64:72], "little")

    def slots(self, index: int) -> list[tuple[Any, ...]]:
        data = self.data(self.page(index))
        used = int.from_bytes(data[84:88], "little")
        return list(SLOT.iter_unpack(data[104 : 104 + 96 * used]))

    def short(self, index: int) -> set[int]:
        """Slots that the page marks as short, and nothing in the bytes after them."""
        data = self.data(self.page(index))
        assert data[102:104] == bytes(2)
        return _bits(data[88:102])


def _bits(data: bytes) -> set[int]:
    return {8 * at + bit for at, byte in enumerate(data) for bit in range(8) if byte >> bit & 1}


def wallet(owner: Pubkey) -> Pubkey:
    return key(f"wallet of {owner}")


def snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
