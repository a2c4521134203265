"""What a run of journal records adds to each table: collected first, then written with one statement for each table.

Rows that never change are copied in. The rest is the latest state of something and is merged, in such a way that the tables do not
depend on how the journal was divided into runs.
"""

from collections import defaultdict
from typing import Any, Final

import msgspec
import psycopg
from sqlalchemy import BigInteger, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from core import events as e
from core.concerns import concerns, seen_by
from core.custody_events import ChainAccepted
from core.exit_events import DeltasUnapplied, ExitClaimed
from core.liquidation_events import (
    Deleveraged,
    LiquidationEnded,
    LiquidationSliced,
    LiquidationStarted,
    TakenOver,
)
from core.market import MarketStatus
from core.operator_events import MarketSettled, OpenInterestJumped
from core.postings import postings
from core.quantities import SECOND
from core.subaccount_events import SubAccountOpened
from ledger.breakers import action_of, end_of_market
from ledger.merges import MERGES
from ledger.rows_liquidation import insurance_change, steps
from ledger.tables import (
    accepted_slots,
    account_events,
    deposits,
    exit_claims,
    fills,
    funding_payments,
    funding_rates,
    liquidation_steps,
    market_ends,
    open_interest_jumps,
    operator_actions,
    requests,
    unapplied_deltas,
)
from ledger.tables import postings as posting_lines

_encode: Final = msgspec.json.Encoder().encode
_JSONB_VERSION: Final = b"\x01"
"""What a jsonb value in binary form begins with."""
_BINARY: Final[dict[type, str]] = {BigInteger: "int8", Text: "text", JSONB: "bytea"}
"""Types as copied: a jsonb value arrives here as bytes that are its binary form."""


