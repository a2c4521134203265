"""Accounts, deposits and withdrawals: what they do, and every refusal with its code."""

import hashlib
import json
import re
from pathlib import Path

import pytest
from anchorpy import EventParser
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

FOLDER = Path(__file__).parents[2] / "contracts" / "solana" / "escrow"
ERRORS = {error["name"]: error["code"] for error in json.loads((FOLDER / "idl.json").read_text())["errors"]}
TOO_LITTLE = 1
"""The token program's own error for more than an account has: a refusal of a called program ends the transaction with its words."""
STRANGER = Keypair.from_seed(bytes([99]) * 32).pubkey()


def test_discriminators_are_the_hashes_of_their_names():
    found = re.findall(
        r"pub const (\w+): \[u8; 8\] = (\[.*\]);", (FOLDER / "src/discriminators.rs").read_text()
    )
    idl = json.loads((FOLDER / "idl.json").read_text())
    names = {re.sub(r"(?<!^)(?=[A-Z])", "_", one["name"]).lower(): "global" for one in idl["instructions"]}
    expected = {name.upper(): hashlib.sha256(f"global:{name}".encode()).digest()[:8] for name in names}
    for kind in ("account", "event"):
        for one in idl[kind + "s"]:
            name = re.sub(r"(?<!^)(?=[A-Z])", "_", one["name"]).upper()
            expected[name] = hashlib.sha256(f"{kind}:{one['name']}".encode()).digest()[:8]
    assert {name: bytes(json.loads(value)) for name, value in found} == expected


def test_errors_of_the_idl_are_the_programs():
    source = (FOLDER / "src/error.rs").read_text()
    names = re.findall(r"^    (\w+)(?: = 6000)?,", source, re.M)
    assert {name: 6000 + index for index, name in enumerate(names)} == ERRORS


def test_initializing_makes_the_escrow_its_vault_and_the_first_page(escrow):
    state = escrow.state()
    assert (state.settings.admin, state.settings.operator, state.mint) == (
        escrow.admin.pubkey(),
        escrow.operator.pubkey(),
        escrow.mint,
    )
    assert (state.pages, state.deposits, state.deposit_count, state.version) == (1, 2_000, 2, 2)
    slots = escrow.slots()
    assert [(Pubkey(slot.owner), slot.account) for slot in slots[:2]] == [
        (escrow.treasury, 1),
        (escrow.insurance, 2),
    ]
    assert escrow.balances() == [0, 0, 1_000, 1_000]
    assert escrow.tokens(escrow.vault) == 2_000


def test_it_initializes_once_also_where_lamports_lie_already(bare):
    for address in (bare.address, bare.vault, bare.page(0)):
        bare.svm.airdrop(address, 890_881)
    assert bare.initialize() is None, bare.logs
    assert bare.initialize() == ERRORS["AlreadyInitialized"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"escrow": STRANGER}, "WrongAddress"),
        ({"vault": STRANGER}, "WrongAddress"),
        ({"page": STRANGER}, "WrongAddress"),
        ({"mint": STRANGER}, "WrongMint"),
        ({"system_program": STRANGER}, "WrongProgram"),
        ({"token_program": STRANGER}, "WrongProgram"),
    ],
)
def test_initializing_refuses_wrong_accounts(bare, change, error):
    assert bare.initialize(**change) == ERRORS[error]


def test_nothing_works_before_it_is_initialized(bare):
    bare.wallet(bare.owners[0], 100)
    assert bare.open(0, 16) == ERRORS["WrongOwner"]
    assert bare.deposit(0, 2, 5) == ERRORS["WrongOwner"]
    assert bare.open_batch(1, 1) == ERRORS["WrongOwner"]


def test_pages_are_added_in_order_by_the_operator(escrow):
    escrow.svm.airdrop(escrow.page(1), 1_000_000)
    assert escrow.send([escrow.build("create_page", 1, index=1)], escrow.operator) is None, escrow.logs
    for index in (0, 1, 3):
        built = escrow.build("create_page", index, index=index)
        assert escrow.send([built], escrow.operator) == ERRORS["PageOutOfOrder"]
    wrong = escrow.build("create_page", 2, page=STRANGER)
    assert escrow.send([wrong], escrow.operator) == ERRORS["WrongAddress"]
    thief = escrow.build("create_page", 2, index=2, operator=escrow.admin.pubkey())
    assert escrow.send([thief], escrow.admin) == ERRORS["NotOperator"]
    assert escrow.open(2, 30, index=1) is None
    assert escrow.slots(1)[0].account == 30


