"""One withdrawal: reserved in the engine, signed by owner and operator, paid by the chain, closed either way exactly once."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.withdrawals import (
        Closing,
        MessageToSign,
        Payment,
        PaymentStatus,
        Reservation,
        WithdrawalActivities,
        signature_is_owners,
    )
    from workflows.steps import AGENT, code, must_happen, reason

OWNER_PATIENCE: Final = timedelta(minutes=15)
"""How long the reservation waits for the owner's signature before it is released."""
MESSAGES_KEPT: Final = 8
"""Messages handed out and still accepted when signed; each lives as long as its blockhash anyway."""
MESSAGE_FRESH: Final = timedelta(seconds=15)
"""A message younger than this is handed out again: most of its minute is left."""


class WithdrawalStatus(StrEnum):
    STARTING = "starting"
    AWAITING_SIGNATURE = "awaiting_signature"
    PAYING = "paying"
    PAID = "paid"
    RELEASED = "released"
    REFUSED = "refused"


CLOSED: Final = frozenset({WithdrawalStatus.PAID, WithdrawalStatus.RELEASED, WithdrawalStatus.REFUSED})


@dataclass
class WithdrawalRequest:
    """What the owner asks for. `amount` is micro-USDC; `key` makes it one withdrawal however often it is sent.

    `destination` is a token account of the owner; empty means the owner's associated token account.
    """

    account: int
    owner: str
    amount: int
    key: str
    destination: str = ""


@dataclass
class WithdrawalState:
    """Where a withdrawal stands: also its result. `withdrawal` is the engine's number, 0 before it is reserved."""

    request: WithdrawalRequest
    status: WithdrawalStatus = WithdrawalStatus.STARTING
    withdrawal: int = 0
    signature: str = ""
    code: str = ""
    message: str = ""
    sign_before: str = ""
    trouble: str = ""

    def text(self) -> str:
        """Markdown for the workflow's current details."""
        asked = self.request
        lines = [
            f"**{self.status}**: {asked.amount} micro-USDC of account {asked.account}",
            f"- engine withdrawal: {self.withdrawal or 'none yet'}",
        ]
        if self.status == WithdrawalStatus.AWAITING_SIGNATURE:
            lines.append(f"- released unless the owner signs before {self.sign_before}")
        if self.signature:
            lines.append(f"- transaction: `{self.signature}`")
        if self.code:
            lines.append(f"- {self.code}: {self.message}")
        if self.trouble:
            lines.append(f"- **trouble**: {self.trouble}")
        return "\n".join(lines)


