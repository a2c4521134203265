"""Orders for many venues are judged in one order, and every refusal has a code of its own."""

from dataclasses import replace

import pytest

from activities.order_rules import OrderAsked, OrderRules, VaultTerms, open_limit
from core.market import Side
from core.quantities import MicroUsdc
from core.risk_template import (
    SENTENCES,
    Code,
    Lifecycle,
    Override,
    RiskTemplate,
    VenueLimits,
    leverage_of,
    refusal,
    refusal_since,
    tightened,
)
from core.tickets import Leg, OrderType, Ticket, leg_from, leg_said, price_from, size_from
from venues.dead import SYNTHETIX_V3, SYNTHETIX_V3_END

TEMPLATE = RiskTemplate(
    venues=frozenset({"hyper", "mock_gold", "synthetix"}),
    symbols=frozenset({"BTC", "ETH", "XAU", "AAPL"}),
    per_venue={
        "hyper": VenueLimits(min_leverage=2, max_leverage=5),
        "synthetix": VenueLimits(min_notional=MicroUsdc(50_000_000), max_notional=MicroUsdc(50_000_000_000)),
        "mock_gold": VenueLimits(max_notional=MicroUsdc(20_000_000_000)),
    },
)
VENUES = {
    "hyper": Lifecycle.ACTIVE,
    "mock_gold": Lifecycle.ACTIVE,
    "synthetix": Lifecycle.ACTIVE,
    "polymarket": Lifecycle.ACTIVE,
}
GOLD = price_from("4000")
PRICES = {"hyper": GOLD, "synthetix": GOLD, "mock_gold": GOLD}
ONE = Ticket("XAU", size_from("1"), Side.BUY, "synthetix")


def judged(ticket, template=TEMPLATE, venues=VENUES, prices=PRICES, paused=False, holds=False):
    return refusal(ticket, template, venues, prices.get(ticket.venue), paused, holds)


def closing(lifecycle):
    return {**VENUES, "synthetix": lifecycle}


def test_a_ticket_within_the_rules_passes():
    assert judged(ONE) is None
    assert judged(replace(ONE, venue="hyper", leverage=5)) is None
    assert judged(replace(ONE, venue="mock_gold", size=size_from("5"))) is None


REFUSED = [
    (Code.UNKNOWN_VENUE, replace(ONE, venue="atlantis"), {}),
    (Code.VENUE_NOT_ALLOWED, replace(ONE, venue="polymarket"), {}),
    (Code.SYMBOL_NOT_ALLOWED, replace(ONE, symbol="DOGE"), {}),
    (Code.LEVERAGE_TOO_LOW, replace(ONE, venue="hyper", leverage=1), {}),
    (Code.LEVERAGE_TOO_HIGH, replace(ONE, venue="hyper", leverage=6), {}),
    (Code.NOTIONAL_TOO_SMALL, replace(ONE, size=size_from("0.01249999")), {}),
    (Code.NOTIONAL_TOO_LARGE, replace(ONE, size=size_from("12.50000001")), {}),
    (Code.VENUE_CLOSE_ONLY, ONE, {"venues": closing(Lifecycle.CLOSE_ONLY)}),
    (Code.VENUE_DEAD, ONE, {"venues": closing(Lifecycle.DEAD)}),
    (Code.VAULT_PAUSED, ONE, {"paused": True}),
    (Code.PRICE_UNAVAILABLE, ONE, {"prices": {}}),
]
"""What is wrong with a ticket, or around it, and what the refusal is called."""


@pytest.mark.parametrize(("code", "ticket", "circumstances"), REFUSED)
def test_each_refusal_has_its_code(code, ticket, circumstances):
    assert judged(ticket, **circumstances) is code
    assert SENTENCES[code]


