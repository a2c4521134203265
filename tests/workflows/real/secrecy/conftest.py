"""The network's processes as loud as they can be."""

import socket
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module")
def network_settings() -> dict[str, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        metrics = f"127.0.0.1:{probe.getsockname()[1]}"
    loud = Path(__file__).with_name("loud")
    return {"PYTHONPATH": f"{loud}:{ROOT}:{ROOT / 'sdk'}", "WORKER_METRICS_ADDRESS": metrics}
