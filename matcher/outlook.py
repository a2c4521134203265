"""What the running hour's funding would be if it went on as it has. Changes nothing."""

import msgspec

from core.funding import HOUR, SAMPLES_PER_HOUR
from core.funding_hour import SAMPLE_EVERY, HourRates, Seen, cap_of, hour_of, hour_rates
from core.rates import Rate
from matcher.funding import Hour
from matcher.making import skew, standing_long
from matcher.state import Exchange


class Outlook(msgspec.Struct, frozen=True):
    """The running hour is paid at `hour` (hours since the Unix epoch); `expected` premiums were due so far."""

    hour: int
    expected: int
    seen: Seen
    cap: Rate
    rates: HourRates


def outlook(state: Exchange, market: int, at: int) -> Outlook:
    """Rates from the hour's premiums so far, over those that were due so far, and from the positions as they are now.

    Its cost grows with the makers of the hour only.
    """
    listed, funding, number = state.markets[market], state.funding[market], hour_of(at)
    hour = funding.running if funding.running.number == number else Hour(number)
    seen = Seen(
        samples=hour.samples,
        total=hour.total,
        makers=len(standing_long(hour)),
        skew=skew(state, market, hour, {}),
        open_interest=state.open_interest[market],
        last=funding.last_rate(),
    )
    expected = min(at % HOUR // SAMPLE_EVERY + 1, SAMPLES_PER_HOUR)
    cap = cap_of(listed.funding, listed.margin_terms)
    return Outlook(number, expected, seen, cap, hour_rates(listed.funding, cap, seen, expected))
