"""The compiled program on the real machine, for the fuzzer: quick, without signatures, named by its description."""

import json
import struct
from base64 import b64decode
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from escrow_state import discriminator
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
FIELDS = {"publicKey": "32s", "u8": "B", "u16": "H", "u32": "I", "u64": "Q", "bool": "?"}
LOGGED = "Program data: "
UNITS = set_compute_unit_limit(400_000)


@cache
def key(name: str) -> Pubkey:
    return Pubkey(sha256(name.encode()).digest())


@cache
def wallet(owner: Pubkey) -> Pubkey:
    return key(f"wallet of {owner}")


def snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _layouts() -> dict[str, list[tuple[str, bool, bool]]]:
    return {
        snake(each["name"]): [(snake(one["name"]), one["isSigner"], one["isMut"]) for one in each["accounts"]]
        for each in IDL["instructions"]
    }


LAYOUTS = _layouts()
"""Accounts of each instruction: name, whether it signs, whether it is writable."""


def token_account(mint: Pubkey, owner: Pubkey, amount: int) -> bytes:
    return struct.pack("<32s32sQ36xB56x", bytes(mint), bytes(owner), amount, 1)


def varints(deltas: list[tuple[int, int]]) -> bytes:
    """A page's deltas as arguments of `settle_page`; a delta of zero in a form that is not its shortest."""
    out = bytearray()
    for slot, delta in deltas:
        value = abs(delta) << 1 | (delta < 0)
        out.append(slot)
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out += bytes([value]) if delta else b"\x82\x00"
    return struct.pack("<I", len(out)) + bytes(out)


@cache
def _event(name: str) -> tuple[bytes, struct.Struct | None]:
    """Discriminator and layout of an event's fields after the escrow's key; no layout when a list is among them."""
    (fields,) = (each["fields"] for each in IDL["events"] if each["name"] == name)
    kinds = [field["type"] for field in fields[1:]]
    if any(isinstance(kind, dict) and "vec" in kind for kind in kinds):
        return discriminator("event", name), None
    return discriminator("event", name), struct.Struct("<" + "".join(map(_field, kinds)))


def _field(kind: Any) -> str:
    if isinstance(kind, str):
        return FIELDS[kind]
    return f"{kind['array'][1]}s" if "array" in kind else "136s"


def event_bytes(escrow: bytes, name: str, *fields: Any) -> bytes:
    """What the program logs for an event, by its description."""
    head, layout = _event(name)
    if layout is not None:
        return (
            head
            + escrow
            + layout.pack(*(each if not hasattr(each, "packed") else each.packed() for each in fields))
        )
    id, page, shorts = fields
    listed = b"".join(struct.pack("<Bq", *each) for each in shorts)
    return head + escrow + struct.pack("<QII", id, page, len(shorts)) + listed


class Chain:
    """The compiled program with one escrow."""

    def __init__(self) -> None:
        self.svm = LiteSVM().with_sigverify(False).with_blockhash_check(False).with_transaction_history(0)
        self.program, self.mint, self.payer = key("program"), key("mint"), key("payer")
        self.svm.add_program_from_file(self.program, FOLDER / "escrow.so")
        self.svm.set_account(self.payer, Account(10**17, b"", SYSTEM))
        mint = struct.pack("<I32sQBB36x", 0, bytes(32), 10**18, 6, 1)
        self.put(self.mint, mint, TOKEN)
        self.escrow, bump = self.derive(b"escrow", bytes(key("admin")))
        self.vault, vault_bump = self.derive(b"vault", bytes(self.escrow))
        self.bumps = bump, vault_bump
        self.blockhash = self.svm.latest_blockhash()
        self.units = 0
        self.said: list[bytes] = []
        """Events of the last instruction that succeeded."""

    def derive(self, *seeds: bytes) -> tuple[Pubkey, int]:
        return Pubkey.find_program_address(list(seeds), self.program)

    def page(self, index: int) -> Pubkey:
        return self.derive(b"page", bytes(self.escrow), struct.pack("<I", index))[0]

    def put(self, address: Pubkey, data: bytes, owner: Pubkey) -> Pubkey:
        self.svm.set_account(address, Account(10**9, data, owner))
        return address

    def fund(self, owner: Pubkey, tokens: int) -> None:
        self.svm.set_account(owner, Account(10**12, b"", SYSTEM))
        self.put(wallet(owner), token_account(self.mint, owner, tokens), TOKEN)

    def clock(self, now: int) -> None:
        clock = self.svm.get_clock()
        clock.unix_timestamp = now
        self.svm.set_clock(clock)

    def instruction(
        self, name: str, data: bytes, accounts: dict[str, Pubkey], unsigned: str | None
    ) -> Instruction:
        metas = [
            AccountMeta(accounts[role], signs and role != unsigned, writable)
            for role, signs, writable in LAYOUTS[name]
        ]
        return Instruction(self.program, discriminator("global", name) + data, metas)

    def run(self, instruction: Instruction, *, simulate: bool = False) -> str | None:
        """None when it succeeded, else the program's name of the error."""
        message = Message.new_with_blockhash([UNITS, instruction], self.payer, self.blockhash)
        signatures = [Signature.default()] * message.header.num_required_signatures
        transaction = Transaction.populate(message, signatures)
        result = (self.svm.simulate_transaction if simulate else self.svm.send_transaction)(transaction)
        if isinstance(result, FailedTransactionMetadata):
            code = getattr(getattr(result.err(), "err", None), "code", None)
            return NAMES.get(code, str(result.err())) if code is not None else str(result.err())
        if not simulate:
            self.units = max(self.units, result.compute_units_consumed())
            logs = result.logs()
            self.said = [b64decode(line[len(LOGGED) :]) for line in logs if line.startswith(LOGGED)]
        return None

    def data(self, address: Pubkey) -> bytes:
        account = self.svm.get_account(address)
        return account.data if account is not None else b""

    def lamports(self, address: Pubkey) -> int:
        return self.svm.get_balance(address) or 0

    def tokens(self, account: Pubkey) -> int:
        return int.from_bytes(self.data(account)[64:72], "little")
