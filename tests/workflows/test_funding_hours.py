"""Funding workflows: missed hours come first, refusals are waited out, and each market's hour has one workflow."""

import asyncio
from datetime import UTC, datetime

from temporalio.exceptions import ApplicationError

from activities.funding import MarketHour, PaidHour
from workflows.funding import (
    APART,
    FundingHourWorkflow,
    FundingProgress,
    FundingWorkflow,
    funding_workflow_id,
    hour_ended_by,
)

HOUR = 490_000
OF = MarketHour(1, "BTC-PERP", HOUR)
ID = "funding-BTC-PERP-2025-11-24T16:00Z"


def paid(of):
    return PaidHour(of.hour, 1, 720, 12_500_000, 600_000, 4, 1_500_000, 150_000, 1, of.hour * 3_600 * 10**9)


async def run(client, of=OF):
    return await client.execute_workflow(
        FundingWorkflow.run, of, id=funding_workflow_id(of), task_queue="test"
    )


def test_an_hour_is_named_by_the_instant_at_which_it_was_due():
    assert funding_workflow_id(OF) == ID
    due = datetime(2025, 11, 24, 16, tzinfo=UTC)
    assert hour_ended_by(due) == hour_ended_by(due.replace(minute=59, second=59)) == HOUR


async def test_missed_hours_are_paid_first_in_order(client, script_of, working, keep_history):
    script = script_of(missed_hours=[[HOUR - 2, HOUR - 1]], pay_hour=paid)
    async with working(script):
        assert await run(client) == paid(OF)
        await keep_history(client, "funding", ID)
        progress = await client.get_workflow_handle(ID).query(FundingWorkflow.progress)
    assert script.names() == ["missed_hours", "pay_hour", "pay_hour", "pay_hour"]
    asked = [arguments[0].hour for name, arguments in script.calls if name == "pay_hour"]
    assert asked == [one.hour for one in progress.paid] == [HOUR - 2, HOUR - 1, HOUR]
    assert (progress.waiting, progress.trouble) == ([], "")


async def test_an_hour_waits_until_its_index_is_trusted(
    client, environment, script_of, working, keep_history
):
    refused = ApplicationError("not trusted", type="index_unavailable")
    script = script_of(missed_hours=[[]], pay_hour=[*[refused] * 8, paid])
    async with working(script):
        handle = await client.start_workflow(FundingWorkflow.run, OF, id=ID, task_queue="test")
        while not (await handle.query(FundingWorkflow.progress)).trouble:
            await environment.sleep(1)
        progress = await handle.query(FundingWorkflow.progress)
        assert (progress.waiting, progress.paid) == ([HOUR], [])
        assert "index_unavailable: not trusted" in progress.trouble
        assert await handle.result() == paid(OF)
        await keep_history(client, "funding-waits", ID)
    assert script.names().count("pay_hour") == 9


async def test_an_hour_that_was_paid_long_ago_is_left_alone(client, script_of, working):
    async with working(script_of(missed_hours=[[]], pay_hour=[None])):
        assert await run(client) is None


async def test_every_market_gets_one_workflow_for_an_hour_and_none_waits_for_another(
    client, environment, script_of, working, keep_history
):
    markets = [MarketHour(1, "BTC-PERP", 0), MarketHour(2, "ETH-PERP", 0)]
    stuck = asyncio.Event()

    async def pay(of):
        if of.symbol == "BTC-PERP":
            await stuck.wait()
        return paid(of)

    script = script_of(funded_markets=[markets], missed_hours=[[]], pay_hour=pay)
    async with working(script):
        hour = hour_ended_by(await environment.get_current_time())
        for number in range(2):
            id = f"funding-hour-{number}"
            await client.execute_workflow(FundingHourWorkflow.run, id=id, task_queue="test")
            await keep_history(client, f"funding-hour-apart-{number}", id)
        bitcoin, ether = (
            client.get_workflow_handle_for(
                FundingWorkflow.run, funding_workflow_id(MarketHour(one.market, one.symbol, hour))
            )
            for one in markets
        )
        first, second = [(await one.describe()).start_time for one in (bitcoin, ether)]
        assert second - first >= APART
        result = await ether.result()
        assert result is not None
        assert result.hour == hour
        stuck.set()
        assert (await bitcoin.result()).hour == hour
    assert script.names().count("pay_hour") == 2


def test_details_say_what_was_paid_and_what_waits():
    progress = FundingProgress("BTC-PERP", HOUR, [HOUR], [paid(MarketHour(1, "BTC-PERP", HOUR - 1))], "x: y")
    assert progress.text() == (
        "**Funding of BTC-PERP** for the hour to 2025-11-24T16:00Z\n"
        "- paid 2025-11-24T15:00Z: 0.001250 % by premium of 720 samples, 1500000 micro-USDC among 4 accounts\n"
        "- waits: 2025-11-24T16:00Z\n"
        "- **trouble**: x: y"
    )
