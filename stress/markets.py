"""The markets that a recording may be of: those of the network, and a few smaller ones whose crashes have been recorded."""

from typing import Final

from core.market import DEFAULT_MARKETS, Market, market, millions


def _small(id: int, symbol: str, tick: str, lot: str, cap: str) -> Market:
    """A market with the leverage and the open interest of a smaller asset; `cap` is one owner's largest position."""
    return market(
        id,
        symbol,
        tick,
        lot,
        max_leverage=20,
        position_cap=cap,
        open_interest_cap=f"{cap}0",
        feed="",
        margin=millions({0: 20, 1: 10, 5: 5}, open_interest=(60, 200)),
    )


MARKETS: Final = {
    one.symbol: one
    for one in (
        *DEFAULT_MARKETS,
        _small(4, "AVAX-PERP", "0.001", "0.1", "2000000"),
        _small(5, "NEAR-PERP", "0.0001", "1", "20000000"),
        _small(6, "FIL-PERP", "0.001", "0.1", "10000000"),
        _small(7, "ALGO-PERP", "0.00001", "1", "200000000"),
        _small(8, "LINK-PERP", "0.001", "0.1", "4000000"),
        _small(9, "LTC-PERP", "0.01", "0.01", "1000000"),
    )
}
"""By symbol."""
