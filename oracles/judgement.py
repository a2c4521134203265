"""What the feed says of a market in the market's own ticks: all that the exchange hears of the world outside."""

from typing import NamedTuple

from core.mark_price import median
from core.quantities import Nanos
from core.validity import Validity
from oracles.index import Routed
from oracles.price import confidence_ticks, to_ticks


class Judgement(NamedTuple):
    """A market's index in ticks, 0 without any price, and how far it is believed.

    `published` is when it was judged; `outside` is the median mid of outside perps, 0 when none counts.
    """

    price: int
    confidence: int
    published: Nanos
    source: str
    validity: Validity
    outside: int


def judgement(routed: Routed, tick: str) -> Judgement:
    """`routed` in ticks of the size `tick`: prices to the nearest, the confidence rounded up."""
    mids = [to_ticks(mid, tick) for mid in routed.witnesses]
    outside, price = median(mids) if mids else 0, routed.price
    if price is None:
        return Judgement(0, 0, routed.at, "", routed.validity, outside)
    return Judgement(
        to_ticks(price, tick),
        confidence_ticks(price, tick),
        routed.at,
        price.source,
        routed.validity,
        outside,
    )
