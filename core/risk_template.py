"""What a vault may trade where, and the one order in which a ticket is judged.

The operator sets a template; a vault's own override can only tighten it. Orders that only reduce a position are held to the rules of
the venue and to nothing else: whatever the template has become, and while it is paused, a vault can always get out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from core.backing import Backing
from core.quantities import MicroUsdc
from core.tickets import PriceE8, Ticket, notional_down, notional_up

Bound = TypeVar("Bound", bound=int)


class Lifecycle(StrEnum):
    """What can still be done at a venue."""

    ACTIVE = "active"
    CLOSE_ONLY = "close_only"
    """Positions may be reduced, and nothing else."""
    DEAD = "dead"
    """It does not answer any more: nothing can be sent there."""


class Code(StrEnum):
    """Why a ticket is refused; stable. Earlier wins when several apply."""

    UNKNOWN_VENUE = "unknown_venue"
    VENUE_NOT_ALLOWED = "venue_not_allowed"
    SYMBOL_NOT_ALLOWED = "symbol_not_allowed"
    LEVERAGE_TOO_LOW = "leverage_too_low"
    LEVERAGE_TOO_HIGH = "leverage_too_high"
    NOTIONAL_TOO_SMALL = "notional_too_small"
    NOTIONAL_TOO_LARGE = "notional_too_large"
    VENUE_CLOSE_ONLY = "venue_close_only"
    VENUE_DEAD = "venue_dead"
    VAULT_PAUSED = "vault_paused"
    PRICE_UNAVAILABLE = "price_unavailable"


SENTENCES: Final[Mapping[Code, str]] = {
    Code.UNKNOWN_VENUE: "No venue has that name.",
    Code.VENUE_NOT_ALLOWED: "This vault may not trade at that venue.",
    Code.SYMBOL_NOT_ALLOWED: "This vault may not trade that symbol.",
    Code.LEVERAGE_TOO_LOW: "The leverage is below the least that is allowed at that venue.",
    Code.LEVERAGE_TOO_HIGH: "The leverage is above the most that is allowed at that venue, or the vault's positions there would come "
    "to more than that, or the ticket's own, carries.",
    Code.NOTIONAL_TOO_SMALL: "The order's value is below the least that is allowed at that venue.",
    Code.NOTIONAL_TOO_LARGE: "The order's value is above the most that is allowed at that venue.",
    Code.VENUE_CLOSE_ONLY: "That venue is closing: only orders that reduce a position are taken.",
    Code.VENUE_DEAD: "That venue has shut down.",
    Code.VAULT_PAUSED: "The vault is paused: only orders that reduce a position are taken.",
    Code.PRICE_UNAVAILABLE: "Nobody knows a price of that symbol at that venue, so the order can not be valued.",
}


ENDED: Final[Mapping[str, str]] = {
    "synthetix_v3": "Synthetix Perps v3 was shut down on every L2 in July 2025; the venue of today is called synthetix",
}
"""Venues that have shut down: when, and what to use instead."""


@dataclass(frozen=True)
class VenueLimits:
    """Bounds at one venue; None leaves a side open. Leverage is whole times, notional that of one order."""

    min_leverage: int | None = None
    max_leverage: int | None = None
    min_notional: MicroUsdc | None = None
    max_notional: MicroUsdc | None = None


NO_LIMITS: Final = VenueLimits()


@dataclass(frozen=True)
class RiskTemplate:
    """What may be traded. `symbols` None: every symbol that a venue has."""

    venues: frozenset[str]
    symbols: frozenset[str] | None
    per_venue: Mapping[str, VenueLimits]

    def limits(self, venue: str) -> VenueLimits:
        return self.per_venue.get(venue, NO_LIMITS)


@dataclass(frozen=True)
class Override:
    """A vault's own rules; None says nothing about it."""

    venues: frozenset[str] | None = None
    symbols: frozenset[str] | None = None
    per_venue: Mapping[str, VenueLimits] | None = None


