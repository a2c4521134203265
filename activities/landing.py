"""Getting one step onto the chain exactly once: signed bytes are stored before they are sent, and what the chain says decides.

The order for every reference ("batch/3/page/0"): send what is stored and not decided yet; when all that was stored is decided, ask
the chain whether the step is done; only when it is not, sign and store anew. Whatever dies in between, the next run finds either
nothing stored (nothing was sent) or stored bytes (which land at most once), and the program refuses a step that it has taken. Two that
run at once agree on the bytes: only the first that stores the next try of a reference may send it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from temporalio import activity
from temporalio.exceptions import ApplicationError

from chain.bids import first_offer, next_offer, offered
from chain.escrow import EscrowClient
from chain.rpc import CONFIRMED, ask
from chain.send import POLL_S, RESEND_POLLS, Expired, Failed, Fate, Landed, Refused, send_until, slot_past
from chain.signers.interface import SigningFailed
from chain.transactions import SignedTransaction
from ledger.settlement import EXPIRED, FAILED, LANDED, SIGNED, Settlement, Submission, batch_of

PATIENCE_S: Final = 20.0
"""How long one try waits for the chain to decide on bytes; the next try goes on with the same ones."""

OPERATOR_SHORT: Final = "operator_short_of_sol"
"""The operator's key has too little SOL for a transaction: nothing was sent, and it goes on by itself once it has some."""

FOR_PEOPLE: Final = frozenset({"Paused", "NotOperator"})
"""Refusals that last until a person has mended something: for days, maybe."""
UNHURRIED: Final = timedelta(seconds=30)
OFTEN: Final = 3

_ALIVE: Final = 10
"""Blocks that bytes must live yet for another try."""

Build = Callable[[int], Awaitable[SignedTransaction]]
Done = Callable[[], Awaitable[bool]]


async def by_code(building: Awaitable[SignedTransaction]) -> SignedTransaction:
    """What is built and signed; a signer that does not sign is told to Temporal by its code, and asked again."""
    try:
        return await building
    except SigningFailed as error:
        raise ApplicationError(str(error), type=error.code) from None


def _tried_often() -> bool:
    """Whether Temporal has this step tried again and again: then there is no hurry, and each try is signed and kept."""
    return activity.in_activity() and activity.info().attempt > OFTEN


