"""Bounds what calls over HTTP may take: by the caller's address, whoever it says it is, and by whether the loop keeps up."""

import time
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from api.addresses import Addresses
from api.allowance import Limits
from api.answers import error_response
from api.errors import ApiError
from api.lag import Lag
from api.metrics import Metrics
from api.sessions import Sessions

WATCHED: Final = frozenset({"/health", "/ready", "/metrics"})
"""Who watches the exchange must see that it is busy, not take it for dead."""
CANCELS: Final = frozenset({"/api/v1/quant/orders/cancel"})
"""What takes back besides DELETE."""


class CallLimit:
    """ASGI middleware: `rate_limited` above an address's rate, `overloaded` while the loop lags.

    Cancels have a bucket of their own and are never `overloaded`. The operator's programs, known by their token, always pass.
    """

    def __init__(self, app: ASGIApp, limits: Limits, lag: Lag, sessions: Sessions, metrics: Metrics) -> None:
        self._app = app
        self._lag = lag
        self._sessions = sessions
        self._metrics = metrics
        self._calls = Addresses(limits.address)
        self._cancels = Addresses(limits.address)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else ""
        if refusal:
            self._metrics.refused(refusal)
            await error_response(ApiError(refusal))(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> str:
        """Code of why the call is not taken, or nothing."""
        now, cancels = time.monotonic_ns(), scope["method"] == "DELETE" or scope["path"] in CANCELS
        if self._sessions.is_operator(dict(scope["headers"]).get(b"authorization", b"")):
            return ""
        address = scope["client"][0] if scope["client"] else ""
        if not (self._cancels if cancels else self._calls).take(address, now):
            return "rate_limited"
        if not cancels and scope["path"] not in WATCHED and self._lag.is_high(now):
            return "overloaded"
        return ""
