"""Funding: premiums while time passes, and an hour's payments when the operator's schedule asks for them."""

from typing import cast

from core import events as e
from core.depth import depth, standing
from core.funding import HOUR, charge_per_lot, funding_run
from core.funding_hour import Seen, cap_of, hour_of, hour_rates
from core.market import MarketStatus
from core.premium import premium
from core.quantities import AccountId
from core.validity import Action
from matcher import commands as c
from matcher.firm import depth_notional, firm
from matcher.funding import Hour, MarketFunding
from matcher.rejections import Code, Outcome, Rejection, Repeated
from matcher.state import Exchange
from matcher.trust import trusted, untrusted


def premium_sampled(state: Exchange, market: int, at: int) -> list[e.Event]:
    """The market's premium now; nothing while it stands still, or its index is not trusted for funding."""
    if state.statuses[market] >= MarketStatus.PAUSED or not trusted(state, market, Action.FUND, at):
        return []
    listed, index = state.markets[market], state.indexes[market].price
    bids, asks = (list(firm(state, market, side, index, at)) for side in (-1, 1))
    notional = depth_notional(state, market)
    found = depth(bids, asks, listed.value_per_tick_lot, notional)
    stood = standing(bids, asks, listed.value_per_tick_lot, notional)
    running, hour = state.funding[market].running, hour_of(at)
    known = running.stood if running.number == hour else set()
    return [
        e.PremiumSampled(
            at,
            market,
            hour,
            premium(
                index, found.bid, found.ask, cap_of(listed.funding, listed.margin_terms), listed.funding.rule
            ),
            index,
            found.bid or 0,
            found.ask or 0,
            len(stood),
            tuple(sorted(stood - known)),
        )
    ]


def settle_funding(state: Exchange, command: c.SettleFunding, at: int) -> Outcome:
    """Pay one hour of one market, once; hours are paid in order, and at what was known when each ended.

    An hour in which no premium could be sampled is recorded and costs nobody anything.
    """
    market, number = command.market, command.hour
    funding = state.funding.get(market)
    if funding is None:
        return Rejection(Code.MARKET_UNKNOWN, "No market has that id.")
    if number in funding.kept:
        return Repeated((funding.kept[number],))
    if number <= funding.settled:
        return Rejection(
            Code.FUNDING_SETTLED, "That hour was settled so long ago that only the ledger has it."
        )
    if number * HOUR > at:
        return Rejection(Code.FUNDING_NOT_DUE, "That hour has not ended.")
    owed = funding.owed(at)
    if not owed or number < owed[0].number:
        return [_settled(state, market, Hour(number), [], at)]
    if number > owed[0].number:
        return Rejection(Code.FUNDING_OUT_OF_ORDER, f"Hour {owed[0].number} is to be paid first.")
    refused = untrusted(state, (market,), Action.FUND, at)
    if refused is not None:
        return refused
    return [_settled(state, market, owed[0], _held(state, market, funding), at)]


def _held(state: Exchange, market: int, funding: MarketFunding) -> list[tuple[AccountId, int]]:
    """Positions (account, lots) at the end of the oldest unpaid hour, ascending by account, as accounts are kept."""
    held = [
        (id, account.positions[market].size)
        for id, account in state.accounts.items()
        if market in account.positions
    ]
    if moved := funding.moved():
        sizes = dict(held) | moved
        held = [(id, size) for id, size in sorted(sizes.items()) if size]
    return cast(list[tuple[AccountId, int]], held)


def _settled(
    state: Exchange, market: int, hour: Hour, positions: list[tuple[AccountId, int]], at: int
) -> e.FundingSettled:
    """The record of an hour that these positions were held at the end of."""
    listed = state.markets[market]
    makers, terms = hour.makers(), listed.funding
    seen = Seen(
        samples=hour.samples,
        total=hour.total,
        makers=owners(state, hour),
        skew=sum([size for account, size in positions if account not in makers]),
        open_interest=sum([size for _, size in positions if size > 0]),
        last=state.funding[market].rate,
    )
    rates = hour_rates(terms, cap_of(terms, listed.margin_terms), seen)
    charge = charge_per_lot(hour.index * listed.value_per_tick_lot, rates.hourly)
    run = funding_run(positions, charge, makers, terms.treasury_share)
    payments = tuple([payment for payment in run.payments if payment[1]])
    return e.FundingSettled(
        at,
        market,
        hour.number,
        rates.basis,
        seen.samples,
        rates.premium,
        seen.makers,
        seen.skew,
        seen.open_interest,
        rates.rate,
        rates.hourly,
        rates.after,
        hour.index,
        len(payments),
        sum([paid for _, paid in payments if paid > 0]),
        run.treasury,
        run.insurance,
        payments,
    )


def owners(state: Exchange, hour: Hour) -> int:
    """Owners whose quotes stood in the hour."""
    return len({state.accounts[account].owner for account in hour.stood})
