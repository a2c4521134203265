"""Guardian and admin: what they can do, when, and what they cannot."""

import json
from pathlib import Path

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM
from solders.system_program import (
    AdvanceNonceAccountParams,
    TransferParams,
    advance_nonce_account,
    create_nonce_account,
    transfer,
)

IDL = Path(__file__).parents[2] / "contracts" / "solana" / "escrow" / "idl.json"
ERRORS = {error["name"]: error["code"] for error in json.loads(IDL.read_text())["errors"]}
TIMELOCK, GRACE, DAY = 7_200, 7 * 86_400, 86_400
NEW = Keypair.from_seed(bytes([90]) * 32)
BALANCED = bytes([2, 3, 3, 2])
"""Slot 2 gives 1 micro-USDC to slot 3."""


def test_the_guardian_pauses_settlement_and_nothing_else(escrow):
    assert escrow.open_batch(1, 1) is None
    assert escrow.by(escrow.guardian, "set_pause", True) is None
    assert [(name, data.paused) for name, data in escrow.events()] == [("PauseSet", True)]
    assert escrow.settle(1, BALANCED) == ERRORS["Paused"]
    assert escrow.deposit(0, 2, 5) is None
    assert escrow.withdraw(0, 2, 5, 1) is None
    assert escrow.by(escrow.guardian, "set_pause", False) is None
    assert escrow.settle(1, BALANCED) is None
    assert escrow.by(escrow.guardian, "set_pause", True) is None
    assert escrow.seal(1) == ERRORS["Paused"]
    assert escrow.by(escrow.guardian, "set_pause", False) is None
    assert escrow.seal(1) is None
    assert escrow.by(escrow.guardian, "set_pause", True) is None
    assert escrow.open_batch(2, 1) == ERRORS["Paused"]


@pytest.mark.parametrize("key", ["admin", "operator"])
def test_nobody_else_pauses_or_resumes(escrow, key):
    signer = getattr(escrow, key)
    assert escrow.by(signer, "set_pause", True, guardian=signer.pubkey()) == ERRORS["NotGuardian"]


def test_a_proposal_waits_out_the_timelock_in_public_and_anyone_executes_it(escrow):
    assert escrow.propose(operator=NEW.pubkey(), exit_delay=60) is None
    [(name, data)] = escrow.events()
    assert (name, data.number, data.ready_at) == ("Proposed", 1, escrow.now + TIMELOCK)
    assert data.settings.operator == NEW.pubkey()
    state = escrow.state()
    assert (state.proposal.operator, state.proposal.limits.exit_delay) == (NEW.pubkey(), 60)
    assert (state.settings.operator, state.proposal_ready) == (escrow.operator.pubkey(), data.ready_at)
    escrow.wait(TIMELOCK - 1)
    assert escrow.by(escrow.owners[3], "execute_proposal") == ERRORS["ProposalNotReady"]
    escrow.wait(1)
    assert escrow.by(escrow.owners[3], "execute_proposal") is None
    assert [(name, data.number) for name, data in escrow.events()] == [("ProposalExecuted", 1)]
    assert escrow.state().settings.limits.exit_delay == 60
    assert escrow.by(escrow.owners[3], "execute_proposal") == ERRORS["NoProposal"]
    assert escrow.open_batch(1, 1) == ERRORS["NotOperator"]
    escrow.svm.airdrop(NEW.pubkey(), 10**9)
    assert escrow.by(NEW, "open_batch", 1, list(bytes(32)), 1, operator=NEW.pubkey()) is None


def test_a_proposal_can_be_taken_back_until_it_is_executed(escrow):
    assert escrow.by(escrow.admin, "cancel_proposal") == ERRORS["NoProposal"]
    assert escrow.propose(operator=NEW.pubkey()) is None
    assert escrow.propose() == ERRORS["ProposalPending"]
    escrow.wait(TIMELOCK)
    assert escrow.by(escrow.admin, "cancel_proposal") is None
    assert escrow.by(escrow.admin, "execute_proposal") == ERRORS["NoProposal"]
    assert escrow.propose() is None
    assert escrow.state().proposals == 2


def test_a_forgotten_proposal_lapses(escrow):
    assert escrow.propose(operator=NEW.pubkey()) is None
    escrow.wait(TIMELOCK + GRACE + 1)
    assert escrow.by(escrow.admin, "execute_proposal") == ERRORS["ProposalLapsed"]
    assert escrow.by(escrow.admin, "cancel_proposal") is None
    assert escrow.propose(operator=NEW.pubkey()) is None
    escrow.wait(TIMELOCK + GRACE)
    assert escrow.by(escrow.admin, "execute_proposal") is None


