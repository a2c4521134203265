"""Checking with one's own eyes: a fill or a balance leads to a root that the escrow program holds on chain.

Nothing here believes the exchange: the leaf is decoded, the path is hashed, and the root is looked up in the escrow account, read
from a Solana node of the agent's choice.
"""

import base64
import hashlib
import struct
from typing import Any, Final

import msgspec

from perpdex_sdk.errors import NotProven
from perpdex_sdk.rest import Escrow, Proof
from perpdex_sdk.rpc import Rpc

_FILL: Final = struct.Struct(">cQQQQQbQQQqq")
_BALANCE: Final = struct.Struct(">cQQqq")
_ESCROW: Final = hashlib.sha256(b"account:Escrow").digest()[:8]
_ROOTS_AT: Final = 784
_ROOTS: Final = 128


class ProvenFill(msgspec.Struct, frozen=True):
    """A fill that a root on chain commits to: `at` nanoseconds, `side` the taker's, `size` lots, `price` ticks, money micro-USDC."""

    batch: int
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


async def proven_fill(proof: Proof, fill: int, escrow: Escrow, rpc_url: str | None) -> ProvenFill:
    """Raises `NotProven`, `Unreachable`."""
    kind, *fields = _unpacked(_FILL, proof)
    if kind != b"F" or fields[0] != fill:
        raise NotProven(f"the proof is not of fill {fill}")
    await _must_be_on_chain(proof, escrow, rpc_url)
    return ProvenFill(proof.batch, proof.root, *fields)


async def proven_balance(
    proof: Proof, batch: int, account: int, escrow: Escrow, rpc_url: str | None
) -> ProvenBalance:
    """Raises `NotProven`, `Unreachable`."""
    kind, *fields = _unpacked(_BALANCE, proof)
    if kind != b"A" or fields[:2] != [batch, account]:
        raise NotProven(f"the proof is not of account {account} in batch {batch}")
    await _must_be_on_chain(proof, escrow, rpc_url)
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
            raise NotProven("the path does not lead to the root")
        return list(layout.unpack(leaf))
    except (ValueError, struct.error) as error:
        raise NotProven(f"that is no proof: {error}") from error


async def _must_be_on_chain(proof: Proof, escrow: Escrow, rpc_url: str | None) -> None:
    """Raises `NotProven` unless the finalized escrow account keeps the root: it does for the last 128 batches."""
    rpc = Rpc(rpc_url or escrow.rpc_url)
    try:
        options = {"encoding": "base64", "commitment": "finalized"}
        account = (await rpc.call("getAccountInfo", escrow.escrow, options))["value"]
    finally:
        await rpc.close()
    if account is None or account["owner"] != escrow.program:
        raise NotProven(f"{escrow.escrow} is no account of the program {escrow.program}")
    data = base64.b64decode(account["data"][0])
    kept = [data[at : at + 32].hex() for at in range(_ROOTS_AT, _ROOTS_AT + 32 * _ROOTS, 32)]
    if data[:8] != _ESCROW or proof.root not in kept or proof.root == "00" * 32:
        raise NotProven(
            f"the escrow does not hold the root of batch {proof.batch}: it is not final yet, or older than 128 batches"
        )
