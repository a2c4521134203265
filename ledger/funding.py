"""Reads of funding: paid hours of a market with their rates, and what one account paid."""

from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.tables_funding import funding_payments, funding_rates


class FundingRate(NamedTuple):
    """One paid hour, in the columns of `funding_rates`."""

    market: int
    hour: int
    basis: int
    samples: int
    premium: int
    makers: int
    skew: int
    open_interest: int
    rate: int
    hourly: int
    after: int
    index_price: int
    accounts: int
    paid: int
    treasury: int
    insurance: int
    seq: int
    at: int


class FundingPayment(NamedTuple):
    """What an account paid (negative: received) in one hour of one market, micro-USDC, with that hour's rate and index price."""

    seq: int
    at: int
    market: int
    hour: int
    amount: int
    hourly: int
    index_price: int


async def rates_of(connection: AsyncConnection, market: int, before: int, limit: int) -> list[FundingRate]:
    hours = funding_rates.c
    wanted = select(funding_rates).where(hours.market == market).order_by(hours.hour.desc()).limit(limit)
    if before:
        wanted = wanted.where(hours.hour < before)
    return [FundingRate(*row) for row in await connection.execute(wanted)]


async def payments_of(
    connection: AsyncConnection, account: int, before: int, limit: int
) -> list[FundingPayment]:
    paid, hours = funding_payments.c, funding_rates.c
    wanted = (
        select(paid.seq, hours.at, paid.market, paid.hour, paid.amount, hours.hourly, hours.index_price)
        .join_from(funding_payments, funding_rates, paid.seq == hours.seq)
        .where(paid.account == account)
        .order_by(paid.seq.desc())
        .limit(limit)
    )
    if before:
        wanted = wanted.where(paid.seq < before)
    return [FundingPayment(*row) for row in await connection.execute(wanted)]
