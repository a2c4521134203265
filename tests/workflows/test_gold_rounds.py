"""Gold orders: one batch for a period, what is signed is kept before it is sent, and an order has one outcome."""

import asyncio

import pytest
from temporalio import workflow
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from activities.gold_settlement import GoldCovered, GoldFate, GoldSettlementActivities, SignedAttempt
from chain.evm.gold_orders import OrderOutcome, VaultOrder
from workflows.gold_settlement import (
    BATCHES_PER_RUN,
    GOLD_SETTLEMENT,
    MOST_LEGS,
    OUTCOMES_KEPT,
    GoldBook,
    GoldSettlementWorkflow,
)

PERIOD_S = 60


def order(number, **changes):
    given = {"id": f"{number:064x}", "vault": "0x" + "0a" * 20, "size": 1, "limit_price": 5}
    return VaultOrder(**given | {"cash_in": 3, "cash_out": 0} | changes)


def signed(number, nonce=0):
    return SignedAttempt(nonce, f"0x{number:064x}", "02ff", 10 + number, 1, 7)


def executed(what):
    outcomes = [OrderOutcome(one.id, 2_000, 0) for one in what.batch.orders]
    return GoldFate("executed", what.attempts[-1].hash, 9, 21_000, orders=outcomes)


def ticket(number, vault=1, **changes):
    return order(number, vault=f"0x{vault:040x}", cash_in=0, cover=True, **changes)


@pytest.fixture
async def place(client):
    handle = await client.start_workflow(
        GoldSettlementWorkflow.run, GoldBook(PERIOD_S), id=GOLD_SETTLEMENT, task_queue="test"
    )

    async def place(*orders):
        for one in orders:
            await handle.execute_update(GoldSettlementWorkflow.place, one)

    place.handle = handle
    yield place
    await handle.terminate()


async def outcome(environment, handle, number):
    """Once there is one."""
    while (found := await handle.query(GoldSettlementWorkflow.outcome, f"{number:064x}")) is None:
        await environment.sleep(PERIOD_S)
    return found


async def test_the_orders_of_a_period_are_one_batch(environment, place, script_of, working):
    script = script_of(most_gold_orders=40, sign_gold_batch=signed(1), watch_gold_batch=executed)
    async with working(script):
        await place(order(1), order(2), order(1))
        assert await outcome(environment, place.handle, 1) == OrderOutcome(order(1).id, 2_000, 0)
        assert await outcome(environment, place.handle, 2) == OrderOutcome(order(2).id, 2_000, 0)
        # What has its outcome is not placed again.
        await place(order(2))
        await environment.sleep(10 * PERIOD_S)
    assert script.names() == ["most_gold_orders", "sign_gold_batch", "watch_gold_batch"]
    ((what,), _) = [arguments for _, arguments in script.calls][2], None
    assert [one.id for one in what.batch.orders] == [order(1).id, order(2).id]
    assert what.attempts == [signed(1)]


async def test_what_is_overdue_offers_more_and_all_attempts_are_watched(
    client, environment, place, script_of, working, keep_history
):
    overdue = GoldFate("overdue")
    script = script_of(
        sign_gold_batch=[signed(1), signed(2), None], watch_gold_batch=[overdue, overdue, executed]
    )
    async with working(script):
        await place(order(1))
        assert (await outcome(environment, place.handle, 1)).reason == ""
        await keep_history(client, "gold-settlement", GOLD_SETTLEMENT)
    watched = [arguments[0] for name, arguments in script.calls if name == "watch_gold_batch"]
    assert [what.attempts for what in watched] == [
        [signed(1)],
        [signed(1), signed(2)],
        [signed(1), signed(2)],
    ]
    assert [what.sent for what in watched] == [False, True, True]
    assert len({what.batch.id for what in watched}) == 1


