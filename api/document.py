"""The OpenAPI document, made once: that takes half a second, in which nobody's orders shall wait."""

import asyncio
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response

from api.glossary import describe
from api.routes.operator import COMMAND_SCHEMAS


class Document:
    """What `/openapi.json` answers."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._made: asyncio.Future[bytes] | None = None

    async def answer(self, request: Request) -> Response:
        """The first who asks has it made in a thread, beside the loop that matches; everybody gets the same bytes."""
        if self._made is None:
            self._made = asyncio.ensure_future(asyncio.to_thread(self._encoded))
        return Response(await asyncio.shield(self._made), media_type="application/json")

    def _encoded(self) -> bytes:
        """FastAPI's document with the schemas of the operator's commands, which msgspec knows, and with what each name means."""
        document: dict[str, Any] = self._app.openapi()
        document["components"]["schemas"].update(COMMAND_SCHEMAS[1])
        describe(document)
        return msgspec.json.encode(document)
