"""JSON-RPC 2.0 over HTTP: one call or a batch of calls in a POST to `/`, `GET /health` for probes."""

import sqlite3
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from chain.localnet.bank import Bank
from chain.localnet.errors import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    NODE_UNHEALTHY,
    PARSE_ERROR,
    RpcError,
)
from chain.localnet.faucet import Faucet
from chain.localnet.machine import MachineBroken
from chain.localnet.method_accounts import ACCOUNT_METHODS
from chain.localnet.method_cluster import CLUSTER_METHODS
from chain.localnet.method_transactions import TRANSACTION_METHODS
from chain.localnet.params import Params

BODY_BYTES_MAX: Final = 50 * 1024
"""A node's own limit."""
Method = Callable[[Bank, Params], Any]


class RpcServer:
    """Answers calls from a bank. `stop` is called when the chain cannot be trusted any more."""

    def __init__(self, bank: Bank, stop: Callable[[], None]) -> None:
        self._bank = bank
        self._stop = stop
        self._methods = {**ACCOUNT_METHODS, **CLUSTER_METHODS, **TRANSACTION_METHODS, **_faucet_methods(bank)}
        self.stopping = False
        self.broken = False
        self.app = Starlette(
            routes=[Route("/", self._post, methods=["POST"]), Route("/health", self._health, methods=["GET"])]
        )

    async def _health(self, request: Request) -> Response:
        return PlainTextResponse("behind" if self.stopping else "ok")

    async def _post(self, request: Request) -> Response:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > BODY_BYTES_MAX:
                return PlainTextResponse("Provided body is too large", status_code=413)
        try:
            calls = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _json(_failure(None, RpcError(PARSE_ERROR, "Parse error")))
        if not isinstance(calls, list):
            answer = self._answer(calls)
            return _json(answer) if answer is not None else Response()
        if not calls:
            return _json(_failure(None, RpcError(INVALID_REQUEST, "Invalid request")))
        answers = [answer for call in calls if (answer := self._answer(call)) is not None]
        return _json(answers) if answers else Response()

    def _answer(self, call: Any) -> dict[str, Any] | None:
        """The answer to one call; None to a notification, which has no id."""
        if (
            not isinstance(call, dict)
            or call.get("jsonrpc") != "2.0"
            or not isinstance(call.get("method"), str)
        ):
            return _failure(None, RpcError(INVALID_REQUEST, "Invalid request"))
        try:
            answer = {"jsonrpc": "2.0", "result": self._call(call), "id": call.get("id")}
        except RpcError as error:
            answer = _failure(call.get("id"), error)
        return answer if "id" in call else None

    def _call(self, call: Mapping[str, Any]) -> Any:
        if self.stopping:
            raise RpcError(NODE_UNHEALTHY, "Node is unhealthy", {"numSlotsBehind": None})
        method = self._methods.get(call["method"])
        if method is None:
            raise RpcError(METHOD_NOT_FOUND, "Method not found")
        try:
            return method(self._bank, Params(call.get("params") or []))
        except RpcError:
            raise
        except (MachineBroken, sqlite3.Error) as error:
            # Memory and disk may differ from here on. Stop: the next start reads what is on disk.
            self.stopping = self.broken = True
            traceback.print_exc(file=sys.stderr)
            self._stop()
            raise RpcError(INTERNAL_ERROR, "Internal error") from error
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            raise RpcError(INTERNAL_ERROR, "Internal error") from error


def _faucet_methods(bank: Bank) -> dict[str, Method]:
    faucet = Faucet(bank)
    return {
        "requestAirdrop": lambda _, params: faucet.airdrop(params.pubkey(0), params.unsigned(1, "lamports")),
        "perpdexMintTestUsdc": lambda _, params: faucet.mint_usdc(
            params.pubkey(0, "owner"), params.unsigned(1, "amount")
        ),
    }


def _failure(call_id: Any, error: RpcError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "error": error.to_json(), "id": call_id}


def _json(answer: Any) -> Response:
    return Response(msgspec.json.encode(answer), media_type="application/json")
