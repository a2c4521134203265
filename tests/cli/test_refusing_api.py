"""What the commands make of an API that refuses for a while, as it may at any time: a server that does so answers here."""

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cli.demo import patiently
from cli.figures import NotReadable, Reader
from cli.screen import line
from cli.stack import Stopped

ANSWERS = {
    "/api/v1/status": {
        "seq": 12, "fills": 3, "agents": 2, "connections": 1, "conserved": True, "positions_zero_sum": True
    },
    "/api/v1/markets": {"markets": [{"source": "generated"}]},
    "/api/v1/batches": {"batches": []},
    "/ready": {"projected": 10},
}  # fmt: skip


class Api:
    """Refuses a path as often as `refusals` says."""

    def __init__(self) -> None:
        api = self
        self.refusals: dict[str, int] = {}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                left = api.refusals.get(path, 0)
                api.refusals[path] = left - 1
                body = {"error": {"code": "history_unavailable"}} if left > 0 else ANSWERS[path]
                content = json.dumps(body).encode()
                self.send_response(503 if left > 0 else 200)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()
    thread = threading.Thread(target=api.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield api
    api.server.shutdown()
    thread.join()
    api.server.server_close()


@pytest.fixture
def reader(api: Api) -> Iterator[Reader]:
    with Reader(api.url) as reader:
        yield reader


def asked_until(reader: Reader, within_s: float, stopped: threading.Event | None = None) -> int:
    """Fills, as a demonstration asks for them at its end, and how often it looked after its stack meanwhile."""
    looks: list[None] = []
    watch = partial(looks.append, None)
    fills = patiently(reader.status, watch, stopped or threading.Event(), within_s, every_s=0.01).fills
    assert fills == 3
    return len(looks)


def test_a_look_shows_what_can_be_read_and_why_not_the_rest(api: Api, reader: Reader) -> None:
    api.refusals["/ready"] = 1
    refused, seen = reader.figures(None), reader.figures(None)
    assert (refused.fills, refused.projected) == (3, None)
    assert "money conserved" in line(refused)
    assert "history_unavailable" in line(refused)
    assert (seen.projected, seen.not_ready) == (10, "")


def test_a_demonstration_asks_again_at_its_end(api: Api, reader: Reader) -> None:
    api.refusals = {"/api/v1/status": 3, "/ready": 1}
    assert asked_until(reader, within_s=60) == 3
    assert [reader.has_projected(sequence) for sequence in (10, 10, 11)] == [False, True, False]


def test_an_api_that_goes_on_refusing_is_told(api: Api, reader: Reader) -> None:
    api.refusals["/api/v1/status"] = 10**6
    with pytest.raises(NotReadable, match="history_unavailable"):
        asked_until(reader, within_s=0.2)


def test_who_is_told_to_stop_asks_no_more(api: Api, reader: Reader) -> None:
    api.refusals["/api/v1/status"] = 10**6
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(Stopped):
        asked_until(reader, within_s=60, stopped=stopped)
    assert api.refusals["/api/v1/status"] == 10**6 - 1
