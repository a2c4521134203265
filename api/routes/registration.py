"""An owner signs a challenge with its Solana key; the agent gets an account and a session."""

import time

from fastapi import APIRouter

from api.access import EdgeGiven, errors
from api.errors import ApiError, refused
from api.schemas import AgentBody, ChallengeAnswer, ChallengeBody, SessionAnswer
from core.events import AgentRegistered
from matcher import commands as c
from matcher.rejections import Rejection, Repeated

router = APIRouter(prefix="/api/v1", tags=["registration"])
MICROS = 1_000_000


@router.post("/auth/challenge", responses=errors("bad_value"))
async def challenge(body: ChallengeBody, edge: EdgeGiven) -> ChallengeAnswer:
    """A text to sign, good once and for five minutes."""
    made = edge.sessions.challenge(body.owner)
    return ChallengeAnswer(challenge=made.text, expires=made.expires * MICROS)


@router.post(
    "/agents",
    responses=errors("bad_value", "challenge_invalid", "signature_invalid", "overloaded", "rate_limited"),
)
async def register(body: AgentBody, edge: EdgeGiven) -> SessionAnswer:
    """Register an agent, or return it when it exists, with a new session."""
    edge.sessions.redeem(body.owner, body.challenge, body.signature)
    is_new = (body.owner, body.name) not in edge.engine.state.names
    if is_new and not edge.registrations.take(time.monotonic_ns()):
        raise ApiError("rate_limited")
    outcome = await edge.engine.ask(c.RegisterAgent(body.owner, body.name))
    if isinstance(outcome, Rejection):
        raise refused(outcome)
    events = outcome.events if isinstance(outcome, Repeated) else outcome
    registered = events[0]
    if not isinstance(registered, AgentRegistered):
        raise ApiError("internal_error")
    token, expires = edge.sessions.issue(registered.account)
    return SessionAnswer(
        account=registered.account, token=token, expires_at=expires * MICROS, websocket=edge.websocket_url()
    )