def tightened(template: RiskTemplate, override: Override) -> RiskTemplate:
    """The template with everything in which the override is narrower.

    Never wider than the template in anything, also when that was tightened after the override was accepted.
    """
    mine = override.per_venue or {}
    return RiskTemplate(
        template.venues if override.venues is None else template.venues & override.venues,
        _both(template.symbols, override.symbols),
        {
            venue: narrower(template.limits(venue), mine.get(venue, NO_LIMITS))
            for venue in sorted({*template.per_venue, *mine})
        },
    )


def widenings(template: RiskTemplate, override: Override) -> list[str]:
    """What in an override would allow more than the template, as sentences; empty when it only tightens."""
    found = []
    if beyond := sorted((override.venues or frozenset()) - template.venues):
        found.append(f"venues that are not allowed: {', '.join(beyond)}")
    if template.symbols is not None and (
        beyond := sorted((override.symbols or frozenset()) - template.symbols)
    ):
        found.append(f"symbols that are not allowed: {', '.join(beyond)}")
    for venue, mine in sorted((override.per_venue or {}).items()):
        set_by_operator = template.limits(venue)
        found += [f"{what} of {venue}" for what, wider in _wider(set_by_operator, mine) if wider]
    return found


def _wider(operator: VenueLimits, mine: VenueLimits) -> list[tuple[str, bool]]:
    def below(least: int | None, given: int | None) -> bool:
        return least is not None and given is not None and given < least

    def above(most: int | None, given: int | None) -> bool:
        return most is not None and given is not None and given > most

    return [
        ("least leverage", below(operator.min_leverage, mine.min_leverage)),
        ("most leverage", above(operator.max_leverage, mine.max_leverage)),
        ("least notional", below(operator.min_notional, mine.min_notional)),
        ("most notional", above(operator.max_notional, mine.max_notional)),
    ]


