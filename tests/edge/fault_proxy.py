"""A JSON-RPC proxy that breaks calls on purpose: what networks and nodes do to a client, on demand and by the call."""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import Any, Final

import base58
from aiohttp import ClientSession, ClientTimeout, web
from solders.transaction import VersionedTransaction


class Fault(Enum):
    """What happens to a call."""

    LOSE_ANSWER = "the node does it, the answer is lost"
    REFUSE = "the connection breaks before the node hears of it"
    SERVER_ERROR = "HTTP 500, and the node does not hear of it"
    LIMITED = "HTTP 429, and the node does not hear of it"
    BUSY = "the node says that it is behind (-32005)"
    GARBAGE = "the answer is no JSON, and the node does not hear of it"
    TWICE = "the node gets it twice, the client the second answer"
    SWALLOW = "the node never hears of it, the client is told that all is well"
    LIE = "an untrue answer in good form: see `UNTRUE`"
    FORGE = "a transaction with other deltas than were signed: see `UNTRUE`"
    NEST = "a transaction in which a program is said to have settled, too: see `UNTRUE`"
    AHEAD = "a true answer that says it is as of a slot far ahead"
    STALE = "the answer to the same call when it was asked for the first time"


FAR_AHEAD: Final = 10**12
SETTLE_PAGE: Final = sha256(b"global:settle_page").digest()[:8]
FIRST_DELTA: Final = len(SETTLE_PAGE) + 8 + 4 + 1
"""Where in the instruction the first delta's sign is: after the batch (u64), the length of the deltas (u32) and a slot (u8)."""


def _ahead(answer: Any) -> None:
    """The view is of a slot that is far from there."""
    answer["result"]["context"]["slot"] = FAR_AHEAD


def _landed(answer: Any) -> None:
    """Every signature that was asked for has landed and is final."""
    told = {
        "slot": answer["result"]["context"]["slot"],
        "confirmations": None,
        "err": None,
        "status": {"Ok": None},
    }
    told["confirmationStatus"] = "finalized"
    answer["result"]["value"] = [told for _ in answer["result"]["value"]]


def _late(answer: Any) -> None:
    """The chain is past every height that bytes were signed for."""
    answer["result"]["blockHeight"] = FAR_AHEAD


def _higher(answer: Any) -> None:
    """The same, told by the other call."""
    answer["result"] = FAR_AHEAD


def _missing(answer: Any) -> None:
    """There are no such accounts."""
    answer["result"]["value"] = [None for _ in answer["result"]["value"]]


def _left_out(answer: Any) -> None:
    """Only the newest transaction of the list is there."""
    answer["result"] = answer["result"][:1]


def _without_logs(answer: Any) -> None:
    """The transaction has no logs."""
    answer["result"]["meta"]["logMessages"] = None


def _forged(answer: Any) -> None:
    """The first delta of a page that is settled has the other sign."""
    raw, encoding = answer["result"]["transaction"]
    data = bytearray(base64.b64decode(raw))
    data[data.index(SETTLE_PAGE) + FIRST_DELTA] ^= 1
    answer["result"]["transaction"] = [base64.b64encode(data).decode(), encoding]


def _nested(answer: Any) -> None:
    """The transaction's last instruction called itself, and there the first delta of the page had the other sign."""
    message = VersionedTransaction.from_bytes(base64.b64decode(answer["result"]["transaction"][0])).message
    settle = message.instructions[-1]
    data = bytearray(settle.data)
    data[FIRST_DELTA] ^= 1
    call = {
        "programIdIndex": settle.program_id_index,
        "accounts": list(settle.accounts),
        "data": base58.b58encode(bytes(data)).decode(),
        "stackHeight": 2,
    }
    answer["result"]["meta"]["innerInstructions"] = [
        {"index": len(message.instructions) - 1, "instructions": [call]}
    ]


UNTRUE: Final[dict[tuple[Fault, str], Callable[[Any], None]]] = {
    (Fault.LIE, "getSignatureStatuses"): _landed,
    (Fault.LIE, "getEpochInfo"): _late,
    (Fault.LIE, "getBlockHeight"): _higher,
    (Fault.LIE, "getMultipleAccounts"): _missing,
    (Fault.LIE, "getSignaturesForAddress"): _left_out,
    (Fault.LIE, "getTransaction"): _without_logs,
    (Fault.FORGE, "getTransaction"): _forged,
    (Fault.NEST, "getTransaction"): _nested,
}
"""What a lie about a method says; about others there is none."""
JSON: Final = {"content-type": "application/json"}
STATUS: Final[dict[Fault | None, int]] = {Fault.SERVER_ERROR: 500, Fault.LIMITED: 429}


