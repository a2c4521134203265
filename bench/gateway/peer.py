"""The gateway of PyPI's `matching-engine`: FastAPI over a log that is synced in groups, as published, in an environment of its own.

It needs Python 3.12. An order comes as one HTTP POST over a kept connection, and is answered with its trades once they are on disk.
"""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.gateway.links import Link, Times

PACKAGE: Final = "matching-engine[gateway]==0.1.1"
HOME: Final = Path(__file__).parents[2] / ".bench" / "matching-engine"
MARKET: Final = "/markets/BTC-USDT/orders"
START_S: Final = 30
DEEP: Final = "500000000"
"""Resting size at each side that no run uses up."""


class PeerMissing(Exception):
    """The peer cannot be run here; the message is why."""


def installed() -> Path:
    """Its directory of programs, installed when it is not there yet, with uvloop, which its server takes when it finds it.

    Raises `PeerMissing`.
    """
    programs = HOME / "bin"
    if (programs / "matching-engine").exists():
        return programs
    python = _python312()
    try:
        subprocess.run([python, "-m", "venv", str(HOME)], check=True, capture_output=True)
        subprocess.run(
            [str(programs / "python"), "-m", "pip", "install", "--quiet", PACKAGE, "uvloop"],
            check=True,
            capture_output=True,
        )
    except subprocess.CalledProcessError as error:
        shutil.rmtree(HOME, ignore_errors=True)
        lines = error.stderr.decode(errors="replace").strip().splitlines() or [str(error)]
        raise PeerMissing(lines[-1]) from error
    return programs


def _python312() -> str:
    """A 3.12 that starts: what is found on the path may be another tool's placeholder."""
    candidates = [shutil.which("python3.12"), *sorted(Path.home().glob(".pyenv/versions/3.12*/bin/python"))]
    for candidate in candidates:
        if (
            candidate
            and subprocess.run([candidate, "-c", "import ensurepip"], capture_output=True).returncode == 0
        ):
            return str(candidate)
    raise PeerMissing("there is no Python 3.12")


@contextmanager
def gateway(directory: Path) -> Iterator[int]:
    """Run it with its own defaults on files in `directory`; yields its port."""
    programs = installed()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [str(programs / "matching-engine"), "serve", "--port", str(port)],
        env={**os.environ, "ME_DATA_DIR": str(directory), "PYTHONPATH": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_open(process, port)
        for account, side, price in ((1_000_001, "sell", "60001.00"), (1_000_002, "buy", "59999.00")):
            _post(port, {"account": account, "side": side, "price": price, "quantity": DEEP})
        yield port
    finally:
        process.terminate()
        process.wait(START_S)


def _wait_until_open(process: "subprocess.Popen[bytes]", port: int) -> None:
    until = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < until:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1).close()
            return
        except urllib.error.URLError:
            time.sleep(0.1)
    raise PeerMissing("it did not start")


def _post(port: int, body: dict[str, object]) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{MARKET}", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=10).close()


class PeerTrader(Link):
    """Orders that must fill at once or not at all, within a limit, buying and selling in turn."""

    def __init__(self, times: Times, account: int) -> None:
        super().__init__()
        self._times = times
        self._account = account
        self._buys = False
        self._sent = 0
        self.on_answer: Callable[[], None] = lambda: None

    async def connect(self, port: int) -> None:
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", port)

    def request(self, since: int) -> None:
        self._buys = not self._buys
        side, limit = (b"buy", b"60600.00") if self._buys else (b"sell", b"59400.00")
        body = b'{"account":%d,"side":"%s","price":"%s","quantity":"0.01","time_in_force":"ioc"}' % (
            self._account,
            side,
            limit,
        )
        self._sent = since
        self.transport.write(
            b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (MARKET.encode(), len(body), body)
        )

    def received(self) -> None:
        head, found, body = self.data.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self.data = body[length:]
        self._times.latencies.append(time.perf_counter_ns() - self._sent)
        self._times.outcomes[json.loads(body[:length]).get("status", "refused")] += 1
        self.on_answer()