async def test_a_failed_step_goes_on_with_what_was_signed(environment, place, script_of, working):
    """The worker was killed after sending, four times: what comes next knows that something may have been sent."""
    lost = ApplicationError("the node went away", type="chain_unavailable")
    script = script_of(
        sign_gold_batch=[signed(1), signed(9, nonce=1)], watch_gold_batch=[*[lost] * 4, executed]
    )
    async with working(script):
        await place(order(1))
        assert (await outcome(environment, place.handle, 1)).price == 2_000
        assert await place.handle.query(GoldSettlementWorkflow.trouble) == ""
    watched = [arguments[0] for name, arguments in script.calls if name == "watch_gold_batch"]
    assert {what.attempts[0].hash for what in watched} == {signed(1).hash}
    assert [what.sent for what in watched] == [False, False, False, True, True]
    assert script.names().count("sign_gold_batch") == 1


async def test_a_displaced_batch_is_signed_anew_under_the_same_id(environment, place, script_of, working):
    script = script_of(
        sign_gold_batch=[signed(1), signed(2, nonce=1)],
        watch_gold_batch=[GoldFate("displaced", "0xother", 5), executed],
    )
    async with working(script):
        await place(order(1))
        assert (await outcome(environment, place.handle, 1)).reason == ""
    first, second = (arguments[0] for name, arguments in script.calls if name == "watch_gold_batch")
    assert first.batch == second.batch
    assert second.attempts == [signed(2, nonce=1)]
    assert not second.sent


async def test_a_batch_that_is_undone_tells_each_order_why(environment, place, script_of, working):
    script = script_of(
        most_gold_orders=40,
        sign_gold_batch=signed(1),
        watch_gold_batch=GoldFate("undone", "0x1", 5, 21_000, "EnforcedPause()"),
    )
    async with working(script):
        await place(order(1), order(2))
        for number in (1, 2):
            assert (await outcome(environment, place.handle, number)).reason == "undone: EnforcedPause()"


@pytest.mark.parametrize("known", [False, True])
async def test_refusals_end_with_the_deadline(environment, place, script_of, working, known):
    """Without money for fees nothing is sent; when the batch would be too late, the chain has the last word."""
    late = GoldFate("executed", "0x1", 4, 1, orders=[OrderOutcome(order(1).id, 7, 0)])
    script = script_of(
        sign_gold_batch=signed(1),
        watch_gold_batch=GoldFate("refused", reason="insufficient funds"),
        find_gold_batch=late if known else None,
    )
    async with working(script):
        await place(order(1))
        found = await outcome(environment, place.handle, 1)
    assert found.reason == ("" if known else "refused: insufficient funds")
    assert script.names()[-1] == "find_gold_batch"
    assert script.names().count("watch_gold_batch") > 10
    watched = [arguments[0] for name, arguments in script.calls if name == "watch_gold_batch"]
    assert not any(what.sent for what in watched)


def all_covered(orders, since):
    return GoldCovered(orders)


def no_node():
    """For about seventeen minutes: each ends a round of tries."""
    words = "the node is away"
    return [ApplicationError(words, type="chain_unavailable", non_retryable=True) for _ in range(21)]


async def test_a_vault_has_one_ticket_in_a_batch_and_its_others_wait(environment, place, script_of, working):
    script = script_of(
        most_gold_orders=40,
        cover_gold_orders=all_covered,
        sign_gold_batch=signed(1),
        watch_gold_batch=executed,
    )
    async with working(script):
        await place(ticket(1, 1), ticket(2, 2), ticket(3, 1), order(4, vault=f"0x{1:040x}"), ticket(5, 3))
        for number in range(1, 6):
            assert (await outcome(environment, place.handle, number)).reason == ""
    watched = [arguments[0] for name, arguments in script.calls if name == "watch_gold_batch"]
    batches = [[int(one.id, 16) for one in what.batch.orders] for what in watched]
    assert batches == [[1, 2, 5], [3], [4]]
    # And what vaults have is asked of a node that has the last batch.
    assert [arguments[1] for name, arguments in script.calls if name == "cover_gold_orders"] == [0, 9]
    # What is given with its cash needs none.
    assert script.names().count("cover_gold_orders") == 2


async def test_what_the_cover_refuses_is_in_no_batch(environment, place, script_of, working):
    refused = OrderOutcome(ticket(1).id, 0, 0, "nothing to reduce", "would_not_reduce", 1)
    script = script_of(cover_gold_orders=GoldCovered([], [refused]))
    async with working(script):
        await place(ticket(1))
        assert await outcome(environment, place.handle, 1) == refused
        assert (await place.handle.query(GoldSettlementWorkflow.place_of, ticket(1).id)).where == "done"
    assert script.names() == ["cover_gold_orders"]