def test_the_order_in_which_a_ticket_is_judged():
    """Everything is wrong with it; each time what was told is put right, the next is told."""
    template = RiskTemplate(
        frozenset(),
        frozenset({"ETH"}),
        {"synthetix": VenueLimits(2, 3, MicroUsdc(10**9), MicroUsdc(2 * 10**9))},
    )
    ticket, venues, index, paused = replace(ONE, size=size_from("0.1"), leverage=1), {}, GOLD, True
    told = []

    def allowed_and_dead():
        venues.update(synthetix=Lifecycle.DEAD)
        return replace(template, venues=frozenset({"synthetix"}))

    repairs = {
        Code.UNKNOWN_VENUE: lambda: venues.update(synthetix=Lifecycle.ACTIVE),
        Code.VENUE_NOT_ALLOWED: allowed_and_dead,
        Code.SYMBOL_NOT_ALLOWED: lambda: replace(template, symbols=None),
        Code.LEVERAGE_TOO_LOW: lambda: replace(ticket, leverage=4),
        Code.LEVERAGE_TOO_HIGH: lambda: replace(ticket, leverage=3),
        Code.NOTIONAL_TOO_SMALL: lambda: replace(ticket, size=size_from("1")),
        Code.NOTIONAL_TOO_LARGE: lambda: replace(ticket, size=size_from("0.3")),
        Code.VENUE_DEAD: lambda: venues.update(synthetix=Lifecycle.ACTIVE),
        Code.VAULT_PAUSED: lambda: False,
    }
    while (code := refusal(ticket, template, venues, index, paused)) is not None:
        told.append(code)
        repaired = repairs[code]()
        template = repaired if isinstance(repaired, RiskTemplate) else template
        ticket = repaired if isinstance(repaired, Ticket) else ticket
        paused = paused if repaired is not False else False
    assert told == [code for code in Code if code in repairs]
    assert refusal(ticket, template, venues, None, paused) is Code.PRICE_UNAVAILABLE
    assert refusal(ticket, template, venues, None, True) is Code.VAULT_PAUSED
    assert refusal(ticket, template, {"synthetix": Lifecycle.CLOSE_ONLY}, None, True) is Code.VENUE_CLOSE_ONLY


@pytest.mark.parametrize(("code", "ticket", "circumstances"), REFUSED)
def test_an_accepted_ticket_is_judged_again_by_what_somebody_decides_and_not_by_prices(
    code, ticket, circumstances
):
    given = {"venues": VENUES, "paused": False} | circumstances
    code = (
        None if code in (Code.NOTIONAL_TOO_SMALL, Code.NOTIONAL_TOO_LARGE, Code.PRICE_UNAVAILABLE) else code
    )
    assert refusal_since(ticket, TEMPLATE, given["venues"], given["paused"]) is code


def test_a_ticket_that_sets_no_leverage_is_refused_where_it_has_been_bounded_since():
    at = replace(ONE, venue="hyper")
    assert refusal_since(at, TEMPLATE, VENUES, False) is Code.LEVERAGE_TOO_HIGH
    bounded = replace(TEMPLATE, per_venue={"hyper": VenueLimits(max_leverage=5)})
    assert refusal_since(at, bounded, VENUES, False) is Code.LEVERAGE_TOO_HIGH
    assert refusal_since(replace(at, leverage=1), bounded, VENUES, False) is None
    assert refusal_since(replace(at, reduce_only=True), bounded, VENUES, True) is None


def test_the_bounds_themselves_are_allowed():
    assert judged(replace(ONE, size=size_from("0.0125"))) is None
    assert judged(replace(ONE, size=size_from("12.5"))) is None
    assert judged(replace(ONE, venue="hyper", leverage=2)) is None


def test_a_limit_order_is_valued_at_whichever_is_worse():
    ask = replace(ONE, order_type=OrderType.LIMIT, limit_price=price_from("5000"))
    assert judged(replace(ask, size=size_from("10"))) is None
    assert judged(replace(ask, size=size_from("11"))) is Code.NOTIONAL_TOO_LARGE
    bid = replace(ask, limit_price=price_from("3000"), size=size_from("0.0125"))
    assert judged(bid) is Code.NOTIONAL_TOO_SMALL


