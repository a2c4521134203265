"""The last settlement cut as JSON, made in slices: it has every account, and the loop that makes it also matches."""

import asyncio
from typing import Final

import msgspec

from activities.engine_door import CutAccount
from matcher.state import Cut, Exchange

SLICE: Final = 500
"""Accounts that are encoded before others have their turn."""
_encode: Final = msgspec.json.Encoder().encode


class _Head(msgspec.Struct):
    batch: int
    seq: int
    previous_seq: int
    at: int
    marks: tuple[tuple[int, int], ...]
    left_over: int


async def encoded(state: Exchange, cut: Cut) -> bytes:
    """`cut`, which nothing changes any more, with every bound account: what `api.schemas_public.CutAnswer` describes."""
    head = _encode(_Head(cut.batch, cut.seq, cut.previous_seq, cut.at, cut.marks, cut.left_over))
    ids = sorted(cut.balances)
    slices = []
    for start in range(0, len(ids), SLICE):
        rows = _encode([_account(state, cut, id) for id in ids[start : start + SLICE]])
        slices.append(rows[1:-1])
        await asyncio.sleep(0)
    return b'%b,"accounts":[%b]}' % (head[:-1], b",".join(slices))


def _account(state: Exchange, cut: Cut, id: int) -> CutAccount:
    account = state.accounts[id]
    delta, balance, equity = cut.deltas.get(id, 0), cut.balances[id], cut.equities[id]
    root = account.root
    return CutAccount(id, account.owner, root.page, root.slot, delta, balance, equity)
