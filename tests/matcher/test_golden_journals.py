"""Journals that older programs wrote stay readable, and bring back accounts, prices, funding and liquidations as they were."""

from pathlib import Path
from typing import get_args

from core.accounts import INSURANCE, TREASURY
from core.debt_events import DebtCovered
from core.events import (
    DURABLE,
    HourEnded,
    IndexUpdated,
    MarketListed,
    MarkUpdated,
    PremiumSampled,
    SessionsRevoked,
)
from core.liquidation import LiquidationTerms
from core.liquidation_events import FundStanding, Handover, MarginWarned
from core.margin_terms import MarginTerms, Tier
from core.mark_price import Basis
from core.premium import PremiumRule
from core.validity import Validity
from matcher.apply import apply
from matcher.state import Exchange

FIXTURES = Path(__file__).parent / "fixtures"


def test_golden_journals_stay_readable(golden):
    found = {path.stem: golden(path.stem) for path in FIXTURES.glob("golden-*.journal")}
    assert {name: len(events) for name, events in found.items()} == {
        "golden-v1": 14,
        "golden-v1-funding": 5,
        "golden-v1-liquidation": 7,
        "golden-v1-breakers": 5,
        "golden-v1-fund-orders": 3,
        "golden-v1-listings": 1,
        "golden-v1-held": 2,
        "golden-v1-retried": 1,
        "golden-v1-delisting": 2,
        "golden-v1-loss-limits": 1,
        "golden-v1-debts": 2,
        "golden-v1-destinations": 2,
        "golden-v1-sharing": 1,
        "golden-v1-exits": 4,
        "golden-v1-exit-sales": 1,
        "golden-v1-custody": 4,
        "golden-v1-strays": 1,
        "golden-v1-limit-delay": 1,
        "golden-v1-matured": 2,
        "golden-v1-making": 2,
        "golden-v1-marks": 3,
        "golden-v1-sessions": 1,
        "golden-v1-subaccounts": 4,
        "golden-v1-validity": 4,
    }
    assert {type(event) for events in found.values() for event in events} == set(get_args(DURABLE))


def test_markets_of_journals_without_margin_terms_keep_their_highest_leverage(golden):
    listed = next(found.market for found in golden("golden-v1") if isinstance(found, MarketListed))
    assert (listed.margin, listed.thin_only_reduces) == (None, False)
    assert listed.margin_terms == MarginTerms((Tier(0, listed.initial_fraction),))


def test_a_golden_listing_says_who_and_why_and_older_ones_nothing(golden):
    (listed,) = golden("golden-v1-listings")
    assert (listed.market.symbol, listed.who, listed.why) == ("NEW-PERP", "ada", "asked for by two makers")
    older = [found for found in golden("golden-v1") if isinstance(found, MarketListed)]
    assert {(found.who, found.why) for found in older} == {("", "")}


def test_a_golden_revocation_names_its_account_and_generation(golden):
    assert golden("golden-v1-sessions") == [SessionsRevoked(1_760_000_000_000_000_000, 17, 2)]


def test_golden_sub_accounts_come_back_with_their_parent_and_their_collateral(golden):
    state = Exchange()
    for found in golden("golden-v1-subaccounts"):
        apply(state, found)
    parent, sub = state.accounts[16], state.accounts[17]
    assert (sub.parent, sub.market, sub.name, sub.owner) == (parent, 2, "desk/ETH-PERP", parent.owner)
    assert (parent.balance, sub.balance) == (-2_000_000_000, 2_000_000_000)
    assert [(kept.key, kept.giver, kept.receiver, kept.amount) for kept in state.transfers[16]] == [
        ("stake-1", 16, 17, 2_500_000_000),
        ("home-1", 17, 16, 500_000_000),
    ]
    assert (parent.number, sub.number) == (4, 3)


def test_golden_debts_say_who_paid(golden):
    ended, covered = golden("golden-v1-debts")
    assert isinstance(ended, HourEnded)
    assert (ended.hour, ended.charge, ended.treasury_share) == (489_001, 67_500_000, 100_000)
    assert covered == DebtCovered(1_700_000_001, 16, 1_000, 600, 300, ((17, 60), (18, 30)), 10)