def test_an_order_that_reduces_is_held_to_the_venue_only():
    out = replace(ONE, symbol="DOGE", size=size_from("1000"), reduce_only=True, leverage=50)
    assert judged(out, prices={}) is None
    # It sets none, so no bound need hold for it.
    assert leverage_of(out, TEMPLATE.limits("synthetix")) is None
    assert judged(out, venues=closing(Lifecycle.CLOSE_ONLY), prices={}) is None
    assert judged(out, venues=closing(Lifecycle.DEAD)) is Code.VENUE_DEAD
    assert judged(out, paused=True) is None
    assert judged(replace(out, venue="polymarket")) is Code.VENUE_NOT_ALLOWED
    assert judged(replace(out, venue="polymarket"), holds=True) is None
    assert judged(replace(out, venue="polymarket", reduce_only=False), holds=True) is Code.VENUE_NOT_ALLOWED


def test_an_old_caller_without_a_venue_is_judged_by_the_default_ones_rules():
    old = Ticket("ETH", size_from("1"), Side.SELL, leverage=6)
    assert judged(old) is Code.LEVERAGE_TOO_HIGH


def test_a_vaults_own_rules_come_on_top():
    mine = Override(
        venues=frozenset({"synthetix"}),
        per_venue={"synthetix": VenueLimits(max_notional=MicroUsdc(1_000_000_000))},
    )
    template = tightened(TEMPLATE, mine)
    assert judged(ONE, template) is Code.NOTIONAL_TOO_LARGE
    assert judged(replace(ONE, size=size_from("0.25")), template) is None
    assert judged(replace(ONE, size=size_from("0.01")), template) is Code.NOTIONAL_TOO_SMALL
    assert judged(replace(ONE, venue="hyper", leverage=2), template) is Code.VENUE_NOT_ALLOWED


# --- as the order workflow's first step judges it, and what it keeps ---


class Books:
    """What the rules are told of a vault: its terms, positions and prices, as tests set them."""

    def __init__(self):
        self.template = TEMPLATE
        self.paused = False
        self.held = {}
        self.prices = {**PRICES}
        self.venues = {**VENUES}
        self.asked = []

    async def terms(self, vault):
        return VaultTerms(self.paused, self.template) if vault == "fund" else None

    async def position(self, vault, leg):
        return self.held.get(leg, 0)

    async def index(self, vault, leg):
        self.asked.append(leg)
        return self.prices.get(leg.venue)

    async def named(self, vault, venue, ticket):
        return f"{venue}:{ticket}"

    async def judged(self, asked):
        rules = OrderRules(self.venues, self.terms, self.position, self.index, lambda: 77)
        return (await rules.judged(asked, self.named, 99)).order


@pytest.fixture
def books():
    return Books()


def asked(ticket, vault="fund"):
    return OrderAsked.of(vault, ticket, "id-1", "ada")


async def test_an_accepted_ticket_is_kept_with_all_that_it_says(books):
    ticket = replace(ONE, order_type=OrderType.LIMIT, limit_price=price_from("3999"), venue="hyper")
    kept = await books.judged(asked(ticket))
    assert (kept.ticket, kept.venue_client_id, kept.status) == ("fund/id-1", "hyper:fund/id-1", "accepted")
    assert (kept.side, kept.size, kept.limit_price, kept.at) == (1, ticket.size, price_from("3999"), 77)
    assert kept.not_after == 99
    # The venue's own default leverage may be higher than the operator wants.
    assert kept.leverage == 2


@pytest.mark.parametrize(("code", "ticket", "circumstances"), REFUSED)
async def test_a_refused_ticket_is_kept_with_its_code_and_has_no_name_at_the_venue(
    books, code, ticket, circumstances
):
    vars(books).update(circumstances)
    kept = await books.judged(asked(ticket))
    words = SENTENCES[code]
    if code is Code.VENUE_NOT_ALLOWED:
        words = words.replace("that venue.", "polymarket. Its venues are: hyper, mock_gold, synthetix. ")
        words += "A ticket that names no venue is for the vault's default one."
    assert (kept.status, kept.code, kept.words) == ("refused", code.value, words)
    assert kept.venue_client_id == ""


async def test_an_old_caller_without_a_venue_goes_where_it_always_went(books):
    kept = await books.judged(asked(Ticket("ETH", size_from("1"), Side.SELL)))
    assert (kept.venue, kept.symbol, kept.status) == ("hyper", "ETH", "accepted")
    assert books.asked == [Leg("hyper", "ETH")]