def test_a_proposal_is_not_signed_in_advance(escrow):
    nonce = Keypair.from_seed(bytes([91]) * 32)
    admin = escrow.admin.pubkey()
    made = create_nonce_account(admin, nonce.pubkey(), admin, 10_000_000)
    assert escrow.send(list(made), escrow.admin, nonce) is None, escrow.logs
    escrow.svm.expire_blockhash()
    settings = [key.pubkey() for key in (escrow.admin, NEW, NEW)]
    proposal = escrow.build("propose", *settings, escrow.limits())
    advance = advance_nonce_account(
        AdvanceNonceAccountParams(nonce_pubkey=nonce.pubkey(), authorized_pubkey=admin)
    )
    assert escrow.send([advance, proposal], escrow.admin) == ERRORS["DurableNonce"], escrow.logs
    blind = escrow.build("propose", *settings, escrow.limits(), instructions=SYSTEM)
    assert escrow.send([blind], escrow.admin) == ERRORS["WrongProgram"]
    lamports = transfer(TransferParams(from_pubkey=admin, to_pubkey=admin, lamports=4))
    assert escrow.send([lamports, proposal], escrow.admin) is None, escrow.logs


@pytest.mark.parametrize("key", ["guardian", "operator"])
def test_only_the_admin_proposes_and_takes_back(escrow, key):
    signer = getattr(escrow, key)
    keys = [one.pubkey() for one in (signer, signer, signer)]
    by_other = {"admin": signer.pubkey()}
    assert escrow.by(signer, "propose", *keys, escrow.limits(), **by_other) == ERRORS["NotAdmin"]
    assert escrow.propose() is None
    assert escrow.by(signer, "cancel_proposal", **by_other) == ERRORS["NotAdmin"]


def test_the_admin_and_the_guardian_change_hands_and_withdrawals_go_on(escrow):
    assert escrow.propose(admin=NEW.pubkey(), guardian=NEW.pubkey()) is None
    escrow.wait(TIMELOCK)
    assert escrow.by(escrow.owners[0], "execute_proposal") is None
    assert escrow.propose() == ERRORS["NotAdmin"]
    assert escrow.by(escrow.guardian, "set_pause", True) == ERRORS["NotGuardian"]
    assert escrow.withdraw(0, 2, 5, 1) is None, escrow.logs
    assert escrow.state().creator == escrow.admin.pubkey()


@pytest.mark.parametrize(
    "change",
    [
        {"hour_share": 1_000_001},
        {"day_share": 1_000_001},
        {"exit_delay": 0},
        {"exit_delay": 30 * DAY + 1, "timelock": 60 * DAY},
        {"timelock": 3_600},
        {"timelock": 90 * DAY + 1},
        {"loss_window": 59},
        {"loss_window": 30 * DAY + 1},
        {"limit_delay": 0},
        {"limit_delay": 7_200},
    ],
)
def test_unsound_limits_are_refused_at_the_beginning_and_later(bare, change):
    assert bare.initialize(limits=change) == ERRORS["BadLimits"]
    assert bare.initialize() is None
    assert bare.propose(**change) == ERRORS["BadLimits"]


@pytest.mark.parametrize("key", ["admin", "operator", "guardian"])
def test_no_role_goes_to_nobody(escrow, key):
    assert escrow.propose(**{key: Pubkey.default()}) == ERRORS["BadArguments"]


def test_a_batch_is_given_up_only_before_its_first_page(escrow):
    assert escrow.by(escrow.operator, "abort_batch", 1) == ERRORS["NoBatchOpen"]
    assert escrow.open_batch(1, 1) is None
    assert escrow.by(escrow.operator, "abort_batch", 2) == ERRORS["BatchOutOfOrder"]
    thief = escrow.admin
    assert escrow.by(thief, "abort_batch", 1, operator=thief.pubkey()) == ERRORS["NotOperator"]
    assert escrow.by(escrow.guardian, "set_pause", True) is None
    assert escrow.by(escrow.operator, "abort_batch", 1) is None
    assert [(name, data.id) for name, data in escrow.events()] == [("BatchAborted", 1)]
    assert escrow.by(escrow.guardian, "set_pause", False) is None
    assert escrow.open_batch(1, 1) is None
    assert escrow.settle(1, BALANCED) is None
    assert escrow.by(escrow.operator, "abort_batch", 1) == ERRORS["BatchStarted"]
