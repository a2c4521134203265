"""What the escrow program's accounts hold, read from their bytes.

The layouts are fixed and plain, so one `struct` call reads a slot: a hundred times faster than a generic decoder, which matters
when ten thousand slots are compared with the ledger. The tests hold this file against the IDL.
"""

import hashlib
import struct
from dataclasses import dataclass
from typing import Any, Final

from solders.pubkey import Pubkey

from chain.deltas import SLOTS_PER_PAGE
from chain.limits import (
    DAY_S,
    HOUR_S,
    MICRO,
    UNLIMITED,
    Limits,
    Outflow,
    Proposal,
    Settings,
    Window,
    outflow_window,
)

ROOTS_KEPT: Final = 128
ESCROW_BYTES: Final = 4880
ESCROW_VERSION: Final = 2
"""Version 1 had no exits, limits or proposals. Its accounts have another layout."""
PAGE_BYTES: Final = 10_184
_SETTINGS: Final = "32s32s32s2Q6I"
_SETTINGS_FIELDS: Final = 11
_ESCROW: Final = struct.Struct(f"<8s32s{_SETTINGS}32s32s10Q2Q2I2Q2I3I4B32s{_SETTINGS}2I224s4096s")
_PAGE_HEAD: Final = struct.Struct("<8s32s32sQII16s")
_SLOT: Final = struct.Struct("<32s3Qq8I")
_TOKEN_AMOUNT_AT: Final = 64
TOKEN_ACCOUNT_BYTES: Final = 165


class LayoutMismatch(Exception):
    """The account is not what it should be: another program, another version, or a wrong address."""

    code = "layout_mismatch"


@dataclass(frozen=True, slots=True)
class EscrowState:
    """The escrow account. Money in micro-USDC; `deposits`, `withdrawals` (co-signed) and `exits` (claimed) are running totals.

    `open_batch` is the batch being settled, 0 for none; `clearing` what it took and has not given yet; `root` its root; `shortfall`
    the debits that it could not take, and `withheld` what it held back from credits because of them.
    """

    creator: Pubkey
    settings: Settings
    mint: Pubkey
    vault: Pubkey
    sealed_batch: int
    open_batch: int
    clearing: int
    gross: int
    deposits: int
    withdrawals: int
    exits: int
    deposit_count: int
    shortfall: int
    withheld: int
    hour: Outflow
    day: Outflow
    pages: int
    pages_total: int
    pages_settled: int
    paused: bool
    root: bytes
    proposal: Proposal | None
    roots: bytes
    """The ring of the last sealed roots; read it with `sealed_root`."""

    @property
    def admin(self) -> Pubkey:
        return self.settings.admin

    @property
    def operator(self) -> Pubkey:
        return self.settings.operator

    @property
    def guardian(self) -> Pubkey:
        return self.settings.guardian

    @property
    def held(self) -> int:
        """What the escrow owes: all balances and the clearing."""
        return self.deposits - self.withdrawals - self.exits

    def outflow_windows(self, now_s: int) -> tuple[Window, Window]:
        """What co-signed withdrawals of all accounts together may take in the hour and in the day of `now_s`."""
        limits, held = self.settings.limits, self.held
        return (
            outflow_window(self.hour, now_s, HOUR_S, held, limits.hour_share, limits.hour_floor),
            outflow_window(self.day, now_s, DAY_S, held, limits.day_share, limits.day_floor),
        )

    def sealed_root(self, batch: int) -> bytes | None:
        """Root that was sealed with `batch`, or None when it was not sealed or is no longer kept."""
        if not max(0, self.sealed_batch - ROOTS_KEPT) < batch <= self.sealed_batch:
            return None
        at = batch % ROOTS_KEPT * 32
        return self.roots[at : at + 32]

    def root_of(self, batch: int) -> bytes | None:
        """Root of the batch that is open or was sealed under that number, None where the chain does not say, or says no more."""
        return self.root if self.open_batch == batch else self.sealed_root(batch)

    def numbers_of(self, root: bytes) -> list[int]:
        """The chain's numbers of the open or recently sealed batches with that root, the newest first.

        A root is public before its batch lands, so whoever has the operator's key can give it to another one: whose a batch is its
        pages tell (`activities.numbering`).
        """
        opened = [self.open_batch] if self.open_batch and self.root == root else []
        kept = range(self.sealed_batch, max(0, self.sealed_batch - ROOTS_KEPT), -1)
        return opened + [number for number in kept if self.sealed_root(number) == root]

    def number_of(self, root: bytes) -> int:
        """The newest of `numbers_of`, or 0."""
        return next(iter(self.numbers_of(root)), 0)


