"""Liquidations and the insurance fund as answers: reads that change nothing but accounts' memory of their value."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final, cast

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
    ids, forgotten = list(state.owned), []
    for start in range(0, len(ids), SLICE):
        forgotten += _forgotten(state, ids[start : start + SLICE])
        await asyncio.sleep(0)
    return s.OperatorLiquidationsAnswer(
        **_going_on(state, sorted(forgotten, key=lambda below: below.account)),
        below_zero=[_below(state, id) for id in below_zero(state)],
        awaiting_price=len(set().union(*state.watch.waiting.values())),
    )


def going_on(state: Exchange, asked: Iterable[int]) -> s.GoingOnAnswer:
    """Nobody is looked at but those of the accounts `asked` about that there are: it costs the same however many there are."""
    return s.GoingOnAnswer(**_going_on(state, _forgotten(state, sorted(state.owned.intersection(asked)))))


def _going_on(state: Exchange, forgotten: list[s.BelowAnswer]) -> dict[str, Any]:
    return {
        "forgotten": forgotten,
        "going_on": sorted(state.liquidations),
        "inventory": [
            s.InventoryAnswer(market=market, size=held.size)
            for market, held in sorted(state.accounts[INSURANCE].positions.items())
        ],
        "selling": bool(state.book.open_keys.get(INSURANCE)),
    }


def _forgotten(state: Exchange, ids: Iterable[int]) -> list[s.BelowAnswer]:
    """Those of these accounts that should be liquidated, or owe, and about whom nothing is done.

    The watch is not asked who that is, only whether it knows them. Whose remembered value at the marks meets the initial requirement,
    which is never below maintenance, needs no closer look, but where its owner keeps something back.
    """
    accounts, marked, watch, found = state.accounts, state.marked, state.watch, []
    limits, matured = state.loss_limits, state.matured
    for id in ids:
        account = accounts[id]
        if account.valued != marked:
            state.value(account)
        root = account.root.id
        kept_back = root in limits or root in matured
        if account.balance + account.gain >= account.required and not kept_back:
            continue
        if id in state.liquidations or id in watch.due or watch.unseen(id):
            continue
        if id in watch.debtors or id in watch.unpaid:
            continue
        risk = state.margin_of(account)
        waits = any(id in waiting for waiting in watch.waiting.values())
        if (risk.liquidatable or risk.equity < 0) and not waits:
            found.append(_below(state, id))
    return found


def _below(state: Exchange, id: int) -> s.BelowAnswer:
    risk = state.margin_of(state.accounts[id])
    return s.BelowAnswer(account=id, equity=risk.equity, maintenance=risk.maintenance)
