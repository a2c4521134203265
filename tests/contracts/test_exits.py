"""Leaving without the operator: asked for, waited for, taken, and what cannot stop it."""

import json
from pathlib import Path

import pytest
from solders.keypair import Keypair

IDL = Path(__file__).parents[2] / "contracts" / "solana" / "escrow" / "idl.json"
ERRORS = {error["name"]: error["code"] for error in json.loads(IDL.read_text())["errors"]}
EXIT_DELAY = 3_600
EVERYTHING = 2**64 - 1


def wallet(escrow, number=0):
    return escrow.accounts("claim_withdrawal", owner=escrow.owners[number].pubkey())["target"]


def test_an_owner_leaves_alone_after_the_delay(escrow):
    before = escrow.tokens(wallet(escrow))
    assert escrow.owns(0, "request_withdrawal", 2, 400) is None, escrow.logs
    [(name, asked)] = escrow.events()
    assert (name, asked.slot, asked.account, asked.amount, asked.exit_at) == (
        "WithdrawalRequested",
        2,
        16,
        400,
        escrow.now + EXIT_DELAY,
    )
    escrow.wait(EXIT_DELAY - 1)
    assert escrow.owns(0, "claim_withdrawal", 2) == ERRORS["WithdrawalNotReady"]
    escrow.wait(1)
    assert escrow.owns(0, "claim_withdrawal", 2) is None, escrow.logs
    [(name, paid)] = escrow.events()
    assert (name, paid.amount, paid.asked) == ("WithdrawalClaimed", 400, 400)
    assert escrow.tokens(wallet(escrow)) == before + 400
    assert escrow.tokens(escrow.vault) == 1_600
    state = escrow.state()
    assert (state.exits, state.withdrawals, state.deposits) == (400, 0, 2_000)
    assert (escrow.slots()[2].pending, escrow.slots()[2].exit_at) == (0, 0)
    assert escrow.owns(0, "claim_withdrawal", 2) == ERRORS["NoWithdrawalPending"]


def test_everything_is_whatever_is_there_when_it_is_claimed(escrow):
    assert escrow.owns(0, "request_withdrawal", 2, EVERYTHING) is None
    escrow.wait(EXIT_DELAY)
    escrow.open_batch(1, 1)
    assert escrow.settle(1, bytes([2, 201, 1, 3, 200, 1])) is None
    assert escrow.owns(0, "claim_withdrawal", 2) is None
    assert escrow.balances() == [0, 0, 0, 1_100]
    assert escrow.state().exits == 900


def test_an_exit_from_nothing_completes_and_pays_nothing(escrow):
    assert escrow.owns(0, "request_withdrawal", 2, 5) is None
    assert escrow.withdraw(0, 2, 1_000, 1) is None
    escrow.wait(EXIT_DELAY)
    assert escrow.owns(0, "claim_withdrawal", 2) is None, escrow.logs
    assert [(name, data.amount) for name, data in escrow.events()] == [("WithdrawalClaimed", 0)]


def test_neither_pause_nor_open_batch_nor_outflow_limit_stops_an_exit(escrow):
    assert escrow.propose(hour_floor=0, day_floor=0, hour_share=0, day_share=0) is None
    escrow.wait(7_200)
    assert escrow.by(escrow.owners[3], "execute_proposal") is None, escrow.logs
    assert escrow.withdraw(0, 2, 1, 1) == ERRORS["OutflowLimited"]
    escrow.open_batch(1, 1)
    assert escrow.by(escrow.guardian, "set_pause", True) is None
    assert escrow.owns(0, "request_withdrawal", 2, EVERYTHING) is None
    escrow.wait(EXIT_DELAY)
    assert escrow.owns(0, "claim_withdrawal", 2) is None, escrow.logs
    assert escrow.balances()[2] == 0


def test_a_longer_delay_does_not_prolong_what_was_asked_for(escrow):
    assert escrow.propose(exit_delay=86_400, timelock=90_000) is None
    escrow.wait(7_199)
    assert escrow.owns(0, "request_withdrawal", 2, 10) is None
    escrow.wait(1)
    assert escrow.by(escrow.admin, "execute_proposal") is None
    assert escrow.owns(1, "request_withdrawal", 3, 10) is None
    escrow.wait(EXIT_DELAY)
    assert escrow.owns(0, "claim_withdrawal", 2) is None
    assert escrow.owns(1, "claim_withdrawal", 3) == ERRORS["WithdrawalNotReady"]


