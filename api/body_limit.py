"""Bounds the request body before anything reads it. FastAPI's own limit does the same but answers in plain text."""

from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.answers import error_response
from api.errors import ApiError

BODY_MAX: Final = 64 * 1024


class BodyLimit:
    """ASGI middleware: 413 for a body above `BODY_MAX`, whether it was announced or just keeps coming."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or len(announced) > 18 or int(announced) > BODY_MAX:
            await error_response(ApiError("body_too_large"))(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > BODY_MAX:
                raise HTTPException(413)  # the one exception that a route's reading of its body lets through
            return message

        await self._app(scope, counted, send)
