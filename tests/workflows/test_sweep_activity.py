"""What the sweep's review says to the operator's door, and what one account does to the others."""

from collections.abc import AsyncIterator
from time import time_ns
from typing import Any

import pytest
from aiohttp import web
from temporalio.exceptions import ApplicationError
from temporalio.runtime import MetricBuffer, Runtime, TelemetryConfig
from temporalio.testing import ActivityEnvironment

from activities import sweep
from activities.engine_door import EngineDoor
from activities.sweep import Reviewed, SweepActivities
from core.quantities import SECOND

STUCK, GONE, FINE = 16, 17, 18
LOST = "an answer of somebody in between"


class Engine:
    """The operator's door of an exchange: `forgotten` stay so until they are reviewed, `stuck` also then; `refused` by account."""

    def __init__(self, forgotten: list[int], stuck: set[int], refused: dict[int, tuple[int, str]]) -> None:
        self.forgotten, self.stuck, self.refused = list(forgotten), stuck, refused
        self.reviewed: list[int] = []

    def below(self, accounts: list[int]) -> web.Response:
        found = [{"account": one, "equity": 1, "maintenance": 2} for one in accounts if one in self.forgotten]
        going_on = [one for one in self.reviewed if one not in self.forgotten]
        answer = {"forgotten": found, "going_on": going_on, "inventory": [], "selling": False}
        return web.json_response(answer)

    async def handle(self, request: web.Request) -> web.Response:
        if request.path.endswith("/liquidations"):
            return self.below(self.forgotten)
        if request.path.endswith("/going-on"):
            return self.below([int(one) for one in request.query.getall("account", [])])
        account = (await request.json())["account"]
        if account in self.refused:
            status, code = self.refused[account]
            if code == LOST:
                return web.Response(status=status, text="<html>")
            error = {"code": code, "message": "No.", "retryable": status == 503}
            return web.json_response({"error": error}, status=status)
        self.reviewed.append(account)
        if account not in self.stuck:
            self.forgotten.remove(account)
        return web.json_response({"seq": 1, "repeated": False, "events": []})


@pytest.fixture
async def review(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """Reviews the accounts of an engine."""
    monkeypatch.setattr(sweep, "LOOK_EVERY_S", 0.001)
    runners = []

    async def review(engine: Engine, told: MetricBuffer | None = None, times: int = 1) -> Reviewed:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", engine.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        door = EngineDoor(f"http://{host}:{port}", "token")
        try:
            environment = ActivityEnvironment()
            if told is not None:
                environment.metric_meter = Runtime(telemetry=TelemetryConfig(metrics=told)).metric_meter
            activities = SweepActivities(door)
            for _ in range(times):
                reviewed = await environment.run(activities.review_accounts)
            return reviewed
        finally:
            await door.close()

    yield review
    for runner in runners:
        await runner.cleanup()


async def test_one_that_is_stuck_and_one_that_is_refused_hold_up_no_other(review: Any) -> None:
    engine = Engine([STUCK, GONE, FINE], {STUCK}, {GONE: (404, "account_unknown")})
    assert await review(engine) == Reviewed([STUCK, GONE, FINE], [FINE], [STUCK, GONE])
    assert engine.reviewed == [STUCK, FINE]


async def test_a_review_that_is_out_of_time_is_gone_on_with_by_the_next_one(
    review: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "REVIEW_S", 0.0)
    everyone = [STUCK, GONE, FINE]
    engine = Engine(everyone, set(everyone), {})
    assert await review(engine, times=4) == Reviewed(everyone, [], everyone)
    assert engine.reviewed == [STUCK, GONE, FINE, STUCK]


@pytest.mark.parametrize(("forgotten", "stuck"), [([STUCK, FINE], 1), ([FINE], 0), ([], 0)])
async def test_how_many_nothing_is_done_about_is_told(review: Any, forgotten: list[int], stuck: int) -> None:
    told, before = MetricBuffer(100), time_ns() // SECOND
    await review(Engine(forgotten, {STUCK}, {}), told)
    figures = {one.metric.name: one.value for one in told.retrieve_updates()}
    assert figures["perpdex_accounts_not_liquidated"] == stuck
    assert before <= figures["perpdex_accounts_reviewed_seconds"] <= time_ns() // SECOND


async def test_an_answer_that_is_lost_is_not_taken_for_a_refusal(review: Any) -> None:
    """Whether it was looked at is unknown then: the step is done again, as a whole."""
    engine = Engine([FINE], set(), {FINE: (502, LOST)})
    with pytest.raises(ApplicationError) as raised:
        await review(engine)
    assert raised.value.type == "engine_unreachable"