def test_golden_hours_say_who_stood_with_how_much_and_older_ones_share_by_account(golden):
    at, hour = 1_760_000_000_000_000_000, 488_889
    impact = (600_150_000_000, 600_160_000_000)
    sampled = PremiumSampled(
        at, 1, hour, 250_000_000, 600_000, *impact, 2, (), stood=((16, 10_000), (24, 2_500))
    )
    rates = (250_000_000, 31_250_000, 250_000_000, 187_500_000)
    ended = HourEnded(at + 1, 1, hour, 1, 250_000_000, 2, 700, 900, *rates, 100_000, by_owner=True)
    assert golden("golden-v1-making") == [sampled, ended]
    older = [*golden("golden-v1-funding"), *golden("golden-v1-debts")]
    assert {found.stood for found in older if isinstance(found, PremiumSampled)} == {()}
    assert {found.by_owner for found in older if isinstance(found, HourEnded)} == {False}


def test_golden_marks_bring_back_what_they_said(golden):
    state = Exchange()
    for found in golden("golden-v1-marks"):
        apply(state, found)
    listed, mark = state.markets[1], state.marks[1]
    assert listed.margin == MarginTerms((Tier(0, 20_000), Tier(10**12, 40_000)), 10**13, 10**14, 500_000)
    assert (state.mark_price(1), state.bases[1]) == (600_123, Basis(123_456_789, 21))
    assert (mark.initial_of(1_000_000), mark.maintenance_of(1_000_000)) == (220_049_200_000, 110_024_600_000)


def test_golden_judgements_keep_the_mark_that_was_made_with_mids_outside(golden):
    events = golden("golden-v1-validity")
    state = Exchange()
    for found in events:
        apply(state, found)
    assert [type(found) for found in events] == [MarketListed, IndexUpdated, MarkUpdated, IndexUpdated]
    assert (events[1].validity, events[1].held) == (Validity.LONE, False)
    assert events[2] == MarkUpdated(21, 1, 600_123, 600_123, 0, 123_456_789, 600_200)
    assert state.indexes[1] == IndexUpdated(22, 1, 600_000, 5, 22, "pyth", Validity.DISPUTED, True)
    assert (state.mark_price(1), state.bases, state.values_until) == (600_123, {}, -1)


def test_golden_indexes_from_before_judgements_are_valid(golden):
    indexes = [found for name in ("golden-v1", "golden-v1-marks") for found in golden(name)]
    found = [index for index in indexes if isinstance(index, IndexUpdated)]
    assert found
    assert {(index.validity, index.held) for index in found} == {(Validity.VALID, False)}


def test_golden_liquidations_bring_back_what_they_said(golden):
    warned, started, sliced, taken, deleveraged, ended, floor = golden("golden-v1-liquidation")
    handed = Handover(2, 1, 590_000, 100_000, 587_000_000_000, 0, -13_000_000_000, 587_000_000_000, 0)
    assert warned == MarginWarned(1, 16, 800_000, 6_000_000_000, 5_000_000_000)
    assert (started.liquidation, started.positions) == (7, ((1, 100_000, 592_500),))
    assert (sliced.fee, sliced.fills, sliced.terms) == (
        591_652_000,
        (9, 10),
        LiquidationTerms(1, 2, 3, 4, 5, 6),
    )
    assert (taken.fund, taken.parts) == (FundStanding(10**10, 1, 2), (handed,))
    assert (deleveraged.greedy, deleveraged.left, deleveraged.parts) == (True, -7, (handed, handed))
    assert (ended.why, floor.floor) == ("taken_over", 5_000_000_000)


def test_golden_funding_pays_what_it_said(golden):
    state = Exchange()
    for found in golden("golden-v1-funding"):
        apply(state, found)
    terms, funding = state.markets[1].funding, state.funding[1]
    assert (terms.interest, terms.treasury_share, terms.rule) == (90_000_000, 150_000, PremiumRule.MIDDLE)
    assert {account.id: account.balance for account in state.accounts.values() if account.balance} == {
        TREASURY: 10_125,
        INSURANCE: 1,
        16: -67_501,
        17: 57_375,
    }
    assert (funding.settled, funding.rate, funding.kept[489_001].paid) == (489_001, 90_000_000, 67_501)
    assert [state.accounts[id].number for id in (16, 17)] == [2, 2]