@dataclass(frozen=True, slots=True)
class Slot:
    """One account's place in a page. Money in micro-USDC, times in seconds.

    `last_withdrawal` is the number of the last co-signed one. Up to `pending` may be claimed from `exit_at` on (0: nothing was asked
    for). `loss_limit` bounds what settlement takes within a window, None for no limit; `next_limit` replaces it at `next_limit_at`
    (0: nothing will). `unapplied` is the sum of the deltas that were sent less those that were applied: what settlement held back
    from the account (above 0) or could not take from it. A closed account has a `closed_batch`: after it the slot is another's.
    """

    index: int
    owner: Pubkey
    account: int
    balance: int
    last_withdrawal: int
    pending: int = 0
    exit_at: int = 0
    loss_limit: int | None = None
    loss_used: int = 0
    loss_window: int = 0
    next_limit: int | None = None
    next_limit_at: int = 0
    unapplied: int = 0
    closed_batch: int = 0

    @property
    def lowest_limit(self) -> int | None:
        """The lower of the limit in force and the one to come; None when there is neither."""
        return min((limit for limit in (self.loss_limit, self.next_limit) if limit is not None), default=None)

    def loss_left(self, now_s: int, window_s: int) -> int | None:
        """Micro-USDC that the lowest limit leaves settlement to take at `now_s`, or later within the window; None without a limit.

        A lower limit that is still to come counts already: until then more may be taken, never less.
        """
        lowest = self.lowest_limit
        if lowest is None:
            return None
        # A view's clock may be older than the view: the slot may have come to a later window.
        return max(0, lowest - (self.loss_used if self.loss_window >= now_s // window_s else 0))

    def may_lose(self, now_s: int, window_s: int) -> int:
        """Micro-USDC that settlement may take from the slot at `now_s`: its balance, or less by its loss limit."""
        due = self.next_limit_at and now_s >= self.next_limit_at
        limit = self.next_limit if due else self.loss_limit
        if limit is None:
            return self.balance
        used = self.loss_used if self.loss_window == now_s // window_s else 0
        return min(self.balance, max(0, limit - used))


@dataclass(frozen=True, slots=True)
class Page:
    """The used slots of one page, in order, and the last batch that the page took. `payer` gets its rent back."""

    index: int
    last_batch: int
    slots: tuple[Slot, ...]
    payer: Pubkey

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
    if data[:8] != _ESCROW_MARK:
        raise LayoutMismatch("not an escrow account")
    if len(data) != ESCROW_BYTES:
        raise LayoutMismatch("not an escrow account of this version")
    fields = iter(_ESCROW.unpack(data))

    def take(count: int) -> list[Any]:
        return [next(fields) for _ in range(count)]

    _, creator = take(2)
    settings = _settings(take(_SETTINGS_FIELDS))
    mint, vault = map(Pubkey, take(2))
    sealed, opened, clearing, gross, deposits, withdrawals, exits, count, shortfall, withheld = take(10)
    hour_base, hour_used, hour, _, day_base, day_used, day, _ = take(8)
    pages, pages_total, pages_settled, _, _, paused, version, root = take(8)
    proposed = _settings(take(_SETTINGS_FIELDS))
    ready_at, number, _, roots = take(4)
    if version != ESCROW_VERSION:
        raise LayoutMismatch(f"the escrow is of another version than {ESCROW_VERSION}, this program's")
    return EscrowState(
        creator=Pubkey(creator),
        settings=settings,
        mint=mint,
        vault=vault,
        sealed_batch=sealed,
        open_batch=opened,
        clearing=clearing,
        gross=gross,
        deposits=deposits,
        withdrawals=withdrawals,
        exits=exits,
        deposit_count=count,
        shortfall=shortfall,
        withheld=withheld,
        hour=Outflow(hour_base, hour_used, hour),
        day=Outflow(day_base, day_used, day),
        pages=pages,
        pages_total=pages_total,
        pages_settled=pages_settled,
        paused=bool(paused),
        root=root,
        proposal=Proposal(number, ready_at, proposed) if ready_at else None,
        roots=roots,
    )


def _settings(fields: list[Any]) -> Settings:
    admin, operator, guardian = map(Pubkey, fields[:3])
    return Settings(admin, operator, guardian, Limits(*fields[3:]))


def decode_page(data: bytes) -> Page:
    if len(data) != PAGE_BYTES or data[:8] != _PAGE_MARK:
        raise LayoutMismatch("not a page account of this version")
    _, _, payer, last_batch, index, used, _ = _PAGE_HEAD.unpack_from(data)
    if used > SLOTS_PER_PAGE:
        raise LayoutMismatch("a page says it uses more slots than it has")
    slots = (
        _slot(number, _SLOT.unpack_from(data, _PAGE_HEAD.size + number * _SLOT.size))
        for number in range(used)
    )
    return Page(index, last_batch, tuple(slots), Pubkey(payer))


def _slot(number: int, fields: tuple[Any, ...]) -> Slot:
    owner, balance, pending, loss_used, unapplied, account, last_withdrawal = fields[:7]
    exit_at, limit, loss_window, next_limit, next_limit_at, closed_batch = fields[7:]
    return Slot(
        index=number,
        owner=Pubkey(owner),
        account=account,
        balance=balance,
        last_withdrawal=last_withdrawal,
        pending=pending,
        exit_at=exit_at,
        loss_limit=None if limit == UNLIMITED else limit * MICRO,
        loss_used=loss_used,
        loss_window=loss_window,
        next_limit=next_limit * MICRO if next_limit_at else None,
        next_limit_at=next_limit_at,
        unapplied=unapplied,
        closed_batch=closed_batch,
    )


def decode_token_amount(data: bytes) -> int:
    """Tokens in an SPL token account, in its smallest unit."""
    if len(data) != TOKEN_ACCOUNT_BYTES:
        raise LayoutMismatch("not a token account")
    return int.from_bytes(data[_TOKEN_AMOUNT_AT : _TOKEN_AMOUNT_AT + 8], "little")


def decode_token_holder(data: bytes) -> tuple[Pubkey, Pubkey]:
    """Mint and owner of an SPL token account."""
    if len(data) != TOKEN_ACCOUNT_BYTES:
        raise LayoutMismatch("not a token account")
    return Pubkey(data[:32]), Pubkey(data[32:64])
