"""The withdrawal desk: how the API starts a withdrawal, shows the message to sign and hands in the signature."""

import re
from typing import Final, NamedTuple

from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from workflows.steps import AGENT
from workflows.withdrawals import WithdrawalRequest, WithdrawalState, WithdrawalStatus, WithdrawalWorkflow

ID: Final = re.compile(r"withdrawal-\d+-.+", re.DOTALL)


class DeskRefusal(Exception):
    """An expected refusal with its stable code: ``key_conflict``, ``not_awaiting_signature`` or ``bad_signature``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Withdrawal(NamedTuple):
    """A withdrawal and, while the owner's signature is awaited, the message (base64) it is to be over."""

    id: str
    state: WithdrawalState
    message: str | None


def withdrawal_workflow_id(account: int, key: str) -> str:
    """One workflow per (account, key): a repeated request finds the first one."""
    return f"withdrawal-{account}-{key}"


class WithdrawalDesk:
    """Every method may be repeated. A Temporal that cannot be reached raises its `RPCError`: what became of the call is unknown."""

    def __init__(self, client: Client, task_queue: str) -> None:
        self._client = client
        self._task_queue = task_queue

    async def start(self, request: WithdrawalRequest) -> Withdrawal:
        """Begin the withdrawal, or find it; returns once the engine has reserved or refused the amount.

        Raises `DeskRefusal` ``key_conflict`` when the key was used with other terms.
        """
        id = withdrawal_workflow_id(request.account, request.key)
        begin = WithStartWorkflowOperation(
            WithdrawalWorkflow.run,
            request,
            id=id,
            task_queue=self._task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            static_summary=f"Withdrawal of {request.amount} micro-USDC by account {request.account}",
            memo={"amount": request.amount, "key": request.key},
            search_attributes=TypedSearchAttributes([SearchAttributePair(AGENT, str(request.account))]),
        )
        try:
            state = await self._client.execute_update_with_start_workflow(
                WithdrawalWorkflow.reserved, start_workflow_operation=begin
            )
        except WorkflowAlreadyStartedError:
            state = await self._handle(id).query(WithdrawalWorkflow.state)
        if state.request != request:
            raise DeskRefusal("key_conflict", "That withdrawal id was used with other terms.")
        return await self._with_message(id, state)

    async def read(self, id: str) -> Withdrawal | None:
        """The withdrawal, also after it was closed, for as long as Temporal keeps it; None when there is none."""
        if not ID.fullmatch(id):
            return None
        try:
            state = await self._handle(id).query(WithdrawalWorkflow.state)
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return None
            raise
        return await self._with_message(id, state)

    async def sign(self, id: str, signature: str) -> Withdrawal | None:
        """Hand in the owner's signature (base58) over a message shown before; returns at once, the payment goes on.

        Raises `DeskRefusal` ``not_awaiting_signature`` or ``bad_signature``.
        """
        if not ID.fullmatch(id):
            return None
        try:
            state = await self._handle(id).execute_update(WithdrawalWorkflow.signed, signature)
        except WorkflowUpdateFailedError as error:
            raise _refusal(error) from error
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            if await self.read(id) is None:
                return None
            raise DeskRefusal("not_awaiting_signature", "The withdrawal is closed.") from error
        return Withdrawal(id, state, None)

    async def _with_message(self, id: str, state: WithdrawalState) -> Withdrawal:
        """Add the message to sign. It may be missing while the chain has less than the amount, or when the state just changed."""
        if state.status != WithdrawalStatus.AWAITING_SIGNATURE:
            return Withdrawal(id, state, None)
        try:
            to_sign = await self._handle(id).execute_update(WithdrawalWorkflow.message_to_sign)
        except WorkflowUpdateFailedError:
            return Withdrawal(id, state, None)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            return Withdrawal(id, state, None)
        return Withdrawal(id, state, to_sign.message)

    def _handle(self, id: str) -> WorkflowHandle[WithdrawalWorkflow, WithdrawalState]:
        return self._client.get_workflow_handle_for(WithdrawalWorkflow.run, id)


def _refusal(error: WorkflowUpdateFailedError) -> Exception:
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type:
        return DeskRefusal(cause.type, cause.message)
    return error