def test_opening_accounts_is_the_operators_and_each_is_opened_once(escrow):
    assert escrow.open(2, 16) == ERRORS["AccountExists"]
    assert escrow.open(2, 0) == ERRORS["BadArguments"]
    nobody = escrow.build("open_account", Pubkey.default(), 50)
    assert escrow.send([nobody], escrow.operator) == ERRORS["BadArguments"]
    thief = escrow.build("open_account", STRANGER, 50, operator=escrow.admin.pubkey())
    assert escrow.send([thief], escrow.admin) == ERRORS["NotOperator"]
    for account in range(100, 201):
        assert escrow.open(2, account) is None
    assert escrow.open(2, 300) == ERRORS["PageFull"]


def test_a_deposit_moves_tokens_and_tells_of_it(escrow):
    assert escrow.deposit(0, 2, 250) is None
    assert escrow.balances() == [0, 0, 1_250, 1_000]
    assert escrow.tokens(escrow.vault) == 2_250
    events = []
    EventParser(escrow.id, escrow.program.coder).parse_logs(escrow.logs, events.append)
    data = events[0].data
    assert events[0].name == "Deposited"
    assert data.escrow == escrow.address
    assert (data.page, data.slot, data.owner, data.account, data.amount, data.number) == (
        0,
        2,
        escrow.owners[0].pubkey(),
        16,
        250,
        3,
    )


@pytest.mark.parametrize(
    ("slot", "amount", "error"),
    [
        (3, 5, "NotSlotOwner"),
        (0, 5, "NotSlotOwner"),
        (4, 5, "SlotUnused"),
        (65_535, 5, "SlotUnused"),
        (2, 0, "ZeroAmount"),
    ],
)
def test_deposits_refuse_wrong_arguments(escrow, slot, amount, error):
    assert escrow.deposit(0, slot, amount) == ERRORS[error]


def test_a_deposit_of_more_than_one_has_lands_nowhere(escrow):
    assert escrow.deposit(0, 2, 9_001) == TOO_LITTLE
    assert escrow.deposit(0, 2, 2**64 - 1) == ERRORS["Overflow"]
    assert escrow.balances() == [0, 0, 1_000, 1_000]


def test_all_deposits_ever_stay_below_two_to_the_sixty_second(escrow):
    left = 2**62 - 1 - escrow.state().deposits
    escrow.wallet(escrow.owners[0], left + 1)
    assert escrow.deposit(0, 2, left + 1) == ERRORS["Overflow"]
    assert escrow.deposit(0, 2, left) is None
    assert escrow.deposit(0, 2, 1) == ERRORS["Overflow"]
    assert escrow.state().deposits == 2**62 - 1


def test_deposits_refuse_wrong_accounts(escrow):
    other_mint = escrow.make_mint(Keypair.from_seed(bytes([77]) * 32))
    foreign = escrow.wallet(escrow.owners[0], 100, other_mint)
    fake_vault = escrow.wallet(escrow.owners[3], 1)
    assert escrow.deposit(0, 2, 5, source=foreign) == ERRORS["WrongMint"]
    assert escrow.deposit(0, 2, 5, source=STRANGER) == ERRORS["WrongTokenAccount"]
    assert escrow.deposit(0, 2, 5, vault=fake_vault) == ERRORS["WrongVault"]
    assert escrow.deposit(0, 2, 5, source=escrow.vault) == ERRORS["WrongTokenAccount"]
    assert escrow.deposit(0, 2, 5, token_program=STRANGER) == ERRORS["WrongProgram"]
    assert escrow.deposit(0, 2, 5, page=escrow.address) == ERRORS["WrongSize"]
    assert escrow.deposit(0, 2, 5, escrow=escrow.page(0)) == ERRORS["WrongSize"]


def test_forged_accounts_are_refused(escrow):
    page = escrow.svm.get_account(escrow.page(0)).data
    state = escrow.svm.get_account(escrow.address).data
    foreign_owner = escrow.put(STRANGER, page, owner=Pubkey.default())
    assert escrow.deposit(0, 2, 5, page=foreign_owner) == ERRORS["WrongOwner"]
    wrong_kind = escrow.put(STRANGER, b"somename" + page[8:])
    assert escrow.deposit(0, 2, 5, page=wrong_kind) == ERRORS["WrongDiscriminator"]
    other_escrow = escrow.put(STRANGER, page[:8] + bytes(STRANGER) + page[40:])
    assert escrow.deposit(0, 2, 5, page=other_escrow) == ERRORS["WrongEscrow"]
    short = escrow.put(STRANGER, page[:-1])
    assert escrow.deposit(0, 2, 5, page=short) == ERRORS["WrongSize"]
    forged = escrow.put(STRANGER, state)
    assert escrow.withdraw(0, 2, 5, 1, escrow=forged) == ERRORS["WrongEscrow"]


