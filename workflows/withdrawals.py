"""One withdrawal: reserved in the engine, signed by owner and operator, paid by the chain, closed either way exactly once."""

from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Final

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.landing import OPERATOR_SHORT
    from activities.withdrawals import (
        BAD_DESTINATION,
        Closed,
        Closing,
        Ending,
        MessageToSign,
        Payment,
        PaymentStatus,
        Reservation,
        WithdrawalActivities,
        signature_is_owners,
    )
    from workflows.steps import AGENT, PAYMENTS, WITHDRAWALS, code, must_happen, reason
    from workflows.withdrawal_state import Decision, WithdrawalRequest, WithdrawalState, WithdrawalStatus

OWNER_PATIENCE: Final = timedelta(minutes=15)
"""How long the reservation waits for the owner's signature before it is released."""
MESSAGES_KEPT: Final = 8
"""Messages handed out and still accepted when signed; each lives as long as its blockhash anyway."""
MESSAGE_FRESH: Final = timedelta(seconds=15)
"""A message younger than this is handed out again: most of its minute is left."""
BETWEEN_ASKING: Final = timedelta(seconds=5)
"""Before the chain is asked again whether what was signed can land no more: that takes about a minute, and no place of a payment."""
LONGEST_ASKING: Final = timedelta(minutes=10)
"""The pause doubles up to this: where finality stalls for days, looks must not use up the history that one withdrawal may have."""
MAY_STILL_LAND: Final = "what was signed may still land: the chain is asked again until it cannot"

UNDECIDED: Final = (
    "withdrawal_undecided: a later withdrawal of the account was paid, and no node knows what became of this one; look for it in the "
    "account's history on chain, then send the update `decide`"
)


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
        self._last_height = 0
        self._too_late = False
        self._bad_destination = ""
        self._undecided = False
        self._decision: Decision | None = None

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

        Fails with type `not_awaiting_signature` in any other state, and with `bad_destination` where the chain would refuse what is
        signed: then the amount is given back at once.
        """
        await workflow.wait_condition(lambda: self._state.status != WithdrawalStatus.STARTING)
        self._must_await_signature()
        if self._messages and workflow.now() - self._messages[-1][0] < MESSAGE_FRESH:
            return self._messages[-1][1]
        try:
            message = await workflow.execute_activity_method(
                WithdrawalActivities.build_message,
                self._payment(),
                start_to_close_timeout=timedelta(seconds=5),
                schedule_to_close_timeout=timedelta(seconds=8),
            )
        except ActivityError as error:
            if code(error) == BAD_DESTINATION and workflow.patched("bad-destination"):
                self._bad_destination = reason(error)
            raise
        self._must_await_signature()
        self._messages = [*self._messages[1 - MESSAGES_KEPT :], (workflow.now(), message)]
        return message

    @workflow.update
    def signed(self, signature: str) -> WithdrawalState:
        """The owner's ed25519 signature (base58) over one of the messages handed out: the payment begins."""
        message = self._message_under(signature)
        assert message is not None
        self._signed = (message, signature)
        self._last_height = max(self._last_height, message.last_valid_block_height)
        self._to(WithdrawalStatus.PAYING)
        return self._state

    @workflow.update
    def decide(self, decision: Decision) -> WithdrawalState:
        """A person says what became of a withdrawal of which the chain no longer tells. Fails with type `decided` otherwise."""
        self._decision = decision
        return self._state

    @decide.validator
    def _check_decide(self, decision: Decision) -> None:
        if not self._undecided or self._decision is not None:
            raise ApplicationError("There is nothing to decide.", type="decided")
        if decision.paid != bool(decision.signature):
            raise ApplicationError("A payment has a signature, a release has none.", type="bad_value")

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
                Reservation(asked.account, asked.amount, asked.key, asked.destination),
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
        self._state.sign_before = deadline.isoformat(timespec="milliseconds")
        self._show()
        while await self._owner_signs_before(deadline):
            assert self._signed is not None
            outcome = await must_happen(
                WithdrawalActivities.pay,
                self._payment(),
                *self._signed,
                on_trouble=self._trouble,
                within=timedelta(minutes=5),
                task_queue=_payments(),
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
                    self._explain(
                        outcome.code or "transaction_expired",
                        outcome.message or "The transaction came too late; sign a new message.",
                    )
                    self._to(WithdrawalStatus.AWAITING_SIGNATURE)
        if self._bad_destination:
            self._explain(BAD_DESTINATION, self._bad_destination)
        # An owner that signed, and was kept waiting by the operator, is not told that it did not.
        elif self._state.code != OPERATOR_SHORT:
            self._explain("owner_never_signed", "The owner did not sign in time; the amount was given back.")
        return False

    async def _owner_signs_before(self, deadline: datetime) -> bool:
        patience = max(deadline - workflow.now(), timedelta(0))
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._signed is not None or bool(self._bad_destination), timeout=patience
            )
        # From here on no signature is accepted: the amount goes back.
        self._too_late = self._signed is None
        return not self._too_late

    def _payment(self) -> Payment:
        asked = self._state.request
        return Payment(asked.account, asked.owner, asked.amount, asked.destination, self._state.withdrawal)

    async def _close(self, paid: bool) -> None:
        self._to(WithdrawalStatus.PAYING if paid else WithdrawalStatus.RELEASING)
        closing = Closing(
            self._payment(),
            paid,
            self._state.signature,
            self._last_height,
            resumed=self._state.request.resumed,
        )
        closed = await self._finish(closing)
        if closed.ending == Ending.UNDECIDED:
            decision = await self._ask_a_person()
            closed = await self._finish(replace(closing, **asdict(decision), decided=True))
        self._state.signature = closed.signature
        if closed.ending == Ending.PAID:
            self._explain("", "")
        self._to(WithdrawalStatus.PAID if closed.ending == Ending.PAID else WithdrawalStatus.RELEASED)

    async def _finish(self, closing: Closing) -> Closed:
        pause = BETWEEN_ASKING
        while True:
            closed = await must_happen(
                WithdrawalActivities.finish,
                closing,
                on_trouble=self._trouble,
                within=timedelta(minutes=5),
                task_queue=_payments(),
            )
            if closed.ending != Ending.WAITING:
                self._trouble("")
                return closed
            self._trouble(MAY_STILL_LAND)
            await workflow.sleep(pause)
            pause = min(pause * 2, LONGEST_ASKING)

    async def _ask_a_person(self) -> Decision:
        """Wait for `decide`, however long; the memo shows it in every list of workflows."""
        self._undecided = True
        workflow.upsert_memo({"undecided": UNDECIDED})
        self._trouble(UNDECIDED)
        await workflow.wait_condition(lambda: self._decision is not None)
        workflow.upsert_memo({"undecided": None})
        self._trouble("")
        assert self._decision is not None
        return self._decision

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


def _payments() -> str:
    """Where payments run, also those of a withdrawal that was started on the worker's own queue."""
    return workflow.info().task_queue.removesuffix(WITHDRAWALS) + PAYMENTS
