"""Bounds the request body before anything reads it."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.answers import error_response
from api.errors import ApiError

BODY_MAX = 64 * 1024


class BodyTooLarge(Exception):
    """More came than was announced or allowed."""


class BodyLimit:
    """ASGI middleware: 413 for a body above `BODY_MAX`, announced or not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or int(announced[:20]) > BODY_MAX:
            await error_response(ApiError("body_too_large"))(scope, receive, send)
            return
        received = 0
        started = False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > BODY_MAX:
                raise BodyTooLarge
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, counted, watched)
        except BodyTooLarge:
            if started:
                raise
            await error_response(ApiError("body_too_large"))(scope, receive, send)
