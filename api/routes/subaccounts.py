"""Isolated sub-accounts of the caller: opening them, and moving collateral."""

from fastapi import APIRouter

from api.access import SESSION_ERRORS, Caller, EdgeGiven, errors
from api.collaborators import Edge
from api.errors import ApiError, refused
from api.schemas_subaccounts import (
    SubAccountBody,
    SubAccountOpenedAnswer,
    TransferAnswer,
    TransferBody,
)
from api.units import micro_usdc, usdc
from core.event import Event
from core.subaccount_events import SubAccountOpened, Transferred
from matcher import commands as c
from matcher.rejections import Rejection, Repeated

router = APIRouter(prefix="/api/v1/account", tags=["account"])


@router.post(
    "/subaccounts",
    responses=errors(*SESSION_ERRORS, "market_unknown", "market_settled", "sub_account_only_trades"),
)
async def open_sub_account(body: SubAccountBody, caller: Caller, edge: EdgeGiven) -> SubAccountOpenedAnswer:
    """Open the account's isolated sub-account for a market, or return it: margin, liquidation and stream are its own."""
    units = edge.hub.markets.named(body.market)
    opened, repeated = await _done(edge, c.OpenSubAccount(caller, units.id))
    if not isinstance(opened, SubAccountOpened):
        raise ApiError("internal_error")
    return SubAccountOpenedAnswer(
        account=opened.account, parent=opened.parent, market=units.symbol, name=opened.name, repeated=repeated
    )


@router.post(
    "/transfers",
    responses=errors(
        *SESSION_ERRORS,
        "bad_value",
        "key_conflict",
        "sub_account_only_trades",
        "transfer_too_large",
        "being_liquidated",
        "withdrawals_gated",
        "index_unavailable",
    ),
)
async def transfer(body: TransferBody, caller: Caller, edge: EdgeGiven) -> TransferAnswer:
    """Move collateral between the account and one of its sub-accounts; answers when that is on disk."""
    command = c.Transfer(caller, body.giver, body.receiver, micro_usdc(body.amount), body.key)
    moved, repeated = await _done(edge, command)
    if not isinstance(moved, Transferred):
        raise ApiError("internal_error")
    return TransferAnswer(
        giver=moved.giver,
        receiver=moved.receiver,
        amount=usdc(moved.amount),
        key=moved.key,
        repeated=repeated,
    )


async def _done(edge: Edge, command: c.Command) -> tuple[Event, bool]:
    """What a command led to, and whether that was before."""
    outcome = await edge.engine.ask(command)
    if isinstance(outcome, Rejection):
        raise refused(outcome)
    return (outcome.events[0], True) if isinstance(outcome, Repeated) else (outcome[0], False)
