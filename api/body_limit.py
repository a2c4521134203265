"""Bounds the request body before anything reads it. FastAPI's own limit does the same but answers in plain text."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.answers import error_response
from api.errors import ApiError
from api.sessions import Sessions

BODY_MAX: Final = 64 * 1024
COMMAND_MAX: Final = 16 * 1024 * 1024
"""Of an operator's command. The largest is about what the chain holds in 100,000 slots, and cannot be split: what is lost follows from
all of them. Each has at most 143 bytes, and the journal's record of all is far below what a record may have."""


class Commands:
    """Which calls are an operator's commands: those to `path` that carry an operator's token."""

    def __init__(self, sessions: Sessions, path: str) -> None:
        self._sessions = sessions
        self._path = path

    def has(self, scope: Mapping[str, Any]) -> bool:
        authorization = dict(scope["headers"]).get(b"authorization", b"")
        return scope["path"] == self._path and self._sessions.is_operator(authorization)


def announced(scope: Mapping[str, Any]) -> int | None:
    """Bytes that the body of a call will have, as its head says; 0 where that says nothing, None where it says no length."""
    length = dict(scope["headers"]).get(b"content-length", b"0")
    return int(length) if length.isdigit() and len(length) <= 18 else None


class BodyLimit:
    """ASGI middleware: 413 for a body above `BODY_MAX`, whether it was announced or just keeps coming.

    Only `commands` may have `COMMAND_MAX`.
    """

    def __init__(self, app: ASGIApp, commands: Commands) -> None:
        self._app = app
        self._commands = commands

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = COMMAND_MAX if self._commands.has(scope) else BODY_MAX
        length = announced(scope)
        if length is None or length > most:
            await error_response(ApiError("body_too_large"))(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise HTTPException(413)  # the one exception that a route's reading of its body lets through
            return message

        await self._app(scope, counted, send)
