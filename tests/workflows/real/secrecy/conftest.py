"""The network's processes as loud as they can be."""

from pathlib import Path

import pytest

from cli.ports import free_ports

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module")
def network_settings() -> dict[str, str]:
    metrics = f"127.0.0.1:{free_ports(1)[0]}"
    loud = Path(__file__).with_name("loud")
    return {"PYTHONPATH": f"{loud}:{ROOT}:{ROOT / 'sdk'}", "WORKER_METRICS_ADDRESS": metrics}
