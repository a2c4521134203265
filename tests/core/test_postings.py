"""Postings of each event follow what the exchange does with it."""

from core.accounts import CLEARING, INSURANCE, TREASURY
from core.events import (
    DepositCredited,
    Filled,
    FundingSettled,
    IndexUpdated,
    WithdrawalFinished,
    WithdrawalReserved,
)
from core.liquidation import LiquidationTerms
from core.liquidation_events import Deleveraged, FundStanding, Handover, LiquidationSliced, TakenOver
from core.postings import OUTSIDE, RESERVED, postings


def balances(events):
    total = {}
    for event in events:
        for posting in postings(event):
            total[posting.debit] = total.get(posting.debit, 0) - posting.amount
            total[posting.credit] = total.get(posting.credit, 0) + posting.amount
    return total


def test_every_event_moves_money_and_makes_none():
    history = [
        DepositCredited(0, 16, 1_000, "a"),
        DepositCredited(0, 17, 500, "b"),
        Filled(0, 1, 1, 1, 1, 16, 17, 1, 5, 10, 7, 30, -20, 50, -50, 10),
        WithdrawalReserved(0, 1, 16, 100, "w"),
        WithdrawalFinished(0, 1, 16, 60, True, "s"),
        WithdrawalFinished(0, 2, 16, 40, False, ""),
        IndexUpdated(0, 1, 1, 1, 1, "x"),
        FundingSettled(
            *(0, 1, 9, 1, 720, 0, 2, 0, 5, 8, 1, 8, 1, 2, 31, 3, 1),
            payments=((16, 31), (17, -27)),
        ),
    ]
    total = balances(history)
    assert total == {
        OUTSIDE: -1_440,
        16: 932,
        17: 507,
        TREASURY: 10,
        INSURANCE: 1,
        CLEARING: -10,
        RESERVED: 0,
    }
    assert sum(total.values()) == 0


def test_liquidation_moves_its_fee_and_what_handing_over_realizes():
    terms, fund = LiquidationTerms(), FundStanding(0, 0, 0)
    sold = (-9, -70, 0, 7, (1,), terms)
    history = [
        LiquidationSliced(0, 1, 16, 1, 1, 10, 9, 50, 40, 0, -9, 8, *sold),
        TakenOver(0, 1, 16, 3, 4, fund, (Handover(INSURANCE, 1, 10, 5, 40, 0, -10, 40, 0),)),
        Deleveraged(0, 1, 17, 3, 4, fund, 1, 10, 5, 40, False, 0, (Handover(18, 1, 10, 5, 40, 0, 0, 0, 12),)),
    ]
    assert balances(history) == {16: -17, INSURANCE: 7, CLEARING: -2, 18: 12}
