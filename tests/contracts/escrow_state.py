"""The escrow's accounts as `escrow_model.py` knows them, and all of their bytes, so that nothing the program writes is overlooked.

Money in micro-USDC, time in seconds. The layouts are those of `docs/reference/escrow-program.md`.
"""

import hashlib
import struct
from copy import copy
from dataclasses import dataclass, field
from typing import Any

SLOTS = 105
UNLIMITED = 2**32 - 1
ROOTS = 128
DELTA_MAX = 2**48 - 1
DEPOSITS_MAX = 2**62 - 1
Key = bytes

NOBODY: Key = bytes(32)
SLOT = struct.Struct("<32s3Qq8I")
PAGE = struct.Struct("<8s32s32sQII14s2x")
ESCROW = struct.Struct("<8s32s136s32s32s10Q24s24s3I4B32s136sII224x")
BALANCES = struct.Struct("<104x" + "32xQ56x" * SLOTS)
"""What a page's slots hold, from its bytes."""


class Refused(Exception):
    pass


def must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Refused(otherwise)


def discriminator(kind: str, name: str) -> bytes:
    return hashlib.sha256(f"{kind}:{name}".encode()).digest()[:8]


@dataclass(slots=True)
class Slot:
    owner: Key
    balance: int = 0
    pending: int = 0
    loss_used: int = 0
    unapplied: int = 0
    account: int = 0
    last_withdrawal: int = 0
    exit_at: int = 0
    loss_limit: int = UNLIMITED
    loss_window: int = 0
    next_limit: int = 0
    next_limit_at: int = 0
    closed_batch: int = 0

    def packed(self) -> bytes:
        return SLOT.pack(
            self.owner, self.balance, self.pending, self.loss_used, self.unapplied, self.account, self.last_withdrawal,
            self.exit_at, self.loss_limit, self.loss_window, self.next_limit, self.next_limit_at, self.closed_batch,
        )  # fmt: skip


@dataclass
class Limits:
    hour_floor: int
    day_floor: int
    hour_share: int
    day_share: int
    exit_delay: int
    timelock: int
    loss_window: int
    limit_delay: int

    def sound(self) -> bool:
        day = 86_400
        return (
            self.hour_share <= 1_000_000
            and self.day_share <= 1_000_000
            and 1 <= self.exit_delay <= 30 * day
            and self.exit_delay < self.timelock <= 90 * day
            and 60 <= self.loss_window <= 30 * day
            and 1 <= self.limit_delay < self.timelock
        )

    def packed(self) -> bytes:
        return struct.pack("<2Q6I", *vars(self).values())


@dataclass
class Settings:
    admin: Key
    operator: Key
    guardian: Key
    limits: Limits

    def packed(self) -> bytes:
        return self.admin + self.operator + self.guardian + self.limits.packed()


@dataclass
class Flow:
    base: int = 0
    used: int = 0
    window: int = UNLIMITED

    def take(self, amount: int, window: int, held: int, share: int, floor: int) -> "Flow":
        flow = copy(self) if self.window == window else Flow(held, 0, window)
        flow.used += amount
        must(flow.used <= max(floor, flow.base * share // 1_000_000), "OutflowLimited")
        return flow

    def packed(self) -> bytes:
        return struct.pack("<QQI4x", self.base, self.used, self.window)


@dataclass
class Page:
    """`short`: numbers of the slots whose loss limit left something of their last debit undone, and of their balance there."""

    payer: Key
    last_batch: int = 0
    slots: list[Slot] = field(default_factory=list)
    short: set[int] = field(default_factory=set)

    def marks(self) -> bytes:
        """A bit for each slot that is short, the lowest first."""
        return sum(1 << slot for slot in self.short).to_bytes(14, "little")

    def packed(self, escrow: Key, index: int) -> bytes:
        kind, used = discriminator("account", "Page"), len(self.slots)
        head = PAGE.pack(kind, escrow, self.payer, self.last_batch, index, used, self.marks())
        return head + b"".join([slot.packed() for slot in self.slots]) + bytes(SLOT.size * (SLOTS - used))


class Escrow:
    """`key`: the escrow's address; `mint`, `vault` and `bumps`, those of escrow and vault, are as they were found."""

    def __init__(
        self,
        key: Key,
        mint: Key,
        vault: Key,
        bumps: tuple[int, int],
        settings: Settings,
        treasury: Key,
        insurance: Key,
    ) -> None:
        self.key, self.mint, self.vault, self.bumps = key, mint, vault, bumps
        self.creator, self.settings = settings.admin, settings
        self.pages = [Page(self.creator, 0, [Slot(treasury, account=1), Slot(insurance, account=2)])]
        self.sealed = self.opened = self.total = self.settled = 0
        self.clearing = self.gross = self.shortfall = self.withheld = 0
        self.deposits = self.withdrawals = self.exits = self.deposit_count = 0
        self.hour, self.day = Flow(), Flow()
        self.paused = False
        self.root, self.roots = NOBODY, [NOBODY] * ROOTS
        self.proposal: Settings | None = None
        self.ready = self.proposals = 0
        self.events: list[tuple[Any, ...]] = []
        self.tell("Initialized", mint, settings)
        self.tell("PageCreated", 0, self.creator)

    def tell(self, event: str, *fields: Any) -> None:
        self.events.append((event, *fields))

    def packed(self) -> bytes:
        """The escrow's account."""
        proposal = bytes(136) if self.proposal is None else self.proposal.packed()
        head = ESCROW.pack(
            discriminator("account", "Escrow"), self.creator, self.settings.packed(), self.mint, self.vault,
            self.sealed, self.opened, self.clearing, self.gross, self.deposits, self.withdrawals, self.exits,
            self.deposit_count, self.shortfall, self.withheld, self.hour.packed(), self.day.packed(),
            len(self.pages), self.total, self.settled, *self.bumps, self.paused, 2,
            self.root, proposal, self.ready, self.proposals,
        )  # fmt: skip
        return head + b"".join(self.roots)

    @property
    def held(self) -> int:
        return sum(slot.balance for page in self.pages for slot in page.slots) + self.clearing

    def owned(self, page: int, slot: int, owner: Key | None) -> Slot:
        must(owner is not None, "MissingSignature")
        must(slot < len(self.pages[page].slots), "SlotUnused")
        found = self.pages[page].slots[slot]
        must(found.owner == owner, "NotSlotOwner")
        return found

    def operates(self, operator: Key | None) -> None:
        must(operator is not None, "MissingSignature")
        must(operator == self.settings.operator, "NotOperator")

    @staticmethod
    def age(slot: Slot, now: int) -> None:
        if 0 < slot.next_limit_at <= now:
            slot.loss_limit = slot.next_limit
            slot.next_limit = slot.next_limit_at = 0
