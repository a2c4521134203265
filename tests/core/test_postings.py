"""Postings of each event follow what the exchange does with it."""

from core.accounts import CLEARING, TREASURY
from core.events import DepositCredited, Filled, IndexUpdated, WithdrawalFinished, WithdrawalReserved
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
    ]
    total = balances(history)
    assert total == {OUTSIDE: -1_440, 16: 963, 17: 480, TREASURY: 7, CLEARING: -10, RESERVED: 0}
    assert sum(total.values()) == 0
