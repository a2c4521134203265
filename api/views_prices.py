"""What is known of prices, as answers: pure reads of the engine and of the feed."""

from decimal import Decimal
from typing import get_args

from api import schemas_prices as p
from api.outbound import micros
from api.units import Markets, MarketUnits
from core.validity import Action, Validity, allowed
from matcher.state import Exchange
from matcher.trust import validity
from oracles.feed import PriceFeed
from oracles.index import Input, Routed
from oracles.price import Price

VALIDITIES: dict[Validity, p.ValidityName] = dict(zip(Validity, get_args(p.ValidityName), strict=True))
ACTIONS: dict[Action, p.ActionName] = dict(zip(Action, get_args(p.ActionName), strict=True))


def prices(state: Exchange, markets: Markets, feed: PriceFeed, now: int) -> p.PricesAnswer:
    return p.PricesAnswer(
        source=feed.source_label,
        markets=[
            _market(state, markets[id], feed.routed.get(markets[id].symbol), now)
            for id in sorted(state.markets)
        ],
        troubles=[
            p.TroubleAnswer(source=source, market=symbol or None, code=code)
            for (source, symbol), code in sorted(feed.troubles.items())
        ],
    )


def allows(found: Validity) -> list[p.ActionName]:
    return [name for action, name in ACTIONS.items() if allowed(found, action)]


def _market(state: Exchange, units: MarketUnits, routed: Routed | None, now: int) -> p.MarketPricesAnswer:
    found = validity(state, units.id, now)
    return p.MarketPricesAnswer(
        market=units.symbol,
        validity=VALIDITIES[found],
        allows=allows(found),
        judged=micros(routed.at) if routed else None,
        reasons=[p.ReasonAnswer(source=source, fault=fault) for source, fault in routed.reasons]
        if routed
        else [],
        sources=[_source(one) for one in routed.inputs] if routed else [],
    )


def _source(one: Input) -> p.SourcePriceAnswer:
    limits, price = one.limits, one.price
    return p.SourcePriceAnswer(
        source=limits.source,
        publisher=limits.publisher,
        witness=limits.witness,
        price=_decimal(price, price.value) if price else None,
        confidence=_decimal(price, price.confidence) if price else None,
        published=micros(price.published_at) if price else None,
        validity=VALIDITIES[one.validity],
        fault=one.fault,
    )


def _decimal(price: Price, value: int) -> str:
    """`value` in the scale of `price` as a plain decimal, exactly."""
    return f"{Decimal(f'{value}e{price.exponent}'):f}"
