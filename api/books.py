"""What the engine says of every account that has a slot on chain, at one journal sequence, for the comparison with the chain."""

import asyncio
from typing import Final

import msgspec

from activities.engine_door import (
    BookedAccount,
    BookedExit,
    BookedLossLimit,
    BookedWithdrawal,
    StandingExit,
)
from core.batches import BatchStatus
from matcher.decide_exits import closing, quoting
from matcher.leaving import done_with
from matcher.state import Exchange

SLICE: Final = 1_000
"""Accounts that are encoded before others have their turn."""
EXITS_SLICE: Final = 200
"""Requests to leave that are looked at before others have their turn: a millisecond or two."""
_encode: Final = msgspec.json.Encoder().encode


class _Head(msgspec.Struct):
    seq: int
    batch: int
    status: int
    last_withdrawal: int
    reserved: list[BookedWithdrawal]
    claimed: int
    claimed_astray: int
    exits: list[BookedExit]
    loss_limits: list[BookedLossLimit]
    done_with: list[int]
    strangers: list[tuple[int, int]]
    left_over: int


def last_cut(state: Exchange) -> tuple[int, int]:
    """Number of the last batch that was cut, 0 for none, and how far it is."""
    if state.cut is None:
        return 0, int(BatchStatus.FINAL)
    return state.cut.batch, state.batches[state.cut.batch]


async def encoded(state: Exchange) -> bytes:
    """What `api.schemas_public.BooksAnswer` describes.

    What changes is copied at once, about a microsecond an account; only then others have their turn.
    """
    cut = state.cut
    deltas = cut.deltas if cut is not None else {}
    rows = [
        BookedAccount(
            one.id,
            one.owner,
            one.page,
            one.slot,
            one.balance,
            one.settled,
            deltas.get(one.id, 0),
            one.unapplied,
            one.foreign,
        )
        for one in state.accounts.values()
        if one.page >= 0
    ]
    batch, status = last_cut(state)
    head = _encode(
        _Head(
            seq=state.seq,
            batch=batch,
            status=status,
            last_withdrawal=state.last_withdrawal,
            reserved=[
                BookedWithdrawal(one.withdrawal, one.account, one.amount)
                for one in state.withdrawals.values()
            ],
            claimed=state.claimed,
            claimed_astray=state.custody.claimed_astray,
            exits=[BookedExit(one.account, one.amount, one.exit_at) for one in state.exits.values()],
            loss_limits=[BookedLossLimit(id, one.limit, one.left) for id, one in state.loss_limits.items()],
            done_with=[one.id for one in state.accounts.values() if one.page >= 0 and done_with(state, one)],
            strangers=state.custody.strangers,
            left_over=state.custody.left_over,
        )
    )
    slices = []
    for start in range(0, len(rows), SLICE):
        slices.append(_encode(rows[start : start + SLICE])[1:-1])
        await asyncio.sleep(0)
    return b'%b,"accounts":[%b]}' % (head[:-1], b",".join(slices))


async def exits(state: Exchange, at: int) -> bytes:
    """The requests that stand at `at`, as `activities.engine_door.StandingExit`; each as it is in its turn."""
    requests, slices = list(state.exits.values()), []
    for start in range(0, len(requests), EXITS_SLICE):
        rows = []
        for request in requests[start : start + EXITS_SLICE]:
            one = state.accounts[request.account]
            place = (one.id, one.owner, one.page, one.slot)
            looks = (quoting(state, request), closing(state, request, at))
            rows.append(StandingExit(*place, request.amount, request.exit_at, *looks, request.at))
        slices.append(_encode(rows)[1:-1])
        await asyncio.sleep(0)
    return b"[%b]" % b",".join(slices)
