"""Getting persisted bytes onto the chain: the same bytes, again and again, until the chain itself says what became of them."""

import asyncio
from dataclasses import dataclass
from enum import IntEnum
from itertools import count
from typing import Any, Final

import httpx
import structlog
from solana.exceptions import SolanaRpcException
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed, Finalized
from solana.rpc.core import RPCException
from solana.rpc.types import TxOpts
from solders.signature import Signature

POLL_S: Final = 0.15
POLLS_PER_SEND: Final = 10
UNREACHED: Final = (SolanaRpcException, RPCException, httpx.HTTPError, OSError, ValueError)
"""What a node that errs, times out or answers nonsense raises: none of it says whether a transaction landed."""

_log = structlog.get_logger("send")


class Level(IntEnum):
    """How deep a transaction lies."""

    PROCESSED = 0
    CONFIRMED = 1
    FINALIZED = 2


@dataclass(frozen=True)
class Landed:
    """It is on chain at the wanted level."""

    slot: int


@dataclass(frozen=True)
class Expired:
    """It did not land and never will: its blockhash is past, and the chain does not know it."""


@dataclass(frozen=True)
class Failed:
    """It landed and failed, or the node's simulation refused it: `code` is the program's error, None for the cluster's own."""

    code: int | None
    message: str


Result = Landed | Expired | Failed


async def send_until(
    rpc: AsyncClient, raw: bytes, signature: str, last_valid_block_height: int, level: Level = Level.CONFIRMED
) -> Result:
    """Send the same bytes until they lie at `level`, failed on chain, or provably cannot land any more.

    Errors and timeouts of the node are unknown and asked about again. `Expired` is said only after the finalized height passed
    the transaction's last and a search of the history then found nothing.
    """
    refusal: Failed | None = None
    for round in count():
        try:
            status = await status_of(rpc, signature)
            if status is not None:
                if not isinstance(status, tuple):
                    return status
                if status[1] >= level:
                    return Landed(status[0])
            elif (await rpc.get_block_height(Finalized)).value > last_valid_block_height:
                again = await status_of(rpc, signature)
                if again is None:
                    return refusal or Expired()
            elif round % POLLS_PER_SEND == 0:
                refusal = await _send(rpc, raw) or refusal
        except UNREACHED as error:
            _log.info("the node did not answer, asking again", signature=signature, error=repr(error))
        await asyncio.sleep(POLL_S)
    raise AssertionError("unreachable")


async def status_of(rpc: AsyncClient, signature: str) -> tuple[int, Level] | Failed | None:
    """(slot, level) of a transaction that landed well, how it failed, or None when the chain does not know it."""
    answer = await rpc.get_signature_statuses(
        [Signature.from_string(signature)], search_transaction_history=True
    )
    found = answer.value[0]
    if found is None:
        return None
    if found.err is not None:
        return Failed(_custom_code(found.err), str(found.err))
    name = str(found.confirmation_status)
    level = (
        Level.FINALIZED
        if "Finalized" in name
        else Level.CONFIRMED
        if "Confirmed" in name
        else Level.PROCESSED
    )
    return found.slot, level


async def _send(rpc: AsyncClient, raw: bytes) -> Failed | None:
    """Send once. A refusal by the node's simulation is remembered, and final only once the bytes can no longer land."""
    try:
        await rpc.send_raw_transaction(raw, opts=TxOpts(skip_preflight=False, preflight_commitment=Confirmed))
    except RPCException as error:
        return _refusal(error)
    return None


def _refusal(error: RPCException) -> Failed | None:
    detail: Any = error.args[0] if error.args else None
    inner = getattr(getattr(detail, "data", None), "err", None)
    if inner is None or "BlockhashNotFound" in str(inner):
        return None
    return Failed(_custom_code(inner), str(getattr(detail, "message", inner)))


def _custom_code(error: Any) -> int | None:
    code = getattr(getattr(error, "err", None), "code", None)
    return int(code) if code is not None else None