def test_a_request_is_not_added_to_but_taken_back(escrow):
    assert escrow.owns(0, "request_withdrawal", 2, 1) is None
    assert escrow.owns(0, "request_withdrawal", 2, 1_000) == ERRORS["WithdrawalPending"]
    assert escrow.owns(0, "cancel_withdrawal_request", 2) is None
    [(name, data)] = escrow.events()
    assert (name, data.amount) == ("WithdrawalRequestCancelled", 1)
    assert escrow.owns(0, "cancel_withdrawal_request", 2) == ERRORS["NoWithdrawalPending"]
    escrow.wait(EXIT_DELAY)
    assert escrow.owns(0, "claim_withdrawal", 2) == ERRORS["NoWithdrawalPending"]
    assert escrow.owns(0, "request_withdrawal", 2, 1_000) is None
    assert escrow.owns(0, "claim_withdrawal", 2) == ERRORS["WithdrawalNotReady"]


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("request_withdrawal", (5,)),
        ("cancel_withdrawal_request", ()),
        ("claim_withdrawal", ()),
        ("set_loss_limit", (5,)),
        ("close_account", ()),
    ],
)
def test_only_the_owner_does_what_is_the_owners(escrow, name, args):
    assert escrow.owns(1, name, 2, *args) == ERRORS["NotSlotOwner"]
    assert escrow.owns(1, name, 4, *args) == ERRORS["SlotUnused"]
    assert escrow.owns(1, name, 65_535, *args) == ERRORS["SlotUnused"]
    operator = escrow.operator.pubkey()
    built = escrow.build(name, 2, *args, owner=operator)
    assert escrow.send([built], escrow.operator) == ERRORS["NotSlotOwner"]
    assert escrow.owns(0, name, 2, *args, escrow=escrow.page(0)) == ERRORS["WrongSize"]
    assert escrow.owns(0, name, 2, *args, page=escrow.address) == ERRORS["WrongSize"]


def test_a_claim_goes_to_the_owners_tokens_from_the_vault(escrow):
    assert escrow.owns(0, "request_withdrawal", 2, 0) == ERRORS["ZeroAmount"]
    assert escrow.owns(0, "request_withdrawal", 2, 10) is None
    escrow.wait(EXIT_DELAY)
    stranger = Keypair.from_seed(bytes([98]) * 32).pubkey()
    others = wallet(escrow, 1)
    for changes, error in (
        ({"target": others}, "WrongTokenAccount"),
        ({"target": stranger}, "WrongTokenAccount"),
        ({"target": escrow.vault}, "WrongTokenAccount"),
        ({"vault": others}, "WrongVault"),
        ({"token_program": stranger}, "WrongProgram"),
    ):
        assert escrow.owns(0, "claim_withdrawal", 2, **changes) == ERRORS[error], changes
    foreign = escrow.wallet(escrow.owners[0], 5, escrow.make_mint(Keypair.from_seed(bytes([97]) * 32)))
    assert escrow.owns(0, "claim_withdrawal", 2, target=foreign) == ERRORS["WrongMint"]
    assert escrow.owns(0, "claim_withdrawal", 2) is None


def test_a_forged_escrow_pays_no_exit(escrow):
    assert escrow.owns(0, "request_withdrawal", 2, 10) is None
    escrow.wait(EXIT_DELAY)
    forged, its_page = (Keypair.from_seed(bytes([n]) * 32).pubkey() for n in (95, 96))
    page = bytearray(escrow.svm.get_account(escrow.page(0)).data)
    page[8:40] = bytes(forged)
    escrow.put(forged, bytes(escrow.svm.get_account(escrow.address).data))
    escrow.put(its_page, bytes(page))
    assert escrow.owns(0, "claim_withdrawal", 2, escrow=forged, page=its_page) == ERRORS["WrongAddress"]
    assert escrow.owns(0, "claim_withdrawal", 2, escrow=forged) == ERRORS["WrongEscrow"]
