"""What a strategy keeps of its vault from numbered events alone."""

from decimal import Decimal

import pytest

from perpdex_sdk.agents.strategy import side_of
from perpdex_sdk.agents.vault_book import VaultBook
from perpdex_sdk.desk_answers import VaultEvent, VenuePositions


def book(positions=None, head=7):
    return VaultBook(VenuePositions(positions or {}, head))


def take(book, kind, **data):
    book.take(VaultEvent(book.head + 1, kind, data, 0))


def fill(book, venue, symbol, side, size):
    take(book, "fill", venue=venue, symbol=symbol, side=side, size=size)


def test_fills_and_differences_move_what_it_began_with():
    kept = book({"mock_gold": {"XAU": "0.5"}})
    fill(kept, "mock_gold", "XAU", "sell", "0.50")
    fill(kept, "agents", "BTC-PERP", "buy", "0.02")
    take(kept, "difference", venue="agents", symbol="BTC-PERP", ours="0.02", theirs="-0.01", price="1")
    assert kept.positions == {"agents": {"BTC-PERP": "-0.01"}}
    assert (kept.position("agents", "BTC-PERP"), kept.position("hyper", "ETH")) == (Decimal("-0.01"), 0)
    assert kept.head == 10


def test_told_positions_are_compared_and_not_believed():
    kept = book()
    fill(kept, "mock_gold", "XAU", "buy", "1")
    take(kept, "position", mock_gold={"XAU": "1.0"}, agents={"BTC-PERP": "0"})
    assert kept.mismatches == 0
    take(kept, "position", mock_gold={"XAU": "1"}, agents={"BTC-PERP": "0.01"})
    take(kept, "position")
    assert kept.mismatches == 2
    assert kept.positions == {"mock_gold": {"XAU": "1"}}


def test_orders_are_counted_as_they_stand_once_each():
    kept = book()
    for client_id, statuses in (("a", ("accepted", "sent", "open", "filled")), ("b", ("accepted", "sent"))):
        for status in statuses:
            take(kept, "order", client_id=client_id, venue="agents", status=status)
    take(kept, "order", client_id="c", venue="mock_gold", status="refused")
    assert kept.orders == {"agents": {"filled": 1, "sent": 1}, "mock_gold": {"refused": 1}}


@pytest.mark.parametrize(
    ("held", "buys", "side"),
    [
        ("0", True, "buy"),
        ("0.9", False, "sell"),
        ("1", True, "sell"),
        ("-1", False, "buy"),
        ("-2", True, "buy"),
    ],
)
def test_what_has_grown_is_traded_back(held, buys, side):
    assert side_of(Decimal(held), Decimal(1), buys) == side
