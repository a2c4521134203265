"""What the operator is said to pay is what a chain charges."""

import re
from pathlib import Path

import pytest

from chain.budget import batch_cost, full_batch, pages_of, rent
from chain.layout import PAGE_BYTES

SOL = 10**9
PAGE = Path(__file__).resolve().parents[2] / "docs" / "operating" / "clusters.md"


@pytest.mark.parametrize("price", [0, 777_777])
async def test_a_batch_costs_what_was_computed(world, price):
    escrow, operator = world.escrow, world.operator
    owner = await world.agent(16, 1_000)
    await world.land(escrow.build_deposit(owner, 0, 2, 1_000))
    landed = [
        await world.land(escrow.build_open_batch(operator, 1, bytes(32), 1, price=price)),
        await world.land(escrow.build_settle_page(operator, 1, 0, [(0, 10), (2, -10)], price=price)),
        await world.land(escrow.build_seal_batch(operator, 1, price=price)),
    ]
    receipts = [await escrow.view.receipt(one.signature) for one in landed]
    assert sum(receipt.fee for receipt in receipts) == batch_cost([2], price).lamports


def test_every_slot_of_every_page_is_counted():
    assert [pages_of(accounts) for accounts in (1, 103, 104, 10_000)] == [1, 1, 2, 96]
    assert full_batch(104, 0).lamports == 5_000 * 4
    # 105 deltas on the first page, one on the second, open and seal.
    asked = (20_000 + 450 * 105) + (20_000 + 450) + 2 * 20_000
    assert full_batch(104, 1_000_000).priority == asked


def test_the_guide_has_these_figures():
    rows = re.findall(
        r"^\| ([\d,]+) \| (\d+) \| ([\d.]+) \| ([\d,]+) \| ([\d.]+) \| ([\d.]+) \|$", PAGE.read_text(), re.M
    )
    assert len(rows) == 3
    for accounts, *figures in rows:
        batch = full_batch(int(accounts.replace(",", "")), 0)
        kept = f"{batch.pages * rent(PAGE_BYTES, 6_960) / SOL:.4f}"
        days = [f"{batch.a_day(seconds) / SOL:.4f}" for seconds in (10, 60)]
        assert figures == [str(batch.pages), kept, f"{batch.lamports:,}", *days]
