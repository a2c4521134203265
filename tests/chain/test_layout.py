"""The hand-written layouts against the program's own description, on bytes that differ everywhere."""

import hashlib
import random
from typing import Any

import pytest
from anchorpy.coder.accounts import AccountsCoder

from chain.deltas import SLOTS_PER_PAGE
from chain.idl import escrow_idl
from chain.layout import (
    ESCROW_BYTES,
    ESCROW_VERSION,
    PAGE_BYTES,
    LayoutMismatch,
    Slot,
    decode_escrow,
    decode_page,
)
from chain.limits import UNLIMITED, Limits, Outflow, Settings, Window, outflow_window

VERSION_AT, USED_AT = 383, 84


def noise(kind: str, size: int, *fixed: tuple[int, bytes]) -> bytes:
    data = bytearray(random.Random(kind).randbytes(size))
    data[:8] = hashlib.sha256(f"account:{kind}".encode()).digest()[:8]
    for at, value in fixed:
        data[at : at + len(value)] = value
    return bytes(data)


def settings_of(described: Any) -> Settings:
    limits = Limits(*(getattr(described.limits, name) for name in Limits.__dataclass_fields__))
    return Settings(described.admin, described.operator, described.guardian, limits)


def test_the_escrow_reads_as_described() -> None:
    raw = noise("Escrow", ESCROW_BYTES, (VERSION_AT, bytes([ESCROW_VERSION])))
    described, state = AccountsCoder(escrow_idl()).decode(raw), decode_escrow(raw)
    assert state.settings == settings_of(described.settings)
    assert state.proposal is not None
    assert state.proposal.settings == settings_of(described.proposal)
    assert (state.proposal.ready_at, state.proposal.number) == (described.proposal_ready, described.proposals)
    for ours, theirs in ((state.hour, described.hour), (state.day, described.day)):
        assert ours == Outflow(theirs.base, theirs.used, theirs.window)
    assert state.roots == b"".join(bytes(root) for root in described.roots)
    assert state.root == bytes(described.root)
    assert state.paused is bool(described.paused)
    read = {"settings", "proposal", "hour", "day", "roots", "root", "paused"}
    for name in state.__dataclass_fields__.keys() - read:
        assert getattr(state, name) == getattr(described, name), name


def test_a_page_reads_as_described() -> None:
    raw = noise("Page", PAGE_BYTES, (USED_AT, SLOTS_PER_PAGE.to_bytes(4, "little")))
    described, page = AccountsCoder(escrow_idl()).decode(raw), decode_page(raw)
    assert (page.index, page.last_batch, page.payer) == (
        described.index,
        described.last_batch,
        described.payer,
    )
    assert page.full
    for number, (slot, theirs) in enumerate(zip(page.slots, described.slots, strict=True)):
        expected = {name: getattr(theirs, name) for name in Slot.__dataclass_fields__ if name != "index"}
        expected |= {"index": number}
        expected |= {name: expected[name] * 1_000_000 for name in ("loss_limit", "next_limit")}
        assert slot == Slot(**expected)
    assert page.total == sum(slot.balance for slot in page.slots)


def test_an_escrow_of_another_version_says_so() -> None:
    with pytest.raises(LayoutMismatch, match="another version than 2"):
        decode_escrow(noise("Escrow", ESCROW_BYTES, (VERSION_AT, b"\1")))


def slot_with(**fields: Any) -> Slot:
    return Slot(0, None, 16, 500, 0, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("slot", "expected"),
    [
        (slot_with(), 500),
        (slot_with(loss_limit=300), 300),
        (slot_with(loss_limit=300, loss_used=100, loss_window=10), 200),
        (slot_with(loss_limit=300, loss_used=100, loss_window=9), 300),
        (slot_with(loss_limit=300, loss_used=400, loss_window=10), 0),
        (slot_with(loss_limit=300, next_limit=50, next_limit_at=1_001), 300),
        (slot_with(loss_limit=300, next_limit=50, next_limit_at=1_000), 50),
        (slot_with(next_limit=0, next_limit_at=1_000), 0),
    ],
)
def test_what_settlement_may_take(slot: Slot, expected: int) -> None:
    assert slot.may_lose(1_000, 100) == expected


@pytest.mark.parametrize(
    ("slot", "limit", "left"),
    [
        (slot_with(), None, None),
        (slot_with(loss_limit=300), 300, 300),
        (slot_with(loss_limit=900, loss_used=100, loss_window=10), 900, 800),
        (slot_with(loss_limit=300, loss_used=100, loss_window=9), 300, 300),
        # The clock was read before the slot.
        (slot_with(loss_limit=300, loss_used=100, loss_window=11), 300, 200),
        (slot_with(loss_limit=300, loss_used=400, loss_window=10), 300, 0),
        # A lower limit counts before it comes, a first one too.
        (slot_with(loss_limit=300, next_limit=50, next_limit_at=10**6), 50, 50),
        (slot_with(loss_limit=300, next_limit=50, next_limit_at=10**6, loss_used=60, loss_window=10), 50, 0),
        (slot_with(next_limit=0, next_limit_at=10**6), 0, 0),
    ],
)
def test_what_limits_leave_at_the_least(slot: Slot, limit: int | None, left: int | None) -> None:
    assert (slot.lowest_limit, slot.loss_left(1_000, 100)) == (limit, left)


def test_what_co_signed_withdrawals_may_take() -> None:
    spent = Outflow(base=10_000, used=30, window=5)
    assert outflow_window(spent, 599, 100, 50_000, 10_000, 60).left == 70
    assert outflow_window(spent, 600, 100, 50_001, 10_000, 60).left == 500
    assert outflow_window(spent, 599, 100, 50_000, 1_000, 60).left == 30
    assert outflow_window(spent, 599, 100, 50_000, 1_000, 20).left == 0
    assert UNLIMITED == 2**32 - 1


@pytest.mark.parametrize(
    ("used", "had", "paid", "waiting", "left"),
    [
        # Who comes first, whether it had anything or not.
        (0, 0, 0, 0, 50),
        (20, 0, 20, 0, 30),
        (20, 0, 20, 25, 5),
        # Half is used up: of the other half everybody has the part that it had of all money when the window began.
        (50, 0, 0, 0, 0),
        (50, 400, 0, 0, 20),
        (50, 400, 50, 0, 0),
        (50, 400, 0, 5, 15),
        (60, 400, 10, 0, 10),
        (50, 2_000, 0, 0, 50),
        # Never more than there is.
        (90, 400, 0, 0, 10),
        (100, 400, 0, 0, 0),
        (120, 400, 0, 0, 0),
    ],
)
def test_one_owner_leaves_something_for_others(
    used: int, had: int, paid: int, waiting: int, left: int
) -> None:
    assert Window(100, used, 1_000).left_for(had, paid, waiting) == left
    assert Window(101, used, 1_000).left_for(had, paid, waiting) in (left, left + 1)


def test_however_many_wallets_one_money_goes_round_in_the_others_find_their_part() -> None:
    """A tenth of all money, taken out and paid into the next wallet, and again."""
    held, limit, used = 10_000, 1_003, 0
    for had in (held // 10, *[0] * 20):
        used += Window(limit, used, held).left_for(had, 0, 0)
    assert used == limit // 2
    others = [0] * 9
    for _ in range(20):
        for number, paid in enumerate(others):
            left = Window(limit, used + sum(others), held).left_for(held // 10, paid, 0)
            others[number] += min(left, 7)
    assert others == [limit // 2 // 10] * 9


def test_an_empty_escrow_has_no_share_for_anybody() -> None:
    assert Window(100, 50, 0).left_for(10, 0, 0) == 0
