"""Errors as HTTP answers: every status of 400 and above has the same body."""

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from api.errors import ApiError
from api.metrics import Metrics

log = logging.getLogger("perpdex.http")

SHOWN = 5
"""Field errors that one message names."""
BY_STATUS = {404: "not_found", 405: "method_not_allowed", 400: "bad_message", 413: "body_too_large"}
"""Codes of what the framework itself refuses."""


def error_response(error: ApiError) -> JSONResponse:
    detail = {"code": error.code, "message": error.message, "retryable": error.retryable}
    if error.client_id:
        detail["client_id"] = error.client_id
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return JSONResponse({"error": detail}, status_code=error.status, headers=headers)


def named_fields(errors: Sequence[Any]) -> str:
    """Which fields are wrong and how, without repeating what was sent."""
    shown = [
        f"{'.'.join(str(part) for part in error['loc'])[:100]}: {error['msg']}" for error in errors[:SHOWN]
    ]
    return "; ".join(shown)[:600]


def handle_errors(app: FastAPI, metrics: Metrics) -> None:
    """Install the handlers."""

    def answered(error: ApiError) -> JSONResponse:
        metrics.refused(error.code)
        return error_response(error)

    @app.exception_handler(ApiError)
    async def refused(request: Request, error: ApiError) -> JSONResponse:
        response = answered(error)
        # What a call leaves of its quota is told whatever comes of it.
        response.headers.update(getattr(request.state, "quota", {}))
        return response

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return answered(ApiError("validation_failed", named_fields(error.errors())))

    @app.exception_handler(HTTPException)
    async def framework(request: Request, error: HTTPException) -> JSONResponse:
        response = answered(ApiError(BY_STATUS.get(error.status_code, "bad_message")))
        if error.headers:
            response.headers.update(error.headers)
        return response

    @app.exception_handler(Exception)
    async def surprise(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return answered(ApiError("internal_error"))
