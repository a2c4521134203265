"""A real Temporal server: the one that skips time has no Schedules."""

import os
import sysconfig
from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from workflows.steps import AGENT, BATCH, MARKET


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """Of a real Temporal server, which knows Schedules."""
    server = os.path.join(sysconfig.get_path("scripts"), "temporal")
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=server,
        data_converter=pydantic_data_converter,
        search_attributes=[BATCH, AGENT, MARKET],
        dev_server_log_level="error",
    ) as environment:
        yield environment.client