class Lander:
    """Lands steps of one escrow. `least_fee` is the least priority fee, in micro-lamports per compute unit; `poll_s` is how long to
    wait between two looks at what became of one: half a slot."""

    def __init__(
        self, ledger: Settlement, escrow: EscrowClient, least_fee: int = 0, poll_s: float = POLL_S
    ) -> None:
        self._ledger = ledger
        self._escrow = escrow
        self._least_fee = least_fee
        self._poll_s = poll_s

    async def land(self, reference: str, build: Build, done: Done, commitment: str = CONFIRMED) -> None:
        """Return once the step is on chain at `commitment`, by a transaction of this or an earlier run.

        `build` signs with a priority fee, which begins at what landed last and doubles after every transaction of this reference that
        expired; `done` asks the chain whether it has the step. Raises a retryable `ApplicationError` of type ``escrow_<name>`` when
        the program refuses a step that is not done, of type ``operator_short_of_sol`` when the operator cannot pay for it, of type
        ``signer_<why>`` when nobody signs, and of type ``not_landed`` when the chain takes its time: so that whoever waits is told.
        """
        while True:
            tried = await self._ledger.submissions(reference)
            pending = next((one for one in tried if one.status == SIGNED), None)
            sent_before = pending is not None
            if pending is None:
                if tried and await done():
                    await self.find_landed(tried)
                    return
                signed = await by_code(build(await self.fee(reference, tried)))
                pending = await self.keep(reference, signed, tried)
                sent_before = pending.signature != signed.signature
            try:
                async with asyncio.timeout(PATIENCE_S):
                    fate = await self.decide(pending, commitment, done, sent_before=sent_before)
            except TimeoutError:
                raise ApplicationError(
                    f"{reference}: {pending.signature} is not {commitment} yet; sent for the {pending.attempt}. time",
                    type="not_landed",
                ) from None
            if isinstance(fate, Landed):
                return
            if isinstance(fate, Failed | Refused) and not await done():
                if isinstance(fate, Refused) and fate.payer_short:
                    await self._ledger.forget_refused(reference)
                    short = f"{reference}: the operator's key has too little SOL ({fate.code})"
                    raise ApplicationError(short, type=OPERATOR_SHORT)
                await self._ledger.forget_refused(reference)
                raise ApplicationError(
                    f"{reference}: {fate.logs}",
                    type=f"escrow_{fate.code}",
                    next_retry_delay=UNHURRIED if fate.code in FOR_PEOPLE and _tried_often() else None,
                )

    async def decide(
        self,
        pending: Submission,
        commitment: str,
        done: Done,
        *,
        sent_before: bool,
        waits_for_sol: bool = False,
    ) -> Fate:
        """Send stored bytes until the chain decides; keep the decision and the fee it cost.

        A node that says of a signature that it landed is believed once the program's own state says so too (`done`): else one
        untrue answer would leave a step out for ever, or have a withdrawal closed as paid that nobody paid. When the state still does
        not know of it once the bytes have expired, they count as expired, whatever the node goes on saying.

        With `waits_for_sol` bytes for which the operator has too little SOL are tried again for as long as they live: others signed
        them, too.
        """
        transaction = SignedTransaction(pending.raw, pending.signature, pending.last_valid_block_height)
        client, poll_s = self._escrow.client, self._poll_s
        while True:
            fate = await send_until(client, transaction, commitment, sent_before=sent_before, poll_s=poll_s)
            if waits_for_sol and isinstance(fate, Refused) and fate.payer_short and not fate.expired:
                await asyncio.sleep(RESEND_POLLS * poll_s)
                # Not handed on, so the next try is the first one again, while nobody doubts that they live: of bytes that were refused
                # as too old it is less sure that nobody has them.
                height = (await ask(client.get_block_height(CONFIRMED))).value
                if height + _ALIVE <= pending.last_valid_block_height:
                    continue
            if not isinstance(fate, Landed) or await done():
                break
            if await slot_past(client, pending.last_valid_block_height, poll_s) and not await done():
                fate = Expired(pending.signature)
                break
            sent_before = True
            await asyncio.sleep(poll_s)
        match fate:
            case Landed():
                await self._close(pending.signature, LANDED)
            case Failed():
                await self._close(pending.signature, FAILED)
            case Refused():
                # Expired unheard of is a weaker word than refused unsent: whoever must know that nothing landed, asks for more.
                await self._ledger.close_submission(pending.signature, EXPIRED if fate.expired else FAILED)
            case Expired():
                await self._ledger.close_submission(pending.signature, EXPIRED)
        return fate

    async def keep(self, reference: str, signed: SignedTransaction, tried: list[Submission]) -> Submission:
        """Store signed bytes; what this returns may be sent: another worker's, when it has signed since `tried` was read.

        So of one reference no two transactions are alive at a time, and a step that could be done in two places is done in one.
        """
        height = signed.last_valid_block_height
        last = tried[-1].attempt if tried else 0
        return await self._ledger.add_submission(signed.signature, reference, signed.raw, height, last)

    async def find_landed(self, tried: list[Submission]) -> str:
        """Signature of the one that did the step: the program's state outranks a node that called landed bytes expired.

        Empty when the node knows none of them any more.
        """
        for one in reversed(tried):
            if one.status == LANDED:
                return one.signature
            receipt = await self._escrow.view.receipt(one.signature)
            if receipt is not None and receipt.succeeded:
                await self._close(one.signature, LANDED)
                return one.signature
        return ""

    async def missing_fees(self, submissions: list[Submission]) -> None:
        """Ask again for the fees of landed transactions that the node had not shown yet."""
        for one in submissions:
            if one.status == LANDED and not one.lamports:
                await self._close(one.signature, LANDED)

    async def fee(self, reference: str, tried: list[Submission]) -> int:
        """Priority fee of a step's next transaction, after those that were `tried`, in micro-lamports per compute unit.

        What landed last for a batch tells what the chain asks: else every step would have to find out by waiting.
        """
        last = await self._ledger.landed_last()
        first = self._least_fee
        if last is not None:
            paid_in = batch_of(last.reference) or 0
            # What is of no batch is for the same blocks and the same account.
            batches = max(0, (batch_of(reference) or paid_in) - paid_in)
            first = first_offer(first, offered(last.raw), batches)
        expired = [offered(one.raw) for one in tried if one.status == EXPIRED]
        return next_offer(self._least_fee, first, max(expired)) if expired else first

    async def _close(self, signature: str, status: str) -> None:
        receipt = await self._escrow.view.receipt(signature)
        await self._ledger.close_submission(signature, status, receipt.fee if receipt is not None else 0)
