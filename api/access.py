"""Who may call a route: dependencies that check the bearer token, and the descriptions of errors for OpenAPI."""

from collections import defaultdict
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.collaborators import Edge
from api.errors import CATALOGUE, ApiError
from api.schemas import ErrorBody

_agent = HTTPBearer(auto_error=False, scheme_name="session", description="Token from POST /api/v1/agents.")
_operator = HTTPBearer(auto_error=False, scheme_name="operator", description="The operator's token.")


def _edge(request: Request) -> Edge:
    edge: Edge = request.app.state.edge
    return edge


EdgeGiven = Annotated[Edge, Depends(_edge)]


def _account(
    edge: EdgeGiven, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_agent)]
) -> int:
    if credentials is None:
        raise ApiError("not_authenticated")
    session = edge.sessions.verify(credentials.credentials)
    if session.account not in edge.engine.state.owned:
        raise ApiError("account_unknown")
    return session.account


def _operator_only(
    edge: EdgeGiven, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_operator)]
) -> None:
    if credentials is None:
        raise ApiError("not_authenticated")
    edge.sessions.verify_operator(credentials.credentials)


Caller = Annotated[int, Depends(_account)]
"""Account of a valid session."""
OperatorOnly = Depends(_operator_only)
SESSION_ERRORS = ("not_authenticated", "session_expired", "account_unknown")


def errors(*codes: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses for these codes, and for those that every route may give."""
    by_status: dict[int, list[str]] = defaultdict(list)
    for code in (*codes, "validation_failed", "body_too_large", "internal_error"):
        by_status[CATALOGUE[code].status].append(f"`{code}`: {CATALOGUE[code].sentence}")
    return {
        status: {"model": ErrorBody, "description": "\n\n".join(dict.fromkeys(texts))}
        for status, texts in by_status.items()
    }
