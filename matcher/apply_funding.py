"""Records of funding into state."""

from typing import Final

from core import events as e
from core.accounts import INSURANCE, TREASURY
from core.edge_prices import owed_in_ticks
from matcher.apply_book import Applier
from matcher.making import makers_of
from matcher.state import Exchange


def _premium_sampled(state: Exchange, event: e.PremiumSampled) -> None:
    funding = state.funding[event.market]
    funding.reach(event.at)
    hour = funding.running
    if not hour.samples:
        hour.samples = 1
        state.follow_hours()
    else:
        hour.samples += 1
    hour.total += event.premium
    hour.index = event.index
    for account in event.joined:
        hour.stand(account, 0)
    for account, lots in event.stood:
        hour.stand(account, lots)


def _hour_ended(state: Exchange, event: e.HourEnded) -> None:
    market, charge = event.market, event.charge
    funding, watch = state.funding[market], state.watch
    funding.end(event)
    for hour in funding.unpaid:
        if hour.ended is event:
            hour.makers = makers_of(state, hour, event)
    state.marked += 1
    state.follow_hours()
    if charge:
        watch.drift(
            market, *owed_in_ticks(charge, state.markets[market].value_per_tick_lot, state.marks[market])
        )
    # Whoever has traded meanwhile may owe for more than it holds.
    watch.dirty.update(funding.moved(event.hour))
    watch.move(market, state.span_of(market), state.at)


def _funding_settled(state: Exchange, event: e.FundingSettled) -> None:
    accounts, watch, funding = state.accounts, state.watch, state.funding[event.market]
    warned = state.collect(event.payments)
    if funding.unpaid and funding.unpaid[0].ended is None:
        # Journals from before hours ended by a record: it was this one that made payers poorer.
        watch.suspect_many([account for account, paid in event.payments if paid > 0])
    # What was owed before is paid: nobody is worth less than before. But what is received lifts warnings.
    watch.suspect_many(warned)
    watch.suspect(INSURANCE)
    state.post(accounts[TREASURY], event.treasury)
    state.post(accounts[INSURANCE], event.insurance)
    funding.settle(event)
    state.marked += 1
    state.follow_hours()


FUNDING_APPLIERS: Final[dict[type[e.Event], Applier]] = {
    e.PremiumSampled: _premium_sampled,
    e.FundingSettled: _funding_settled,
    e.HourEnded: _hour_ended,
}
