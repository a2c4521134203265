"""That engine, ledger and chain agree to the micro-unit, whatever was done to them."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from chain.deltas import decode_deltas
from chain.escrow_view import EscrowSnapshot
from chain.events import BatchSealed, Deposited, Event, PageSettled, Withdrawn, parse_events
from chain.rpc import FINALIZED
from core.batches import BatchStatus
from ledger.settlement import StoredBatch


@pytest.fixture
def agree(network: Any) -> Callable[[], Awaitable[None]]:
    """Settle, then compare: every fill is final, every page landed once as planned, every account holds its equity at the last cut.

    Agents may go on trading, for nothing is cut meanwhile; money must not come in or go out.
    """

    async def agree() -> None:
        fills = (await network.queries.totals()).fills
        try:
            await network.quiet()
            await _compare(network)
            assert (await network.queries.totals()).final_fills >= fills
        finally:
            # What fails here must not make the next tests fail.
            await network.loud()

    return agree


async def _compare(network: Any) -> None:
    batches, events = await _final_batches(network), await _events(network)
    _every_page_landed_once(batches, events)
    snapshot = await network.escrow.view.snapshot(FINALIZED)
    balances = {slot.account: slot.balance for page in snapshot.pages for slot in page.slots}
    assert balances == _expected(snapshot, batches, events)
    state, cut = await network.door.state(), await network.door.cut(batches[-1].batch)
    assert {one.account: one.equity for one in cut.accounts} == balances
    assert snapshot.promised == state.vault_expected == snapshot.state.deposits - snapshot.state.withdrawals
    assert snapshot.vault >= snapshot.promised
    assert state.conserved
    assert state.positions_zero_sum
    totals = await network.queries.totals()
    assert totals.total == 0


async def _final_batches(network: Any) -> list[StoredBatch]:
    """All of them; those seen before are remembered, so that a lost database may have forgotten them."""
    newest, status = await network.newest()
    assert status == BatchStatus.FINAL
    for number in range(len(network.batches) + 1, newest + 1):
        stored = await network.ledger.load_batch(number)
        assert stored is not None
        network.batches[number] = stored
    assert sorted(network.batches) == list(range(1, newest + 1))
    return list(network.batches.values())


async def _events(network: Any) -> list[Event]:
    """What the escrow logged, in all its transactions, oldest first. Those read before are remembered."""
    at, before, found = network.escrow.addresses.escrow, None, []
    known = network.receipts
    while page := (await network.rpc.get_signatures_for_address(at, before)).value:
        fresh = [str(one.signature) for one in page if one.err is None and str(one.signature) not in known]
        found += fresh
        before = page[-1].signature
        if not fresh:
            break
    for signature in reversed(found):
        receipt = await network.escrow.view.receipt(signature)
        known[signature] = tuple(parse_events(receipt.logs, network.escrow.addresses))
    return [event for events in known.values() for event in events]


def _every_page_landed_once(batches: list[StoredBatch], events: list[Event]) -> None:
    """Each page of each final batch was taken once, with the sums that were planned, under the batch's own root."""
    sealed = {event.root: event.id for event in events if isinstance(event, BatchSealed)}
    planned = []
    for batch in batches:
        for page in batch.pages:
            deltas = [delta for _, delta in decode_deltas(page.deltas)]
            debits = -sum(delta for delta in deltas if delta < 0)
            credits = sum(delta for delta in deltas if delta > 0)
            planned.append((sealed[batch.root], page.page, debits, credits))
    landed = [
        (event.id, event.page, event.debits, event.credits)
        for event in events
        if isinstance(event, PageSettled)
    ]
    assert sorted(landed) == sorted(planned)


def _expected(snapshot: EscrowSnapshot, batches: list[StoredBatch], events: list[Event]) -> dict[int, int]:
    """Balance of every account on chain: what it paid in, less what it took out, plus its planned deltas."""
    places = {(page.index, slot.index): slot.account for page in snapshot.pages for slot in page.slots}
    balances = dict.fromkeys(places.values(), 0)
    for event in events:
        if isinstance(event, Deposited | Withdrawn):
            balances[event.account] += event.amount if isinstance(event, Deposited) else -event.amount
    for batch in batches:
        for page in batch.pages:
            for slot, delta in decode_deltas(page.deltas):
                balances[places[page.page, slot]] += delta
    return balances
