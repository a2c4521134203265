"""Withdrawals as Temporal workflows: one each, named after the account and the client's key, so a repeat finds the first."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.open_withdrawals import withdrawal_workflow_id
from api.collaborators import WithdrawalsUnavailable, WithdrawalView
from api.errors import ApiError
from workflows.withdrawal_state import WithdrawalRequest, WithdrawalState, WithdrawalStatus
from workflows.withdrawals import WithdrawalWorkflow

RPC_TIMEOUT: Final = timedelta(seconds=10)
REFUSALS: Final = frozenset({"bad_signature", "not_awaiting_signature"})

Handle = WorkflowHandle[WithdrawalWorkflow, WithdrawalState]


class TemporalWithdrawals:
    """`api.collaborators.Withdrawals` over a Temporal client."""

    def __init__(self, client: Client, task_queue: str) -> None:
        self._client = client
        self._task_queue = task_queue

    async def start(
        self, account: int, owner: str, amount: int, key: str, destination: str
    ) -> WithdrawalView:
        id = withdrawal_workflow_id(account, key)
        try:
            await self._client.start_workflow(
                WithdrawalWorkflow.run,
                WithdrawalRequest(account, owner, amount, key, destination),
                id=id,
                task_queue=self._task_queue,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                rpc_timeout=RPC_TIMEOUT,
                static_summary=f"Withdrawal of account {account}",
            )
        except WorkflowAlreadyStartedError:
            pass  # finished before: the same key returns what became of it
        except RPCError as error:
            raise WithdrawalsUnavailable(str(error)) from error
        view = await self.read(id)
        if view is None:
            raise WithdrawalsUnavailable(f"{id} was started and is not found")
        return view

    async def read(self, id: str) -> WithdrawalView | None:
        handle = self._handle(id)
        try:
            state = await handle.query(WithdrawalWorkflow.state, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return None
            raise WithdrawalsUnavailable(str(error)) from error
        if state.status != WithdrawalStatus.AWAITING_SIGNATURE:
            return _view(id, state, None)
        return await self._with_message(handle, state)

    async def sign(self, id: str, signature: str) -> WithdrawalView | None:
        try:
            state = await self._handle(id).execute_update(
                WithdrawalWorkflow.signed, signature, rpc_timeout=RPC_TIMEOUT
            )
        except WorkflowUpdateFailedError as error:
            raise _refusal(error) from error
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                raise ApiError("not_awaiting_signature") from None
            raise WithdrawalsUnavailable(str(error)) from error
        return _view(id, state, None)

    async def _with_message(self, handle: Handle, state: WithdrawalState) -> WithdrawalView:
        """A fresh message each time: one that waited long could no longer land."""
        try:
            message = await handle.execute_update(WithdrawalWorkflow.message_to_sign, rpc_timeout=RPC_TIMEOUT)
        except WorkflowUpdateFailedError as error:
            # The withdrawal goes on waiting; the code says what the message waits for, such as a batch on its way to the chain.
            return _view(handle.id, replace(state, code=_code(error)), None)
        except RPCError as error:
            raise WithdrawalsUnavailable(str(error)) from error
        return _view(handle.id, state, message.message)

    def _handle(self, id: str) -> Handle:
        return self._client.get_workflow_handle_for(WithdrawalWorkflow.run, id)


def _refusal(error: WorkflowUpdateFailedError) -> Exception:
    code = _code(error)
    return ApiError(code) if code in REFUSALS else WithdrawalsUnavailable(str(error.cause))


def _code(error: WorkflowUpdateFailedError) -> str:
    """Code of what stopped an update, be it the workflow itself or one of its steps."""
    cause = error.cause
    inner = cause.cause if isinstance(cause, ActivityError) else cause
    return inner.type or "" if isinstance(inner, ApplicationError) else ""


def _view(id: str, state: WithdrawalState, message: str | None) -> WithdrawalView:
    asked = state.request
    return WithdrawalView(
        id=id,
        account=asked.account,
        amount=asked.amount,
        destination=asked.destination,
        status=state.status.value,
        message=message,
        signature=state.signature or None,
        code=state.code or None,
    )
