"""Steps of a withdrawal: reserve in the engine, build what the owner signs, pay on chain once, close the reservation."""

import asyncio
import base64
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.engine_door import EngineDoor
from activities.heartbeats import heartbeats
from activities.landing import OPERATOR_SHORT, Lander, by_code
from activities.outflow import LIMITED, OWNER_LIMITED, Outflow
from chain.escrow import EscrowClient
from chain.escrow_view import Place
from chain.rpc import CONFIRMED, FINALIZED
from chain.send import Expired, Failed, Fate, Landed, Refused, slot_past
from chain.signers.interface import Signer
from chain.transactions import SignedTransaction, UnsignedTransaction
from ledger.queries import Queries
from ledger.settlement import FAILED, PAYMENT, SIGNED, Settlement
from matcher.commands import FinishWithdrawal, ReserveWithdrawal
from matcher.rejections import Code

FINAL: Final[frozenset[str]] = frozenset(Code) - {Code.OVERLOADED} | {"bad_message", "validation_failed"}
"""What says that the engine reserves nothing, now or under that key before: its rules know a key first. Whatever else comes back, such
as a token that the API does not take, says nothing about an earlier try whose answer was lost: asked again, until that is mended."""
LEDGER_PATIENCE_S: Final = 20.0
_SHORT: Final = "The operator has too little SOL for the network's fee now; sign a new message."
BAD_DESTINATION: Final = "bad_destination"
"""What is to be paid is no token account of the owner's: the escrow would refuse it."""
BETWEEN_LOOKS_S: Final = 1.0


@dataclass
class Reservation:
    """Micro-USDC to take out of an account; `key` is the owner's id of the withdrawal, `destination` as in `Payment`."""

    account: int
    amount: int
    key: str
    destination: str = ""


@dataclass
class Payment:
    """What the chain is to pay: micro-USDC, once per engine withdrawal number. Empty `destination`: the owner's own token account."""

    account: int
    owner: str
    amount: int
    destination: str
    withdrawal: int


@dataclass
class MessageToSign:
    """Bytes of a transaction message in base64, which cannot land after `last_valid_block_height`."""

    message: str
    last_valid_block_height: int


class PaymentStatus(StrEnum):
    PAID = "paid"
    EXPIRED = "expired"
    """It did not land and never will, as it expired or was never sent: another message may be signed. With a code, the operator kept
    it back for what the code says."""
    REFUSED = "refused"
    """The program refused it, and would refuse it again."""


@dataclass
class PaymentOutcome:
    status: PaymentStatus
    signature: str = ""
    code: str = ""
    message: str = ""


class Ending(StrEnum):
    PAID = "paid"
    RELEASED = "released"
    UNDECIDED = "undecided"
    """The chain no longer tells whether it was paid: nothing is done until a person says."""
    WAITING = "waiting"
    """What was signed may still land: nothing is done, and the chain is to be asked again later."""


@dataclass
class Closing:
    """How a withdrawal is to end: `paid` by `signature`, or given back unless the chain says otherwise.

    `last_height` is the last block at which something that the owner signed can land, 0 when it never signed; the ledger may know
    of later ones. `decided`: a person has looked, and what is said here is done. `resumed`: the workflow that knew what was signed is
    gone, so that this one knows of nothing proves nothing.
    """

    payment: Payment
    paid: bool
    signature: str
    last_height: int = 0
    decided: bool = False
    resumed: bool = False


@dataclass
class Closed:
    ending: Ending
    signature: str = ""


def signature_is_owners(owner: str, message: str, signature: str) -> bool:
    """Whether `signature` (base58) is `owner`'s (base58) over the bytes of `message` (base64). Pure."""
    try:
        return Signature.from_string(signature).verify(Pubkey.from_string(owner), base64.b64decode(message))
    except ValueError:
        return False


def _reference(payment: Payment) -> str:
    return f"{PAYMENT}/{payment.withdrawal}"


