"""What the engine says of every account that has a slot on chain, at one journal sequence, for the comparison with the chain."""

import asyncio
from typing import Final

import msgspec

from core.batches import BatchStatus
from matcher.leaving import done_with
from matcher.state import Exchange

SLICE: Final = 1_000
"""Accounts that are encoded before others have their turn."""
_encode: Final = msgspec.json.Encoder().encode


class _Account(msgspec.Struct, array_like=True, gc=False):
    account: int
    owner: str
    page: int
    slot: int
    balance: int
    settled: int
    delta: int
    unapplied: int


class _Reserved(msgspec.Struct, gc=False):
    withdrawal: int
    account: int
    amount: int


class _Exit(msgspec.Struct, gc=False):
    account: int
    amount: int
    exit_at: int


class _Head(msgspec.Struct):
    seq: int
    batch: int
    status: int
    last_withdrawal: int
    reserved: list[_Reserved]
    claimed: int
    exits: list[_Exit]
    done_with: list[int]


async def encoded(state: Exchange) -> bytes:
    """What `api.schemas_public.BooksAnswer` describes.

    What changes is copied at once, about a microsecond an account; only then others have their turn.
    """
    cut = state.cut
    deltas = cut.deltas if cut is not None else {}
    rows = [
        _Account(
            one.id,
            one.owner,
            one.page,
            one.slot,
            one.balance,
            one.settled,
            deltas.get(one.id, 0),
            one.unapplied,
        )
        for one in state.accounts.values()
        if one.page >= 0
    ]
    head = _encode(
        _Head(
            seq=state.seq,
            batch=cut.batch if cut is not None else 0,
            status=state.batches[cut.batch] if cut is not None else int(BatchStatus.FINAL),
            last_withdrawal=state.last_withdrawal,
            reserved=[
                _Reserved(one.withdrawal, one.account, one.amount) for one in state.withdrawals.values()
            ],
            claimed=state.claimed,
            exits=[_Exit(one.account, one.amount, one.exit_at) for one in state.exits.values()],
            done_with=[one.id for one in state.accounts.values() if one.page >= 0 and done_with(state, one)],
        )
    )
    slices = []
    for start in range(0, len(rows), SLICE):
        slices.append(_encode(rows[start : start + SLICE])[1:-1])
        await asyncio.sleep(0)
    return b'%b,"accounts":[%b]}' % (head[:-1], b",".join(slices))
