"""Getting signed bytes onto the chain, exactly once, whatever happens to calls and answers.

The same bytes are sent until their fate is known. They land at most once, because a signature does; whether they did is only ever
decided by asking the chain, and "they never will" only once a finalized block is past their last valid height.
"""

import asyncio
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, Final

import structlog
from solana.exceptions import SolanaRpcException
from solana.rpc.async_api import AsyncClient
from solana.rpc.core import RPCException
from solana.rpc.types import TxOpts
from solders.errors import SerdeJSONError
from solders.rpc.errors import InvalidParamsMessage, SendTransactionPreflightFailureMessage
from solders.signature import Signature

from chain.idl import error_name
from chain.landed import landed_transaction
from chain.rpc import CONFIRMED, FINALIZED, LEVELS, PROCESSED, ChainUnavailable, ask, lost
from chain.transactions import SignedTransaction
from core.hosts import only_hosts

_log = structlog.get_logger("send")
POLL_S: Final = 0.2
"""Half a slot: asking more often learns nothing new."""
RESEND_POLLS: Final = 10
"""Polls between two submissions of bytes that the node took: leaders forget."""
_SAYS_NOTHING: Final = ("BlockhashNotFound", "AlreadyProcessed", "AccountInUse", "ClusterMaintenance")
"""Refusals that are about the node or the moment, not about the transaction."""


_PAYER_SHORT: Final = ("InsufficientFundsForFee", "AccountNotFound", "InsufficientFundsForRent")
_TOO_FEW_LAMPORTS: Final = "insufficient lamports"
"""What the system program logs when a payer cannot pay for a new account: its error has the number of one of the token program's."""


@dataclass(frozen=True, slots=True)
class Landed:
    """It succeeded, in `slot`, and lies at the commitment that was asked for."""

    signature: str
    slot: int


@dataclass(frozen=True, slots=True)
class Failed:
    """It landed and failed: its fee is paid, nothing else happened, and it cannot land again.

    `code` is the program's name of the error (`InsufficientBalance`), `Custom(n)` for one of another program, else the cluster's name.
    """

    signature: str
    slot: int
    code: str
    logs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The node's trial run failed, so it was not handed on, at no cost; nobody else has the bytes, or they have `expired`.

    `code` as in `Failed`.
    """

    signature: str
    code: str
    logs: tuple[str, ...]
    expired: bool = False

    @property
    def payer_short(self) -> bool:
        """Whether whoever pays the fee has too little SOL for it, or for an account that is made: no program has refused anything."""
        said = any(_TOO_FEW_LAMPORTS in line for line in self.logs)
        return self.code.startswith(_PAYER_SHORT) or said


@dataclass(frozen=True, slots=True)
class Expired:
    """It did not land and never will: signing anew is safe."""

    signature: str


Fate = Landed | Failed | Refused | Expired


async def send_until(
    client: AsyncClient,
    transaction: SignedTransaction,
    commitment: str = CONFIRMED,
    *,
    sent_before: bool = False,
    poll_s: float = POLL_S,
) -> Fate:
    """Send the same bytes until they lie at `commitment`, failed, or provably cannot land any more.

    Errors, timeouts and lost answers are unknown, and asked about again; bound the wait from outside. A refusal is final at once
    only for bytes that nobody has sent before; with `sent_before` (after a crash, say) an earlier copy may still land, so the
    refusal is told once the bytes have expired.
    """
    signature = transaction.signature
    loop = asyncio.get_running_loop()
    due, handed_on = loop.time(), sent_before
    refusal: Refused | None = None
    silence = ""
    while True:
        try:
            # Height first, status after: what is missing from a view newer than that height cannot appear later.
            again = loop.time() >= due
            last = transaction.last_valid_block_height
            past = await slot_past(client, last, poll_s) if again and handed_on else 0
            status = await _status(client, signature, newer_than=past)
            if status is not None:
                if LEVELS[commitment_of(status)] >= LEVELS[commitment]:
                    return await _landed(client, signature, status)
            elif past:
                return replace(refusal, expired=True) if refusal is not None else Expired(signature)
            elif again:
                answer = await _submit(client, transaction)
                if isinstance(answer, Refused):
                    if not handed_on:
                        return answer
                    refusal = answer
                due = loop.time() + (0.0 if answer is _Submission.UNKNOWN else RESEND_POLLS * poll_s)
                handed_on = True
            silence = ""
        except ChainUnavailable as error:
            # Not known is not failed: the next round asks again.
            if str(error) != silence:
                silence = str(error)
                _log.info("the node gave no answer, asking again", signature=signature, error=silence)
        await asyncio.sleep(poll_s)


async def _status(client: AsyncClient, signature: str, newer_than: int) -> Any | None:
    """What the node knows of a signature. Only a view beyond the slot `newer_than` may say "nothing"; an older one is no answer."""
    wanted = [Signature.from_string(signature)]
    answer = await ask(client.get_signature_statuses(wanted, search_transaction_history=True))
    if answer.value[0] is None and answer.context.slot < newer_than:
        raise ChainUnavailable("the node that was asked for the status is behind")
    return answer.value[0]


def commitment_of(status: Any) -> str:
    """The commitment at which a signature's status has it."""
    if status.confirmation_status is None:
        return FINALIZED if status.confirmations is None else PROCESSED
    return str(status.confirmation_status).rsplit(".", 1)[-1].lower()


