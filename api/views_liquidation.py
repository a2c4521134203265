"""Liquidations and the insurance fund as answers: reads that change nothing."""

import asyncio
from typing import Final, cast

from api import schemas_liquidation as s
from api.outbound import micros
from api.units import Markets, usdc
from core.accounts import INSURANCE
from ledger.queries import InsuranceChange, LiquidationView, StepView
from matcher.gates import below_zero
from matcher.state import Exchange

SLICE: Final = 2_000
"""Accounts that are looked at before others have their turn."""


def liquidation(row: LiquidationView) -> s.LiquidationAnswer:
    return s.LiquidationAnswer(
        liquidation=row.liquidation,
        seq=row.seq,
        at=micros(row.at),
        equity=usdc(row.equity),
        maintenance=usdc(row.maintenance),
        outcome=cast(s.OutcomeName, row.outcome) if row.outcome else None,
        ended_at=micros(row.ended_at) if row.ended_at else None,
    )


def with_steps(row: LiquidationView, steps: list[StepView], markets: Markets) -> s.LiquidationStepsAnswer:
    answer = liquidation(row)
    return s.LiquidationStepsAnswer(**answer.model_dump(), steps=[step(one, markets) for one in steps])


def step(row: StepView, markets: Markets) -> s.StepAnswer:
    units = markets[row.market]
    return s.StepAnswer(
        seq=row.seq,
        liquidation=row.liquidation,
        at=micros(row.at),
        kind=cast(s.StepName, row.kind),
        market=units.symbol,
        mark=units.price(row.mark),
        asked=units.size(row.asked),
        limit=units.price(row.price_limit) if row.price_limit else None,
        size=units.size(row.size),
        value=usdc(row.value),
        bankruptcy_value=usdc(row.bound),
        fee=usdc(row.fee),
        equity=usdc(row.equity),
        maintenance=usdc(row.maintenance),
        unpaid=units.size(row.unpaid),
        counterparties=row.accounts,
    )


def insurance(state: Exchange, markets: Markets) -> s.InsuranceAnswer:
    fund = state.accounts[INSURANCE]
    risk = state.margin_of(fund)
    return s.InsuranceAnswer(
        balance=usdc(fund.balance),
        equity=usdc(risk.equity),
        maintenance=usdc(risk.maintenance),
        floor=usdc(state.insurance_floor),
        positions=[
            s.HoldingAnswer(
                market=markets[id].symbol,
                size=markets[id].size(held.size),
                cost=usdc(held.cost),
                value=usdc(held.size * state.marks[id].value_per_lot),
            )
            for id, held in sorted(fund.positions.items())
        ],
        being_liquidated=INSURANCE in state.liquidations,
    )


def change(row: InsuranceChange) -> s.InsuranceChangeAnswer:
    return s.InsuranceChangeAnswer(
        seq=row.seq,
        at=micros(row.at),
        why=cast(s.ChangeName, row.why),
        liquidation=row.liquidation or None,
        amount=usdc(row.amount),
        balance=usdc(row.balance),
        floor=usdc(row.floor),
    )


async def overview(state: Exchange) -> s.OperatorLiquidationsAnswer:
    """Every account is looked at, a slice at a time: the loop also matches. Who changes meanwhile is seen next time."""
    ids, forgotten = sorted(state.owned), []
    for start in range(0, len(ids), SLICE):
        forgotten += [below for id in ids[start : start + SLICE] if (below := _forgotten(state, id))]
        await asyncio.sleep(0)
    return s.OperatorLiquidationsAnswer(
        forgotten=forgotten,
        below_zero=[_below(state, id) for id in below_zero(state)],
        awaiting_price=len(_awaiting(state)),
        going_on=sorted(state.liquidations),
        inventory=[
            s.InventoryAnswer(market=market, size=held.size)
            for market, held in sorted(state.accounts[INSURANCE].positions.items())
        ],
        selling=bool(state.book.open_keys.get(INSURANCE)),
    )


def _forgotten(state: Exchange, id: int) -> s.BelowAnswer | None:
    watch = state.watch
    known = id in state.liquidations or id in watch.due or watch.unseen(id)
    if known or id in watch.debtors or id in watch.unpaid:
        return None
    risk = state.margin_of(state.accounts[id])
    if not (risk.liquidatable or risk.equity < 0) or id in _awaiting(state):
        return None
    return _below(state, id)


def _below(state: Exchange, id: int) -> s.BelowAnswer:
    risk = state.margin_of(state.accounts[id])
    return s.BelowAnswer(account=id, equity=risk.equity, maintenance=risk.maintenance)


def _awaiting(state: Exchange) -> set[int]:
    return set().union(*state.watch.waiting.values())
