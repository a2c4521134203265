"""The command that `perpdex settlement accept` gives follows from what was read of all sides."""

from dataclasses import replace

import pytest
from solders.keypair import Keypair

from activities.engine_door import EngineState
from activities.sides import ChainTotals, Reading, Waiting
from cli.accepting import accepting, found_withdrawal
from cli.door import NotDone
from core.reconciliation import Booked, Books, Flight, OnChain, Reserved, compare
from ledger.books import LedgerBooks
from matcher import commands as c

SIGNATURE = str(Keypair.from_seed(bytes(32)).sign_message(b"a withdrawal"))
LEDGER = LedgerBooks(9, 3, 3, b"", (), {}, [], 0, 7, frozenset())


def engine(**changes: int) -> EngineState:
    amounts = {
        **dict.fromkeys(
            ("balances_total", "reserved", "vault_expected", "claimed", "exits", "loss_limits"), 0
        ),
        **{"seq": 9, "deposits": 500, "withdrawals": 60, "astray": 0, "exit_delay": 9, **changes},
    }
    return EngineState(**amounts, conserved=True, positions_zero_sum=True, settlement_held="a theft")


def reading(open_batch: int = 0, apart: bool = False, **totals: int) -> Reading:
    """Account 16 had 400 and lost 240: 90 burnt, 50 in account 17's slot, of which 30 was paid, and 100 in a slot of nobody's.

    Account 18 has 20 reserved, which the chain has paid.
    """
    slots = [
        OnChain(0, 2, 16, "a", 160, 0, -4),
        OnChain(0, 3, 17, "b", 20, 10**6),
        OnChain(0, 4, 18, "c", 20, 7),
        OnChain(0, 9, 4_711, "t", 100, 0),
    ]
    accounts = {
        account: Booked(account, owner, 0, slot, settled, settled, 0)
        for account, owner, slot, settled in ((16, "a", 2, 400), (17, "b", 3, 0), (18, "c", 4, 20))
    }
    books = Books(accounts, {18: [Reserved(7, 20)]}, 7)
    ledger = books
    if apart:
        other = {**accounts, 16: accounts[16]._replace(settled=399)}
        ledger = books._replace(accounts=other)
    flight = Flight({}, lambda page: True)
    chain = {
        "vault": 390,
        "pages_total": 300,
        "clearing": 90,
        "deposits": 500,
        "withdrawals": 110,
        "claimed": 0,
    }
    return Reading(
        slot=1,
        seq=9,
        batch=3,
        chain=ChainTotals(**{**chain, **totals}),
        engine=engine(),
        ledger=LEDGER,
        compared=compare(slots, flight, books, ledger),
        rebase=None,
        slots=slots,
        flight=flight,
        books=books,
        open_batch=open_batch,
        left_over=0,
        foreign_batches=(),
        waiting=Waiting(),
    )


def test_the_command_names_every_slot_and_where_the_rest_is():
    found = [found_withdrawal(f"17:30:{SIGNATURE}")]
    command = accepting("withdrawals_differ", reading(), found, "the key was stolen")
    assert command == c.AcceptChain(
        (c.HeldSlot(16, 400, 160, -4), c.HeldSlot(17, 0, 20, 0, 10**6)),
        left_over=90,
        astray=100,
        lost=100,
        strangers=((0, 9),),
        withdrawn=(c.ForeignWithdrawal(17, 30, SIGNATURE),),
        why="the key was stolen",
    )


@pytest.mark.parametrize(
    ("differs", "changed", "said"),
    [
        ("accounts_differ", reading(open_batch=12), "batch 12 is open on chain"),
        ("vault_short", reading(), "the vault holds less"),
        ("accounts_differ", reading(apart=True), "about accounts [16]"),
        ("accounts_differ", replace(reading(), engine=None, books=None), "does not answer"),
    ],
    ids=["open batch", "no theft", "books apart", "no exchange"],
)
def test_what_is_no_theft_is_not_taken_over(differs, changed, said):
    with pytest.raises(NotDone, match=said.replace("[", r"\[")):
        accepting(differs, changed, [], "why")


@pytest.mark.parametrize(
    "text", ["17:30:not-base58", f"17:30:{SIGNATURE[:40]}", "17:30", f"a:30:{SIGNATURE}", ""]
)
def test_what_names_no_withdrawal_is_refused(text):
    with pytest.raises(NotDone, match="is not ACCOUNT:MICRO_USDC:SIGNATURE"):
        found_withdrawal(text)
