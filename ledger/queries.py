"""Reads of the ledger, for the API, the screens and the proofs that money adds up."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Select, func, select, union
from sqlalchemy.ext.asyncio import AsyncEngine

from core.accounts import CLEARING
from core.batches import BatchStatus
from core.postings import OUTSIDE
from ledger.batch_roots import Proof, prove_account, prove_fill
from ledger.books import LedgerBooks, booked_before, books_at, credited
from ledger.breakers import MarketEnd as MarketEnd
from ledger.breakers import OperatorAction as OperatorAction
from ledger.breakers import actions_before, market_end
from ledger.funding import FundingPayment as FundingPayment
from ledger.funding import FundingRate as FundingRate
from ledger.funding import payments_of, rates_of
from ledger.liquidations import InsuranceChange as InsuranceChange
from ledger.liquidations import LiquidationView as LiquidationView
from ledger.liquidations import StepView as StepView
from ledger.liquidations import (
    deleveragings_before,
    insurance_before,
    liquidation_of,
    liquidations_before,
)
from ledger.outflow import Taken, taken
from ledger.statement_batches import Settled as Settled
from ledger.statement_batches import last_settled, settled_of
from ledger.statement_text import Units
from ledger.statements import Line as Line
from ledger.statements import Period as Period
from ledger.statements import balance_after, lines, period
from ledger.tables import (
    account_events,
    agents,
    balances,
    batch_pages,
    batches,
    cursor,
    cuts,
    fills,
    markets,
    positions,
    reconciliations,
    submissions,
    withdrawals,
)
from ledger.views import BatchView as BatchView
from ledger.views import FillView as FillView
from ledger.views import (
    PageView,
    Reconciled,
    StreamEvent,
    Totals,
    batch_view,
    batches_with_signatures,
    event_of,
    fills_with_batch,
    page_views,
)


class Queries:
    """Reads over a pool."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def projected(self) -> int:
        """Journal sequence up to which the ledger has got."""
        async with self._engine.connect() as connection:
            return int(
                (await connection.execute(select(func.coalesce(func.max(cursor.c.sequence), 0)))).scalar_one()
            )

    async def stream(self, account: int, after: int, limit: int) -> list[StreamEvent]:
        """Up to `limit` events of an account with numbers above `after`, ascending."""
        wanted = (
            select(account_events)
            .where(account_events.c.account == account, account_events.c.number > after)
            .order_by(account_events.c.number)
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            rows = await connection.execute(wanted)
            return [StreamEvent(row.number, row.seq, event_of(row.kind, row.payload)) for row in rows]

    async def fill(self, number: int) -> FillView | None:
        found = await self._fills(fills_with_batch().where(fills.c.fill == number))
        return found[0] if found else None

    async def fills(self, account: int, before: int, limit: int) -> list[FillView]:
        """Up to `limit` fills of an account with numbers below `before` (0: from the newest), newest first."""
        # The newest of each side by its own index: asking for either side at once would sort all fills of a busy maker.
        sides = []
        for side in (fills.c.taker, fills.c.maker):
            mine = select(fills.c.fill).where(side == account).order_by(fills.c.fill.desc()).limit(limit)
            sides.append(mine.where(fills.c.fill < before) if before else mine)
        wanted = fills_with_batch().where(fills.c.fill.in_(union(*sides)))
        return await self._fills(wanted.order_by(fills.c.fill.desc()).limit(limit))

    async def period(self, account: int, start: int, end: int, through_seq: int | None) -> Period | None:
        """The frame of an account's statement from `start` until before `end` (nanoseconds); None of an account that nobody has."""
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            return await period(connection, account, start, end, through_seq)

    async def statement_lines(
        self, of: Period, after_seq: int, balance: int, limit: int
    ) -> tuple[list[Line], int, list[Settled]]:
        """About `limit` lines after a record at which the account had `balance`, the record to go on after, and the lines' batches."""
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            found, last = await lines(connection, of, after_seq, balance, limit)
            return found, last, await settled_of(connection, of, [line.seq for line in found])

    async def balance_after(self, of: Period, seq: int) -> int:
        """The account's balance after record `seq` of the period."""
        async with self._engine.connect() as connection:
            return await balance_after(connection, of, seq)

    async def markets(self) -> dict[int, Units]:
        """How every market's numbers are written."""
        async with self._engine.connect() as connection:
            rows = await connection.execute(select(markets))
            return {row.market: Units(row.symbol, Decimal(row.tick), Decimal(row.lot)) for row in rows}

    async def last_settled(self, of: Period) -> Settled | None:
        """The last final batch that was cut within the period."""
        async with self._engine.connect() as connection:
            return await last_settled(connection, of)

    async def funding_rates(self, market: int, before: int, limit: int) -> list[FundingRate]:
        """Up to `limit` paid hours of a market below the hour `before` (0: from the newest), newest first."""
        async with self._engine.connect() as connection:
            return await rates_of(connection, market, before, limit)

    async def funding_payments(self, account: int, before: int, limit: int) -> list[FundingPayment]:
        """Up to `limit` payments of an account with sequences below `before` (0: from the newest), newest first."""
        async with self._engine.connect() as connection:
            return await payments_of(connection, account, before, limit)

    async def operator_actions(self, before: int, limit: int) -> list[OperatorAction]:
        """Up to `limit` entries of the audit trail with sequences below `before` (0: from the newest), newest first."""
        async with self._engine.connect() as connection:
            return await actions_before(connection, before, limit)

    async def market_end(self, market: int) -> MarketEnd | None:
        """How a market was delisted; None when it was not."""
        async with self._engine.connect() as connection:
            return await market_end(connection, market)

    async def liquidations(self, before: int, limit: int) -> list[LiquidationView]:
        """Up to `limit` liquidations with numbers below `before` (0: from the newest), newest first."""
        async with self._engine.connect() as connection:
            return await liquidations_before(connection, before, limit)

    async def liquidation(self, number: int) -> tuple[LiquidationView, list[StepView]] | None:
        """A liquidation with its steps in order."""
        async with self._engine.connect() as connection:
            return await liquidation_of(connection, number)

    async def deleveragings(self, before: int, limit: int) -> list[StepView]:
        """Up to `limit` deleveragings with sequences below `before` (0: from the newest), newest first."""
        async with self._engine.connect() as connection:
            return await deleveragings_before(connection, before, limit)

    async def insurance_history(self, before: int, limit: int) -> list[InsuranceChange]:
        """Up to `limit` changes of the insurance fund with sequences below `before` (0: from the newest), newest first."""
        async with self._engine.connect() as connection:
            return await insurance_before(connection, before, limit)

    async def batch(self, number: int) -> BatchView | None:
        found = await self._batches(batches_with_signatures().where(cuts.c.batch == number))
        return found[0] if found else None

    async def batches(self, before: int, limit: int) -> list[BatchView]:
        """Up to `limit` batches with numbers below `before` (0: from the newest), newest first."""
        wanted = batches_with_signatures().order_by(cuts.c.batch.desc()).limit(limit)
        return await self._batches(wanted.where(cuts.c.batch < before) if before else wanted)

    async def pages(self, batch: int) -> list[PageView]:
        """The pages of a batch in sending order, with what became of each."""
        pages = select(batch_pages).where(batch_pages.c.batch == batch).order_by(batch_pages.c.position)
        sent = select(submissions).where(submissions.c.batch == batch).order_by(submissions.c.number)
        status = select(cuts.c.status).where(cuts.c.batch == batch)
        async with self._engine.connect() as connection:
            found = (await connection.execute(status)).scalar()
            if found is None:
                return []
            rows = (await connection.execute(pages)).all()
            return page_views(BatchStatus(found), rows, await connection.execute(sent))

    async def taken(self, owner: str, hour: int, day: int, but: int) -> Taken:
        """What an owner took out with the operator's signature: see `ledger.outflow.taken`."""
        async with self._engine.connect() as connection:
            return await taken(connection, owner, hour, day, but)

    async def prove_fill(self, fill: int) -> Proof | None:
        """Proof of a fill; None when there is no such fill or no stored batch has it."""
        async with self._engine.connect() as connection:
            return await prove_fill(connection, fill)

    async def prove_account(self, batch: int | None, account: int) -> Proof | None:
        """Proof of an account's balance and equity at a batch's cut, by default the newest on chain; None when it is not in that."""
        async with self._engine.connect() as connection:
            return await prove_account(connection, batch, account)

    async def reconciliations(self, limit: int) -> list[Reconciled]:
        """The latest comparisons of chain and engine, newest first."""
        wanted = select(reconciliations).order_by(reconciliations.c.at.desc()).limit(limit)
        async with self._engine.connect() as connection:
            return [Reconciled(*row) for row in await connection.execute(wanted)]

    async def books(self, seq: int | None) -> LedgerBooks:
        """What the ledger says of every account with a slot at record `seq`, None for the last one that it has."""
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            return await books_at(connection, seq)

    async def credited(self, keys: Sequence[str], seq: int) -> set[str]:
        """Which of these deposits were credited by record `seq`."""
        async with self._engine.connect() as connection:
            return await credited(connection, keys, seq)

    async def booked_before(self, seq: int) -> str | None:
        """The last transaction but one of which a deposit or a claim was booked by record `seq`, None where there are fewer."""
        async with self._engine.connect() as connection:
            return await booked_before(connection, seq)

    async def newest_roots(self, count: int) -> frozenset[bytes]:
        """Roots of the last batches that had something to land."""
        wanted = select(batches.c.root).where(batches.c.deltas > 0).order_by(batches.c.batch.desc())
        async with self._engine.connect() as connection:
            return frozenset(bytes(row.root) for row in await connection.execute(wanted.limit(count)))

    async def page_of(self, account: int) -> int | None:
        """Page on chain in which the account has its slot, None where the ledger knows of none."""
        wanted = select(agents.c.page).where(agents.c.account == account, agents.c.page >= 0)
        async with self._engine.connect() as connection:
            return (await connection.execute(wanted)).scalar_one_or_none()

    async def is_closed(self, withdrawal: int) -> bool:
        """Whether the withdrawal of that number was reserved, and paid or released since."""
        wanted = select(withdrawals.c.status).where(withdrawals.c.withdrawal == withdrawal)
        async with self._engine.connect() as connection:
            return (await connection.execute(wanted)).scalar_one_or_none() in ("paid", "released")

    async def totals(self) -> Totals:
        """Sums over the whole ledger, of one moment."""
        amount = func.coalesce(func.sum(balances.c.amount), 0)
        unmatched = (
            select(positions.c.market).group_by(positions.c.market).having(func.sum(positions.c.size) != 0)
        )
        columns = (
            select(amount).scalar_subquery(),
            select(amount).where(balances.c.account == OUTSIDE).scalar_subquery(),
            select(func.coalesce(func.max(cursor.c.fills), 0)).scalar_subquery(),
            select(func.coalesce(func.sum(cuts.c.fills), 0))
            .where(cuts.c.status == int(BatchStatus.FINAL))
            .scalar_subquery(),
            ~unmatched.exists(),
            select(amount).where(balances.c.account == CLEARING).scalar_subquery(),
            select(func.coalesce(func.sum(positions.c.cost), 0)).scalar_subquery(),
        )
        async with self._engine.connect() as connection:
            total, outside, count, final, matched, clearing, cost = (
                await connection.execute(select(*columns))
            ).one()
        return Totals(
            total=int(total),
            outside=int(outside),
            accounts=int(total - outside),
            fills=int(count),
            final_fills=int(final),
            positions_zero_sum=matched,
            clearing_matches=clearing == -cost,
        )

    async def _fills(self, wanted: "Select[Any]") -> list[FillView]:
        async with self._engine.connect() as connection:
            rows = await connection.execute(wanted)
            return [FillView(*(row._mapping[name] for name in FillView._fields)) for row in rows]

    async def _batches(self, wanted: "Select[Any]") -> list[BatchView]:
        async with self._engine.connect() as connection:
            return [batch_view(row) for row in await connection.execute(wanted)]