def _both(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return one if other is None else other
    return one & other


def narrower(one: VenueLimits, other: VenueLimits) -> VenueLimits:
    return VenueLimits(
        min_leverage=_among(max, one.min_leverage, other.min_leverage),
        max_leverage=_among(min, one.max_leverage, other.max_leverage),
        min_notional=_among(max, one.min_notional, other.min_notional),
        max_notional=_among(min, one.max_notional, other.max_notional),
    )


def _among(choose: Callable[[Bound, Bound], Bound], one: Bound | None, other: Bound | None) -> Bound | None:
    if one is None or other is None:
        return one if other is None else other
    return choose(one, other)


def leverage_of(ticket: Ticket, limits: VenueLimits) -> int | None:
    """The leverage to set for a ticket: its own, else the least that is allowed where leverage is bounded at all.

    A ticket that does not say must not get more than the operator wanted because the venue's own default is higher. None: leave the
    venue's setting alone. So do orders that only reduce, whatever their ticket says: no bound is held against those, and a setting
    counts for the position that is left and for all that follows.
    """
    if ticket.reduce_only:
        return None
    if ticket.leverage is not None:
        return ticket.leverage
    if limits.min_leverage is not None:
        return limits.min_leverage
    return 1 if limits.max_leverage is not None else None


def carried_at(ticket: Ticket, limits: VenueLimits) -> int | None:
    """How many times what is behind them a vault's positions may come to by this ticket, at a venue that keeps no leverage itself;
    None leaves that open. What a ticket names it means."""
    return limits.max_leverage if ticket.leverage is None else ticket.leverage


def refusal(
    ticket: Ticket,
    template: RiskTemplate,
    venues: Mapping[str, Lifecycle],
    index: PriceE8 | None,
    paused: bool,
    holds: bool = False,
    backing: Backing | None = None,
) -> Code | None:
    """Why a ticket is refused, or None. `venues` are all that there are; `index` is the symbol's price there, None if nobody knows.

    `holds`: the vault has a position in it there. Such a one can be reduced at a venue that was taken off the template since.
    `backing` is what stands behind it where the venue does not keep leverage itself: then no more is opened than that carries.
    An order is valued at the index and at its limit: at the higher one against the most, at the lower one against the least.
    Of a dead venue that is not allowed it is told that it is dead: no operator will ever allow it, and its name has a successor.
    """
    lifecycle = venues.get(ticket.venue)
    if lifecycle is None:
        return Code.UNKNOWN_VENUE
    if ticket.venue not in template.venues and not (ticket.reduce_only and holds):
        return Code.VENUE_DEAD if lifecycle is Lifecycle.DEAD else Code.VENUE_NOT_ALLOWED
    if not ticket.reduce_only and (code := _beyond(ticket, template, index, backing)) is not None:
        return code
    if lifecycle is Lifecycle.CLOSE_ONLY and not ticket.reduce_only:
        return Code.VENUE_CLOSE_ONLY
    if lifecycle is Lifecycle.DEAD:
        return Code.VENUE_DEAD
    if paused and not ticket.reduce_only:
        return Code.VAULT_PAUSED
    return Code.PRICE_UNAVAILABLE if index is None and not ticket.reduce_only else None


def refusal_since(
    ticket: Ticket, template: RiskTemplate, venues: Mapping[str, Lifecycle], paused: bool, holds: bool = False
) -> Code | None:
    """Why a ticket that was accepted is refused by now, or None: by what is decided about vaults and venues, and not by prices.

    `ticket` has the leverage that it was accepted with. One that has none would get whatever the venue has set, so it is refused
    where leverage has been bounded since.
    """
    code = refusal(ticket, template, venues, None, paused, holds)
    if code is None or code is Code.PRICE_UNAVAILABLE:
        unbounded = ticket.leverage is None and leverage_of(ticket, template.limits(ticket.venue)) is not None
        return Code.LEVERAGE_TOO_HIGH if unbounded else None
    return code


def words_of(code: Code, ticket: Ticket, template: RiskTemplate) -> str:
    """A refusal as a sentence; of a venue that is not allowed with those that are, for a ticket that names none may be for one, and of
    a dead one with what to use instead."""
    if code is Code.VENUE_DEAD and ticket.venue in ENDED:
        return f"{ENDED[ticket.venue]}."
    if code is not Code.VENUE_NOT_ALLOWED:
        return SENTENCES[code]
    allowed = ", ".join(sorted(template.venues)) or "none"
    return (
        f"This vault may not trade at {ticket.venue}. Its venues are: {allowed}. A ticket that names no venue is for the vault's "
        "default one."
    )


def _beyond(
    ticket: Ticket, template: RiskTemplate, index: PriceE8 | None, backing: Backing | None
) -> Code | None:
    """What of the template a ticket that may add risk breaks. Without an index its value is not judged: it is refused for that."""
    limits, leverage = template.limits(ticket.venue), leverage_of(ticket, template.limits(ticket.venue))
    if template.symbols is not None and ticket.symbol not in template.symbols:
        return Code.SYMBOL_NOT_ALLOWED
    if leverage is not None and limits.min_leverage is not None and leverage < limits.min_leverage:
        return Code.LEVERAGE_TOO_LOW
    if leverage is not None and limits.max_leverage is not None and leverage > limits.max_leverage:
        return Code.LEVERAGE_TOO_HIGH
    most = carried_at(ticket, limits)
    if most is not None and backing is not None and not backing.carries(most):
        return Code.LEVERAGE_TOO_HIGH
    if index is None:
        return None
    limit = index if ticket.limit_price is None else ticket.limit_price
    if (
        limits.min_notional is not None
        and notional_down(min(index, limit), ticket.size) < limits.min_notional
    ):
        return Code.NOTIONAL_TOO_SMALL
    if limits.max_notional is not None and notional_up(max(index, limit), ticket.size) > limits.max_notional:
        return Code.NOTIONAL_TOO_LARGE
    return None
