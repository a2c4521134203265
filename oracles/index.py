"""What the index is and how far it is believed: every source judged by itself, then against the others and its own past.

`judge` decides and keeps nothing; `oracles.router` holds what it is asked with.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from typing import Final, NamedTuple

from core.quantities import MILLION, SECOND, Nanos
from core.validity import Validity, believed, worse
from oracles.price import DOLLARS_MAX, ONE, Price
from oracles.route import ALONE, Limits, Route

AHEAD_MAX: Final = Nanos(5 * SECOND)
"""How far a source's clock may run ahead of ours."""


class Fault(StrEnum):
    """Why a source's price does not count in full. Stable codes."""

    MISSING = "missing"
    NOT_POSITIVE = "not_positive"
    OUT_OF_RANGE = "out_of_range"
    """No price of anything: above `DOLLARS_MAX`, or as doubtful as it is high."""
    FROM_THE_FUTURE = "from_the_future"
    EXPIRED = "expired"
    """Older than anything is done at."""
    UNCERTAIN = "uncertain"
    STALE = "stale"
    AGED = "aged"
    DISAGREES = "disagrees"
    """Beyond the tolerance from the price chosen."""
    UNCONFIRMED = "unconfirmed"
    """Chosen, but too few others are there to agree; where an operator has only one live publisher, it is told all the same."""
    LATE_CONFIRMED = "late_confirmed"
    """Chosen, but an aged or a stale price was needed to make up the number that agrees."""
    CONTESTED = "contested"
    """Chosen, but what contradicted it went silent without ever agreeing."""
    LEFT_BEHIND = "left_behind"
    """Chosen, but who would confirm it has said nothing since they agreed: it may not have seen the move yet."""
    DEVIATES = "deviates"
    """Chosen, but too far from the average."""


_MIDDLE_OF: Final = 3
"""Publishers from which on one can be between the others."""
_ALONE: Final = frozenset({Fault.DISAGREES, Fault.UNCONFIRMED, Fault.CONTESTED, Fault.LEFT_BEHIND})
FOLLOWS_WITHIN: Final = Nanos(60 * SECOND)
"""How long a publisher may need to follow a move that takes it beyond the tolerance: a push oracle's round has to land."""

Agreed = Mapping[tuple[str, str], Nanos]
"""As of when two publishers, in alphabetical order, agreed last."""


class Input(NamedTuple):
    """What one source has, and how it stands by itself."""

    limits: Limits
    price: Price | None
    validity: Validity
    fault: Fault | None


@dataclass(frozen=True, slots=True)
class Routed:
    """A market's index, how far it is believed, and why not further.

    `reasons` are (source, fault): first what is wrong with each source in the route's order, then with the choice. `confirmed` says
    that as many publishers as the rule asks for agree on it. `average` is what it was compared with, where the rule compares.
    """

    symbol: str
    at: Nanos
    """When it was judged. A price may be older and still count: this is what must never be old."""
    validity: Validity
    chosen: Input | None
    confirmed: bool
    reasons: tuple[tuple[str, Fault], ...]
    inputs: tuple[Input, ...]
    average: Price | None

    @property
    def price(self) -> Price | None:
        """The index; None only when UNAVAILABLE. Where the validity allows nothing it is there to be shown."""
        return self.chosen.price if self.chosen else None

    @property
    def witnesses(self) -> tuple[Price, ...]:
        """Mids of outside perps that count by themselves and do not disagree with the choice: an input of the mark."""
        apart_from = {source for source, fault in self.reasons if fault is Fault.DISAGREES}
        return tuple(
            one.price
            for one in self.inputs
            if one.limits.witness
            and one.price is not None
            and one.validity is Validity.VALID
            and one.limits.source not in apart_from
        )


def inspect(price: Price | None, limits: Limits, now: Nanos) -> tuple[Validity, Fault | None]:
    """How one source's price stands by itself at `now`. A limit itself is still within."""
    if price is None:
        return Validity.UNAVAILABLE, Fault.MISSING
    age = now - price.published_at
    if price.value <= 0:
        return Validity.UNAVAILABLE, Fault.NOT_POSITIVE
    if price.exact > DOLLARS_MAX * ONE or price.confidence >= price.value:
        # Not merely uncertain, at which one would still be liquidated: it says nothing at all.
        return Validity.UNAVAILABLE, Fault.OUT_OF_RANGE
    if -age > AHEAD_MAX:
        return Validity.UNAVAILABLE, Fault.FROM_THE_FUTURE
    if age > limits.ages.last:
        return Validity.UNAVAILABLE, Fault.EXPIRED
    if price.less_certain_than(limits.max_confidence):
        return Validity.UNCERTAIN, Fault.UNCERTAIN
    if age > limits.ages.margin:
        return Validity.STALE, Fault.STALE
    if age > limits.ages.full:
        return Validity.AGED, Fault.AGED
    return Validity.VALID, None


