"""Checking with one's own eyes: a fill or a balance leads to a root that the escrow program holds on chain.

Nothing here believes the exchange: the leaf is decoded, the path is hashed, and the root is looked up in the escrow account, or for a
batch older than the last 128 in the transaction that sealed it, read from a Solana node of the agent's choice.
"""

import base64
import hashlib
import struct
from typing import Any, Final

import msgspec
from solders.pubkey import Pubkey

from perpdex_sdk import reading
from perpdex_sdk.answers import Escrow, Proof
from perpdex_sdk.errors import NotProven, Unreachable
from perpdex_sdk.funds import BUDGET_PROGRAM
from perpdex_sdk.rpc import Rpc

_FILL: Final = struct.Struct(">cQQQQQbQQQqq")
_BALANCE: Final = struct.Struct(">cQQqq")
ESCROW_MARK: Final = hashlib.sha256(b"account:Escrow").digest()[:8]
_ROOTS_AT: Final = 784
_ROOTS: Final = 128
_SEALING: Final = tuple(
    hashlib.sha256(b"global:" + name).digest()[:8] for name in (b"seal_batch", b"carry_batch")
)
"""Both seal: the second leaves something over for the next batch, and commits to its root just the same."""
_SEALED: Final = hashlib.sha256(b"event:BatchSealed").digest()[:8]
"""Followed by the escrow's key (32 bytes), the batch's number on chain (8) and the root (32)."""
_DATA: Final = "Program data: "
NOTHING: Final = "00" * 32


class ProvenFill(msgspec.Struct, frozen=True):
    """A fill that a root on chain commits to: `at` nanoseconds, `side` the taker's, `size` lots, `price` ticks, money micro-USDC.

    The root says in which batch it settled; a leaf does not name its batch, so what a proof says of that is not proven.
    """

    root: str
    fill: int
    at: int
    market: int
    taker: int
    maker: int
    side: int
    size: int
    price: int
    fee: int
    taker_realized: int
    maker_realized: int


class ProvenBalance(msgspec.Struct, frozen=True):
    """An account at the cut of a batch, in micro-USDC, that a root on chain commits to."""

    batch: int
    root: str
    account: int
    balance: int
    equity: int


async def proven_fill(proof: Proof, fill: int, escrow: Escrow, rpc_url: str) -> ProvenFill:
    """Raises `NotProven`, `Unreachable`."""
    kind, *fields = _unpacked(_FILL, proof)
    if kind != b"F" or fields[0] != fill:
        raise NotProven("proof_of_another", f"the proof is not of fill {fill}")
    await _must_be_on_chain(proof, escrow, rpc_url)
    return ProvenFill(proof.root, *fields)


async def proven_balance(
    proof: Proof, batch: int, account: int, escrow: Escrow, rpc_url: str
) -> ProvenBalance:
    """Raises `NotProven`, `Unreachable`."""
    claimed = claimed_balance(proof, batch, account)
    await _must_be_on_chain(proof, escrow, rpc_url)
    return claimed


def claimed_balance(proof: Proof, batch: int, account: int) -> ProvenBalance:
    """What a proof says, and proves as soon as the chain holds its root. Raises `NotProven`."""
    kind, *fields = _unpacked(_BALANCE, proof)
    if kind != b"A" or fields[:2] != [batch, account]:
        raise NotProven("proof_of_another", f"the proof is not of account {account} in batch {batch}")
    return ProvenBalance(batch, proof.root, *fields[1:])


def _unpacked(layout: struct.Struct, proof: Proof) -> list[Any]:
    """The leaf's fields, once its path leads to the root."""
    try:
        leaf = bytes.fromhex(proof.leaf)
        found = hashlib.sha256(b"\0" + leaf).digest()
        for step in proof.path:
            sibling = bytes.fromhex(step.hash)
            pair = sibling + found if step.left else found + sibling
            found = hashlib.sha256(b"\1" + pair).digest()
        if found.hex() != proof.root:
            raise NotProven("proof_false", "the path does not lead to the root")
        return list(layout.unpack(leaf))
    except (ValueError, struct.error) as error:
        raise NotProven("proof_false", f"that is no proof: {error}") from error


async def _must_be_on_chain(proof: Proof, escrow: Escrow, rpc_url: str) -> None:
    """Raises `NotProven` unless the escrow committed to the root, finally.

    It keeps the last 128; older ones stand in the transactions that sealed them.
    """
    if proof.root == NOTHING:
        raise NotProven("proof_false", "the root of nothing proves nothing")
    rpc = Rpc(rpc_url)
    try:
        if proof.root in await _kept_roots(rpc, escrow):
            return
        sealed = await _sealed_root(rpc, escrow, proof.seal) if proof.seal else None
    finally:
        await rpc.close()
    if sealed is None:
        raise NotProven(
            "seal_not_found" if proof.seal else "not_final",
            f"the escrow does not hold the root of batch {proof.batch}, and no transaction is known that sealed it: it is not final "
            "yet, or it is older than 128 batches and this node keeps no transactions of that age",
        )
    if sealed != proof.root:
        raise NotProven("proof_false", f"{proof.seal} sealed a batch with another root")


async def _kept_roots(rpc: Rpc, escrow: Escrow) -> list[str]:
    _, account = await reading.account(rpc, escrow.escrow)
    if account is None or account.program != escrow.program:
        raise NotProven("escrow_wrong", f"{escrow.escrow} is no account of the program {escrow.program}")
    data = account.data
    if data[:8] != ESCROW_MARK or len(data) < _ROOTS_AT + 32 * _ROOTS:
        raise NotProven("escrow_wrong", f"{escrow.escrow} is no escrow")
    return [data[at : at + 32].hex() for at in range(_ROOTS_AT, _ROOTS_AT + 32 * _ROOTS, 32)]


async def _sealed_root(rpc: Rpc, escrow: Escrow, signature: str) -> str | None:
    """Root in the event of a finalized transaction that sealed a batch of this escrow; None when it is not one.

    Anyone may run an escrow of their own with the same program: the instruction must name this one. It must be the only one, so
    that what was logged is its, and the event must name it too.
    """
    found = await reading.transaction(rpc, signature)
    if found is None or found.failed:
        return None
    ours = [call for call in found.calls if call.program != str(BUDGET_PROGRAM)]
    if len(ours) != 1 or (ours[0].program, ours[0].accounts[:1]) != (escrow.program, (escrow.escrow,)):
        return None
    if ours[0].data[:8] not in _SEALING:
        return None
    try:
        events = [base64.b64decode(line[len(_DATA) :]) for line in found.logs if line.startswith(_DATA)]
    except ValueError as error:
        raise Unreachable(f"the node shows logs of {signature} that nobody wrote: {error}") from error
    ours_sealed = _SEALED + bytes(Pubkey.from_string(escrow.escrow))
    return next((event[48:80].hex() for event in events if event[:40] == ours_sealed), None)
