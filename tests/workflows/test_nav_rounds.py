"""Rounds of snapshots: prices first, then vault after vault, at the instant that was due."""

from math import ceil, floor

from temporalio.exceptions import ApplicationError

from activities.nav import NavInstant, NavPart
from workflows.nav import ALERTS_SHOWN, NavWorkflow

ID = "nav-snapshots"


async def test_every_vault_is_valued_at_prices_that_were_written_before(
    client, environment, script_of, working, keep_history
):
    silent = ApplicationError("it does not answer", type="ledger")
    many = [f"v{number} as a whole: something" for number in range(70)]
    script = script_of(
        price_legs=[silent, 3, 1],
        collect_fills=[["v1 at hyper: no answer in time"]],
        take_snapshots=[NavPart("m", 100, many), NavPart("z", 40, many), NavPart("", 0)],
    )
    before = await environment.get_current_time()
    async with working(script):
        handle = await client.start_workflow(NavWorkflow.run, id=ID, task_queue="test")
        found = await handle.result()
        await keep_history(client, "nav", ID)
        after = await environment.get_current_time()
    assert script.names() == [
        "price_legs",
        "price_legs",
        "collect_fills",
        "price_legs",
        "take_snapshots",
        "take_snapshots",
        "take_snapshots",
    ]
    asked = [arguments[0] for name, arguments in script.calls if arguments]
    assert asked == [NavInstant(found.at)] * 4 + [NavInstant(found.at, "m"), NavInstant(found.at, "z")]
    # Not scheduled: the instant at which it began.
    assert floor(before.timestamp()) * 10**9 <= found.at <= ceil(after.timestamp()) * 10**9
    assert (found.legs, found.vaults, found.alerts_in_all) == (4, 140, 140)
    assert found.alerts == [*many, *many][:ALERTS_SHOWN]
    assert found.trouble == ""
    assert found.silent == ["v1 at hyper: no answer in time"]
    assert "- v1 at hyper" in found.text()
    assert "**140 vaults** as of" in found.text()
