"""Batches: each page once, in order, never more out than in; cost and size of a whole page; random histories against a model."""

import json
import random
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "contracts" / "solana" / "escrow"
ERRORS = {error["name"]: error["code"] for error in json.loads((FOLDER / "idl.json").read_text())["errors"]}
SLOTS = 110
DELTA_MAX = 2**48 - 1


def varint(delta: int) -> bytes:
    value = abs(delta) << 1 | (delta < 0)
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def deltas(*pairs: tuple[int, int]) -> bytes:
    return b"".join(bytes([slot]) + varint(delta) for slot, delta in pairs)


@pytest.fixture
def two_pages(escrow):
    """A second page with owners 2 and 3 in slots 0 and 1, 1,000 micro-USDC each."""
    assert escrow.send([escrow.build("create_page", 1, index=1)], escrow.operator) is None
    for number in (2, 3):
        escrow.wallet(escrow.owners[number], 10_000)
        assert escrow.open(number, 16 + number, index=1) is None
        assert escrow.deposit(number, number - 2, 1_000, index=1) is None
    return escrow


def test_a_batch_over_two_pages_moves_balances_and_keeps_its_root(two_pages):
    escrow, root = two_pages, bytes(range(32))
    assert escrow.open_batch(1, 2, root) is None
    assert escrow.settle(1, deltas((2, -300), (3, 100))) is None, escrow.logs
    assert escrow.state().clearing == 200
    assert escrow.settle(1, deltas((0, 150), (1, 50)), index=1) is None
    assert escrow.seal(1) is None
    state = escrow.state()
    assert (state.sealed_batch, state.open_batch, state.clearing, state.gross) == (1, 0, 0, 600)
    assert bytes(state.roots[1]) == root
    assert escrow.balances(0) == [0, 0, 700, 1_100]
    assert escrow.balances(1) == [1_150, 1_050]


def test_batches_open_in_order_one_at_a_time(two_pages):
    escrow = two_pages
    for id in (0, 2, 2**64 - 1):
        assert escrow.open_batch(id, 1) == ERRORS["BatchOutOfOrder"]
    for pages in (0, 3):
        assert escrow.open_batch(1, pages) == ERRORS["BadArguments"]
    assert escrow.open_batch(1, 1) is None
    assert escrow.open_batch(1, 1) == ERRORS["BatchOpen"]
    assert escrow.open_batch(2, 1) == ERRORS["BatchOpen"]


def test_a_page_takes_a_batch_once_whatever_is_sent_again(two_pages):
    escrow = two_pages
    assert escrow.settle(1, deltas((2, -5))) == ERRORS["NoBatchOpen"]
    assert escrow.seal(1) == ERRORS["NoBatchOpen"]
    escrow.open_batch(1, 2)
    assert escrow.settle(2, deltas((2, -5))) == ERRORS["BatchOutOfOrder"]
    assert escrow.settle(1, deltas((2, -5))) is None
    assert escrow.settle(1, deltas((2, -5))) == ERRORS["PageSettled"]
    assert escrow.seal(1) == ERRORS["PagesMissing"]
    assert escrow.settle(1, deltas((0, 5)), index=1) is None
    assert escrow.seal(2) == ERRORS["BatchOutOfOrder"]
    assert escrow.seal(1) is None
    assert escrow.settle(1, deltas((2, -5))) == ERRORS["NoBatchOpen"]
    assert escrow.balances() == [0, 0, 995, 1_000]


def test_no_more_pages_than_announced(two_pages):
    escrow = two_pages
    escrow.open_batch(1, 1)
    assert escrow.settle(1, deltas((2, -5), (3, 5))) is None
    assert escrow.settle(1, deltas((0, -5), (1, 5)), index=1) == ERRORS["PagesComplete"]


def test_nothing_is_given_that_was_not_taken_and_nothing_is_kept(two_pages):
    escrow = two_pages
    escrow.open_batch(1, 2)
    assert escrow.settle(1, deltas((2, 5))) == ERRORS["ClearingNegative"]
    assert escrow.settle(1, deltas((2, -5), (3, 6))) == ERRORS["ClearingNegative"]
    assert escrow.balances() == [0, 0, 1_000, 1_000]
    assert escrow.settle(1, deltas((2, -6))) is None
    assert escrow.settle(1, deltas((0, 5)), index=1) is None
    assert escrow.seal(1) == ERRORS["ClearingNotZero"]


def test_no_balance_goes_below_zero_or_over_the_top(escrow):
    escrow.open_batch(1, 1)
    assert escrow.settle(1, deltas((2, -1_001), (3, 1_001))) == ERRORS["InsufficientBalance"]
    assert escrow.settle(1, deltas((2, -1_000), (3, 1_000))) is None
    assert escrow.balances() == [0, 0, 0, 2_000]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        deltas((3, -1), (2, 1)),
        deltas((2, -1), (2, 1)),
        deltas((4, -1)),
        deltas((110, -1)),
        deltas((255, -1)),
        bytes([2, 0]),
        bytes([2, 1]),
        bytes([2]),
        bytes([2, 0x80]),
        bytes([2, 0x82, 0x00]),
        bytes([2, *[0x80] * 7, 0x01]),
        bytes([2, *[0xFF] * 9, 0x01]),
    ],
)
def test_malformed_deltas_are_refused(escrow, data):
    escrow.open_batch(1, 1)
    assert escrow.settle(1, data) == ERRORS["BadDeltas"]
    assert escrow.balances() == [0, 0, 1_000, 1_000]


