"""A thief of the operator's key makes two batches that undo each other: the comparison is not taken in by what the first held back."""

from typing import Any

import pytest

from activities.sides import MovedOn, foreign_batches, must_belong_together
from chain.deltas import encode_deltas
from chain.layout import ROOTS_KEPT, decode_escrow, decode_page
from core.reconciliation import Booked, Books, Flight, OnChain, compare
from ledger.books import LedgerBooks

VICTIM, FRIEND = 2, 3
LOOT = 900


def slots(escrow: Any) -> list[OnChain]:
    page = decode_page(escrow.svm.get_account(escrow.page(0)).data)
    return [
        OnChain(0, one.index, one.account, str(one.owner), one.balance, 0, one.unapplied)
        for one in page.slots
    ]


def land(escrow: Any, root: bytes, *deltas: tuple[int, int]) -> None:
    id = escrow.state().sealed_batch + 1
    assert escrow.open_batch(id, 1, root) is None
    assert escrow.settle(id, encode_deltas(list(deltas))) is None
    assert escrow.seal(id) is None


def test_a_batch_that_holds_back_what_the_next_one_takes_hides_nothing(escrow: Any) -> None:
    before = slots(escrow)
    books = Books(
        {
            one.account: Booked(one.account, one.owner, 0, one.slot, one.balance, one.balance, 0)
            for one in before
        },
        {},
        0,
    )
    # The friend has not all of it, so as much of the victim's credit is held back; what comes after is there.
    moved = 1_000 + LOOT
    land(escrow, b"t" * 32, (VICTIM, moved), (FRIEND, -moved))
    land(escrow, b"t" * 32, (VICTIM, -moved), (FRIEND, moved))
    assert escrow.balances()[VICTIM:] == [1_000 - LOOT, 1_000 + LOOT]
    for final in (False, True):
        found = compare(slots(escrow), Flight({}, lambda page: True, final=final), books, books).differences
        assert [(one.account, one.chain, one.engine) for one in found] == [
            (16, 100, 1_000),
            (17, 1_900, 1_000),
        ]


def test_a_batch_that_is_left_open_does_not_keep_the_sides_from_being_compared(escrow: Any) -> None:
    """Ours, cut meanwhile, cannot be opened: what is on the chain is held against the books as if nothing of it had landed."""
    before = slots(escrow)
    ours = {VICTIM: 300, FRIEND: -300}
    books = Books(
        {
            one.account: Booked(
                one.account, one.owner, 0, one.slot, one.balance,
                settled=one.balance + ours.get(one.slot, 0), delta=ours.get(one.slot, 0), unapplied=0,
            )
            for one in before
        },
        {}, 0,
    )  # fmt: skip
    assert escrow.open_batch(1, 1, b"t" * 32) is None
    assert escrow.settle(1, encode_deltas([(VICTIM, -LOOT), (FRIEND, LOOT)])) is None
    state = decode_escrow(escrow.svm.get_account(escrow.address).data)
    ledger = LedgerBooks(0, 2, 2, b"2" * 32, (), {}, (), 0, 0, frozenset())
    must_belong_together(state, 2, ledger, {b"1" * 32, b"2" * 32})
    assert state.number_of(ledger.root) == 0
    found = compare(slots(escrow), Flight({}, lambda page: False), books, books).differences
    assert [(one.account, one.chain) for one in found] == [(16, 100), (17, 1_900)]
    # One of ours that is open still, as a node that lags behind shows it, is no stranger's.
    with pytest.raises(MovedOn):
        must_belong_together(state, 2, ledger, {b"t" * 32, b"2" * 32})
    # Nor can it be told whose it is while the ledger has not got to our last one.
    with pytest.raises(MovedOn):
        must_belong_together(state, 3, ledger, {b"1" * 32, b"2" * 32})


def test_batches_that_are_not_ours_are_told_as_far_as_roots_are_kept(escrow: Any) -> None:
    def seen(*ours: bytes) -> tuple[int, ...]:
        state = decode_escrow(escrow.svm.get_account(escrow.address).data)
        return foreign_batches(state, frozenset(ours))

    first, second, strange = b"1" * 32, b"2" * 32, b"t" * 32
    land(escrow, strange, (VICTIM, -1), (FRIEND, 1))
    land(escrow, first, (VICTIM, -1), (FRIEND, 1))
    # What a ledger that was lost had landed, it cannot tell from a stranger's.
    assert (seen(), seen(first)) == ((), ())
    land(escrow, strange, (VICTIM, -2), (FRIEND, 2))
    land(escrow, second, (VICTIM, -1), (FRIEND, 1))
    assert seen(first, second) == (3,)
    for one in range(ROOTS_KEPT):
        land(escrow, strange, (VICTIM, -3 - one), (FRIEND, 3 + one))
    assert len(seen(first, second)) == ROOTS_KEPT
