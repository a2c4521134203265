"""A chain that holds an escrow of an earlier release: one sentence instead of figures read from the wrong places."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from chain.layout import ESCROW_BYTES
from cli.escrow import create_escrow
from cli.processes import StackFailed
from settings import Settings

EARLIER = hashlib.sha256(b"account:Escrow").digest()[:8] + bytes(231) + b"\1" + bytes(ESCROW_BYTES - 240)


class Node(BaseHTTPRequestHandler):
    """Answers every question with that account."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        data = [base64.b64encode(EARLIER).decode(), "base64"]
        account = {"data": data, "executable": False, "lamports": 1, "owner": "1" * 32, "rentEpoch": 0}
        result = {"context": {"slot": 1}, "value": [{**account, "space": len(EARLIER)}]}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}).encode())

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Node)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_an_earlier_escrow_is_named(url: str, tmp_path: Path) -> None:
    settings = Settings(solana_rpc_url=url, perpdex_data=tmp_path)
    with pytest.raises(StackFailed, match=r"another version than 2.*PERPDEX_DATA to an empty directory"):
        await create_escrow(settings, print)