def test_a_forged_escrow_with_a_page_of_its_own_cannot_reach_the_vault(escrow):
    state = bytearray(escrow.svm.get_account(escrow.address).data)
    page = bytearray(escrow.svm.get_account(escrow.page(0)).data)
    forged, its_page = Pubkey.new_unique(), Pubkey.new_unique()
    page[8:40] = bytes(forged)
    escrow.put(forged, bytes(state))
    escrow.put(its_page, bytes(page))
    assert escrow.withdraw(0, 2, 5, 1, escrow=forged, page=its_page) == ERRORS["WrongAddress"]


def test_a_withdrawal_pays_the_owner_once(escrow):
    target = escrow.accounts("withdraw")["target"]
    before = escrow.tokens(target)
    assert escrow.withdraw(0, 2, 400, 7) is None, escrow.logs
    assert escrow.tokens(target) == before + 400
    assert escrow.tokens(escrow.vault) == 1_600
    for repeated in (7, 6, 0):
        assert escrow.withdraw(0, 2, 1, repeated) == ERRORS["WithdrawalRepeated"]
    assert escrow.withdraw(0, 2, 601, 8) == ERRORS["InsufficientBalance"]
    assert escrow.withdraw(0, 2, 600, 8) is None
    assert escrow.state().withdrawals == 1_000


def test_withdrawals_refuse_wrong_signers_and_accounts(escrow):
    built = escrow.build("withdraw", 2, 5, 1, owner=escrow.owners[1].pubkey())
    assert escrow.send([built], escrow.owners[1], escrow.operator) == ERRORS["NotSlotOwner"]
    thief = escrow.build("withdraw", 2, 5, 1, operator=escrow.admin.pubkey())
    assert escrow.send([thief], escrow.owners[0], escrow.admin) == ERRORS["NotOperator"]
    elsewhere = escrow.accounts("withdraw", owner=escrow.owners[1].pubkey())["target"]
    assert escrow.withdraw(0, 2, 5, 1, target=elsewhere) == ERRORS["WrongTokenAccount"]
    assert escrow.withdraw(0, 2, 5, 1, vault=elsewhere) == ERRORS["WrongVault"]
    assert escrow.withdraw(0, 2, 0, 1) == ERRORS["ZeroAmount"]
    assert escrow.withdraw(0, 9, 5, 1) == ERRORS["SlotUnused"]
    assert escrow.withdraw(0, 2, 5, 1, token_program=STRANGER) == ERRORS["WrongProgram"]


@pytest.mark.parametrize("signer", ["owner", "operator"])
def test_both_must_sign_a_withdrawal(escrow, signer):
    built = escrow.build("withdraw", 2, 5, 1)
    key = {"owner": escrow.owners[0], "operator": escrow.operator}[signer].pubkey()
    metas = [AccountMeta(m.pubkey, m.is_signer and m.pubkey != key, m.is_writable) for m in built.accounts]
    signers = [one for one in (escrow.owners[0], escrow.operator) if one.pubkey() != key]
    unsigned = Instruction(built.program_id, built.data, metas)
    assert escrow.send([unsigned], *signers) == ERRORS["MissingSignature"]


def test_malformed_instructions_are_refused(escrow):
    built = escrow.build("deposit", 2, 5)
    owner = escrow.owners[0]
    cases = [
        (built.data[:-1], built.accounts, "BadArguments"),
        (built.data + b"\0", built.accounts, "BadArguments"),
        (built.data[:7], built.accounts, "BadArguments"),
        (b"", built.accounts, "BadArguments"),
        (b"nonsense" + built.data[8:], built.accounts, "UnknownInstruction"),
        (built.data, built.accounts[:5], "MissingAccount"),
        (built.data, [*built.accounts, *[AccountMeta(STRANGER, False, False)] * 7], "BadArguments"),
        (
            built.data,
            [
                AccountMeta(m.pubkey, m.is_signer, m.is_writable and m.pubkey != escrow.page(0))
                for m in built.accounts
            ],
            "NotWritable",
        ),
    ]
    for data, accounts, error in cases:
        assert escrow.send([Instruction(escrow.id, data, accounts)], owner) == ERRORS[error], error
