"""A vault's risk rules: what the operator set for all, what it set for this vault, and what the vault's manager made narrower.

The operator's word on a vault replaces the common template in what it names, limit by limit, and may be wider; the manager's only
narrows what is then left. Documents are the API's: lists of names are one string, separated by commas, and ``*`` means every symbol;
notionals are whole dollars. Venues are called as in tickets: ``mock-gold`` is ``mock_gold``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from core.quantities import MILLION, MicroUsdc
from core.risk_template import (
    NO_LIMITS,
    Bound,
    Override,
    RiskTemplate,
    VenueLimits,
    narrower,
    tightened,
    widenings,
)
from core.tickets import NotATicket, leg, leg_said

EVERY: Final = "*"
LEVERAGE_MAX: Final = 1_000
DOLLARS_MAX: Final = 10**12
NAMES_MAX: Final = 500
VENUES: Final = frozenset(
    {"agents", "hyper", "mock_gold", "mock_gold_evm", "polymarket", "synthetix", "synthetix_v3"}
)
"""All that there are, be they set up or not: a limit stays where it is written while its venue is not allowed."""
_KEYS: Final = frozenset({"allowedSymbols", "allowedVenues", "perVenue"})
_LIMITS: Final = {
    "minLeverage": "min_leverage",
    "maxLeverage": "max_leverage",
    "minNotionalUsd": "min_notional",
    "maxNotionalUsd": "max_notional",
}


class NotRules(ValueError):
    """A document that is no risk rules; the text says in what."""


@dataclass(frozen=True)
class Rules:
    """What one side says; None says nothing about it. `every_symbol`: it says that all may be traded."""

    venues: frozenset[str] | None = None
    symbols: frozenset[str] | None = None
    every_symbol: bool = False
    per_venue: Mapping[str, VenueLimits] | None = None

    @property
    def narrowing(self) -> Override:
        """As a manager means it: to allow every symbol narrows nothing."""
        return Override(self.venues, self.symbols, self.per_venue)


SILENT: Final = Rules()


@dataclass(frozen=True)
class VaultRisk:
    """`set_up` are the venues of this network, `common` is the template of all vaults; the others are this vault's."""

    set_up: frozenset[str]
    common: RiskTemplate
    operator: Rules = SILENT
    manager: Rules = SILENT

    @property
    def ceiling(self) -> RiskTemplate:
        """The most that the manager may allow: never a venue that is not set up here."""
        said, common = self.operator, self.common
        symbols = common.symbols if said.symbols is None else said.symbols
        return RiskTemplate(
            self.set_up & (common.venues if said.venues is None else said.venues),
            None if said.every_symbol else symbols,
            {
                venue: _named_first((said.per_venue or {}).get(venue, NO_LIMITS), common.limits(venue))
                for venue in sorted({*common.per_venue, *(said.per_venue or {})})
            },
        )

    @property
    def effective(self) -> RiskTemplate:
        """What tickets are judged by."""
        return tightened(self.ceiling, self.manager.narrowing)

    def beyond(self, manager: Rules) -> list[str]:
        """What in a manager's rules is wider than it may be, bounds nothing or refuses everything, as sentences."""
        return [*widenings(self.ceiling, manager.narrowing), *_senseless(manager)]

    def impossible(self, operator: Rules) -> list[str]:
        """What in the operator's rules cannot be, as sentences."""
        strange = sorted((operator.venues or frozenset()) - self.set_up)
        found = [f"venues that are not set up here: {', '.join(strange)}"] if strange else []
        found += _boundless(operator)
        for venue, said in sorted((operator.per_venue or {}).items()):
            if _contrary(_named_first(said, self.common.limits(venue))):
                found.append(f"a least of {venue} above its most, with what is common to all vaults")
        return found


def _named_first(said: VenueLimits, common: VenueLimits) -> VenueLimits:
    """Each limit that is said, and the common one where it is not: to widen one must not lift the others."""

    def first(one: Bound | None, other: Bound | None) -> Bound | None:
        return other if one is None else one

    return VenueLimits(
        first(said.min_leverage, common.min_leverage),
        first(said.max_leverage, common.max_leverage),
        first(said.min_notional, common.min_notional),
        first(said.max_notional, common.max_notional),
    )


def common_template(set_up: frozenset[str], rules: Rules) -> RiskTemplate:
    """The operator's template for all vaults. Raises `NotRules` when it allows a venue that is not set up, or when limits of it bound
    nothing or refuse everything."""
    if strange := sorted((rules.venues or frozenset()) - set_up):
        raise NotRules(f"venues that are not set up: {', '.join(strange)}")
    if senseless := _senseless(rules):
        raise NotRules("; ".join(senseless))
    return RiskTemplate(
        set_up if rules.venues is None else rules.venues, rules.symbols, dict(rules.per_venue or {})
    )


