"""Reads of liquidations, their steps, and the insurance fund's history."""

from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.tables_liquidation import insurance_history, liquidation_steps, liquidations


class LiquidationView(NamedTuple):
    """A liquidation, in the columns of `liquidations`."""

    liquidation: int
    seq: int
    at: int
    account: int
    equity: int
    maintenance: int
    outcome: str
    ended_at: int


class StepView(NamedTuple):
    """A step of a liquidation, in the columns of `liquidation_steps`."""

    seq: int
    line: int
    liquidation: int
    at: int
    kind: str
    market: int
    mark: int
    asked: int
    price_limit: int
    size: int
    value: int
    bound: int
    fee: int
    equity: int
    maintenance: int
    unpaid: int
    accounts: int


class InsuranceChange(NamedTuple):
    """A record that changed the insurance fund, in the columns of `insurance_history`."""

    seq: int
    at: int
    why: str
    liquidation: int
    amount: int
    balance: int
    floor: int


async def liquidations_before(connection: AsyncConnection, before: int, limit: int) -> list[LiquidationView]:
    wanted = select(liquidations).order_by(liquidations.c.liquidation.desc()).limit(limit)
    if before:
        wanted = wanted.where(liquidations.c.liquidation < before)
    return [LiquidationView(*row) for row in await connection.execute(wanted)]


async def liquidation_of(
    connection: AsyncConnection, number: int
) -> tuple[LiquidationView, list[StepView]] | None:
    wanted = select(liquidations).where(liquidations.c.liquidation == number)
    found = (await connection.execute(wanted)).first()
    if found is None:
        return None
    steps = liquidation_steps.c
    own = select(liquidation_steps).where(steps.liquidation == number).order_by(steps.seq, steps.line)
    return LiquidationView(*found), [StepView(*row) for row in await connection.execute(own)]


async def deleveragings_before(connection: AsyncConnection, before: int, limit: int) -> list[StepView]:
    steps = liquidation_steps.c
    wanted = (
        select(liquidation_steps)
        .where(steps.kind == "deleveraging")
        .order_by(steps.seq.desc(), steps.line.desc())
        .limit(limit)
    )
    if before:
        wanted = wanted.where(steps.seq < before)
    return [StepView(*row) for row in await connection.execute(wanted)]


async def insurance_before(connection: AsyncConnection, before: int, limit: int) -> list[InsuranceChange]:
    wanted = select(insurance_history).order_by(insurance_history.c.seq.desc()).limit(limit)
    if before:
        wanted = wanted.where(insurance_history.c.seq < before)
    return [InsuranceChange(*row) for row in await connection.execute(wanted)]
