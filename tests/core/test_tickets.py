"""Tickets: exact units, legs that come back, and tickets that cannot contradict themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.market import Side
from core.quantities import SECOND, Nanos, NotAQuantity
from core.tickets import (
    PRICE_MAX,
    SEND_WITHIN,
    SIZE_MAX,
    Leg,
    NotATicket,
    OrderType,
    SendWithin,
    Ticket,
    TimeInForce,
    e8_text,
    leg,
    leg_from,
    no_worse,
    notional_down,
    notional_up,
    price_from,
    size_from,
)

NAMES = st.text(
    st.characters(codec="ascii", categories=["L", "N"], include_characters="_-/"), min_size=1, max_size=20
)
PRICES = st.integers(1, PRICE_MAX)
SIZES = st.integers(1, SIZE_MAX)


@given(st.integers(-SIZE_MAX, SIZE_MAX))
def test_sizes_and_prices_come_back_exactly(value):
    text = e8_text(value)
    assert size_from(text) == price_from(text) == value
    assert "e" not in text.lower()
    assert not text.endswith(".")


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.5", 50_000_000), ("60000", 6_000_000_000_000), ("100", 10_000_000_000), ("0.00000001", 1), ("0", 0)],
)
def test_how_a_size_is_written(text, value):
    assert size_from(text) == value
    assert e8_text(value) == text


@pytest.mark.parametrize("text", ["", "0.000000001", "nan", "1e40", "one"])
def test_nothing_is_rounded_on_the_way_in(text):
    with pytest.raises(NotAQuantity):
        size_from(text)


@given(PRICES, SIZES)
def test_the_two_roundings_of_a_notional_enclose_it(price, size):
    low, high = notional_down(price, size), notional_up(price, size)
    assert low * 10**10 <= price * size <= high * 10**10
    assert 0 <= high - low <= 1


@given(PRICES, st.integers(1, 10**9), st.sampled_from(Side))
def test_a_rounded_worst_price_is_no_worse(price, step, side):
    rounded = no_worse(price, side, step)
    assert rounded % step == 0
    assert 0 <= side * (price - rounded) < step


def test_a_notional():
    assert notional_up(price_from("60000.5"), size_from("0.5")) == 30_000_250_000


@given(NAMES, NAMES)
def test_a_leg_comes_back(venue, symbol):
    assert leg_from(leg(venue, symbol)) == Leg(venue, symbol)
    assert str(Leg(venue, symbol)) == leg(venue, symbol)
    assert leg_from(symbol, venue) == Leg(venue, symbol)


def test_a_symbol_alone_is_at_the_default_venue():
    assert leg_from("ETH") == ("hyper", "ETH")
    assert leg_from("ETH", "synthetix") == ("synthetix", "ETH")
    assert leg_from("xyz:GOLD", "hyper") == ("hyper", "xyz:GOLD")


@pytest.mark.parametrize(
    "text", ["", "::", "::ETH", "hyper::", "hyper::ETH::2", " ETH", "hyper:::ETH", "E" * 81]
)
def test_what_names_no_leg(text):
    with pytest.raises(NotATicket):
        leg_from(text)


@given(st.text(max_size=40))
def test_whatever_is_read_as_a_leg_is_written_as_one(text):
    try:
        found = leg_from(text)
    except NotATicket:
        return
    assert leg_from(str(found)) == found


def test_callers_from_before_venues_mean_the_default_one():
    old = Ticket("ETH", size_from("1.5"), Side.BUY)
    assert old == Ticket(symbol="ETH", size=size_from("1.5"), side=Side.BUY, venue="hyper")
    assert old.leg == ("hyper", "ETH")
    assert old.order_type is OrderType.MARKET


@pytest.mark.parametrize(
    "fields",
    [
        {"size": 0},
        {"size": -1},
        {"size": SIZE_MAX + 1},
        {"leverage": 0},
        {"limit_price": 0},
        {"limit_price": PRICE_MAX + 1},
        {"order_type": OrderType.LIMIT},
        {"time_in_force": TimeInForce.POST_ONLY},
        {"client_id": "x" * 129},
        {"symbol": ""},
        {"symbol": "hyper::ETH"},
        {"venue": ""},
    ],
)
def test_a_ticket_cannot_contradict_itself(fields):
    with pytest.raises(NotATicket):
        Ticket(**{"symbol": "ETH", "size": 1, "side": Side.BUY, **fields})


@pytest.mark.parametrize(
    ("order_type", "wanted", "last"),
    [
        (OrderType.MARKET, None, 1_030),
        (OrderType.LIMIT, None, 1_060),
        (OrderType.MARKET, 1_045, 1_045),
        (OrderType.LIMIT, 1_600, 1_600),
        (OrderType.LIMIT, 1_601, 1_600),
        (OrderType.MARKET, 3, 3),
        (OrderType.MARKET, 0, 0),
    ],
)
def test_until_when_an_order_is_sent(order_type, wanted, last):
    given = None if wanted is None else Nanos(wanted * SECOND)
    assert SEND_WITHIN.not_after(order_type, Nanos(1_000 * SECOND), given) == last * SECOND


def test_an_operators_own_time_counts_where_a_ticket_says_none():
    ours = SendWithin(market=Nanos(5 * SECOND), limit=Nanos(900 * SECOND))
    assert ours.not_after(OrderType.MARKET, Nanos(7), None) == 5 * SECOND + 7
    assert ours.not_after(OrderType.LIMIT, Nanos(7), None) == 600 * SECOND + 7
