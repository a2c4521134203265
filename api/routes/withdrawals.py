"""Withdrawals are durable processes: started here, co-signed by the owner, paid by the chain."""

import time
from typing import Annotated

from fastapi import APIRouter, Path

from activities.open_withdrawals import withdrawal_workflow_id
from api import views
from api.access import SESSION_ERRORS, Caller, EdgeGiven, WithdrawalCaller, errors
from api.closed_withdrawals import as_the_journal_has_it, closed_withdrawal
from api.collaborators import Edge, WithdrawalsUnavailable, WithdrawalView
from api.errors import ApiError
from api.schemas import WithdrawalAnswer, WithdrawalBody, WithdrawalSignatureBody
from api.units import micro_usdc
from workflows.withdrawal_state import CLOSED

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
    if closed_withdrawal(state, caller, body.key) is not None:
        # A new workflow would only hear that nothing is reserved any more: that is not what became of it.
        view = await _standing(withdrawal_workflow_id(caller, body.key), caller, edge)
    else:
        try:
            view = await edge.withdrawals.start(
                caller, state.accounts[caller].owner, amount, body.key, destination
            )
        except WithdrawalsUnavailable:
            raise ApiError("withdrawals_unavailable") from None
        view = as_the_journal_has_it(state, view)
    if (view.amount, view.destination) != (amount, destination):
        raise ApiError("key_conflict")
    await edge.hub.on_disk()
    return views.withdrawal(view)


@router.get("/{id}", responses=ERRORS)
async def read(id: Id, caller: Caller, edge: EdgeGiven) -> WithdrawalAnswer:
    """Where a withdrawal stands."""
    _must_be_own(id, caller)
    view = await _standing(id, caller, edge)
    await edge.hub.on_disk()
    return views.withdrawal(view)


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
    _must_be_own(id, caller)
    if (await _standing(id, caller, edge)).status in CLOSED:
        raise ApiError("not_awaiting_signature")
    try:
        return views.withdrawal(_known(await edge.withdrawals.sign(id, body.signature)))
    except WithdrawalsUnavailable:
        raise ApiError("withdrawals_unavailable") from None


def _must_be_own(id: str, caller: int) -> None:
    """Another account's withdrawal is as unknown as one that does not exist; its workflow is not even asked."""
    if not id.startswith(withdrawal_workflow_id(caller, "")):
        raise ApiError("withdrawal_unknown")


async def _standing(id: str, caller: int, edge: Edge) -> WithdrawalView:
    """What the withdrawal's workflow says of it; where the journal says that it is closed, at least that."""
    closed = closed_withdrawal(edge.engine.state, caller, id.removeprefix(withdrawal_workflow_id(caller, "")))
    try:
        view = await edge.withdrawals.read(id)
    except WithdrawalsUnavailable:
        if closed is None:
            raise ApiError("withdrawals_unavailable") from None
        return closed
    if closed is not None and (view is None or view.status != closed.status):
        return closed
    return as_the_journal_has_it(edge.engine.state, _known(view))


def _known(view: WithdrawalView | None) -> WithdrawalView:
    if view is None:
        raise ApiError("withdrawal_unknown")
    return view