class Rows:
    """Collects records in order; `fills` counts all fills so far and `heads` the events of each account's stream."""

    def __init__(self, fills: int, heads: dict[int, int]) -> None:
        self.fills = fills
        self.heads = heads
        self._touched: set[int] = set()
        self._copied: dict[Table, list[tuple[Any, ...]]] = defaultdict(list)
        self._merged: dict[str, list[Any]] = defaultdict(list)
        self._balances: dict[int, int] = defaultdict(int)
        self._positions: dict[tuple[int, int], tuple[int, int]] = {}
        self._indexes: dict[int, tuple[Any, ...]] = {}
        self._index_seconds: dict[tuple[int, int], tuple[int, int]] = {}

    def add(self, seq: int, event: e.Event) -> None:
        for line, posting in enumerate(postings(event)):
            self._copied[posting_lines].append((seq, line, *msgspec.structs.astuple(posting), event.at))
            self._balances[posting.debit] -= posting.amount
            self._balances[posting.credit] += posting.amount
        action = action_of(seq, event)
        if action is not None:
            self._copied[operator_actions].append((*action[:-1], _JSONB_VERSION + _encode(action.details)))
        match event:
            case e.Filled() | e.RequestClosed() | e.IndexUpdated():
                self._add_trading(seq, event)
            case e.MarketListed() | e.MarketStatusSet() | e.AgentRegistered() | e.TierSet() | e.SlotBound():
                self._add_party(seq, event)
            case SubAccountOpened() as opened:
                self._merged["sub_accounts"].append({"seq": seq, **msgspec.structs.asdict(opened)})
            case e.SettlementCut() | e.BatchAdvanced():
                self._add_batch(seq, event)
            case (
                LiquidationStarted() | LiquidationSliced() | TakenOver() | Deleveraged() | LiquidationEnded()
            ):
                self._add_liquidation(seq, event)
            case e.FundingSettled():
                self._add_funding(seq, event)
            case MarketSettled():
                self._add_end(seq, event)
            case OpenInterestJumped(at=at, market=market, lowest=lowest, open_interest=open_interest):
                self._copied[open_interest_jumps].append((seq, at, market, lowest, open_interest))
            case _:
                self._add_money(seq, event)
        change = insurance_change(seq, event)
        if change is not None:
            self._merged["insurance_history"].append(change)
        self._number(seq, event)

    def write(self, cursor: "psycopg.Cursor[Any]") -> None:
        """Write everything in the caller's transaction."""
        for table, rows in self._copied.items():
            _copy(cursor, table, rows)
        self._merged["balances"] = sorted(self._balances.items())
        self._merged["positions"] = [(*key, *row) for key, row in sorted(self._positions.items())]
        self._merged["index_prices"] = list(self._indexes.values())
        self._merged["index_history"] = [(*key, *row) for key, row in self._index_seconds.items()]
        self._merged["streams"] = [(account, self.heads[account]) for account in sorted(self._touched)]
        for name, statement in MERGES.items():
            if self._merged[name]:
                cursor.executemany(statement, self._merged[name])

    def _add_trading(self, seq: int, event: e.Filled | e.RequestClosed | e.IndexUpdated) -> None:
        match event:
            case e.Filled() as fill:
                self.fills += 1
                at, number, *terms = msgspec.structs.astuple(fill)
                self._copied[fills].append((number, seq, at, *terms))
                change = fill.side * fill.size
                self._move(fill.taker, fill.market, change, fill.taker_cost)
                self._move(fill.maker, fill.market, -change, fill.maker_cost)
            case e.RequestClosed() as closed:
                at, number, *terms, _ = msgspec.structs.astuple(closed)
                self._copied[requests].append((number, seq, at, *terms))
            case e.IndexUpdated(at=at, market=market, price=price, confidence=confidence) as index:
                self._indexes[market] = (market, seq, at, price, confidence, index.published, index.source)
                if not index.held:
                    self._index_seconds.setdefault((market, at // SECOND), (price, confidence))

    def _move(self, account: int, market: int, change: int, cost: int) -> None:
        size, _ = self._positions.get((account, market), (0, 0))
        self._positions[account, market] = size + change, cost

    def _add_party(self, seq: int, event: e.Event) -> None:
        merged = self._merged
        match event:
            case e.MarketListed(market=m):
                merged["markets"].append(
                    (m.id, m.symbol, m.tick, m.lot, m.value_per_tick_lot, MarketStatus.OPEN)
                )
            case e.MarketStatusSet(market=market, status=status):
                merged["market_statuses"].append((status, market))
            case e.AgentRegistered(at=at, account=account, owner=owner, name=name):
                merged["agents"].append((account, seq, at, owner, name))
            case e.TierSet(account=account, tier=tier):
                merged["tiers"].append({"tier": tier, "account": account})
            case e.SlotBound(account=account, page=page, slot=slot):
                merged["slots"].append({"page": page, "slot": slot, "account": account})

    def _add_end(self, seq: int, event: MarketSettled) -> None:
        self._copied[market_ends].append(end_of_market(seq, event))
        self._merged["market_statuses"].append((MarketStatus.SETTLED, event.market))
        for end in event.positions:
            self._move(end.account, event.market, -end.size, 0)

    def _add_money(self, seq: int, event: e.Event) -> None:
        match event:
            case e.DepositCredited(at=at, account=account, amount=amount, key=key):
                self._copied[deposits].append((key, seq, at, account, amount))
            case ExitClaimed(at=at, account=account, amount=amount, key=key):
                self._copied[exit_claims].append((key, seq, at, account, amount))
            case DeltasUnapplied(batch=batch, parts=parts):
                self._copied[unapplied_deltas] += [
                    (seq, account, batch, change) for account, change, _ in parts
                ]
            case ChainAccepted(slots=slots):
                self._copied[accepted_slots] += [(seq, *msgspec.structs.astuple(one)) for one in slots]
            case e.WithdrawalReserved(at=at, withdrawal=number, account=account, amount=amount, key=key):
                self._merged["withdrawals"].append((number, seq, at, account, amount, key))
            case e.WithdrawalFinished(at=at, withdrawal=number, paid=paid, signature=signature):
                self._merged["finished"].append(("paid" if paid else "released", at, signature, number))

    def _add_batch(self, seq: int, event: e.SettlementCut | e.BatchAdvanced) -> None:
        match event:
            case e.SettlementCut(at=at, batch=batch, marks=marks):
                row = {
                    "batch": batch,
                    "at": at,
                    "seq": seq,
                    "fills": self.fills,
                    "marks": _encode(marks).decode(),
                }
                self._merged["cuts"].append(row)
            case e.BatchAdvanced(at=at, batch=batch, status=status, signatures=signatures):
                # Of a final batch the last one is its seal, whoever sealed it; where that is not known there are none.
                seal = signatures[-1] if signatures else ""
                self._merged["advances"].append({"batch": batch, "status": status, "at": at, "seal": seal})

    def _add_funding(self, seq: int, event: e.FundingSettled) -> None:
        at, *terms, payments = msgspec.structs.astuple(event)
        self._copied[funding_rates].append((*terms, seq, at))
        self._copied[funding_payments] += [
            (account, seq, event.market, event.hour, amount) for account, amount in payments
        ]

    def _add_liquidation(self, seq: int, event: e.Event) -> None:
        self._copied[liquidation_steps] += steps(seq, event)
        match event:
            case LiquidationStarted() as started:
                row = (started.liquidation, seq, started.at, started.account)
                self._merged["liquidations"].append((*row, started.equity, started.maintenance))
            case LiquidationEnded(at=at, liquidation=number, why=why):
                self._merged["ended_liquidations"].append((why, at, number))
            case TakenOver(account=account, parts=parts) | Deleveraged(account=account, parts=parts):
                for part in parts:
                    self._move(account, part.market, -part.size, part.cost)
                    self._move(part.other, part.market, part.size, part.other_cost)

    def _number(self, seq: int, event: e.Event) -> None:
        concerned = concerns(event)
        if not concerned:
            return
        kind, told, payload = type(event).__name__, None, b""
        for account in concerned:
            seen = seen_by(event, account)
            if seen is not told:
                told, payload = seen, _JSONB_VERSION + _encode(msgspec.structs.asdict(seen))
            number = self.heads[account] = self.heads.get(account, 0) + 1
            self._touched.add(account)
            self._copied[account_events].append((account, number, seq, kind, payload))


def _copy(cursor: "psycopg.Cursor[Any]", table: Table, rows: list[tuple[Any, ...]]) -> None:
    """Copy rows that have all columns of `table` in order."""
    names = ", ".join(column.name for column in table.columns)
    with cursor.copy(f"copy {table.name} ({names}) from stdin (format binary)") as copy:
        copy.set_types([_BINARY[type(column.type)] for column in table.columns])
        for row in rows:
            copy.write_row(row)
