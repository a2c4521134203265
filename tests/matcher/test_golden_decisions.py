"""What people decided, operators and owners, is in journals that older programs wrote as it was said, and by whom."""

from core.custody_events import AcceptedSlot, ChainAccepted, ExitDelaySeen, SettlementLate, StrayClaimed
from core.events import (
    MarketStatusSet,
    WithdrawalReserved,
)
from core.exit_events import DeltasUnapplied, ExitClaimed, ExitMatured, ExitReleased, ExitRequested
from core.liquidation_events import InsuranceFloorSet
from core.loss_limit_events import NO_LIMIT, LossLimitsSeen
from core.margin_terms import MarginTerms, Tier
from core.market_limits import MarketLimits
from core.open_interest import JumpAlarm
from core.operator_events import (
    DelistingAnnounced,
    LimitsSet,
    MarketSettled,
    OpenInterestJumped,
    RetryOrdered,
    ReviewOrdered,
    SaleOrdered,
    SettledPosition,
    SettlementHeld,
    SharingOrdered,
    WithdrawalsHeld,
)
from core.quantities import SECOND


def test_golden_breakers_say_what_was_decided(golden):
    at, terms = (
        1_760_000_000_000_000_000,
        MarginTerms((Tier(0, 20_000), Tier(10**12, 40_000)), 10**13, 10**14),
    )
    alarm = JumpAlarm(200_000, 3_600 * SECOND, True)
    ends = (SettledPosition(16, 5, -700, 200), SettledPosition(17, -5, 700, -150))
    limits = MarketLimits(50, 400, 5_000, 1_000, 2_000, terms, True, alarm)
    assert golden("golden-v1-breakers") == [
        MarketStatusSet(at, 1, 2, "ada", "a thin book"),
        LimitsSet(at + 1, 1, limits, True, "ada", "a thin book"),
        OpenInterestJumped(at + 2, 1, 10, 500),
        WithdrawalsHeld(at + 3, True, "ada", "odd fills"),
        MarketSettled(at + 4, 1, 600_123, ends, 50, 7, True, "ada", "its source is gone"),
    ]


def test_golden_orders_about_the_fund_and_accounts_say_who_and_why(golden):
    at = 1_760_000_000_000_000_000
    assert golden("golden-v1-fund-orders") == [
        InsuranceFloorSet(at, 5_000_000_000, "ada", "the fund has grown"),
        SaleOrdered(at + 1, 2, "ada", "a quiet hour"),
        ReviewOrdered(at + 2, 17, "bob", "a customer asks"),
    ]


def test_a_golden_order_to_share_a_debt_says_whose_and_who_gave_it(golden):
    order = SharingOrdered(1_760_000_000_000_000_000, 17, "ada", "nobody else is left")
    assert golden("golden-v1-sharing") == [order]


def test_a_golden_order_to_take_a_batch_up_anew_says_which_and_why(golden):
    order = RetryOrdered(1_760_000_000_000_000_000, 17, "ada", "somebody else has its number")
    assert golden("golden-v1-retried") == [order]


def test_a_floor_in_an_older_journal_names_nobody(golden):
    (floor,) = [found for found in golden("golden-v1-liquidation") if isinstance(found, InsuranceFloorSet)]
    assert (floor.who, floor.why) == ("", "")


def test_a_golden_hold_of_settlement_says_who_and_why(golden):
    at = 1_760_000_000_000_000_000
    assert golden("golden-v1-held") == [
        SettlementHeld(at, True, "operator", "slot 0/2 differs"),
        SettlementHeld(at + 1, False, "ada", "explained"),
    ]


def test_a_golden_delisting_says_when_it_was_to_be_and_what_was_averaged(golden):
    at, end = 1_760_000_000_000_000_000, 1_760_086_800_000_000_000
    sides = SettledPosition(16, -10, -20, 0), SettledPosition(17, 10, 20, -5)
    by = "ada", "nobody quotes it"
    assert golden("golden-v1-delisting") == [
        DelistingAnnounced(at, 2, end, *by),
        MarketSettled(at + 1, 2, 300_002, sides, 3, 0, False, *by, end, 3_599_000_000_000),
    ]


