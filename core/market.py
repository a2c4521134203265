"""A market's fixed parameters and the products that have a unit."""

from decimal import Decimal
from enum import IntEnum
from typing import Final

import msgspec

from core.funding import FundingTerms
from core.liquidation import DEFAULT_TERMS, LiquidationTerms
from core.margin_terms import MarginTerms, Tier
from core.mark_price import MarkTerms
from core.open_interest import JumpAlarm
from core.quantities import MILLION, SECOND, Lots, MarketId, MicroUsdc, Nanos, Ppm, Ticks

DEFAULT_FUNDING: Final = FundingTerms()
DEFAULT_MARK: Final = MarkTerms()
PRICE_BAND: Final = Ppm(50_000)
"""Five percent: wider than any honest spread of a liquid market, narrower than what moves money between friends."""


FILL_MAX_AGE: Final = Nanos(10 * SECOND)
"""Two of the feed's longest intervals: after one that is missed nobody is to be traded against at the price before it."""


class MarketStatus(IntEnum):
    """What a market lets agents do."""

    OPEN = 1
    REDUCE_ONLY = 2
    PAUSED = 3
    SETTLED = 4
    """Delisted: its positions were closed at the index, and it never opens again."""


class Side(IntEnum):
    """The trader's direction; the value is the sign of its position change."""

    BUY = 1
    SELL = -1


class Market(msgspec.Struct, frozen=True, array_like=True):
    """Parameters of one perpetual market.

    `value_per_tick_lot` is the micro-USDC that one lot is worth per tick of price, so every notional is an exact integer. Rates are
    parts per million. Caps are lots: of what one owner's accounts hold long, and short, and of the market's open interest.
    `margin` is None in markets that were listed before margin had terms; `margin_terms` says what holds for them. With
    `thin_only_reduces` nobody opens anything while fewer than two views of the price are known and the mark is the index. With
    `greedy_deleveraging` the first in rank closes all it can before the next, instead of everybody the same part. `alarm` says
    when its open interest grows too fast; None: nobody watches. `mark` bounds its mark; nobody trades or quotes further than
    `price_band` from the index. A feed silent for `fill_max_age` is believed no more for trading, and for `index_max_age` (both
    nanoseconds) for nothing.
    """

    id: MarketId
    symbol: str
    tick: str
    lot: str
    value_per_tick_lot: int
    max_leverage: int
    taker_fee: Ppm
    oracle_band: Ppm
    position_cap: Lots
    open_interest_cap: Lots
    index_max_age: int
    feed: str
    margin: MarginTerms | None = None
    thin_only_reduces: bool = False
    liquidation: LiquidationTerms = DEFAULT_TERMS
    greedy_deleveraging: bool = False
    funding: FundingTerms = DEFAULT_FUNDING
    alarm: JumpAlarm | None = None
    mark: MarkTerms = DEFAULT_MARK
    price_band: Ppm = PRICE_BAND
    fill_max_age: Nanos = FILL_MAX_AGE

    @property
    def initial_fraction(self) -> Ppm:
        """Initial requirement as a share of a small position's notional: the inverse of the highest leverage, rounded up."""
        return Ppm(-(-MILLION // self.max_leverage))

    @property
    def margin_terms(self) -> MarginTerms:
        """The market's margin parameters; without any, the highest leverage at every size and open interest, and half of its
        initial fraction as maintenance."""
        return self.margin or MarginTerms((Tier(MicroUsdc(0), self.initial_fraction),))

    def notional(self, price: Ticks | int, size: Lots | int) -> MicroUsdc:
        """Signed value of `size` lots at `price`; exact."""
        return MicroUsdc(price * size * self.value_per_tick_lot)


def market(
    id: int,
    symbol: str,
    tick: str,
    lot: str,
    *,
    max_leverage: int,
    position_cap: str,
    open_interest_cap: str,
    feed: str,
    taker_fee: int = 500,
    oracle_band: int = 10_000,
    index_max_age: int = 60_000_000_000,
    margin: MarginTerms | None = None,
    thin_only_reduces: bool = False,
    liquidation: LiquidationTerms = DEFAULT_TERMS,
    greedy_deleveraging: bool = False,
    alarm: JumpAlarm | None = None,
) -> Market:
    """A market from decimal strings.

    Raises `ValueError` when a tick times a lot is not a whole number of micro-USDC: such a market could not be exact.
    """
    value = Decimal(tick) * Decimal(lot) * MILLION
    if value != value.to_integral_value() or value < 1:
        raise ValueError(f"{symbol}: one tick of one lot must be a whole number of micro-USDC, not {value}")
    return Market(
        id=MarketId(id),
        symbol=symbol,
        tick=tick,
        lot=lot,
        value_per_tick_lot=int(value),
        max_leverage=max_leverage,
        taker_fee=Ppm(taker_fee),
        oracle_band=Ppm(oracle_band),
        position_cap=Lots(int(Decimal(position_cap) / Decimal(lot))),
        open_interest_cap=Lots(int(Decimal(open_interest_cap) / Decimal(lot))),
        index_max_age=index_max_age,
        feed=feed,
        margin=margin,
        thin_only_reduces=thin_only_reduces,
        liquidation=liquidation,
        greedy_deleveraging=greedy_deleveraging,
        alarm=alarm,
    )


def millions(leverages: dict[int, int], open_interest: tuple[int, int]) -> MarginTerms:
    """Margin terms from the highest leverage above each notional, and from open interest's bounds; all in millions of USDC."""
    tiers = tuple(
        Tier(MicroUsdc(above * MILLION * MILLION), Ppm(-(-MILLION // leverage)))
        for above, leverage in leverages.items()
    )
    lower, upper = (MicroUsdc(bound * MILLION * MILLION) for bound in open_interest)
    return MarginTerms(tiers, lower, upper)


WATCHED: Final = JumpAlarm(Ppm(200_000), Nanos(3_600 * SECOND))
"""A fifth of the cap within an hour."""

DEFAULT_MARKETS: Final = (
    market(
        1,
        "BTC-PERP",
        "0.1",
        "0.0001",
        max_leverage=50,
        position_cap="500",
        open_interest_cap="10000",
        feed="e62df6c8b4a85fe1a67db44dc12de5db330f7ac66b72dc658afedf0f4a415b43",
        margin=millions({0: 50, 5: 25, 20: 10}, open_interest=(200, 600)),
        alarm=WATCHED,
    ),
    market(
        2,
        "ETH-PERP",
        "0.01",
        "0.001",
        max_leverage=50,
        position_cap="10000",
        open_interest_cap="200000",
        feed="ff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace",
        margin=millions({0: 50, 5: 25, 20: 10}, open_interest=(150, 500)),
        alarm=WATCHED,
    ),
    market(
        3,
        "SOL-PERP",
        "0.001",
        "0.01",
        max_leverage=20,
        position_cap="200000",
        open_interest_cap="4000000",
        feed="ef0d8b6fda2ceba41da15d4095d1da392a0d2f8ed0c6c7bc0f4cfac8c280b56d",
        margin=millions({0: 20, 2: 10, 10: 5}, open_interest=(100, 300)),
        alarm=WATCHED,
    ),
)