class WithdrawalActivities:
    """`operator` signs only what the owner has signed, one transaction of a withdrawal at a time; it pays for each.

    `minimum` is the smallest amount in micro-USDC that it pays out, except to empty an account.
    """

    def __init__(
        self,
        door: EngineDoor,
        ledger: Settlement,
        queries: Queries,
        escrow: EscrowClient,
        lander: Lander,
        operator: Signer,
        minimum: int,
    ) -> None:
        self._door = door
        self._ledger = ledger
        self._queries = queries
        self._escrow = escrow
        self._lander = lander
        self._operator = operator
        self._outflow = Outflow(escrow, ledger, queries)
        self._minimum = minimum

    @activity.defn
    async def reserve(self, reservation: Reservation) -> int:
        """The engine's number of the withdrawal. Its refusals are final and keep their codes.

        ``withdrawal_closed`` refuses a key that was paid or released before: nothing is reserved for it any more.
        """
        asked = ReserveWithdrawal(
            reservation.account,
            reservation.amount,
            reservation.key,
            self._minimum,
            reservation.destination,
        )
        try:
            answer = await self._door.command(asked)
        except ApplicationError as error:
            if error.type not in FINAL:
                # With the workflow's own back-off: all that wait would keep an API that comes back busy.
                raise ApplicationError(error.message, type=error.type) from error
            # Said once and for all: nothing is reserved, so nothing would bound how many wait for a better moment.
            raise ApplicationError(error.message, type=error.type, non_retryable=True) from error
        number = int(answer.event("WithdrawalReserved")["withdrawal"])
        if answer.repeated and await self._is_finished(number, answer.seq):
            raise ApplicationError(
                "that withdrawal was closed before", type="withdrawal_closed", non_retryable=True
            )
        return number

    @activity.defn
    async def build_message(self, payment: Payment) -> MessageToSign:
        """The message that owner and operator both sign, with a higher priority fee after each one that expired.

        ``bad_destination`` where no token account of the owner's is: the escrow would refuse it once it is signed.
        ``funds_not_landed`` while a batch that pays into the slot is on its way, ``outflow_limited`` while the escrow pays no such
        amount, ``owner_outflow_limited`` while it is more than the owner's share: all accounts share what may leave in an hour and a
        day, and nobody should sign in vain.
        """
        place = await self._place(payment, CONFIRMED)
        if place is None:
            raise ApplicationError(
                "that owner has no such account on chain", type="account_unknown", non_retryable=True
            )
        if place.slot.balance < payment.amount:
            raise ApplicationError(
                f"the chain holds {place.slot.balance} micro-USDC for the account so far",
                type="funds_not_landed",
                non_retryable=True,
            )
        await self._outflow.must_allow(payment.owner, payment.amount, payment.withdrawal)
        try:
            target = Pubkey.from_string(payment.destination) if payment.destination else None
        except ValueError as error:
            raise ApplicationError(str(error), type=BAD_DESTINATION, non_retryable=True) from None
        if not await self._escrow.view.pays_out_to(
            target or self._escrow.wallet_of(place.slot.owner), place.slot.owner
        ):
            raise ApplicationError(
                "no token account of the owner's for the escrow's mint is there",
                type=BAD_DESTINATION,
                non_retryable=True,
            )
        tried = await self._ledger.submissions(_reference(payment))
        unsigned = await self._escrow.withdraw_message(
            self._operator.pubkey,
            place.slot.owner,
            place.page,
            place.slot.index,
            payment.amount,
            payment.withdrawal,
            target=target,
            price=await self._lander.fee(_reference(payment), tried),
        )
        return MessageToSign(base64.b64encode(unsigned.message).decode(), unsigned.last_valid_block_height)

    @activity.defn
    async def pay(self, payment: Payment, message: MessageToSign, signature: str) -> PaymentOutcome:
        """Land the owner's message, or say for certain that it will not; paid means final.

        While the operator has too little SOL it is tried for as long as it lives: after that it is `operator_short_of_sol`, and
        another message may be signed. The escrow refused nothing.
        """
        async with heartbeats():
            tried = await self._ledger.submissions(_reference(payment))
            if await self._is_paid(payment):
                return PaymentOutcome(PaymentStatus.PAID, await self._lander.find_landed(tried))
            pending = next((one for one in tried if one.status == SIGNED), None)
            sent_before = pending is not None
            if pending is None:
                if _operator_of(message) != self._operator.pubkey:
                    # The operator's key was replaced since. Nobody else signed it, so it lands no more than one that came too late.
                    return PaymentOutcome(PaymentStatus.EXPIRED)
                # Before its turn, as a remote signer may take its time: what is signed and not kept is never sent.
                signed = await self._signed(payment, message, signature)
                if any(one.signature == signed.signature for one in tried):
                    return PaymentOutcome(PaymentStatus.EXPIRED)
                async with self._outflow.one_by_one():
                    if limited := await self._limited(payment):
                        return limited
                    pending = await self._lander.keep(_reference(payment), signed, tried)
                sent_before = pending.signature != signed.signature

            async def done() -> bool:
                return await self._was_paid_by(payment, pending.signature)

            fate = await self._lander.decide(
                pending, FINALIZED, done, sent_before=sent_before, waits_for_sol=True
            )
            return await self._outcome(payment, fate)

    @activity.defn
    async def finish(self, closing: Closing) -> Closed:
        """Close the reservation in the engine, paid or given back, or leave it when the chain does not tell which.

        Nothing is given back before the chain was asked at a moment when nothing that was signed can land any more; until then it is
        `WAITING`, at once: whoever waits in here has one of the places in which others are paid.
        """
        async with heartbeats():
            closed = Closed(Ending.PAID if closing.paid else Ending.RELEASED, closing.signature)
            if not (closing.paid or closing.decided):
                closed = await self._last_look(closing)
            if closed.ending in (Ending.PAID, Ending.RELEASED):
                paid = closed.ending == Ending.PAID
                number = closing.payment.withdrawal
                await self._door.command(FinishWithdrawal(number, paid, closed.signature))
            return closed

    async def _limited(self, payment: Payment) -> PaymentOutcome | None:
        """Why the operator sends no such amount any more: others were quicker since the message was built."""
        try:
            await self._outflow.must_allow(payment.owner, payment.amount, payment.withdrawal)
        except ApplicationError as error:
            if error.type not in (LIMITED, OWNER_LIMITED):
                raise
            return PaymentOutcome(PaymentStatus.EXPIRED, code=error.type, message=error.message)
        return None

    async def _signed(self, payment: Payment, message: MessageToSign, signature: str) -> SignedTransaction:
        unsigned = UnsignedTransaction(base64.b64decode(message.message), message.last_valid_block_height)
        combining = self._escrow.combine_withdraw(
            unsigned, self._operator, Pubkey.from_string(payment.owner), Signature.from_string(signature)
        )
        return await by_code(combining)

    async def _outcome(self, payment: Payment, fate: Fate) -> PaymentOutcome:
        match fate:
            case Landed():
                return PaymentOutcome(PaymentStatus.PAID, fate.signature)
            case Failed() | Refused():
                if await self._is_paid(payment):
                    return PaymentOutcome(PaymentStatus.PAID)
                if isinstance(fate, Refused) and fate.payer_short:
                    return PaymentOutcome(PaymentStatus.EXPIRED, fate.signature, OPERATOR_SHORT, _SHORT)
                return PaymentOutcome(
                    PaymentStatus.REFUSED, fate.signature, fate.code, "The escrow refused it."
                )
            case Expired():
                return PaymentOutcome(PaymentStatus.EXPIRED, fate.signature)

    async def _last_look(self, closing: Closing) -> Closed:
        """What became of a withdrawal by the finalized slot, where everything signed for it has expired."""
        payment = closing.payment
        tried = await self._ledger.submissions(_reference(payment))
        heights = (one.last_valid_block_height for one in tried)
        last = await self._last_withdrawal_after(payment, max(closing.last_height, *heights, 0))
        if last is None:
            return Closed(Ending.WAITING)
        if last < payment.withdrawal:
            return Closed(Ending.RELEASED)
        signature = await self._lander.find_landed(tried)
        if last == payment.withdrawal or signature:
            return Closed(Ending.PAID, signature)
        # A later one was paid, so the slot says nothing about this one. Bytes that failed, or that were refused before anybody had
        # them, did not pay it. Of expired ones only a node says so, and it may have forgotten them.
        all_known = bool(tried) or not (closing.last_height or closing.resumed)
        unpaid = all_known and all(one.status == FAILED for one in tried)
        return Closed(Ending.RELEASED if unpaid else Ending.UNDECIDED)

    async def _last_withdrawal_after(self, payment: Payment, height: int) -> int | None:
        """Number of the account's last paid withdrawal, finalized, as of a slot past the block `height` (0: any); None before that.

        The chain is asked twice, a while apart, and must say the same: one round of untrue answers, or of a node that lags behind
        the others, gives nothing back that may still be paid.
        """
        last = await self._last_withdrawal_past(payment, height)
        while last is not None and height:
            told = last
            await asyncio.sleep(BETWEEN_LOOKS_S)
            last = await self._last_withdrawal_past(payment, height)
            if last == told:
                break
        return last

    async def _last_withdrawal_past(self, payment: Payment, height: int) -> int | None:
        """What one view of the chain says, None while it is not past `height`."""
        past = await slot_past(self._escrow.client, height) if height else 0
        if height and not past:
            return None
        place = await self._place(payment)
        if place is None:
            raise ApplicationError("the node does not show the account's slot", type="node_behind")
        return place.slot.last_withdrawal if place.seen >= past else None

    async def _is_paid(self, payment: Payment) -> bool:
        """Whether the slot's last withdrawal, in the final state, is this one: nothing else sets it to this number."""
        place = await self._place(payment)
        return place is not None and place.slot.last_withdrawal == payment.withdrawal

    async def _was_paid_by(self, payment: Payment, signature: str) -> bool:
        """Whether the final slot has this withdrawal as its last. After a later one it no longer tells: then the landed transaction
        itself must be there, because that a signature landed is said in one word, and a node may say it wrongly."""
        place = await self._place(payment)
        if place is None or place.slot.last_withdrawal < payment.withdrawal:
            return False
        if place.slot.last_withdrawal == payment.withdrawal:
            return True
        receipt = await self._escrow.view.receipt(signature, FINALIZED)
        return receipt is not None and receipt.succeeded

    async def _place(self, payment: Payment, commitment: str = FINALIZED) -> Place | None:
        """Of the account's slot: what it has is read, not the pages of everybody else."""
        page = await self._queries.page_of(payment.account)
        return await self._escrow.view.slot_of(payment.account, commitment, payment.owner, page)

    async def _is_finished(self, withdrawal: int, sequence: int) -> bool:
        """Whether the journal up to `sequence` has closed the withdrawal."""
        async with asyncio.timeout(LEDGER_PATIENCE_S):
            await self._ledger.wait_projected(sequence)
        return await self._queries.is_closed(withdrawal)


def _operator_of(message: MessageToSign) -> Pubkey:
    """Who pays the fee of a message that `build_message` made."""
    return Message.from_bytes(base64.b64decode(message.message)).account_keys[0]
