"""API keys of a vault's quants: what each may do, how often, and until when. A key is signed; that it was made, and whether it was
revoked since, the ledger knows, which is asked at every call."""

import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.collaborators import Edge
from api.errors import ApiError
from api.sessions import QuantKey
from api.vault_books import answered

Scope = Literal["read", "trade"]
CANCEL: Final = "cancel"
"""Where orders that are taken back are counted, whatever their venue."""
ELSEWHERE: Final = "elsewhere"
"""Where calls for venues are counted that are not set up here."""

_quant = HTTPBearer(
    auto_error=False, scheme_name="quant_key", description="Key from POST /api/v1/quant/keys."
)


def genuine_key(edge: Edge, text: str, scope: Scope) -> QuantKey:
    """A key that was made here for that scope, for an account whose sessions were not revoked since. Raises `ApiError`."""
    found = edge.sessions.verify_key(text)
    if found.account not in edge.engine.state.owned:
        raise ApiError("account_unknown")
    if edge.engine.state.accounts[found.account].generation != found.generation:
        raise ApiError("session_revoked")
    if scope not in found.scopes:
        raise ApiError("scope_missing", f"The key has no scope {scope}.")
    return found


async def valid_key(edge: Edge, text: str, scope: Scope) -> QuantKey:
    """A key that still counts and has that scope. Raises `ApiError` with one of `KEY_ERRORS`."""
    found = genuine_key(edge, text, scope)
    if not await answered(edge.vaults.keys.counts(found.id)):
        raise ApiError("key_revoked")
    return found


def _key(scope: Scope) -> Callable[..., Awaitable[QuantKey]]:
    """A dependency that lets a key with that scope call."""

    async def key(
        request: Request,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_quant)],
    ) -> QuantKey:
        if credentials is None:
            raise ApiError("not_authenticated")
        return await valid_key(request.app.state.edge, credentials.credentials, scope)

    return key


class Counter:
    """Counts the call that is being answered, and has its answer tell what is left, be it an error."""

    def __init__(self, request: Request, response: Response) -> None:
        self._request = request
        self._response = response

    def count(self, key: QuantKey, venue: str) -> None:
        """One call of `key` at `venue`, or of its cancels, or of its reads where that is empty. Raises `ApiError` rate_limited."""
        edge: Edge = self._request.app.state.edge
        # Who makes up names of venues has one rate for all of them: each call may become a workflow.
        counted = venue if venue in ("", CANCEL, *edge.vaults.set_up) else ELSEWHERE
        quota = edge.quant_limits.take(key.id, counted, time.monotonic_ns())
        self._request.state.quota = quota.headers
        self._response.headers.update(quota.headers)
        if not quota.taken:
            raise ApiError("rate_limited", "Too much of this key at this venue.")


async def _counter(request: Request, response: Response) -> Counter:
    return Counter(request, response)


Counting = Annotated[Counter, Depends(_counter)]


async def _reader(counter: Counting, key: Annotated[QuantKey, Depends(_key("read"))]) -> QuantKey:
    counter.count(key, "")
    return key


Reader = Annotated[QuantKey, Depends(_reader)]
"""A key that may read, whose call is counted."""
Trader = Annotated[QuantKey, Depends(_key("trade"))]
"""A key that may trade; its call is counted once the venue is known."""
KEY_ERRORS: Final = (
    "not_authenticated",
    "session_expired",
    "session_revoked",
    "account_unknown",
    "scope_missing",
    "key_revoked",
    "vaults_unavailable",
)
QUOTA_HEADERS: Final[dict[str, Any]] = {
    "RateLimit-Limit": {
        "schema": {"type": "integer"},
        "description": "Calls that may come at once after a pause, of this key and at this venue.",
    },
    "RateLimit-Remaining": {"schema": {"type": "integer"}, "description": "Calls left of them now."},
    "RateLimit-Reset": {"schema": {"type": "integer"}, "description": "Seconds until all of them are."},
}
