"""Withdrawals are durable processes: started here, co-signed by the owner, paid by the chain."""

import time
from typing import Annotated

from fastapi import APIRouter, Path

from api import views
from api.access import SESSION_ERRORS, Caller, EdgeGiven, WithdrawalCaller, errors
from api.collaborators import WithdrawalsUnavailable, WithdrawalView
from api.errors import ApiError
from api.schemas import WithdrawalAnswer, WithdrawalBody, WithdrawalSignatureBody
from api.units import micro_usdc

router = APIRouter(prefix="/api/v1/withdrawals", tags=["withdrawals"])
Id = Annotated[str, Path(pattern=r"^withdrawal-[0-9]{1,19}-[A-Za-z0-9._~-]{1,64}$", max_length=128)]
NOT_WITHDRAWABLE = (
    "bad_value",
    "key_conflict",
    "sub_account_only_trades",
    "withdrawal_too_small",
    "withdrawal_too_large",
    "too_many_withdrawals_open",
    "being_liquidated",
    "index_unavailable",
    "withdrawals_gated",
)
ERRORS = errors(*SESSION_ERRORS, "withdrawal_unknown", "withdrawals_unavailable")


@router.post(
    "",
    responses=errors(*SESSION_ERRORS, *NOT_WITHDRAWABLE, "withdrawals_unavailable"),
)
async def start(body: WithdrawalBody, caller: WithdrawalCaller, edge: EdgeGiven) -> WithdrawalAnswer:
    """Start a withdrawal. Its `message` then waits for the owner's signature.

    What cannot be withdrawn now is refused, and nothing is started under its `key`.
    """
    amount, destination = micro_usdc(body.amount), body.destination or ""
    state = edge.engine.state
    asked = edge.starts.reservation(caller, amount, body.key, destination)
    edge.starts.admit(state, asked, edge.clock(), time.monotonic_ns())
    try:
        view = await edge.withdrawals.start(
            caller, state.accounts[caller].owner, amount, body.key, destination
        )
    except WithdrawalsUnavailable:
        raise ApiError("withdrawals_unavailable") from None
    if (view.amount, view.destination) != (amount, destination):
        raise ApiError("key_conflict")
    return views.withdrawal(view)


@router.get("/{id}", responses=ERRORS)
async def read(id: Id, caller: Caller, edge: EdgeGiven) -> WithdrawalAnswer:
    """Where a withdrawal stands."""
    try:
        return views.withdrawal(_own(await edge.withdrawals.read(id), caller))
    except WithdrawalsUnavailable:
        raise ApiError("withdrawals_unavailable") from None


@router.post(
    "/{id}/signature",
    responses=errors(
        *SESSION_ERRORS,
        "withdrawal_unknown",
        "bad_signature",
        "not_awaiting_signature",
        "withdrawals_unavailable",
    ),
)
async def sign(id: Id, body: WithdrawalSignatureBody, caller: Caller, edge: EdgeGiven) -> WithdrawalAnswer:
    """Hand in the owner's signature over `message`; the payment is sent at once."""
    try:
        _own(await edge.withdrawals.read(id), caller)
        return views.withdrawal(_own(await edge.withdrawals.sign(id, body.signature), caller))
    except WithdrawalsUnavailable:
        raise ApiError("withdrawals_unavailable") from None


def _own(view: WithdrawalView | None, caller: int) -> WithdrawalView:
    """Another account's withdrawal is as unknown as one that does not exist."""
    if view is None or view.account != caller:
        raise ApiError("withdrawal_unknown")
    return view
