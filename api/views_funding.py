"""Funding as answers: pure reads."""

from typing import Final, get_args

from api import schemas_funding as f
from api.outbound import MICROSECOND, micros
from api.units import Markets, MarketUnits, usdc
from core.funding import HOUR
from core.market import MarketStatus
from core.quantities import decimal_from_units
from core.rates import RATE_UNIT
from ledger.funding import FundingPayment, FundingRate
from matcher.outlook import outlook
from matcher.state import Exchange

BASIS_NAMES: Final[dict[int, f.BasisName]] = dict(enumerate(get_args(f.BasisName), 1))
HOUR_MICROS: Final = HOUR // MICROSECOND


def rate(parts: int) -> str:
    """A rate in parts of 10**12 as an exact decimal string."""
    return decimal_from_units(parts, RATE_UNIT)


def instant(hour: int) -> int:
    """Microseconds since the epoch at which an hour ends."""
    return hour * HOUR_MICROS


def hour(row: FundingRate, units: MarketUnits) -> f.FundingHourAnswer:
    return f.FundingHourAnswer(
        hour=instant(row.hour),
        at=micros(row.at),
        basis=BASIS_NAMES[row.basis],
        samples=row.samples,
        premium=rate(row.premium),
        makers=row.makers,
        skew=units.size(row.skew),
        open_interest=units.size(row.open_interest),
        rate=rate(row.rate),
        hourly=rate(row.hourly),
        index=units.price(row.index_price) if row.samples else None,
        accounts=row.accounts,
        paid=usdc(row.paid),
        treasury=usdc(row.treasury),
        insurance=usdc(row.insurance),
        seq=row.seq,
    )


def payment(row: FundingPayment, markets: Markets) -> f.FundingPaymentAnswer:
    units = markets[row.market]
    return f.FundingPaymentAnswer(
        market=units.symbol,
        hour=instant(row.hour),
        at=micros(row.at),
        amount=usdc(-row.amount),
        hourly=rate(row.hourly),
        index=units.price(row.index_price),
        seq=row.seq,
    )


def prediction(state: Exchange, units: MarketUnits, at: int) -> f.FundingPredictionAnswer:
    seen_ahead, terms = outlook(state, units.id, at), units.market.funding
    seen, rates = seen_ahead.seen, seen_ahead.rates
    return f.FundingPredictionAnswer(
        market=units.symbol,
        hour=instant(seen_ahead.hour),
        basis=BASIS_NAMES[rates.basis],
        rate=rate(rates.rate),
        hourly=rate(rates.hourly),
        premium=rate(rates.premium),
        samples=seen.samples,
        expected=seen_ahead.expected,
        makers=seen.makers,
        skew=units.size(seen.skew),
        open_interest=units.size(seen.open_interest),
        interest=rate(terms.interest),
        interest_clamp=rate(terms.interest_clamp),
        cap=rate(seen_ahead.cap),
        velocity=rate(terms.velocity),
        last_rate=rate(seen.last),
        unpaid=_unpaid(state, units.id, at),
    )


def in_short(state: Exchange, units: MarketUnits, at: int) -> f.MarketFundingAnswer:
    ahead = outlook(state, units.id, at)
    return f.MarketFundingAnswer(
        rate=rate(ahead.seen.last),
        hour=instant(ahead.hour),
        predicted=rate(ahead.rates.rate),
        predicted_hourly=rate(ahead.rates.hourly),
        unpaid=_unpaid(state, units.id, at),
    )


def _unpaid(state: Exchange, market: int, at: int) -> list[int]:
    return [instant(hour.number) for hour in state.funding[market].owed(at)]


def due(state: Exchange, at: int) -> list[f.FundingDueAnswer]:
    """Every market that is not delisted or still owes an hour, by id."""
    return [
        f.FundingDueAnswer(
            market=id,
            symbol=state.markets[id].symbol,
            settled=funding.settled,
            unpaid=[one.number for one in funding.owed(at)],
        )
        for id, funding in sorted(state.funding.items())
        if state.statuses[id] != MarketStatus.SETTLED or funding.owed(at)
    ]
