"""What is kept for funding, as it lies in a snapshot."""

from collections import deque

import msgspec

from core.funding_events import FundingSettled, HourEnded
from core.rates import Rate
from matcher.funding import Hour, MarketFunding


class HourImage(msgspec.Struct, array_like=True):
    """`standing` has samples and lots of those in `stood`, `made` the lots of those in `traded`; images from before have neither."""

    number: int
    samples: int
    total: int
    index: int
    stood: list[int]
    traded: list[int]
    moved: list[tuple[int, int]]
    ended: HourEnded | None = None
    standing: list[tuple[int, int]] = []
    made: list[int] = []
    makers: list[int] = []


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
    stood, made = sorted(hour.stood.items()), sorted(hour.made.items())
    return HourImage(
        hour.number,
        hour.samples,
        hour.total,
        hour.index,
        [account for account, _ in stood],
        [account for account, _ in made],
        sorted(hour.moved.items()),
        hour.ended,
        [standing for _, standing in stood],
        [lots for _, lots in made],
        sorted(hour.makers),
    )


def _load_hour(image: HourImage) -> Hour:
    hour = Hour(image.number)
    hour.samples, hour.total, hour.index = image.samples, image.total, image.index
    hour.stood = dict(zip(image.stood, image.standing or [(1, 0)] * len(image.stood), strict=True))
    hour.made = dict(zip(image.traded, image.made or [0] * len(image.traded), strict=True))
    hour.moved, hour.ended, hour.makers = dict(image.moved), image.ended, set(image.makers)
    if hour.ended is not None and not hour.ended.by_owner:
        hour.makers = hour.stood.keys() | hour.made.keys()
    return hour
