"""Batches: each page once, in order, never more out than in; cost and size of a whole page; random histories against a model."""

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "contracts" / "solana" / "escrow"
ERRORS = {error["name"]: error["code"] for error in json.loads((FOLDER / "idl.json").read_text())["errors"]}
SLOTS = 105
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


def test_what_is_left_over_is_carried_into_the_next_batch(two_pages):
    escrow = two_pages
    escrow.open_batch(1, 1)
    assert escrow.by(escrow.operator, "carry_batch", 1) == ERRORS["PagesMissing"]
    assert escrow.settle(1, deltas((2, -6))) is None
    assert escrow.by(escrow.admin, "carry_batch", 1, operator=escrow.admin.pubkey()) == ERRORS["NotOperator"]
    assert escrow.by(escrow.operator, "carry_batch", 1) is None, escrow.logs
    assert [name for name, _ in escrow.events()] == ["BatchSealed", "BatchCarried"]
    escrow.open_batch(2, 1)
    assert escrow.state().clearing == 6
    assert escrow.settle(2, deltas((2, 6))) is None
    assert escrow.by(escrow.operator, "carry_batch", 2) == ERRORS["NothingToCarry"]
    assert escrow.seal(2) is None
    assert escrow.balances() == [0, 0, 1_000, 1_000]


def test_no_balance_goes_below_zero_or_over_the_top(escrow):
    escrow.open_batch(1, 1)
    assert escrow.settle(1, deltas((2, -1_000), (3, 1_000))) is None
    assert escrow.balances() == [0, 0, 0, 2_000]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        deltas((3, -1), (2, 1)),
        deltas((2, -1), (2, 1)),
        deltas((4, -1)),
        deltas((105, -1)),
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


def full_page(escrow, balance: int, **fields: int) -> None:
    """Fill page 0, every slot holding `balance` (set in the account itself: a deposit each would take minutes)."""
    for account in range(100, 100 + SLOTS - len(escrow.balances())):
        assert escrow.open(2, account) is None
    for number, slot in enumerate(escrow.slots()):
        escrow.set_slot(number, slot._replace(balance=balance, **fields))


def whole_page(escrow) -> float:
    """Settle the largest delta of every slot, as many debits as credits and one more; compute units a delta."""
    escrow.open_batch(1, 1)
    pairs = [(slot, DELTA_MAX if slot % 2 else -DELTA_MAX) for slot in range(SLOTS)]
    assert escrow.settle(1, deltas(*pairs)) is None, escrow.logs
    assert escrow.size <= 1_232
    print(f"a whole page: {escrow.size} bytes, {escrow.units / SLOTS:.1f} compute units a delta")
    return escrow.units / SLOTS


def test_a_whole_page_of_the_largest_deltas_fits_one_transaction(escrow):
    full_page(escrow, DELTA_MAX)
    assert whole_page(escrow) <= 200
    assert escrow.balances() == [2 * DELTA_MAX if slot % 2 else 0 for slot in range(SLOTS)]


@pytest.mark.parametrize("limit", [2**28, 0])
def test_a_whole_page_of_loss_limits_fits_too(escrow, limit):
    """Lower limits take effect with this batch, for half of the page; with a limit of nothing every slot of it is short."""
    full_page(escrow, DELTA_MAX, next_limit=limit, next_limit_at=1, loss_used=5)
    assert whole_page(escrow) <= 490
    shorts = [slot.unapplied for slot in escrow.slots()]
    short = min(DELTA_MAX, limit * 1_000_000) - DELTA_MAX
    assert shorts[2::2] == [short] * 52
    assert sum(shorts) == -DELTA_MAX
    assert [name for name, _ in escrow.events()] == ["PageSettled", "PageShort"]
