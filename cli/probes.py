"""Whether a part answers yet."""

import json
import socket
import urllib.error
import urllib.request
from typing import Any, Final

from cli.processes import StackFailed

TIMEOUT_S: Final = 3.0


def connects(port: int) -> bool:
    """Whether something accepts connections on a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), TIMEOUT_S).close()
    except OSError:
        return False
    return True


def ready(url: str) -> bool:
    """Whether the API at a URL is ready. Raises `StackFailed` with its own sentence for what no waiting mends."""
    try:
        with urllib.request.urlopen(f"{url}/ready", timeout=TIMEOUT_S) as response:
            return bool(response.status == 200)
    except urllib.error.HTTPError as error:
        said = json.load(error)["error"]
        if said["retryable"]:
            return False
        raise StackFailed(f"The API is not ready ({said['code']}): {said['message']}") from None
    except OSError:
        return False


def answering(url: str) -> list[str]:
    """The API at a URL in words, when it is one of ours: it may not have asked its database for anything yet."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=TIMEOUT_S) as response:
            said = json.load(response)
    except (OSError, ValueError):
        return []
    return [f"the API at {url}"] if isinstance(said, dict) and "disk_free_bytes" in said else []


def rpc(url: str, method: str, *params: object) -> Any:
    """Result of a JSON-RPC call; None when there is none, whatever the reason."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            return json.load(response).get("result")
    except (OSError, ValueError):
        return None