def apart(one: Price, other: Price, ppm: int) -> bool:
    """Whether two positive prices differ by more than `ppm` millionths of the lower one. Exact."""
    low, high = sorted((one.exact, other.exact))
    return (high - low) * MILLION > ppm * low


def judge(
    route: Route,
    newest: Mapping[str, Price],
    average: Price | None,
    contested: bool,
    now: Nanos,
    agreed: Agreed | None = None,
    last: str | None = None,
) -> Routed:
    """The best believed price of a route at `now`; where three publishers or more have a say, the one nearest to the middle of
    what they say, else the first in the route's order. So no publisher moves the index by the tolerance within which the others agree
    with it.

    That a price grows old changes how far the index is believed, not which price it is: until then it is left only for a better
    believed one that is newer or of as fast a kind. A doubtful one is left at once where others agree: who keeps publishing in doubt
    never grows old, so waiting for it would have no end. What publishes once an hour confirms the last price of a source that is
    silent since seconds, but does not throw the index back to where the market was before it.

    `newest` is by source. `contested` says that publishers contradicted each other and have not agreed since: who was right is
    not known, so one that is left over is not believed. `agreed` tells a publisher that contradicts from one that is left behind.
    `last` is the publisher whose price was the index and confirmed last: while one of the prices between which the middle would choose
    has grown old, it stays that publisher's.
    """
    inputs = tuple(
        Input(limits, newest.get(limits.source), *inspect(newest.get(limits.source), limits, now))
        for limits in route.sources
    )
    voices = _voices(inputs)
    found: list[Routed] = []
    for one in inputs:
        if one.limits.witness or one.price is None or one.validity is Validity.UNAVAILABLE:
            continue
        behind = _left_behind(route, one.limits, one.price, voices, agreed or {}, now)
        together, faults = _together(route, one, one.price, voices, average, contested, behind)
        validity = worse(one.validity, together)
        judged = Routed(
            symbol=route.symbol,
            at=now,
            validity=validity,
            chosen=one,
            confirmed=not _ALONE.intersection(faults),
            reasons=_own_faults(route, inputs, one)
            + tuple((one.limits.source, fault) for fault in (*faults, *_by_choice(route))),
            inputs=inputs,
            average=average,
        )
        found.append(judged)
    if found:
        return _best(found, voices, last)
    return Routed(
        symbol=route.symbol,
        at=now,
        validity=Validity.UNAVAILABLE,
        chosen=None,
        confirmed=False,
        reasons=_own_faults(route, inputs, None),
        inputs=inputs,
        average=average,
    )


