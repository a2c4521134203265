"""The read side over PostgreSQL: the ledger's queries, with its absence as an expected error."""

from collections.abc import Awaitable
from typing import TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.streams import HistoryUnavailable, Item
from ledger.batch_roots import Proof
from ledger.queries import (
    BatchView,
    FillView,
    FundingPayment,
    FundingRate,
    InsuranceChange,
    Line,
    LiquidationView,
    MarketEnd,
    OperatorAction,
    Period,
    Queries,
    Settled,
    StepView,
)

T = TypeVar("T")


class History:
    """`api.collaborators.Reads` over the ledger."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def stream(self, account: int, after: int, limit: int) -> list[Item]:
        return [Item(*event) for event in await _read(self._queries.stream(account, after, limit))]

    async def fill(self, number: int) -> FillView | None:
        return await _read(self._queries.fill(number))

    async def fills(self, account: int, before: int, limit: int) -> list[FillView]:
        return await _read(self._queries.fills(account, before, limit))

    async def batch(self, number: int) -> BatchView | None:
        return await _read(self._queries.batch(number))

    async def batches(self, before: int, limit: int) -> list[BatchView]:
        return await _read(self._queries.batches(before, limit))

    async def funding_rates(self, market: int, before: int, limit: int) -> list[FundingRate]:
        return await _read(self._queries.funding_rates(market, before, limit))

    async def funding_payments(self, account: int, before: int, limit: int) -> list[FundingPayment]:
        return await _read(self._queries.funding_payments(account, before, limit))

    async def operator_actions(self, before: int, limit: int) -> list[OperatorAction]:
        return await _read(self._queries.operator_actions(before, limit))

    async def market_end(self, market: int) -> MarketEnd | None:
        return await _read(self._queries.market_end(market))

    async def liquidations(self, before: int, limit: int) -> list[LiquidationView]:
        return await _read(self._queries.liquidations(before, limit))

    async def liquidation(self, number: int) -> tuple[LiquidationView, list[StepView]] | None:
        return await _read(self._queries.liquidation(number))

    async def deleveragings(self, before: int, limit: int) -> list[StepView]:
        return await _read(self._queries.deleveragings(before, limit))

    async def insurance_history(self, before: int, limit: int) -> list[InsuranceChange]:
        return await _read(self._queries.insurance_history(before, limit))

    async def prove_fill(self, number: int) -> Proof | None:
        return await _read(self._queries.prove_fill(number))

    async def prove_account(self, batch: int | None, account: int) -> Proof | None:
        return await _read(self._queries.prove_account(batch, account))

    async def period(self, account: int, start: int, end: int, through_seq: int | None) -> Period | None:
        return await _read(self._queries.period(account, start, end, through_seq))

    async def statement_lines(
        self, of: Period, after_seq: int, balance: int, limit: int
    ) -> tuple[list[Line], int, list[Settled]]:
        return await _read(self._queries.statement_lines(of, after_seq, balance, limit))

    async def balance_after(self, of: Period, seq: int) -> int:
        return await _read(self._queries.balance_after(of, seq))

    async def last_settled(self, of: Period) -> Settled | None:
        return await _read(self._queries.last_settled(of))

    async def projected(self) -> int:
        return await _read(self._queries.projected())


async def _read(answer: Awaitable[T]) -> T:
    """Raises `HistoryUnavailable` when the database cannot be reached; anything else wrong is a surprise."""
    try:
        return await answer
    except (OperationalError, InterfaceError, PoolTimeout, OSError) as error:
        raise HistoryUnavailable(type(error).__name__) from error
