"""Workflows that run now go on with the code as it is: every kept history replays to the same commands."""

import asyncio
import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

HISTORIES = sorted(Path(__file__).with_name("histories").glob("*.json"))
PATIENCE_S = 60


@pytest.fixture
def replayer(workflows: list[type]) -> Replayer:
    return Replayer(workflows=workflows, data_converter=pydantic_data_converter)


def read(text: str) -> WorkflowHistory:
    kept = json.loads(text)
    return WorkflowHistory.from_json(kept.pop("workflow_id"), kept)


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_kept_history_replays(replayer, path):
    async with asyncio.timeout(PATIENCE_S):
        await replayer.replay_workflow(read(path.read_text()))


def test_every_workflow_has_a_history(workflows):
    text = "".join(path.read_text() for path in HISTORIES)
    assert [kind.__name__ for kind in workflows if f'"{kind.__name__}"' not in text] == []


async def test_other_steps_than_those_of_the_history_are_noticed(replayer):
    path = next(path for path in HISTORIES if path.stem == "withdrawal-paid")
    other = path.read_text().replace('"finish"', '"publish_status"')
    with pytest.raises(Exception, match="Nondeterminism"):
        async with asyncio.timeout(PATIENCE_S):
            await replayer.replay_workflow(read(other))
