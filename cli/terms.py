"""A market's terms as `perpdex market limits` takes them: `NAME=VALUE` with names and units of `GET /api/v1/markets/{symbol}`."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

from core.funding import FundingTerms
from core.liquidation import LiquidationTerms
from core.margin_terms import MarginTerms, Tier
from core.mark_price import MarkTerms
from core.open_interest import JumpAlarm
from core.premium import PremiumRule
from core.quantities import (
    MILLION,
    MILLISECOND,
    SECOND,
    USDC_UNIT,
    MicroUsdc,
    Nanos,
    NotAQuantity,
    Ppm,
    units_from_decimal,
)
from core.rates import RATE_UNIT

NO_ALARM: Final = "none"


class Deleveraging(StrEnum):
    """Whose positions pay for a debt that the insurance fund cannot take."""

    IN_PROPORTION = "in-proportion"
    BY_RANK = "by-rank"


def _rate(text: str) -> int:
    return units_from_decimal(text, RATE_UNIT)


def micro_usdc(text: str) -> MicroUsdc:
    """An amount in USDC. Raises `ValueError` for what is none to the micro-unit."""
    try:
        return MicroUsdc(units_from_decimal(text, USDC_UNIT))
    except NotAQuantity as error:
        raise ValueError(f"{text!r} is no amount in USDC: {error}") from None


def _whole(text: str) -> int:
    if not text.removeprefix("-").isdecimal():
        raise ValueError(f"{text!r} is no whole number")
    return int(text)


def _pair(text: str, form: str) -> tuple[str, str]:
    first, colon, second = text.partition(":")
    if not colon:
        raise ValueError(f"{text!r} is not {form}")
    return first, second


def tier_of(text: str) -> tuple[MicroUsdc, int]:
    """Where a margin tier begins, and the leverage in it, of `USDC:LEVERAGE`. Raises `ValueError`."""
    begins, leverage = _pair(text, "USDC:LEVERAGE")
    times = _whole(leverage)
    if not 0 < times <= MILLION:
        raise ValueError(f"{text!r}: a leverage is from 1 to {MILLION:,}")
    return micro_usdc(begins), times


def margin_terms(
    shown: dict[str, Any], tiers: list[str] | None, bounds: str, maintenance: int | None
) -> MarginTerms:
    """The margin terms that a market shows, with those parts changed that are named. Raises `ValueError`.

    `bounds` is `USDC:USDC` of open interest between which requirements rise (equal: they never do), `maintenance` ppm of the initial
    fraction. Fractions are rounded up.
    """
    if tiers:
        steps = tuple(
            Tier(begins, Ppm(-(-MILLION // times))) for begins, times in (tier_of(one) for one in tiers)
        )
    else:
        steps = tuple(Tier(micro_usdc(one["above"]), Ppm(one["initial_ppm"])) for one in shown["tiers"])
    ends = (
        _pair(bounds, "USDC:USDC") if bounds else (shown["open_interest_lower"], shown["open_interest_upper"])
    )
    lower, upper = (micro_usdc(end) for end in ends)
    share = shown["maintenance_share_ppm"] if maintenance is None else maintenance
    return MarginTerms(steps, lower, upper, Ppm(share))


def jump_alarm(shown: dict[str, Any] | None, text: str, only_reduces: bool | None) -> JumpAlarm | None:
    """The alarm that a market shows, with what is named changed: `PPM:MINUTES`, or `none` for no alarm; whether the market then only
    reduces. Raises `ValueError`, also for what would change nothing.
    """
    if text == NO_ALARM:
        if only_reduces is not None:
            raise ValueError("Without an alarm there is nothing for --alarm-reduces to do.")
        if shown is None:
            raise ValueError("The market has no alarm that could be taken away.")
        return None
    if not text and shown is None:
        raise ValueError("The market has no alarm: name one with --alarm.")
    if only_reduces is None:
        only_reduces = shown["only_reduces"] if shown is not None else False
    if text:
        share, minutes = (_whole(part) for part in _pair(text, "PPM:MINUTES"))
        return JumpAlarm(Ppm(share), Nanos(minutes * 60 * SECOND), only_reduces)
    assert shown is not None
    return JumpAlarm(Ppm(shown["share_ppm"]), Nanos(shown["window_ms"] * MILLISECOND), only_reduces)


def _rule(text: str) -> PremiumRule:
    return {"beyond_impact": PremiumRule.BEYOND_IMPACT, "middle": PremiumRule.MIDDLE}[text]


_LIQUIDATION: Final[dict[str, Callable[[str], Any]]] = {
    "slice_share_ppm": _whole,
    "whole_up_to": micro_usdc,
    "fee_ppm": _whole,
    "surplus_share_ppm": _whole,
    "spread_ppm": _whole,
    "urgency_ppm": _whole,
}
_FUNDING: Final[dict[str, Callable[[str], Any]]] = {
    "interest": _rate,
    "interest_clamp": _rate,
    "cap": _rate,
    "margin_factor_ppm": _whole,
    "velocity": _rate,
    "treasury_share_ppm": _whole,
    "rule": _rule,
}
_MARK: Final[dict[str, Callable[[str], Any]]] = {"basis_max_ppm": _whole, "drift_ppm": _whole}


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
