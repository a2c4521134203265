"""What is kept for funding, as it lies in a snapshot."""

from collections import deque

import msgspec

from core.funding_events import FundingSettled, HourEnded
from core.rates import Rate
from matcher.funding import Hour, MarketFunding


class HourImage(msgspec.Struct, array_like=True):
    number: int
    samples: int
    total: int
    index: int
    stood: list[int]
    traded: list[int]
    moved: list[tuple[int, int]]
    ended: HourEnded | None = None


class FundingImage(msgspec.Struct, array_like=True):
    market: int
    settled: int
    rate: int
    running: HourImage
    unpaid: list[HourImage]
    kept: list[FundingSettled]


def funding_image(market: int, funding: MarketFunding) -> FundingImage:
    return FundingImage(
        market,
        funding.settled,
        funding.rate,
        _hour_image(funding.running),
        [_hour_image(hour) for hour in funding.unpaid],
        list(funding.kept.values()),
    )


def load_funding(image: FundingImage) -> MarketFunding:
    funding = MarketFunding()
    funding.settled, funding.rate = image.settled, Rate(image.rate)
    funding.begin(image.running.number)
    funding.running = _load_hour(image.running)
    funding.unpaid = deque(_load_hour(hour) for hour in image.unpaid)
    for record in image.kept:
        funding.keep(record)
    return funding


def _hour_image(hour: Hour) -> HourImage:
    return HourImage(
        hour.number,
        hour.samples,
        hour.total,
        hour.index,
        sorted(hour.stood),
        sorted(hour.traded),
        sorted(hour.moved.items()),
        hour.ended,
    )


def _load_hour(image: HourImage) -> Hour:
    hour = Hour(image.number)
    hour.samples, hour.total, hour.index = image.samples, image.total, image.index
    hour.stood, hour.traded, hour.moved = set(image.stood), set(image.traded), dict(image.moved)
    hour.ended = image.ended
    return hour
