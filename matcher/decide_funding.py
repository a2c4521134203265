"""Funding: premiums while time passes, and an hour's payments when the operator's schedule asks for them."""

from core import events as e
from core.depth import depth, standing
from core.funding import HOUR, FundingRun, charge_per_lot
from core.funding_hour import Basis, Seen, cap_of, hour_of, hour_rates
from core.market import MarketStatus
from core.premium import premium
from core.validity import Action
from matcher import commands as c
from matcher.firm import depth_notional, firm
from matcher.funding import UNPAID_MAX, Hour
from matcher.making import size_of, skew, standing_long
from matcher.owed import run_of
from matcher.rejections import Code, Outcome, Rejection, Repeated
from matcher.state import Exchange
from matcher.trust import trusted


def premium_sampled(state: Exchange, market: int, at: int) -> list[e.Event]:
    """The market's premium now; nothing while it stands still or waits for its end, or its index is not trusted."""
    if state.statuses[market] >= MarketStatus.PAUSED or not trusted(state, market, Action.FUND, at):
        return []
    ending = state.breakers.announced.get(market)
    if ending is not None and at >= ending.settles_at:
        return []
    listed, index = state.markets[market], state.indexes[market].price
    bids, asks = (list(firm(state, market, side, index, at)) for side in (-1, 1))
    notional = depth_notional(state, market)
    found = depth(bids, asks, listed.value_per_tick_lot, notional)
    stood = standing(bids, asks, listed.value_per_tick_lot, notional)
    return [
        e.PremiumSampled(
            at,
            market,
            hour_of(at),
            premium(
                index, found.bid, found.ask, cap_of(listed.funding, listed.margin_terms), listed.funding.rule
            ),
            index,
            found.bid or 0,
            found.ask or 0,
            len(stood),
            (),
            tuple(sorted((state.owners[owner][0].id, lots) for owner, lots in stood.items())),
        )
    ]


def hour_ended(state: Exchange, market: int, at: int) -> e.HourEnded | None:
    """The end of the oldest of the market's hours that has no record of it yet, as it was then; None when there is none.

    Its cost grows with the makers of the hour, and with who has traded since, but not with the positions.
    """
    listed, funding = state.markets[market], state.funding[market]
    hour = funding.unended(at)
    if hour is None:
        return None
    moved = funding.moved(hour.number)
    since = [(size, size_of(state, account, market)) for account, size in moved.items()]
    terms, cap = listed.funding, cap_of(listed.funding, listed.margin_terms)
    seen = Seen(
        samples=hour.samples,
        total=hour.total,
        makers=len(standing_long(hour)),
        skew=skew(state, market, hour, moved),
        open_interest=state.open_interest[market] + sum(max(0, then) - max(0, now) for then, now in since),
        last=funding.last_rate(),
    )
    rates = hour_rates(terms, cap, seen)
    return e.HourEnded(
        at,
        market,
        hour.number,
        rates.basis,
        rates.premium,
        seen.makers,
        seen.skew,
        seen.open_interest,
        rates.rate,
        rates.hourly,
        rates.after,
        charge_per_lot(hour.index * listed.value_per_tick_lot, rates.hourly),
        terms.treasury_share,
        by_owner=True,
    )


def settle_funding(state: Exchange, command: c.SettleFunding, at: int) -> Outcome:
    """Pay one hour of one market, once; hours are paid in order, and at what was known when each ended.

    An hour in which no premium could be sampled is recorded and costs nobody anything. How far the index is believed now does not
    matter: only premiums at an index that was believed were sampled.
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
    if state.statuses[market] == MarketStatus.SETTLED and not funding.owed(at):
        return Rejection(
            Code.MARKET_SETTLED, "The market was delisted: nobody holds it, and no hour of it is owed."
        )
    if number * HOUR > at:
        return Rejection(Code.FUNDING_NOT_DUE, "That hour has not ended.")
    owed = funding.owed(at)
    if not owed or number < owed[0].number:
        return [_nothing_paid(state, market, number, at)]
    if number > owed[0].number:
        return Rejection(Code.FUNDING_OUT_OF_ORDER, f"Hour {owed[0].number} is to be paid first.")
    ended = owed[0].ended
    if ended is None:
        return Rejection(Code.FUNDING_NOT_DUE, "The end of that hour is being recorded.")
    return [_settled(owed[0], ended, run_of(state, owed[0], ended), at)]


def overdue(state: Exchange, market: int, at: int) -> list[e.FundingSettled]:
    """Payment of the oldest hour when more have ended than may wait: whoever pays hours has been away for a day.

    Journals from before hours ended by a record may hold such an hour without an end: that one still waits.
    """
    owed = state.funding[market].owed(at)
    if len(owed) <= UNPAID_MAX or owed[0].ended is None:
        return []
    return [_settled(owed[0], owed[0].ended, run_of(state, owed[0], owed[0].ended), at)]


def _settled(hour: Hour, ended: e.HourEnded, run: FundingRun, at: int) -> e.FundingSettled:
    """The record of an hour that costs this."""
    payments = tuple(run.payments)
    return e.FundingSettled(
        at,
        ended.market,
        ended.hour,
        ended.basis,
        hour.samples,
        ended.premium,
        ended.makers,
        ended.skew,
        ended.open_interest,
        ended.rate,
        ended.hourly,
        ended.after,
        hour.index,
        len(payments),
        run.charged,
        run.treasury,
        run.insurance,
        payments,
    )


def _nothing_paid(state: Exchange, market: int, number: int, at: int) -> e.FundingSettled:
    """The record of an hour without a premium: it costs nothing, and the rate stays."""
    rate = state.funding[market].rate
    return e.FundingSettled(at, market, number, Basis.NOTHING, 0, 0, 0, 0, 0, 0, 0, rate, 0, 0, 0, 0, 0, ())
