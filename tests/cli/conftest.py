"""Processes of the network by themselves, with nothing beside them: what one needs must be its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
NOBODY = "127.0.0.1:1"
"""Nothing listens there."""


API = ("-m", "cli.main", "serve", "api")


class Served:
    """The process, the API's addresses and the operator's door."""

    def __init__(self, data: Path, arguments: tuple[str, ...], given: dict[str, str]) -> None:
        http, websocket = free_ports(2)
        self.data = data
        self.http = f"http://127.0.0.1:{http}"
        self.websocket = f"ws://127.0.0.1:{websocket}/ws"
        settings = {
            "PERPDEX_DATA": str(data),
            "API_PORT": str(http),
            "WEBSOCKET_PORT": str(websocket),
            "DATABASE_URL": f"postgresql://nobody@{NOBODY}/none",
            "TEMPORAL_ADDRESS": NOBODY,
            "SOLANA_RPC_URL": f"http://{NOBODY}",
            "PYTH_URL": "",
        }
        data.mkdir(exist_ok=True)
        self.log = data / f"{len(list(data.glob('*.log')))}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env={**os.environ, **settings, **given},
                stdout=log,
                stderr=log,
            )

    def wait(self) -> "Served":
        """Return once it answers; what it said is the error when it does not."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                httpx.get(f"{self.http}/health").raise_for_status()
            except httpx.TransportError:
                time.sleep(0.1)
            else:
                return self
        raise AssertionError(self.log.read_text())

    def ended(self) -> tuple[int, str]:
        """Exit code and everything it said."""
        return self.process.wait(60), self.log.read_text()

    def operate(self, **command: Any) -> dict[str, Any]:
        token = (self.data / "keys" / "operator.token").read_text()
        answer = httpx.post(
            f"{self.http}/api/v1/operator/commands",
            content=json.dumps(command),
            headers={"Authorization": f"Bearer {token}"},
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts one, the API when nothing else is named; keywords are environment variables. All have one data directory."""
    started: list[Served] = []

    def start(*arguments: str, **given: str) -> Served:
        started.append(Served(tmp_path / "data", arguments or API, given))
        return started[-1]

    yield start
    for served in started:
        served.stop()