def test_only_the_operator_settles(escrow):
    thief = escrow.admin.pubkey()
    for name, args in (
        ("open_batch", (1, list(bytes(32)), 1)),
        ("settle_page", (1, b"x")),
        ("seal_batch", (1,)),
    ):
        built = escrow.build(name, *args, operator=thief)
        assert escrow.send([built], escrow.admin) == ERRORS["NotOperator"]


def full_page(escrow, balance: int) -> None:
    """Fill page 0, every slot holding `balance` (set in the account itself: a deposit each would take minutes)."""
    for account in range(100, 100 + SLOTS - len(escrow.balances())):
        assert escrow.open(2, account) is None
    page = escrow.svm.get_account(escrow.page(0))
    data = bytearray(page.data)
    for slot in range(SLOTS):
        data[72 + 88 * slot + 40 : 72 + 88 * slot + 48] = balance.to_bytes(8, "little")
    escrow.put(escrow.page(0), bytes(data))


def test_a_whole_page_of_the_largest_deltas_fits_one_transaction(escrow):
    full_page(escrow, DELTA_MAX)
    escrow.open_batch(1, 1)
    pairs = [(slot, -DELTA_MAX if slot % 2 else DELTA_MAX) for slot in range(SLOTS)]
    assert escrow.settle(1, deltas(*pairs)) is None, escrow.logs
    assert escrow.size <= 1_232
    assert escrow.units / SLOTS <= 200
    print(f"a whole page: {escrow.size} bytes, {escrow.units / SLOTS:.1f} compute units a delta")
    assert escrow.seal(1) is None


def test_random_histories_follow_a_model(two_pages):
    """Honest and hostile instructions in random order: the program does what the model does, and money stays what it is."""
    escrow, rng = two_pages, random.Random(20_231)
    balances = {(0, 0): 0, (0, 1): 0, (0, 2): 1_000, (0, 3): 1_000, (1, 0): 1_000, (1, 1): 1_000}
    owner_of = {(0, 2): 0, (0, 3): 1, (1, 0): 2, (1, 1): 3}
    sealed, opened, total, done, clearing = 0, 0, 0, set(), 0
    last_withdrawal = dict.fromkeys(owner_of, 0)
    landed = 0
    for _ in range(6_000):
        place = rng.choice(list(owner_of))
        page, slot = place
        action = rng.choice(["deposit", "withdraw", "open", "settle", "settle", "settle", "seal"])
        if action == "deposit":
            amount = rng.choice([0, 1, 20])
            result = escrow.deposit(owner_of[place], slot, amount, index=page)
            expected = amount > 0
            balances[place] += amount
        elif action == "withdraw":
            amount, number = rng.choice([0, 1, 30, 5_000]), last_withdrawal[place] + rng.choice([0, 1, 3])
            result = escrow.withdraw(owner_of[place], slot, amount, number, index=page)
            expected = 0 < amount <= balances[place] and number > last_withdrawal[place]
            if expected:
                balances[place] -= amount
                last_withdrawal[place] = number
        elif action == "open":
            id, pages = sealed + rng.choice([0, 1, 1, 2]), rng.choice([0, 1, 2, 3])
            result = escrow.open_batch(id, pages)
            expected = not opened and id == sealed + 1 and pages in (1, 2)
            if expected:
                opened, total, done, clearing = id, pages, set(), 0
        elif action == "settle":
            id = opened or sealed + 1
            slots = sorted(rng.sample([s for p, s in balances if p == page], rng.randint(1, 2)))
            change = rng.choice([1, 10, 10, 2_000])
            moves = [(slots[0], -change), *((s, change) for s in slots[1:])]
            if opened and len(done) == total - 1:
                # A batch that keeps something could never be sealed: the last page gives back what the others took.
                pair = sorted(rng.sample([s for p, s in balances if p == page], 2))
                moves = [(slots[0], clearing)] if clearing else [(pair[0], -change), (pair[1], change)]
            result = escrow.settle(id, deltas(*moves), index=page)
            after = {s: balances[page, s] + change for s, change in moves}
            taken = clearing - sum(change for _, change in moves)
            expected = (
                bool(opened)
                and page not in done
                and len(done) < total
                and min(after.values()) >= 0
                and taken >= 0
            )
            if expected:
                done.add(page)
                clearing = taken
                balances.update({(page, s): value for s, value in after.items()})
        else:
            result = escrow.seal(opened or sealed)
            expected = bool(opened) and len(done) == total and clearing == 0
            if expected:
                sealed, opened = opened, 0
        assert (result is None) is expected, (action, result, escrow.logs)
        landed += expected
        assert escrow.balances(0) + escrow.balances(1) == [balances[key] for key in sorted(balances)]
        assert escrow.tokens(escrow.vault) == sum(balances.values()) + (clearing if opened else 0)
    assert landed > 500
    assert sealed > 15
