"""Records of funding into state."""

from typing import Final

from core import events as e
from core.accounts import INSURANCE, TREASURY
from matcher.apply_book import Applier
from matcher.state import Exchange


def _premium_sampled(state: Exchange, event: e.PremiumSampled) -> None:
    funding = state.funding[event.market]
    funding.reach(event.at)
    hour = funding.running
    hour.samples += 1
    hour.total += event.premium
    hour.index = event.index
    hour.stood.update(event.joined)


def _funding_settled(state: Exchange, event: e.FundingSettled) -> None:
    accounts, watch = state.accounts, state.watch
    for account, paid in event.payments:
        accounts[account].balance -= paid
    # Unlike a fill, a payment asks no margin: it may make whoever pays liquidatable, and lift a warning of whoever receives.
    watch.suspect_many([account for account, paid in event.payments if paid > 0 or accounts[account].warned])
    watch.suspect(INSURANCE)
    # Of an hour that is paid late, by somebody who has left: nobody watches an account without positions.
    state.breakers.negative.update(
        [id for id, _ in event.payments if accounts[id].balance < 0 and not accounts[id].positions]
    )
    accounts[TREASURY].balance += event.treasury
    accounts[INSURANCE].balance += event.insurance
    state.funding[event.market].settle(event)


FUNDING_APPLIERS: Final[dict[type[e.Event], Applier]] = {
    e.PremiumSampled: _premium_sampled,
    e.FundingSettled: _funding_settled,
}
