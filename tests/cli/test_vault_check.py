"""A vault's value from the bare facts, by hand."""

from cli.vault_check import Told, Worth, worth
from core.market import Side
from core.nav_snapshot import TransferKind
from core.tickets import Leg, price_from, size_from
from ledger.vault_transfers import Transfer
from venues.driver import FundingPayment, VenueFill

AT = 1_000
BTC, XAU = Leg("agents", "BTC-PERP"), Leg("mock_gold", "XAU")
PRICES = {BTC: price_from("60000"), XAU: price_from("4000.01")}


def fill(symbol, side, size, price, fee=0, at=AT):
    return VenueFill("f", None, "o", symbol, side, size_from(size), price_from(price), fee, at)


def transfer(kind, amount, dealt_at=AT - 1, status="done"):
    return Transfer("k", 16, kind, amount, 0, status, "", "ada", 1, dealt_at)


def told(fills=(), payments=(), venue="agents"):
    return Told(venue, fills, payments)


def test_nothing_is_worth_nothing():
    assert worth(AT, [], [], {}) == Worth(0, 0, {})


def test_purchases_round_up_sales_and_holdings_down_and_fees_are_paid():
    # 0.00000001 of 60,000.00000001 dollars is 600 micro-USDC and a little.
    bought = fill("BTC-PERP", Side.BUY, "0.00000001", "60000.00000001", fee=7)
    assert worth(AT, [told([bought])], [], PRICES) == Worth(-601 - 7, -608 + 600, {BTC: 1})
    sold = fill("BTC-PERP", Side.SELL, "0.00000001", "60000.00000001", fee=7)
    assert worth(AT, [told([sold])], [], {BTC: price_from("60000.00000001")}) == Worth(593, -8, {BTC: -1})


def test_two_venues_funding_and_transfers_add_up():
    here = told([fill("BTC-PERP", Side.BUY, "0.5", "60000")], [FundingPayment("p", "BTC-PERP", -5, AT)])
    gold = told(
        [fill("XAU", Side.SELL, "2", "4000"), fill("XAU", Side.BUY, "1.5", "3990", fee=-3)], venue="mock_gold"
    )
    paid_in = transfer(TransferKind.DEPOSIT, 50_000_000_000)
    paid_out = transfer(TransferKind.WITHDRAWAL, 1_000_000)
    cash = 50_000_000_000 - 1_000_000 - 30_000_000_000 - 5 + 8_000_000_000 - 5_985_000_000 + 3
    held = {BTC: size_from("0.5"), XAU: -size_from("0.5")}
    found = worth(AT, [here, gold], [paid_in, paid_out], PRICES)
    assert found == Worth(cash, cash + 30_000_000_000 - 2_000_005_000, held)


def test_what_came_later_or_waits_does_not_count_and_closed_positions_are_none():
    later = told(
        [fill("BTC-PERP", Side.BUY, "1", "60000", at=AT + 1)], [FundingPayment("p", "BTC-PERP", 5, AT + 1)]
    )
    both = told([fill("XAU", side, "1", "4000") for side in (Side.BUY, Side.SELL)], venue="mock_gold")
    transfers = [
        transfer(TransferKind.DEPOSIT, 9, status="waiting", dealt_at=0),
        # Dealt at this very snapshot: it is in the next one.
        transfer(TransferKind.DEPOSIT, 9, dealt_at=AT),
        transfer(TransferKind.OPENING, 9),
    ]
    assert worth(AT, [later, both], transfers, PRICES) == Worth(0, 0, {})


def test_a_leg_without_a_price_counts_nothing():
    bought = fill("BTC-PERP", Side.BUY, "1", "60000")
    assert worth(AT, [told([bought])], [], {}).nav == -60_000_000_000