def test_a_symbol_alone_is_at_the_vaults_own_venue():
    assert leg_from("XAU", "mock_gold") == Leg("mock_gold", "XAU")
    assert leg_from("synthetix::XAU", "mock_gold") == Leg("synthetix", "XAU")
    assert leg_from("ETH") == Leg("hyper", "ETH")
    # Written with a hyphen it is the same venue; what is in a symbol stays.
    assert (
        leg_said("mock-gold::XAU-PERP", "hyper")
        == leg_said("XAU-PERP", "mock-gold")
        == Leg("mock_gold", "XAU-PERP")
    )


async def test_closing_takes_what_there_is_and_asks_nobody_for_a_price(books):
    close = OrderAsked("fund", "id-2", "synthetix", "XAU", close=True)
    assert (await books.judged(close)).code == "no_position"
    books.held, books.prices = {Leg("synthetix", "XAU"): -size_from("3")}, {}
    kept = await books.judged(close)
    assert (kept.side, kept.size, kept.reduce_only, kept.status) == (1, size_from("3"), 1, "accepted")
    assert (await books.judged(replace(close, size=size_from("1")))).size == size_from("1")
    assert (await books.judged(replace(close, size=size_from("9")))).size == size_from("3")
    assert books.asked == []
    books.venues = closing(Lifecycle.CLOSE_ONLY)
    assert (await books.judged(close)).status == "accepted"
    books.paused = True
    assert (await books.judged(close)).status == "accepted"


async def test_a_vault_gets_out_of_a_venue_that_it_may_not_trade_at_any_more(books):
    books.template = replace(TEMPLATE, venues=frozenset({"hyper"}))
    out = replace(ONE, side=Side.SELL, reduce_only=True)
    close = OrderAsked("fund", "id-2", "synthetix", "XAU", close=True)
    assert (await books.judged(asked(out))).code == "venue_not_allowed"
    books.held = {Leg("synthetix", "XAU"): size_from("3")}
    kept = await books.judged(asked(replace(out, leverage=50)))
    assert (kept.status, kept.leverage) == ("accepted", 0)
    assert (await books.judged(close)).status == "accepted"
    assert (await books.judged(asked(ONE))).code == "venue_not_allowed"


def test_a_vault_that_is_full_of_orders_still_gets_out():
    rests = asked(replace(ONE, order_type=OrderType.LIMIT, limit_price=price_from("3999")))
    assert (open_limit(asked(ONE)).most, open_limit(rests).most) == (100, 100)
    assert open_limit(replace(rests, reduce_only=True)).most == 200
    assert open_limit(asked(replace(ONE, reduce_only=True))) is None
    assert open_limit(OrderAsked("fund", "id-2", "synthetix", "XAU", close=True)) is None
    assert open_limit(rests).code == "too_many_open_orders"


@pytest.mark.parametrize("allowed", [True, False])
async def test_whoever_sends_a_ticket_to_a_dead_venue_is_told_what_to_use_instead(books, allowed):
    """By default it is not among the venues that are allowed, which nobody would ever change."""
    books.venues |= {SYNTHETIX_V3: Lifecycle.DEAD}
    books.template = replace(TEMPLATE, venues=TEMPLATE.venues | ({SYNTHETIX_V3} if allowed else set()))
    for ticket in (replace(ONE, venue=SYNTHETIX_V3), replace(ONE, venue=SYNTHETIX_V3, reduce_only=True)):
        kept = await books.judged(asked(ticket))
        assert (kept.status, kept.code, kept.words) == ("refused", "venue_dead", f"{SYNTHETIX_V3_END}.")
    books.held = {Leg(SYNTHETIX_V3, "XAU"): size_from("3")}
    close = OrderAsked("fund", "id-2", SYNTHETIX_V3, "XAU", close=True)
    assert (await books.judged(close)).words == f"{SYNTHETIX_V3_END}."
    assert SYNTHETIX_V3_END.endswith("the venue of today is called synthetix")


async def test_nobody_trades_for_a_vault_that_is_not_there(books):
    assert (await books.judged(asked(ONE, "nobody"))).code == "vault_unknown"
