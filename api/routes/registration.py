"""An owner signs a challenge with its Solana key; the agent gets an account and a session."""

import time

from fastapi import APIRouter, Request

from api.access import SESSION_ERRORS, Caller, EdgeGiven, errors
from api.errors import ApiError, refused
from api.schemas import AgentBody, ChallengeAnswer, ChallengeBody, SessionAnswer
from core.events import AgentRegistered
from matcher import commands as c
from matcher.rejections import RETRYABLE, Rejection, Repeated

router = APIRouter(prefix="/api/v1", tags=["registration"])
MICROS = 1_000_000


@router.post("/auth/challenge", responses=errors("bad_value"))
async def challenge(body: ChallengeBody, edge: EdgeGiven) -> ChallengeAnswer:
    """A text to sign, good once, for five minutes, and at this exchange only: it names the escrow on chain."""
    made = edge.sessions.challenge(body.owner, edge.escrow.escrow)
    return ChallengeAnswer(challenge=made.text, expires=made.expires * MICROS)


@router.post(
    "/agents",
    responses=errors(
        "bad_value",
        "challenge_invalid",
        "signature_invalid",
        "overloaded",
        "rate_limited",
        "too_many_agents",
        "no_room",
    ),
)
async def register(body: AgentBody, edge: EdgeGiven, request: Request) -> SessionAnswer:
    """Register an agent, or return it when it exists, with a new session.

    A challenge is used up only when the answer is not one to retry. New agents are limited for each address and each owner.
    """
    address = request.client.host if request.client is not None else ""
    state, now = edge.engine.state, time.monotonic_ns()
    is_new = (body.owner, body.name) not in state.names
    if is_new:
        agents = sum(account.parent is None for account in state.owners.get(body.owner, ()))
        edge.admission.check(address, agents, now)
    edge.sessions.redeem(body.owner, body.challenge, body.signature)
    if is_new:
        edge.admission.take(address, now)
    outcome = await edge.engine.ask(c.RegisterAgent(body.owner, body.name))
    if isinstance(outcome, Rejection):
        if outcome.code in RETRYABLE:
            edge.sessions.give_back(body.challenge)
        raise refused(outcome)
    events = outcome.events if isinstance(outcome, Repeated) else outcome
    registered = events[0]
    if not isinstance(registered, AgentRegistered):
        raise ApiError("internal_error")
    generation = state.accounts[registered.account].generation
    token, expires = edge.sessions.issue(registered.account, generation)
    return SessionAnswer(
        account=registered.account, token=token, expires_at=expires * MICROS, websocket=edge.websocket_url()
    )


@router.delete("/sessions", status_code=204, responses=errors(*SESSION_ERRORS, "sub_account_only_trades"))
async def revoke(caller: Caller, edge: EdgeGiven) -> None:
    """Void every session of the account, this one too, and close its connections.

    For a token that may have been stolen: whoever has the owner's key signs in again, whoever has only the token does not.
    """
    outcome = await edge.engine.ask(c.RevokeSessions(caller))
    if isinstance(outcome, Rejection):
        raise refused(outcome)
