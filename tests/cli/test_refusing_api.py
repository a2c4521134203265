"""What the commands make of an API that refuses for a while, as it may at any time: a server that does so answers here."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cli.demo import Demo
from cli.figures import NotReadable, Reader
from cli.screen import line

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


class Standing:
    """A stack of which nothing stops."""

    settings = None

    def watch(self) -> None:
        pass


@pytest.fixture
def demo(api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Demo]:
    monkeypatch.setattr("cli.demo.LOOK_EVERY_S", 0.01)
    monkeypatch.setattr("cli.demo.READ_S", 0.2)
    with Reader(api.url) as reader:
        yield Demo(Standing(), None, reader, threading.Event())  # type: ignore[arg-type]


def test_a_look_shows_what_can_be_read_and_why_not_the_rest(api: Api) -> None:
    with Reader(api.url) as reader:
        api.refusals["/ready"] = 1
        refused, seen = reader.figures(None), reader.figures(None)
    assert (refused.fills, refused.projected) == (3, None)
    assert "money conserved" in line(refused)
    assert "history_unavailable" in line(refused)
    assert (seen.projected, seen.not_ready) == (10, "")


def test_a_demonstration_asks_again_at_its_end(api: Api, demo: Demo) -> None:
    api.refusals = {"/api/v1/status": 3, "/ready": 1}
    assert demo._patiently(demo._reader.status).fills == 3
    assert not demo._projected(10)
    assert demo._projected(10)
    assert not demo._projected(11)


def test_an_api_that_goes_on_refusing_is_told(api: Api, demo: Demo) -> None:
    api.refusals["/api/v1/status"] = 10**6
    with pytest.raises(NotReadable, match="history_unavailable"):
        demo._patiently(demo._reader.status)