async def _landed(client: AsyncClient, signature: str, status: Any) -> Landed | Failed:
    if status.err is None:
        return Landed(signature, status.slot)
    found = await landed_transaction(client, signature, CONFIRMED)
    logs = tuple(found.transaction.meta.log_messages or ()) if found else ()
    return Failed(signature, status.slot, _code(status.err), logs)


async def slot_past(client: AsyncClient, block_height: int, poll_s: float = POLL_S) -> int:
    """The finalized slot when it is past `block_height`, else 0: bytes valid until then land in no later slot.

    Two different calls, one after the other, must both say so: taking live bytes for dead is what one untrue answer must not do.
    """
    info = (await ask(client.get_epoch_info(FINALIZED))).value
    if info.block_height <= block_height:
        return 0
    await asyncio.sleep(poll_s)
    height = (await ask(client.get_block_height(FINALIZED))).value
    return int(info.absolute_slot) if height > block_height else 0


class _Submission(Enum):
    TAKEN = auto()
    UNKNOWN = auto()


async def _submit(client: AsyncClient, transaction: SignedTransaction) -> Refused | _Submission:
    """Hand the bytes to the node, once."""
    signature = transaction.signature
    options = TxOpts(skip_confirmation=True, preflight_commitment=CONFIRMED, max_retries=0)
    try:
        await client.send_raw_transaction(transaction.raw, options)
        return _Submission.TAKEN
    except RPCException as error:
        answer = error.args[0] if error.args else None
        if isinstance(answer, SendTransactionPreflightFailureMessage):
            code = _code(answer.data.err)
            if code in _SAYS_NOTHING:
                return _Submission.UNKNOWN
            return Refused(signature, code, tuple(answer.data.logs or ()))
        if isinstance(answer, InvalidParamsMessage):
            return Refused(signature, "InvalidTransaction", (answer.message,))
        _log.info("the node did not take a transaction", signature=signature, error=only_hosts(str(error)))
    except (SolanaRpcException, SerdeJSONError, ValueError) as error:
        _log.info("the answer to a submission is lost", signature=signature, error=lost(error))
    return _Submission.UNKNOWN


def _code(error: Any) -> str:
    """A stable name of a transaction error as the node's client parses it."""
    cause = getattr(error, "err", error)
    number = getattr(cause, "code", None)
    return _name(cause) if number is None else error_name(number)


def _name(cause: Any) -> str:
    """As the cluster calls it, without the class of the node's client or what else it says: `InsufficientFundsForRent { .. }`."""
    return str(cause).rsplit(".", 1)[-1].removeprefix("TransactionError").partition(" ")[0]