@workflow.defn
class WithdrawalWorkflow:
    """Reserve, have the owner sign, pay, finish; or release once it is certain that the chain will not pay.

    The operator signs only a message that this workflow built itself and that the owner has signed, and only one at a time:
    while a signed transaction may still land, nothing is released and nothing else is signed.
    """

    @workflow.init
    def __init__(self, request: WithdrawalRequest) -> None:
        self._state = WithdrawalState(request)
        self._messages: list[tuple[datetime, MessageToSign]] = []
        self._signed: tuple[MessageToSign, str] | None = None
        self._too_late = False

    @workflow.run
    async def run(self, request: WithdrawalRequest) -> WithdrawalState:
        workflow.upsert_search_attributes([AGENT.value_set(str(request.account))])
        self._show()
        if await self._reserve():
            self._to(WithdrawalStatus.AWAITING_SIGNATURE)
            await self._close(await self._pay_or_give_up())
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._state

    @workflow.query
    def state(self) -> WithdrawalState:
        return self._state

    @workflow.update
    async def reserved(self) -> WithdrawalState:
        """Wait until the engine has reserved or refused the amount."""
        await workflow.wait_condition(lambda: self._state.status != WithdrawalStatus.STARTING)
        return self._state

    @workflow.update
    async def message_to_sign(self) -> MessageToSign:
        """A message for the owner to sign, at most `MESSAGE_FRESH` old; it can land for about a minute, so ask again when late.

        Fails with type `not_awaiting_signature` in any other state.
        """
        await workflow.wait_condition(lambda: self._state.status != WithdrawalStatus.STARTING)
        self._must_await_signature()
        if self._messages and workflow.now() - self._messages[-1][0] < MESSAGE_FRESH:
            return self._messages[-1][1]
        message = await workflow.execute_activity_method(
            WithdrawalActivities.build_message,
            self._payment(),
            start_to_close_timeout=timedelta(seconds=5),
            schedule_to_close_timeout=timedelta(seconds=8),
        )
        self._must_await_signature()
        self._messages = [*self._messages[1 - MESSAGES_KEPT :], (workflow.now(), message)]
        return message

    @workflow.update
    def signed(self, signature: str) -> WithdrawalState:
        """The owner's ed25519 signature (base58) over one of the messages handed out: the payment begins."""
        message = self._message_under(signature)
        assert message is not None
        self._signed = (message, signature)
        self._to(WithdrawalStatus.PAYING)
        return self._state

    @signed.validator
    def _check_signed(self, signature: str) -> None:
        self._must_await_signature()
        if self._message_under(signature) is None:
            raise ApplicationError(
                "That is no signature of the owner over a message handed out.", type="bad_signature"
            )

    def _message_under(self, signature: str) -> MessageToSign | None:
        owner = self._state.request.owner
        for _, message in reversed(self._messages):
            if signature_is_owners(owner, message.message, signature):
                return message
        return None

    def _must_await_signature(self) -> None:
        status = self._state.status
        if status != WithdrawalStatus.AWAITING_SIGNATURE or self._too_late:
            raise ApplicationError(f"The withdrawal is {status}.", type="not_awaiting_signature")

    async def _reserve(self) -> bool:
        asked = self._state.request
        try:
            self._state.withdrawal = await workflow.execute_activity_method(
                WithdrawalActivities.reserve,
                Reservation(asked.account, asked.amount, asked.key),
                start_to_close_timeout=timedelta(seconds=30),
                retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=10)),
            )
        except ActivityError as error:
            self._explain(code(error), reason(error))
            self._to(WithdrawalStatus.REFUSED)
            return False
        return True

    async def _pay_or_give_up(self) -> bool:
        """Whether the chain paid. False only when nothing that was signed can ever land."""
        deadline = workflow.now() + OWNER_PATIENCE
        self._state.sign_before = deadline.isoformat(timespec="seconds")
        self._show()
        while await self._owner_signs_before(deadline):
            assert self._signed is not None
            outcome = await must_happen(
                WithdrawalActivities.pay,
                self._payment(),
                *self._signed,
                on_trouble=self._trouble,
                within=timedelta(minutes=5),
            )
            match outcome.status:
                case PaymentStatus.PAID:
                    self._state.signature = outcome.signature
                    self._explain("", "")
                    return True
                case PaymentStatus.REFUSED:
                    self._explain(outcome.code, outcome.message)
                    return False
                case PaymentStatus.EXPIRED:
                    self._signed = None
                    self._explain("transaction_expired", "The transaction came too late; sign a new message.")
                    self._to(WithdrawalStatus.AWAITING_SIGNATURE)
        self._explain("owner_never_signed", "The owner did not sign in time; the amount was given back.")
        return False

    async def _owner_signs_before(self, deadline: datetime) -> bool:
        patience = max(deadline - workflow.now(), timedelta(0))
        with suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._signed is not None, timeout=patience)
        # From here on no signature is accepted: the amount goes back.
        self._too_late = self._signed is None
        return not self._too_late

    def _payment(self) -> Payment:
        asked = self._state.request
        return Payment(asked.account, asked.owner, asked.amount, asked.destination, self._state.withdrawal)

    async def _close(self, paid: bool) -> None:
        closing = Closing(self._state.withdrawal, paid, self._state.signature)
        await must_happen(WithdrawalActivities.finish, closing, on_trouble=self._trouble)
        self._to(WithdrawalStatus.PAID if paid else WithdrawalStatus.RELEASED)

    def _trouble(self, sentence: str) -> None:
        self._state.trouble = sentence
        self._show()

    def _explain(self, code: str, message: str) -> None:
        self._state.code, self._state.message = code, message
        self._show()

    def _to(self, status: WithdrawalStatus) -> None:
        self._state.status = status
        self._show()

    def _show(self) -> None:
        workflow.set_current_details(self._state.text())