def _boundless(rules: Rules) -> list[str]:
    """A limit of a misspelt venue would bound nothing, and who set it would think that it does."""
    strange = sorted((rules.per_venue or {}).keys() - VENUES)
    return [f"limits of venues that do not exist: {', '.join(strange)}"] if strange else []


def _senseless(rules: Rules) -> list[str]:
    """Limits that bound nothing, and those that are contrary once both spellings of a venue are put together."""
    contrary = [venue for venue, said in sorted((rules.per_venue or {}).items()) if _contrary(said)]
    return [*_boundless(rules), *(f"a least of {venue} above its most" for venue in contrary)]


def rules_from(document: object) -> Rules:
    """The rules in a document; of limits under two spellings of a venue the narrower count. Raises `NotRules`."""
    if not isinstance(document, dict) or not document.keys() <= _KEYS:
        raise NotRules("rules have allowedSymbols, allowedVenues and perVenue, and nothing else")
    symbols = _names(document.get("allowedSymbols"), "allowedSymbols")
    per_venue = document.get("perVenue")
    if per_venue is not None and not isinstance(per_venue, dict):
        raise NotRules("perVenue has a venue's name for each of its limits")
    every = symbols is not None and EVERY in symbols
    venues = _names(document.get("allowedVenues"), "allowedVenues")
    limits: dict[str, VenueLimits] = {}
    for name, said in (per_venue or {}).items():
        venue = _venue(name)
        limits[venue] = narrower(limits.get(venue, NO_LIMITS), _limits(venue, said))
    return Rules(
        venues=None if venues is None else frozenset(_venue(name) for name in venues),
        symbols=None if every else symbols,
        every_symbol=every,
        per_venue=None if per_venue is None else limits,
    )


def rules_document(rules: Rules) -> dict[str, Any]:
    """The document of what one side says; what it is silent about is left out."""
    document: dict[str, Any] = {}
    if rules.every_symbol or rules.symbols is not None:
        document["allowedSymbols"] = _listed(None if rules.every_symbol else rules.symbols)
    if rules.venues is not None:
        document["allowedVenues"] = _listed(rules.venues)
    if rules.per_venue is not None:
        document["perVenue"] = _per_venue(rules.per_venue)
    return document


def template_document(template: RiskTemplate) -> dict[str, Any]:
    """The document of a template, which says everything."""
    return {
        "allowedSymbols": _listed(template.symbols),
        "allowedVenues": _listed(template.venues),
        "perVenue": _per_venue(template.per_venue),
    }


def _listed(names: frozenset[str] | None) -> str:
    return EVERY if names is None else ",".join(sorted(names))


def _per_venue(limits: Mapping[str, VenueLimits]) -> dict[str, dict[str, int]]:
    return {venue: _limits_document(limits[venue]) for venue in sorted(limits)}


def _limits_document(limits: VenueLimits) -> dict[str, int]:
    found = {}
    for word, name in _LIMITS.items():
        value = getattr(limits, name)
        if value is not None:
            found[word] = value // MILLION if name.endswith("notional") else value
    return found


def _names(text: object, what: str) -> frozenset[str] | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise NotRules(f"{what} is a string of names separated by commas")
    names = frozenset(filter(None, (name.strip() for name in text.split(","))))
    if len(names) > NAMES_MAX:
        raise NotRules(f"{what} has more than {NAMES_MAX} names")
    for name in names:
        _named(name)
    return names


def _named(name: object) -> str:
    try:
        leg(str(name), str(name))
    except NotATicket as error:
        raise NotRules(str(error)) from None
    return str(name)


def _venue(name: object) -> str:
    """As tickets call it."""
    return leg_said("X", _named(name)).venue


def _limits(venue: object, document: object) -> VenueLimits:
    if not isinstance(document, dict) or not document.keys() <= _LIMITS.keys():
        raise NotRules(f"{venue}: limits are {', '.join(_LIMITS)}, and nothing else")
    found: dict[str, int] = {}
    for word, value in document.items():
        most = DOLLARS_MAX if word.endswith("Usd") else LEVERAGE_MAX
        least = 0 if word.endswith("Usd") else 1
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise NotRules(f"{venue}: {word} is a whole number from {least} to {most}")
        found[_LIMITS[word]] = value * MILLION if word.endswith("Usd") else value
    limits = VenueLimits(
        found.get("min_leverage"),
        found.get("max_leverage"),
        _money(found.get("min_notional")),
        _money(found.get("max_notional")),
    )
    _possible(venue, limits)
    return limits


def _money(value: int | None) -> MicroUsdc | None:
    return None if value is None else MicroUsdc(value)


def _possible(venue: object, limits: VenueLimits) -> None:
    """A least above its most would refuse everything, and nobody who writes that means it."""
    if _contrary(limits):
        raise NotRules(f"{venue}: a least is above its most")


def _contrary(limits: VenueLimits) -> bool:
    return any(
        least is not None and most is not None and least > most
        for least, most in (
            (limits.min_leverage, limits.max_leverage),
            (limits.min_notional, limits.max_notional),
        )
    )
