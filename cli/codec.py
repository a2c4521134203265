"""`perpdex codec`: decrypts payloads for people who look at workflows in Temporal's UI or at its command line.

It listens on this machine only, and answers who knows its token: as a bearer token, or as the first part of the path, because the
UI has no place for a token of ours. A browser lets no page but the UI's read the answers.
"""

import hmac
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import uvicorn
from google.protobuf.json_format import MessageToDict, Parse, ParseError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from temporalio.api.common.v1 import Payload, Payloads

from chain.keys import KeyFileRefused
from endings import told
from places import secret
from settings import Settings
from workflows.encryption import EncryptingCodec, PayloadUnreadable, read_payload_keys

HOST: Final = "127.0.0.1"
BODY_BYTES_MAX: Final = 16 << 20
"""Temporal sends the payloads of one event at a time, of which each has 2 MiB at most."""
Turn = Callable[[Sequence[Payload]], Awaitable[list[Payload]]]


def codec_app(codec: EncryptingCodec, token: str, origins: Sequence[str]) -> Starlette:
    """The codec server's protocol: payloads in JSON to ``/decode`` and ``/encode``, turned, in the same order.

    `origins` are those whose pages a browser lets read answers.
    """

    def turning(turn: Turn) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            if not _knows(request, token):
                return _refusal(401, "unauthorized", "Give the token in keys/codec.token.")
            body = await _body(request)
            if body is None:
                return _refusal(413, "too_large", f"At most {BODY_BYTES_MAX} bytes at a time.")
            try:
                turned = await turn(Parse(body, Payloads()).payloads)
            except (ParseError, UnicodeDecodeError):
                return _refusal(400, "malformed", "Payloads in JSON are expected.")
            except PayloadUnreadable as error:
                return _refusal(400, error.code, str(error))
            return JSONResponse(MessageToDict(Payloads(payloads=turned)))

        return answer

    routes = [
        Route(f"{before}/{name}", turning(turn), methods=["POST"])
        for name, turn in (("decode", codec.decode), ("encode", codec.encode))
        for before in ("", "/{token}")
    ]
    readers = Middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["POST"],
        allow_headers=["authorization", "content-type", "x-namespace"],
        # The UI may come from another machine, and this server is on the one of the person who looks.
        allow_private_network=True,
    )
    return Starlette(routes=routes, middleware=[readers])


def ui_origins(settings: Settings) -> list[str]:
    """The configured UI's origin, or those of the one that `perpdex up` starts."""
    if settings.temporal_ui_origin:
        return [settings.temporal_ui_origin.rstrip("/")]
    return [f"http://{host}:{settings.temporal_ui_port}" for host in (HOST, "localhost")]


def codec() -> None:
    """Decrypt payloads for Temporal's UI and command line, on this machine only."""
    with told():
        serve_codec(Settings())


def serve_codec(settings: Settings) -> None:
    """Serve until told to stop. Raises `KeyFileRefused` when no key is configured, or none can be read."""
    if settings.payload_keys is None:
        raise KeyFileRefused(
            "PAYLOAD_KEYS names no file: payloads are not encrypted, there is nothing to decode"
        )
    path = settings.perpdex_data / "keys" / "codec.token"
    app = codec_app(read_payload_keys(settings.payload_keys), secret(path), ui_origins(settings))
    print(f"codec endpoint: http://{HOST}:{settings.codec_port}/TOKEN, with the token in {path}", flush=True)
    # No log of requests: their paths have the token.
    uvicorn.run(app, host=HOST, port=settings.codec_port, access_log=False, log_level="warning")


def _knows(request: Request, token: str) -> bool:
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    shown = (given if kind.lower() == "bearer" else "", request.path_params.get("token", ""))
    return any(hmac.compare_digest(one.encode(), token.encode()) for one in shown)


async def _body(request: Request) -> bytes | None:
    """The body, or None when it is too large."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > BODY_BYTES_MAX:
            return None
    return bytes(body)


def _refusal(status: int, code: str, message: str) -> Response:
    return JSONResponse({"code": code, "message": message}, status)
