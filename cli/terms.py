"""A market's terms as `perpdex market limits` takes them: `NAME=VALUE` with names and units of `GET /api/v1/markets/{symbol}`."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

from core.funding import FundingTerms
from core.liquidation import LiquidationTerms
from core.mark_price import MarkTerms
from core.premium import PremiumRule
from core.quantities import USDC_UNIT, units_from_decimal
from core.rates import RATE_UNIT


class Deleveraging(StrEnum):
    """Whose positions pay for a debt that the insurance fund cannot take."""

    IN_PROPORTION = "in-proportion"
    BY_RANK = "by-rank"


def _rate(text: str) -> int:
    return units_from_decimal(text, RATE_UNIT)


def _usdc(text: str) -> int:
    return units_from_decimal(text, USDC_UNIT)


def _rule(text: str) -> PremiumRule:
    return {"beyond_impact": PremiumRule.BEYOND_IMPACT, "middle": PremiumRule.MIDDLE}[text]


_LIQUIDATION: Final[dict[str, Callable[[str], Any]]] = {
    "slice_share_ppm": int,
    "whole_up_to": _usdc,
    "fee_ppm": int,
    "surplus_share_ppm": int,
    "spread_ppm": int,
    "urgency_ppm": int,
}
_FUNDING: Final[dict[str, Callable[[str], Any]]] = {
    "interest": _rate,
    "interest_clamp": _rate,
    "cap": _rate,
    "margin_factor_ppm": int,
    "velocity": _rate,
    "treasury_share_ppm": int,
    "rule": _rule,
}
_MARK: Final[dict[str, Callable[[str], Any]]] = {"basis_max_ppm": int, "drift_ppm": int}


def mark_terms(shown: dict[str, Any], changes: list[str]) -> MarkTerms:
    """The terms that a market shows, with changes. Raises `ValueError`."""
    return MarkTerms(**_changed(shown, changes, _MARK))


def liquidation_terms(shown: dict[str, Any], changes: list[str]) -> LiquidationTerms:
    """The terms that a market shows, with changes. Raises `ValueError` or `ArithmeticError`."""
    return LiquidationTerms(**_changed(shown, changes, _LIQUIDATION))


def funding_terms(shown: dict[str, Any], changes: list[str]) -> FundingTerms:
    """The terms that a market shows, with changes. Raises `ValueError` or `ArithmeticError`."""
    return FundingTerms(**_changed(shown, changes, _FUNDING))


def _changed(
    shown: dict[str, Any], changes: list[str], readers: dict[str, Callable[[str], Any]]
) -> dict[str, Any]:
    given = {name: str(shown[name]) for name in readers}
    for change in changes:
        name, _, value = change.partition("=")
        if name not in readers:
            raise ValueError(f"{name} is none of {', '.join(readers)}")
        given[name] = value
    try:
        return {name.removesuffix("_ppm"): read(given[name]) for name, read in readers.items()}
    except KeyError as error:
        raise ValueError(f"{error.args[0]} is no rule of premiums") from None