def test_a_status_in_an_older_journal_names_nobody(golden):
    (set_,) = [found for found in golden("golden-v1") if isinstance(found, MarketStatusSet)]
    assert (set_.who, set_.why) == ("", "")


def test_golden_loss_limits_say_what_settlement_may_take(golden):
    parts = ((16, 5_000_000, 1_250_000), (17, 9_000_000, -3), (24, NO_LIMIT, 0))
    assert golden("golden-v1-loss-limits") == [LossLimitsSeen(1_760_000_000_000_000_000, parts)]


def test_golden_exits_say_who_leaves_with_what_and_what_a_page_could_not_do(golden):
    at = 1_760_000_000_000_000_000
    assert golden("golden-v1-exits") == [
        ExitRequested(at, 16, 5_000_000, 1_760_259_200),
        ExitReleased(at + 1, 16, 5_000_000, 1_760_259_200),
        ExitClaimed(at + 2, 17, 7_000_000, "claim:sig:0", ((24, 2_000_000),)),
        DeltasUnapplied(at + 3, 9, 0, ((16, 12, 12), (17, -3, -5))),
    ]


def test_a_golden_maturity_says_whose_request_the_chain_may_pay(golden):
    at = 1_760_000_000_000_000_000
    assert golden("golden-v1-matured") == [
        ExitRequested(at, 16, 5_000_000, 1_760_259_200),
        ExitMatured(at + 1, 16),
    ]


def test_a_golden_request_says_by_when_it_is_to_be_sold_for_and_older_ones_do_not(golden):
    at = 1_760_000_000_000_000_000
    assert golden("golden-v1-exit-sales") == [ExitRequested(at, 16, 5_000_000, 1_760_259_200, 1_760_259_140)]
    older = [found for name in ("golden-v1-exits", "golden-v1-matured") for found in golden(name)]
    assert [found.sell_by for found in older if isinstance(found, ExitRequested)] == [0, 0]


def test_golden_withdrawals_say_where_they_go_and_older_ones_to_the_owner(golden):
    at, elsewhere = 1_760_000_000_000_000_000, "8qbHbw2BbbTHBW1sbeqakYXVKRQM8Ne7pLK7m6CVfeR"
    assert golden("golden-v1-destinations") == [
        WithdrawalReserved(at, 1, 16, 5_000_000, "w1", elsewhere),
        WithdrawalReserved(at + 1, 2, 16, 6_000_000, "w2", ""),
    ]
    older = [found for found in golden("golden-v1") if isinstance(found, WithdrawalReserved)]
    assert [found.destination for found in older] == [""]


def test_golden_custody_says_what_was_taken_over_from_the_chain_and_since_when_it_is_behind(golden):
    at = 1_760_000_000_000_000_000
    slots = (AcceptedSlot(16, -400, 0), AcceptedSlot(17, 250, -7, 1_000_000))
    assert golden("golden-v1-custody") == [
        ExitDelaySeen(at, 259_200),
        SettlementLate(at + 1, True, at - 9, 259_200),
        ChainAccepted(at + 2, slots, 90, 60, 60, ((0, 9), (3, 104)), "ada", "the key was stolen"),
        SettlementLate(at + 3, False, at + 2, 259_200),
    ]


def test_a_golden_exit_delay_says_when_lower_limits_count_and_older_ones_do_not(golden):
    at = 1_760_000_000_000_000_000
    assert golden("golden-v1-limit-delay") == [ExitDelaySeen(at, 259_200, 86_400)]
    assert golden("golden-v1-custody")[0] == ExitDelaySeen(at, 259_200, 0)


def test_a_golden_claim_from_a_slot_that_nobody_ordered_has_its_sum_and_its_key(golden):
    assert golden("golden-v1-strays") == [StrayClaimed(1_760_000_000_000_000_000, 3, "claim:signature:0")]
