"""Bounds the request body before anything reads it. FastAPI's own limit does the same but answers in plain text."""

from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.answers import error_response
from api.errors import ApiError
from api.sessions import Sessions

BODY_MAX: Final = 64 * 1024
COMMAND_MAX: Final = 16 * 1024 * 1024
"""Of an operator's command. The largest is about what the chain holds in 100,000 slots, and cannot be split: what is lost follows from
all of them. Each has at most 143 bytes, and the journal's record of all is far below what a record may have."""


class BodyLimit:
    """ASGI middleware: 413 for a body above `BODY_MAX`, whether it was announced or just keeps coming.

    Only a call to the path `commands` that carries an operator's token may have `COMMAND_MAX`.
    """

    def __init__(self, app: ASGIApp, sessions: Sessions, commands: str) -> None:
        self._app = app
        self._sessions = sessions
        self._commands = commands

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        is_command = scope["path"] == self._commands
        by_operator = is_command and self._sessions.is_operator(headers.get(b"authorization", b""))
        most = COMMAND_MAX if by_operator else BODY_MAX
        announced = headers.get(b"content-length", b"0")
        if not announced.isdigit() or len(announced) > 18 or int(announced) > most:
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
