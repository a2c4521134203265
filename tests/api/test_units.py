"""Decimal strings of agents and the exchange's whole numbers: exact both ways, and as plain as the protocol says."""

import re
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import ApiError
from api.units import MarketUnits, billionths, usdc
from api.wire import DECIMAL_PATTERN, KEY_PATTERN, is_key, whole
from core.market import DEFAULT_MARKETS, Market, market
from core.quantities import USDC_UNIT, decimal_from_units

ODD = market(
    9, "ODD-PERP", "0.025", "0.04", max_leverage=2, position_cap="40", open_interest_cap="40", feed="00"
)
MARKETS = [*DEFAULT_MARKETS, ODD]


@given(st.text(alphabet="0123456789.-+e_ ٣²\n", max_size=27))
def test_a_number_is_read_exactly_when_the_protocol_allows_it(text: str) -> None:
    if re.match(whole(DECIMAL_PATTERN), text):
        assert billionths(text, "size") == Decimal(text).scaleb(9)
    else:
        with pytest.raises(ApiError, match="bad_value"):
            billionths(text, "size")


@given(st.text(min_size=1, max_size=64))
def test_a_key_is_what_its_pattern_says(text: str) -> None:
    assert is_key(text) == bool(re.match(whole(KEY_PATTERN), text))


@pytest.mark.parametrize("listed", MARKETS, ids=lambda listed: listed.symbol)
@given(units=st.integers(0, 10**12))
def test_prices_and_sizes_come_back_as_they_were(listed: Market, units: int) -> None:
    names = MarketUnits(listed)
    assert names.ticks(names.price(units)) == units
    assert names.lots(names.size(units)) == units


@pytest.mark.parametrize("text", ["60000.05", "0.01", "0.000000001"])
def test_what_lies_between_two_ticks_is_refused(text: str) -> None:
    with pytest.raises(ApiError, match="bad_value"):
        MarketUnits(DEFAULT_MARKETS[0]).ticks(text)


@given(st.integers(-(10**18), 10**18))
def test_usdc_is_exact(amount: int) -> None:
    assert usdc(amount) == decimal_from_units(amount, USDC_UNIT)


@pytest.mark.parametrize("listed", MARKETS, ids=lambda listed: listed.symbol)
@given(value=st.integers(1, 10**18), lots=st.integers(1, 10**9))
def test_an_average_price_is_rounded_half_to_even(listed: Market, value: int, lots: int) -> None:
    with localcontext(prec=80):
        exact = Decimal(value) / (lots * listed.value_per_tick_lot) * Decimal(listed.tick)
        expected = format(exact.quantize(Decimal("0.000000001"), ROUND_HALF_EVEN), "f")
    assert MarketUnits(listed).average(value, lots) == expected


def test_no_fill_has_no_average_price() -> None:
    assert MarketUnits(DEFAULT_MARKETS[0]).average(0, 0) is None
