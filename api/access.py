"""Who may call a route: dependencies that check the bearer token, and the descriptions of errors for OpenAPI.

Dependencies are coroutines because FastAPI runs all others on other threads.
"""

import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.allowance import CALL_COST, PROOF_COST, WITHDRAWAL_COST, Allowance
from api.collaborators import Edge
from api.errors import CATALOGUE, ApiError
from api.schemas import ErrorBody
from api.sessions import Session

_agent = HTTPBearer(auto_error=False, scheme_name="session", description="Token from POST /api/v1/agents.")
_operator = HTTPBearer(auto_error=False, scheme_name="operator", description="The operator's token.")


async def _edge(request: Request) -> Edge:
    edge: Edge = request.app.state.edge
    return edge


EdgeGiven = Annotated[Edge, Depends(_edge)]
SubAccount = Annotated[
    int | None,
    Query(ge=1, le=(1 << 62) - 1, description="Act for this sub-account of the session's account."),
]


def holder(edge: Edge, token: str) -> Session:
    """The session of a token that still counts. Raises `ApiError` with one of `SESSION_ERRORS`."""
    session = edge.sessions.verify(token)
    state = edge.engine.state
    if session.account not in state.owned:
        raise ApiError("account_unknown")
    if session.generation != state.accounts[session.account].generation:
        raise ApiError("session_revoked")
    return session


def acting(edge: Edge, session: Session, subaccount: int | None) -> int:
    """The account that a session acts for: its own, or a sub-account of that. Raises `ApiError` sub_account_unknown."""
    if subaccount is None:
        return session.account
    if all(sub.id != subaccount for sub in edge.engine.state.accounts[session.account].subs):
        raise ApiError("sub_account_unknown")
    return subaccount


def allowance(edge: Edge, account: int, now: int) -> Allowance:
    """What `account`, which exists, may still send."""
    return edge.allowances.of(account, edge.engine.state.accounts[account].owner, now)


def _account(cost: int) -> Callable[..., Awaitable[int]]:
    """A dependency that lets an account call whose allowance has `cost` messages left, and counts them."""

    async def account(
        request: Request,
        edge: EdgeGiven,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_agent)],
        subaccount: SubAccount = None,
    ) -> int:
        if credentials is None:
            raise ApiError("not_authenticated")
        session, now = holder(edge, credentials.credentials), time.monotonic_ns()
        caller = acting(edge, session, subaccount)
        given = allowance(edge, caller, now)
        # What is deleted is what stands open: like every cancel it passes, up to what no honest agent needs.
        if not (given.bear if request.method == "DELETE" else given.take)(now, cost):
            raise ApiError("rate_limited")
        return caller

    return account


async def _operator_name(
    edge: EdgeGiven, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_operator)]
) -> str:
    if credentials is None:
        raise ApiError("not_authenticated")
    return edge.sessions.verify_operator(credentials.credentials)


Caller = Annotated[int, Depends(_account(CALL_COST))]
"""Account of a valid session, or the sub-account of it that the call names."""
WithdrawalCaller = Annotated[int, Depends(_account(WITHDRAWAL_COST))]
"""The same of a call that starts a withdrawal."""
ProofCaller = Annotated[int, Depends(_account(PROOF_COST))]
"""The same where a proof is made."""
OperatorOnly = Depends(_operator_name)
Operator = Annotated[str, OperatorOnly]
"""Name of the operator's credential."""
SESSION_ERRORS = (
    "not_authenticated",
    "session_expired",
    "session_revoked",
    "account_unknown",
    "sub_account_unknown",
)

EVERYWHERE = ("validation_failed", "body_too_large", "rate_limited", "overloaded", "internal_error")


def errors(*codes: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses for these codes, and for those that every route may give."""
    by_status: dict[int, list[str]] = defaultdict(list)
    for code in (*codes, *EVERYWHERE):
        by_status[CATALOGUE[code].status].append(f"`{code}`: {CATALOGUE[code].sentence}")
    return {
        status: {"model": ErrorBody, "description": "\n\n".join(dict.fromkeys(texts))}
        for status, texts in by_status.items()
    }