async def test_a_ticket_that_no_node_answered_in_time_is_not_begun(environment, place, script_of, working):
    now = int((await environment.get_current_time()).timestamp())
    script = script_of(cover_gold_orders=[*no_node(), all_covered])
    async with working(script):
        await place(ticket(1, until=now + 30))
        assert (await outcome(environment, place.handle, 1)).code == "expired"
    assert set(script.names()) == {"cover_gold_orders"}


@pytest.mark.parametrize("known", [False, True])
async def test_a_batch_that_was_signed_too_late_is_not_sent(environment, place, script_of, working, known):
    late = GoldFate("executed", "0x1", 4, 1, orders=[OrderOutcome(ticket(1).id, 7, 0)])
    script = script_of(
        cover_gold_orders=all_covered,
        sign_gold_batch=[*no_node(), signed(1)],
        find_gold_batch=late if known else None,
    )
    async with working(script):
        await place(ticket(1))
        found = await outcome(environment, place.handle, 1)
    assert (found.code, found.price) == (("", 7) if known else ("expired", 0))
    assert "watch_gold_batch" not in script.names()


async def test_a_run_that_was_overdue_for_ever_ends_once_its_worker_knows_how(
    environment, client, place, script_of, working, monkeypatch
):
    """The earlier worker watched on after the deadline, so all its rounds are played again without the mark of the later one."""
    overdue, steps = GoldFate("overdue"), GoldSettlementActivities
    watched = [overdue, *no_node(), overdue, overdue, overdue, *no_node()]
    script = script_of(sign_gold_batch=signed(1), watch_gold_batch=watched)
    known = workflow.patched
    with monkeypatch.context() as earlier:
        earlier.setattr(workflow, "patched", lambda mark: "overdue" not in mark and known(mark))
        uncached = Worker(
            client,
            task_queue="test",
            workflows=[GoldSettlementWorkflow],
            activities=script.activities([steps.sign_gold_batch, steps.watch_gold_batch]),
            max_cached_workflows=0,
        )
        async with uncached:
            await place(order(1))
            while len(watched) > 20:
                await environment.sleep(PERIOD_S)
            # A worker that ends with a task in its hands keeps it for ten seconds.
            await asyncio.sleep(0.5)
    late = GoldFate("late", reason="no block took it in time")
    script = script_of(sign_gold_batch=signed(1), watch_gold_batch=[overdue, executed], end_gold_batch=late)
    async with working(script):
        assert (await outcome(environment, place.handle, 1)).code == "expired"
        await place(order(2))
        assert (await outcome(environment, place.handle, 2)).price == 2_000
    assert script.names().count("end_gold_batch") == 1


async def test_an_order_that_comes_late_is_refused_at_the_door(environment, place, script_of, working):
    now = int((await environment.get_current_time()).timestamp())
    async with working(script_of()):
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await place(ticket(1, until=now - 10))
        assert caught.value.cause.type == "order_late"


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "ab"},
        {"id": "z" * 64},
        {"vault": "0x0a"},
        {"size": 2**127},
        {"limit_price": 2**64},
        {"limit_price": -1},
        {"cash_in": 2**128},
        {"cash_out": -1},
    ],
)
async def test_an_order_that_fits_no_leg_is_refused_at_the_door(place, script_of, working, changes):
    async with working(script_of()):
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await place(order(1, **changes))
        assert caught.value.cause.type == "order_malformed"


async def test_more_than_a_batch_holds_waits_for_the_next(environment, place, script_of, working):
    script = script_of(most_gold_orders=10**6, sign_gold_batch=signed(1), watch_gold_batch=executed)
    async with working(script):
        await place(*(order(number) for number in range(MOST_LEGS + 2)))
        await outcome(environment, place.handle, MOST_LEGS + 1)
    sizes = [len(arguments[0].batch.orders) for name, arguments in script.calls if name == "watch_gold_batch"]
    assert sum(sizes) == MOST_LEGS + 2
    assert max(sizes) <= MOST_LEGS