@dataclass
class _Order:
    fault: Fault | None
    seconds: float
    left: int


class FaultProxy:
    """`async with FaultProxy(node_url) as proxy:` then `proxy.fail("sendTransaction", Fault.LOSE_ANSWER)`; clients use `proxy.url`.

    `calls` counts what clients asked for, by method; `broken` has the parameters of the last call of a method that was broken.
    """

    def __init__(self, node_url: str) -> None:
        self.url = ""
        self.calls: Counter[str] = Counter()
        self.broken: dict[str, Any] = {}
        self._node = node_url
        self._orders: dict[str, list[_Order]] = {}
        self._first: dict[str, bytes] = {}
        self._running = AsyncExitStack()

    def fail(self, method: str, fault: Fault | None, *, times: int = 1, seconds: float = 0.0) -> None:
        """Apply `fault` to the next `times` calls of `method` that no earlier order takes. `seconds` delays the answer; without a
        fault, that is all."""
        self._orders.setdefault(method, []).append(_Order(fault, seconds, times))

    def waiting(self) -> int:
        """Calls that will still be broken."""
        return sum(order.left for orders in self._orders.values() for order in orders)

    def heal(self) -> None:
        """Forget what was ordered."""
        self._orders.clear()

    async def __aenter__(self) -> "FaultProxy":
        self._http = await self._running.enter_async_context(ClientSession(timeout=ClientTimeout(30)))
        runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        self._running.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._running.aclose()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        call = json.loads(body)
        method = call["method"] if isinstance(call, dict) else "batch"
        self.calls[method] += 1
        order = self._take(method)
        fault = order.fault if order else None
        if fault:
            self.broken[method] = call["params"]
        answer = await self._outcome(fault, call, body)
        if order:
            await asyncio.sleep(order.seconds)
        if answer is None:
            return await _broken_off(request)
        return web.Response(body=answer, status=STATUS.get(fault, 200), content_type="application/json")

    async def _outcome(self, fault: Fault | None, call: Any, body: bytes) -> bytes | None:
        """The answer to give, None for none."""
        match fault:
            case Fault.REFUSE:
                return None
            case Fault.SERVER_ERROR:
                return b"internal server error"
            case Fault.LIMITED:
                return b"too many requests"
            case Fault.GARBAGE:
                return b"<html>maintenance</html>"
            case Fault.BUSY:
                error = {"code": -32005, "message": "Node is unhealthy", "data": {"numSlotsBehind": 99}}
                return json.dumps({"jsonrpc": "2.0", "error": error, "id": call["id"]}).encode()
            case Fault.SWALLOW:
                return json.dumps({"jsonrpc": "2.0", "result": "1" * 64, "id": call["id"]}).encode()
            case Fault.TWICE:
                await self._forward(body)
        answer = await self._forward(body)
        same = json.dumps([call["method"], call.get("params")]) if isinstance(call, dict) else ""
        first = self._first.setdefault(same, answer)
        if fault is Fault.STALE:
            return first
        if fault in (Fault.LIE, Fault.AHEAD, Fault.FORGE, Fault.NEST):
            told = json.loads(answer)
            (_ahead if fault is Fault.AHEAD else UNTRUE[fault, call["method"]])(told)
            return json.dumps(told).encode()
        return None if fault is Fault.LOSE_ANSWER else answer

    async def _forward(self, body: bytes) -> bytes:
        async with self._http.post(self._node, data=body, headers=JSON) as response:
            return await response.read()

    def _take(self, method: str) -> _Order | None:
        for order in self._orders.get(method, ()):
            if order.left:
                order.left -= 1
                return order
        return None


async def _broken_off(request: web.BaseRequest) -> web.StreamResponse:
    """An answer that is announced and never comes, as from a node that dies."""
    response = web.StreamResponse(headers=JSON)
    response.content_length = 1
    await response.prepare(request)
    assert request.transport is not None
    request.transport.close()
    return response
