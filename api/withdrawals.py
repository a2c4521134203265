"""Withdrawals as Temporal workflows: one each, named after the account and the client's key, so a repeat finds the first."""

import asyncio
from asyncio import Task
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from time import monotonic
from typing import Final

from temporalio.client import (
    Client,
    RPCTimeoutOrCancelledError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.open_withdrawals import withdrawal_workflow_id
from activities.withdrawals import MessageToSign
from api.collaborators import WithdrawalsUnavailable, WithdrawalView
from api.errors import ApiError
from workflows.withdrawal_state import WithdrawalRequest, WithdrawalState, WithdrawalStatus
from workflows.withdrawals import WithdrawalWorkflow

RPC_TIMEOUT: Final = timedelta(seconds=10)
MESSAGE_EVERY_S: Final = 5.0
"""Temporal takes 2,000 updates of a workflow in all its life: reads of a quarter of an hour must leave room for the signature."""
REFUSALS: Final = frozenset({"bad_signature", "not_awaiting_signature"})

Handle = WorkflowHandle[WithdrawalWorkflow, WithdrawalState]


@asynccontextmanager
async def _reached() -> AsyncIterator[None]:
    """Whatever keeps Temporal from answering in time, as the one error that routes know.

    A lazy client connects within its first call, without that call's own limit, and a failure to is a bare RuntimeError.
    """
    try:
        async with asyncio.timeout(RPC_TIMEOUT.total_seconds()):
            yield
    except (RPCError, RPCTimeoutOrCancelledError, RuntimeError, TimeoutError) as error:
        raise WithdrawalsUnavailable(str(error)) from error


class TemporalWithdrawals:
    """`api.collaborators.Withdrawals` over a Temporal client."""

    def __init__(self, client: Client, task_queue: str) -> None:
        self._client = client
        self._task_queue = task_queue
        self._messages: dict[tuple[str, str], tuple[float, Task[MessageToSign | str]]] = {}

    async def start(
        self, account: int, owner: str, amount: int, key: str, destination: str
    ) -> WithdrawalView:
        id = withdrawal_workflow_id(account, key)
        # Already started means finished before: the same key returns what became of it.
        async with _reached():
            with suppress(WorkflowAlreadyStartedError):
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
        view = await self.read(id)
        if view is None:
            raise WithdrawalsUnavailable(f"{id} was started and is not found")
        return view

    async def read(self, id: str) -> WithdrawalView | None:
        handle = self._handle(id)
        async with _reached():
            try:
                state = await handle.query(WithdrawalWorkflow.state, rpc_timeout=RPC_TIMEOUT)
            except RPCError as error:
                if error.status == RPCStatusCode.NOT_FOUND:
                    return None
                raise
        if state.status != WithdrawalStatus.AWAITING_SIGNATURE:
            return _view(id, state, None)
        message = await asyncio.shield(self._message(handle, state.sign_before))
        if isinstance(message, str):
            # The withdrawal goes on waiting; the code says what the message waits for, such as a batch on its way to the chain.
            return _view(id, replace(state, code=message), None)
        return _view(id, state, message.message)

    async def sign(self, id: str, signature: str) -> WithdrawalView | None:
        async with _reached():
            try:
                state = await self._handle(id).execute_update(
                    WithdrawalWorkflow.signed, signature, rpc_timeout=RPC_TIMEOUT
                )
            except WorkflowUpdateFailedError as error:
                raise _refusal(error) from error
            except RPCError as error:
                if error.status == RPCStatusCode.NOT_FOUND:
                    raise ApiError("not_awaiting_signature") from None
                raise
        return _view(id, state, None)

    def _message(self, handle: Handle, sign_before: str) -> Task[MessageToSign | str]:
        """A fresh message, as one that waited long could no longer land; asked for now and then, however often it is read.

        A workflow that took up another's withdrawal knows nothing of the other's messages; the owner's time tells them apart.
        """
        now, key = monotonic(), (handle.id, sign_before)
        self._messages = {
            one: asked for one, asked in self._messages.items() if now - asked[0] < MESSAGE_EVERY_S
        }
        if key not in self._messages:
            self._messages[key] = now, asyncio.create_task(self._ask_for_message(handle))
        return self._messages[key][1]

    async def _ask_for_message(self, handle: Handle) -> MessageToSign | str:
        """The message, or the code of why there is none yet."""
        try:
            async with _reached():
                return await handle.execute_update(
                    WithdrawalWorkflow.message_to_sign, rpc_timeout=RPC_TIMEOUT
                )
        except WorkflowUpdateFailedError as error:
            return _code(error)

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
