"""What `perpdex market` prints of a market: one line of what it does, and all of its limits."""

from datetime import UTC, datetime
from typing import Any

from core.quantities import SECOND


def line(found: dict[str, Any]) -> str:
    """A market's status, open interest and the limits that are looked at most."""
    jumped, ending = found["jumped"], found["delisting"]
    return (
        f"{found['symbol']}: {found['status']}, open interest {found['open_interest']} of {found['open_interest_cap']},"
        f" an owner's at most {found['position_cap']}, leverage {found['max_leverage']},"
        f" band {found['oracle_band_ppm']} ppm, prices within {found['price_band_ppm']} ppm, fee {found['taker_fee_ppm']} ppm"
        + (", only reduces while thin" if found["thin_only_reduces"] else "")
        + (f", open interest jumped to {jumped['open_interest']}" if jumped else "")
        + (f", to be delisted at {instant(ending['settles_at'] * 1_000)}" if ending else "")
        + (f" but waits: {ending['waits']}" if ending and ending["waits"] else "")
    )


def terms(found: dict[str, Any]) -> list[str]:
    """Everything else that `perpdex market limits` sets, a line for each option, by the option's name."""
    margin, alarm = found["margin_terms"], found["alarm"]
    tiers = ", ".join(f"{one['initial_ppm']} ppm above {one['above']} USDC" for one in margin["tiers"])
    lower, upper = margin["open_interest_lower"], margin["open_interest_upper"]
    rises = f"from {lower} to {upper} USDC of open interest" if lower != upper else "never"
    window = f"{alarm['share_ppm']} ppm of the cap in {alarm['window_ms'] // 1_000} s" if alarm else ""
    return [
        f"  tier: {tiers}",
        f"  bounds: requirements rise {rises}",
        f"  maintenance-share: {margin['maintenance_share_ppm']} ppm of the initial fraction",
        f"  alarm: {window}{', then only reduces' if alarm['only_reduces'] else ''}"
        if alarm
        else "  alarm: none",
        f"  index-max-age: {found['index_max_age_ms'] // 1_000} s, fill-max-age: {found['fill_max_age_ms'] // 1_000} s",
        f"  mark: {_named(found['mark_terms'])}",
        f"  liquidation: {_named(found['liquidation'])}",
        f"  funding: {_named(found['funding_terms'])}",
        f"  deleveraging: {'by-rank' if found['greedy_deleveraging'] else 'in-proportion'}",
    ]


def instant(nanos: int) -> str:
    return datetime.fromtimestamp(nanos // SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _named(values: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())
