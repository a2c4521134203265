"""What the escrow program's accounts hold, read from their bytes.

The layouts are fixed and plain, so one `struct` call reads a slot: a hundred times faster than a generic decoder, which matters
when ten thousand slots are compared with the ledger. The tests hold this file against the IDL.
"""

import hashlib
import struct
from dataclasses import dataclass
from typing import Final

from solders.pubkey import Pubkey

from chain.deltas import SLOTS_PER_PAGE

ROOTS_KEPT: Final = 128
ESCROW_BYTES: Final = 4880
PAGE_BYTES: Final = 9752
_ESCROW: Final = struct.Struct("<8s32s32s32s32s32s7Q3I4B32s512s4096s")
_PAGE_HEAD: Final = struct.Struct("<8s32sQII16s")
_SLOT: Final = struct.Struct("<32s6Q2I")
_TOKEN_AMOUNT_AT: Final = 64
_TOKEN_ACCOUNT_BYTES: Final = 165


class LayoutMismatch(Exception):
    """The account is not what it should be: another program, another version, or a wrong address."""

    code = "layout_mismatch"


@dataclass(frozen=True, slots=True)
class EscrowState:
    """The escrow account. Money in micro-USDC; `deposits` and `withdrawals` are running totals.

    `open_batch` is the batch being settled, 0 for none; `clearing` what it took and has not given yet; `root` its root.
    """

    admin: Pubkey
    operator: Pubkey
    guardian: Pubkey
    mint: Pubkey
    vault: Pubkey
    sealed_batch: int
    open_batch: int
    clearing: int
    gross: int
    deposits: int
    withdrawals: int
    deposit_count: int
    pages: int
    pages_total: int
    pages_settled: int
    root: bytes
    roots: bytes
    """The ring of the last sealed roots; read it with `sealed_root`."""

    def sealed_root(self, batch: int) -> bytes | None:
        """Root that was sealed with `batch`, or None when it was not sealed or is no longer kept."""
        if not max(0, self.sealed_batch - ROOTS_KEPT) < batch <= self.sealed_batch:
            return None
        at = batch % ROOTS_KEPT * 32
        return self.roots[at : at + 32]


@dataclass(frozen=True, slots=True)
class Slot:
    """One account's place in a page. `balance` in micro-USDC; `last_withdrawal` is the number of the last co-signed one."""

    index: int
    owner: Pubkey
    account: int
    balance: int
    last_withdrawal: int


@dataclass(frozen=True, slots=True)
class Page:
    """The used slots of one page, in order, and the last batch that the page took."""

    index: int
    last_batch: int
    slots: tuple[Slot, ...]

    @property
    def full(self) -> bool:
        return len(self.slots) == SLOTS_PER_PAGE

    @property
    def total(self) -> int:
        """Sum of the balances, in micro-USDC."""
        return sum(slot.balance for slot in self.slots)


def _discriminator(name: str) -> bytes:
    return hashlib.sha256(f"account:{name}".encode()).digest()[:8]


_ESCROW_MARK: Final = _discriminator("Escrow")
_PAGE_MARK: Final = _discriminator("Page")


def decode_escrow(data: bytes) -> EscrowState:
    if len(data) != ESCROW_BYTES or data[:8] != _ESCROW_MARK:
        raise LayoutMismatch("not an escrow account of this version")
    fields = _ESCROW.unpack(data)
    admin, operator, guardian, mint, vault = map(Pubkey, fields[1:6])
    sealed, opened, clearing, gross, deposits, withdrawals, deposit_count = fields[6:13]
    pages, pages_total, pages_settled = fields[13:16]
    return EscrowState(
        admin=admin,
        operator=operator,
        guardian=guardian,
        mint=mint,
        vault=vault,
        sealed_batch=sealed,
        open_batch=opened,
        clearing=clearing,
        gross=gross,
        deposits=deposits,
        withdrawals=withdrawals,
        deposit_count=deposit_count,
        pages=pages,
        pages_total=pages_total,
        pages_settled=pages_settled,
        root=fields[20],
        roots=fields[22],
    )


def decode_page(data: bytes) -> Page:
    if len(data) != PAGE_BYTES or data[:8] != _PAGE_MARK:
        raise LayoutMismatch("not a page account of this version")
    _, _, last_batch, index, used, _ = _PAGE_HEAD.unpack_from(data)
    if used > SLOTS_PER_PAGE:
        raise LayoutMismatch("a page says it uses more slots than it has")
    slots = []
    for number in range(used):
        fields = _SLOT.unpack_from(data, _PAGE_HEAD.size + number * _SLOT.size)
        owner, account, balance, _, _, _, last_withdrawal, _, _ = fields
        slots.append(Slot(number, Pubkey(owner), account, balance, last_withdrawal))
    return Page(index, last_batch, tuple(slots))


def decode_token_amount(data: bytes) -> int:
    """Tokens in an SPL token account, in its smallest unit."""
    if len(data) != _TOKEN_ACCOUNT_BYTES:
        raise LayoutMismatch("not a token account")
    return int.from_bytes(data[_TOKEN_AMOUNT_AT : _TOKEN_AMOUNT_AT + 8], "little")
