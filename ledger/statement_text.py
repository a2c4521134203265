"""A statement as decimal strings, for the API and for files: the same words wherever it is read."""

import csv
import io
from bisect import bisect_left
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple, Protocol

from core.batches import BatchStatus
from core.postings import Why
from core.quantities import USDC_UNIT, decimal_from_units
from ledger.statement_batches import Settled
from ledger.statements import Line, Period

PIECE: Final = 500
"""Lines read at one time: whoever writes them out also does other things."""
CUSTODY: Final = (Why.DEPOSIT.value, Why.WITHDRAWAL.value, Why.RELEASE.value, Why.EXIT.value)
"""What is on chain by itself and needs no batch."""
COLUMNS: Final = (
    *("seq", "at", "kind", "amount", "balance", "fill", "role", "market", "side", "size", "price"),
    *("batch", "status", "signature"),
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Units(NamedTuple):
    """How a market's numbers are written."""

    symbol: str
    tick: Decimal
    lot: Decimal


class Source(Protocol):
    """Where statements are read."""

    async def period(self, account: int, start: int, end: int, through_seq: int | None) -> Period | None: ...

    async def statement_lines(
        self, of: Period, after_seq: int, balance: int, limit: int
    ) -> tuple[list[Line], int, list[Settled]]: ...


def usdc(amount: int) -> str:
    return decimal_from_units(amount, USDC_UNIT)


def told(line: Line, batches: Sequence[Settled], units: Mapping[int, Units]) -> dict[str, Any]:
    """The line by `COLUMNS`; `batches` are ascending and cover it if one does. Instants are microseconds since the epoch."""
    trade = line.traded
    market = units[trade.market] if trade is not None else None
    place = bisect_left(batches, line.seq, key=lambda one: one.seq)
    inside = place < len(batches) and batches[place].after_seq < line.seq and line.kind not in CUSTODY
    batch = batches[place] if inside else None
    status = batch.status if batch is not None else int(BatchStatus.MATCHED)
    return {
        "seq": line.seq,
        "at": line.at // 1_000,
        "kind": line.kind,
        "amount": usdc(line.amount),
        "balance": usdc(line.balance),
        "fill": trade.fill if trade is not None else None,
        "role": trade.role if trade is not None else None,
        "market": market.symbol if market is not None else None,
        "side": None if trade is None else "buy" if trade.side > 0 else "sell",
        "size": decimal_from_units(trade.size, market.lot) if trade and market else None,
        "price": decimal_from_units(trade.price, market.tick) if trade and market else None,
        "batch": batch.batch if batch is not None else None,
        "status": BatchStatus(status).name.lower() if line.kind not in CUSTODY else None,
        "signature": line.signature or (batch.signature if batch is not None else "") or None,
    }


def told_batch(one: Settled) -> dict[str, Any]:
    return {
        "batch": one.batch,
        "seq": one.seq,
        "at": one.at // 1_000,
        "status": BatchStatus(one.status).name.lower(),
        "balance": usdc(one.balance) if one.balance is not None else None,
        "equity": usdc(one.equity) if one.equity is not None else None,
        "on_chain": usdc(one.on_chain) if one.on_chain is not None else None,
        "signature": one.signature or None,
    }


def told_period(of: Period) -> dict[str, Any]:
    return {
        "account": of.account,
        "owner": of.owner,
        "name": of.name,
        "start": of.start // 1_000,
        "end": of.end // 1_000,
        "through_seq": of.through_seq,
        "opening": usdc(of.opening),
        "closing": usdc(of.closing),
        "sums": {kind: usdc(amount) for kind, amount in sorted(of.sums.items())},
    }


async def pieces(
    source: Source, of: Period, units: Mapping[int, Units]
) -> AsyncIterator[list[dict[str, Any]]]:
    """All lines of a statement, a piece at a time."""
    after, balance = of.after_seq, of.opening
    while True:
        lines, last, batches = await source.statement_lines(of, after, balance, PIECE)
        yield [told(line, batches, units) for line in lines]
        if not last:
            return
        after, balance = last, lines[-1].balance if lines else balance


async def as_csv(source: Source, of: Period, units: Mapping[int, Units]) -> AsyncIterator[str]:
    """RFC 4180, a piece at a time: a head, the opening balance, the lines, the closing balance. Instants are UTC, ISO 8601."""
    yield _rows([dict(zip(COLUMNS, COLUMNS, strict=True)), _balance("opening", of.start, of.opening)])
    async for piece in pieces(source, of, units):
        yield _rows([{**line, "at": _iso(line["at"])} for line in piece])
    yield _rows([_balance("closing", of.end, of.closing)])


def _balance(kind: str, at: int, amount: int) -> dict[str, Any]:
    return {"at": _iso(at // 1_000), "kind": kind, "balance": usdc(amount)}


def _iso(micros: int) -> str:
    return (_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="microseconds")


def _rows(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    csv.DictWriter(text, COLUMNS).writerows(rows)
    return text.getvalue()
