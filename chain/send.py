"""Getting signed bytes onto the chain, exactly once, whatever happens to calls and answers.

The same bytes are sent until their fate is known. They land at most once, because a signature does; whether they did is only ever
decided by asking the chain, and "they never will" only once a finalized block is past their last valid height.
"""

import asyncio
from dataclasses import dataclass, replace
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
from chain.rpc import ChainUnavailable, Level, ask

__all__ = ["Expired", "Failed", "Landed", "Level", "Result", "send_until", "status_of"]

_log = structlog.get_logger("send")
POLL_S: Final = 0.2
"""Half a slot: asking more often learns nothing new."""
RESEND_S: Final = 2.0
_SAYS_NOTHING: Final = ("BlockhashNotFound", "AlreadyProcessed", "AccountInUse", "ClusterMaintenance")
"""Refusals that are about the node or the moment, not about the transaction."""


@dataclass(frozen=True, slots=True)
class Landed:
    """It succeeded, in `slot`, and lies at the level that was asked for."""

    slot: int


@dataclass(frozen=True, slots=True)
class Expired:
    """It did not land and never will: signing anew is safe."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It changed nothing and never will: it landed and failed (its fee is paid), or the node's trial run refused it (it cost nothing).

    `code` is the program's error, None for the cluster's own; `message` names the error; `landed` tells the two cases apart.
    """

    code: int | None
    message: str
    landed: bool
    logs: tuple[str, ...] = ()


Result = Landed | Expired | Failed


async def send_until(
    rpc: AsyncClient,
    raw: bytes,
    signature: str,
    last_valid_block_height: int,
    level: Level = Level.CONFIRMED,
    *,
    fresh: bool = False,
    poll_s: float = POLL_S,
) -> Result:
    """Send the same bytes until they lie at `level`, failed, or provably cannot land any more.

    Errors, timeouts and lost answers are unknown, and asked about again; bound the wait from outside. A refusal by the node's
    trial run is final at once only for `fresh` bytes, which were never sent before this call; otherwise an earlier copy may
    still land, so the refusal is told (instead of `Expired`) once the bytes have expired.
    """
    loop = asyncio.get_running_loop()
    due, handed_on = loop.time(), not fresh
    refusal: Failed | None = None
    while True:
        try:
            # Height first, status after: what is missing from a view newer than that height cannot appear later.
            past = await _slot_past(rpc, last_valid_block_height) if handed_on else 0
            status = await _status(rpc, signature, newer_than=past)
            if status is not None:
                if status.failed is not None and status.level >= min(level, Level.CONFIRMED):
                    return replace(status.failed, logs=await _logs(rpc, signature))
                if status.failed is None and status.level >= level:
                    return Landed(status.slot)
            elif past:
                return refusal or Expired()
            elif loop.time() >= due:
                due = loop.time() + RESEND_S
                answer = await _submit(rpc, raw)
                if answer is not None and not handed_on:
                    return answer
                handed_on, refusal = True, answer or refusal
        except ChainUnavailable as error:
            # Not known is not failed: the next round asks again.
            _log.info("the node gave no answer, asking again", signature=signature, error=str(error))
        await asyncio.sleep(poll_s)


async def status_of(rpc: AsyncClient, signature: str) -> tuple[int, Level] | Failed | None:
    """(slot, level) of a transaction that succeeded, how it failed, or None when this node does not know it. Asks once."""
    status = await _status(rpc, signature)
    if status is None:
        return None
    return status.failed or (status.slot, status.level)


@dataclass(frozen=True, slots=True)
class _Status:
    slot: int
    level: Level
    failed: Failed | None


async def _status(rpc: AsyncClient, signature: str, newer_than: int = 0) -> _Status | None:
    """What the node knows of a signature. Only a view beyond the slot `newer_than` may say "nothing"; an older one is no answer."""
    wanted = [Signature.from_string(signature)]
    answer = await ask(rpc.get_signature_statuses(wanted, search_transaction_history=True))
    found = answer.value[0]
    if found is None:
        if answer.context.slot < newer_than:
            raise ChainUnavailable("the node that was asked for the status is behind")
        return None
    if found.confirmation_status is not None:
        level = Level[str(found.confirmation_status).rsplit(".", 1)[-1].upper()]
    else:
        level = Level.FINALIZED if found.confirmations is None else Level.PROCESSED
    failed = None if found.err is None else _failure(found.err, landed=True)
    return _Status(found.slot, level, failed)


async def _slot_past(rpc: AsyncClient, block_height: int) -> int:
    """The finalized slot when it is past `block_height`, else 0."""
    info = (await ask(rpc.get_epoch_info(Level.FINALIZED.commitment))).value
    return int(info.absolute_slot) if info.block_height > block_height else 0


async def _submit(rpc: AsyncClient, raw: bytes) -> Failed | None:
    """Hand the bytes to the node. A refusal that says something about them, or None: it took them, or nobody knows."""
    options = TxOpts(skip_confirmation=True, preflight_commitment=Level.CONFIRMED.commitment, max_retries=0)
    try:
        await rpc.send_raw_transaction(raw, options)
    except RPCException as error:
        answer = error.args[0] if error.args else None
        if isinstance(answer, SendTransactionPreflightFailureMessage):
            refusal = _failure(answer.data.err, landed=False, logs=tuple(answer.data.logs or ()))
            return None if refusal.message in _SAYS_NOTHING else refusal
        if isinstance(answer, InvalidParamsMessage):
            return Failed(None, f"InvalidTransaction: {answer.message}", landed=False)
        _log.info("the node did not take a transaction", error=str(error))
    except (SolanaRpcException, SerdeJSONError, ValueError) as error:
        _log.info("the answer to a submission is lost", error=repr(error.__cause__ or error))
    return None


async def _logs(rpc: AsyncClient, signature: str) -> tuple[str, ...]:
    """Logs of a landed transaction, empty while the node does not show it."""
    call = rpc.get_transaction(
        Signature.from_string(signature),
        "base64",
        Level.CONFIRMED.commitment,
        max_supported_transaction_version=0,
    )
    found: Any = (await ask(call)).value
    return tuple(found.transaction.meta.log_messages or ()) if found else ()


def _failure(error: Any, *, landed: bool, logs: tuple[str, ...] = ()) -> Failed:
    """From a transaction error as the node's client parses it: `InsufficientBalance`, `Custom(1)`, `InsufficientFundsForFee`."""
    cause = getattr(error, "err", error)
    code = getattr(cause, "code", None)
    if code is not None:
        return Failed(int(code), error_name(int(code)), landed, logs)
    return Failed(None, str(cause).rsplit(".", 1)[-1], landed, logs)