def _best(found: list[Routed], voices: Mapping[str, tuple[Validity, Price]], last: str | None) -> Routed:
    """The one to go by of judgements of a route's sources, which are in its order."""
    most = max(_rank(one) for one in found)
    equals: dict[str, Routed] = {}
    for one in found:
        if one.chosen is not None and (_rank(one) == most or _stands(one, found)):
            # Of two ways to the same publisher the first: they are one voice.
            equals.setdefault(one.chosen.limits.publisher, one)
    # Who still stands has its say as before it grew old: else it would leave the middle by falling silent.
    said = {
        publisher: one.price for publisher, one in equals.items() if one.confirmed and one.price is not None
    }
    said |= {
        publisher: price for publisher, (validity, price) in voices.items() if validity is Validity.VALID
    }
    first = next(iter(equals.values()))
    if len(said) < _MIDDLE_OF or not first.confirmed:
        return first
    if last in equals and any(_rank(one) < most for one in equals.values()):
        # Else who still speaks would move the index between a price that grew old and one that is older yet.
        return equals[last]
    sums = sorted(price.exact for price in said.values())
    low, high = sums[(len(sums) - 1) // 2], sums[len(sums) // 2]

    def off(one: Routed) -> int:
        return abs(2 * one.price.exact - low - high) if one.price is not None else low + high

    return min(equals.values(), key=off)


def _stands(one: Routed, found: list[Routed]) -> bool:
    """Whether a price that grew old is still the newest that others confirm, though something older is believed further than it."""
    if not (one.confirmed and believed(one.validity)) or one.chosen is None:
        return False
    if one.chosen.fault is Fault.UNCERTAIN:
        return False
    return not any(_rank(other) > _rank(one) and _replaces(other, one) for other in found)


def _replaces(better: Routed, one: Routed) -> bool:
    if better.chosen is None or better.price is None or one.chosen is None or one.price is None:
        return False
    as_fast = better.chosen.limits.ages.full <= one.chosen.limits.ages.full
    return as_fast or better.price.published_at > one.price.published_at


def _rank(one: Routed) -> tuple[int, int]:
    return one.validity.rank, one.chosen.validity.rank if one.chosen is not None else 0


def _by_choice(route: Route) -> tuple[Fault, ...]:
    """What is wrong with every price of a live route that asks nobody to agree, though it counts in full."""
    return (Fault.UNCONFIRMED,) if route.rule == ALONE else ()


def _voices(inputs: tuple[Input, ...]) -> dict[str, tuple[Validity, Price]]:
    """The price that each publisher stands for: its best one that is certain and not too old for anything."""
    voices: dict[str, tuple[Validity, Price]] = {}
    for one in inputs:
        if one.price is None or one.validity.rank < Validity.STALE.rank:
            continue
        held = voices.get(one.limits.publisher)
        if held is None or one.validity.rank > held[0].rank:
            voices[one.limits.publisher] = one.validity, one.price
    return voices


def agreements(routed: Routed, tolerance: int) -> set[tuple[str, str]]:
    """Which publishers agree now, each pair in alphabetical order; only those that are believed in full have a say."""
    voices = sorted(
        (publisher, voice)
        for publisher, (validity, voice) in _voices(routed.inputs).items()
        if validity is Validity.VALID
    )
    return {
        (one, other)
        for number, (one, price) in enumerate(voices)
        for other, voice in voices[number + 1 :]
        if not apart(price, voice, tolerance)
    }


def _left_behind(
    route: Route,
    chosen: Limits,
    price: Price,
    voices: Mapping[str, tuple[Validity, Price]],
    agreed: Agreed,
    now: Nanos,
) -> frozenset[str]:
    """Publishers of a slower kind whose word is older than `price` and no newer than their last agreement with it, not long ago.

    Only of a slower kind: that one which publishes by the second stays where it was is a contradiction.
    """
    ages, publisher, found = {one.source: one.ages for one in route.sources}, chosen.publisher, set()
    for other, (_, voice) in voices.items():
        if ages[voice.source].full <= chosen.ages.full:
            continue
        since = agreed.get((min(publisher, other), max(publisher, other)))
        if since is not None and voice.published_at <= since and voice.published_at < price.published_at:
            found |= {other} if now - since <= FOLLOWS_WITHIN else set()
    return frozenset(found)


def _together(
    route: Route,
    one: Input,
    price: Price,
    voices: Mapping[str, tuple[Validity, Price]],
    average: Price | None,
    contested: bool,
    behind: frozenset[str],
) -> tuple[Validity, tuple[Fault, ...]]:
    """How a price stands against the other publishers and against the average, and what is wrong with it there.

    An aged voice confirms, though not to the full, but never contradicts: the market may have moved since. A stale one confirms only
    what nobody contradicts, and no further than itself. One that is left `behind` does not contradict either, but nothing may be done
    then that could wait.
    """
    rule = route.rule
    others = [(publisher, *voice) for publisher, voice in voices.items() if publisher != one.limits.publisher]
    agreeing = [validity for _, validity, voice in others if not apart(price, voice, rule.tolerance)]
    apart_from = {
        publisher
        for publisher, validity, voice in others
        if validity is Validity.VALID and apart(price, voice, rule.tolerance)
    }
    found: list[tuple[Validity, Fault]] = []
    if 1 + len(agreeing) - agreeing.count(Validity.STALE) < rule.quorum:
        if apart_from - behind:
            found.append((Validity.DISPUTED, Fault.DISAGREES))
        elif contested:
            found.append((Validity.DISPUTED, Fault.CONTESTED))
        elif apart_from:
            found.append((Validity.UNCERTAIN, Fault.LEFT_BEHIND))
        elif 1 + len(agreeing) >= rule.quorum:
            found.append((Validity.STALE, Fault.LATE_CONFIRMED))
        else:
            found.append((Validity.LONE, Fault.UNCONFIRMED))
    elif 1 + agreeing.count(Validity.VALID) < rule.quorum:
        found.append((Validity.AGED, Fault.LATE_CONFIRMED))
    if rule.max_deviation is not None and average is not None and apart(price, average, rule.max_deviation):
        found.append((Validity.VOLATILE, Fault.DEVIATES))
    worst = reduce(worse, (validity for validity, _ in found), Validity.VALID)
    return worst, tuple(fault for _, fault in found)


def _own_faults(
    route: Route, inputs: tuple[Input, ...], chosen: Input | None
) -> tuple[tuple[str, Fault], ...]:
    """What is wrong with each source by itself or, where nothing is, with one that is far from the choice."""
    faults = []
    for one in inputs:
        fault = one.fault
        if fault is None and route.rule.quorum > 1 and one.price and chosen and chosen.price:
            fault = Fault.DISAGREES if apart(one.price, chosen.price, route.rule.tolerance) else None
        if fault is not None:
            faults.append((one.limits.source, fault))
    return tuple(faults)