async def test_more_than_a_transaction_has_gas_for_waits_for_the_next(environment, place, script_of, working):
    away = ApplicationError("the node is away", type="chain_unavailable", non_retryable=True)
    script = script_of(most_gold_orders=[away, 2], sign_gold_batch=signed(1), watch_gold_batch=executed)
    async with working(script):
        await place(*(order(number) for number in range(1, 6)))
        await outcome(environment, place.handle, 5)
        assert await place.handle.query(GoldSettlementWorkflow.trouble) == ""
    watched = [arguments[0] for name, arguments in script.calls if name == "watch_gold_batch"]
    assert [[int(one.id, 16) for one in what.batch.orders] for what in watched] == [[1, 2], [3, 4], [5]]
    # Of one order nobody asks whether it fits.
    assert script.names().count("most_gold_orders") == 3


@pytest.mark.parametrize("known", [False, True])
async def test_what_no_block_takes_ends_with_the_deadline_and_the_next_batch_goes_on(
    environment, place, script_of, working, known
):
    """The node refuses it in words that nobody knows, so it may have been sent; after its deadline the chain's time decides."""
    late, overdue = GoldFate("late", reason="no block took it in time"), GoldFate("overdue")
    done = GoldFate("executed", "0x1", 4, 1, orders=[OrderOutcome(order(1).id, 7, 0)])
    script = script_of(
        sign_gold_batch=signed(1),
        watch_gold_batch=[overdue, *no_node(), overdue, overdue, executed],
        end_gold_batch=[None, done if known else late],
    )
    async with working(script):
        await place(order(1))
        found = await outcome(environment, place.handle, 1)
        assert (found.price, found.code) == ((7, "") if known else (0, "expired"))
        await place(order(2))
        assert (await outcome(environment, place.handle, 2)).price == 2_000
        assert await place.handle.query(GoldSettlementWorkflow.trouble) == ""
    assert script.names().count("end_gold_batch") == 2
    begun = script.names().index("end_gold_batch")
    assert script.names()[begun - 1 : begun + 2] == ["watch_gold_batch", "end_gold_batch", "sign_gold_batch"]


async def test_what_was_refused_is_not_forgotten_for_what_was_carried_out(
    environment, client, script_of, working
):
    """Of the refused one nobody else can tell."""
    refused = OrderOutcome(order(0).id, 0, 0, "nothing to reduce", "would_not_reduce", 1)
    known = {refused.id: refused} | {
        order(number).id: OrderOutcome(order(number).id, 2_000, 0) for number in range(1, OUTCOMES_KEPT + 1)
    }
    handle = await client.start_workflow(
        GoldSettlementWorkflow.run, GoldBook(0, outcomes=known), id=GOLD_SETTLEMENT, task_queue="test"
    )
    async with working(script_of(sign_gold_batch=signed(1), watch_gold_batch=executed)):
        newest = OUTCOMES_KEPT + 1
        await handle.execute_update(GoldSettlementWorkflow.place, order(newest))
        await outcome(environment, handle, newest)
        assert await handle.query(GoldSettlementWorkflow.outcome, refused.id) == refused
        for number, kept in ((1, False), (2, True)):
            found = await handle.query(GoldSettlementWorkflow.outcome, order(number).id)
            assert (found is not None) is kept
    await handle.terminate()


async def test_it_goes_on_as_a_new_run_and_keeps_its_outcomes(environment, client, script_of, working):
    handle = await client.start_workflow(
        GoldSettlementWorkflow.run, GoldBook(0), id=GOLD_SETTLEMENT, task_queue="test"
    )
    script = script_of(sign_gold_batch=signed(1), watch_gold_batch=executed)
    latest = client.get_workflow_handle(GOLD_SETTLEMENT)
    async with working(script):
        for number in range(BATCHES_PER_RUN + 2):
            await latest.execute_update(GoldSettlementWorkflow.place, order(number))
            await outcome(environment, latest, number)
        assert (await latest.describe()).run_id != handle.result_run_id
        assert (await latest.query(GoldSettlementWorkflow.outcome, order(0).id)).price == 2_000
    await latest.terminate()
