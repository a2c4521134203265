"""`perpdex escrow` where the upgradeable loader took the program: create, show, check, a sentence for each mistake."""

import pytest
from solders.keypair import Keypair
from solders.rent import Rent

from chain.cluster import CLUSTERS
from chain.layout import ESCROW_BYTES, PAGE_BYTES, TOKEN_ACCOUNT_BYTES
from chain.localnet.genesis import PROGRAM_FILE, PROGRAM_ID

NO_LEDGER = "postgresql://127.0.0.1:1/none"
DEVNET = next(cluster for cluster in CLUSTERS if cluster.name == "devnet")


def test_an_escrow_is_created_with_its_own_limits_and_everything_belongs_together(operator, chain):
    admin = operator.made("admin").pubkey
    chain.fund(admin)
    code, said = operator.initialize()
    assert (code, "nothing was sent: repeat with --yes" in said) == (0, True), said
    code, said = operator.initialize("--yes")
    assert (code, f"ESCROW_ADMIN={admin}" in said) == (0, True), said
    chain.fund(operator.key)
    # What an account of no bytes keeps, and one transaction at the most that is offered. On a public cluster less is wrong.
    guardian, needed = operator.made("guardian").pubkey, 128 * 6_960 + 5_000 + 20_000
    chain.fund(guardian, needed - 1)
    code, said = operator.run("check", ESCROW_ADMIN=str(admin))
    assert code == 0, said
    assert f"ok    the admin {admin} has " in said
    lacks = f"has {(needed - 1) / 10**9:.9f} SOL and needs {needed / 10**9:.9f}: send it some"
    assert f"note  the guardian {guardian} {lacks}" in said
    chain.fund(guardian, 1)
    assert f"ok    the guardian {guardian} has" in operator.run("check", ESCROW_ADMIN=str(admin))[1]
    assert "is this release's" in said
    assert f"{chain.authority.pubkey()} may replace the program" in said
    code, said = operator.run("show", ESCROW_ADMIN=str(admin))
    assert code == 0, said
    for shown in ("100.000000 USDC", "500.000000 USDC", "10000 millionths", "259200 s", str(operator.key)):
        assert shown in said
    code, said = operator.initialize("--yes")
    assert (code, "already" in said) == (1, True), said


def test_after_a_rotation_the_escrow_is_found_by_its_creator_only(operator, chain):
    admin = operator.made("admin").pubkey
    chain.fund(admin)
    assert operator.initialize("--yes")[0] == 0
    another = operator.made("another").pubkey
    chain.fund(another)
    key = {"OPERATOR_KEY": f"file:{operator.directory}/another.json"}
    code, said = operator.run("check", **key)
    assert (code, "there is no escrow at" in said, "correct ESCROW_ADMIN" in said) == (1, True, True), said
    code, said = operator.run("check", ESCROW_ADMIN=str(admin), **key)
    assert (code, f"the escrow's operator is {operator.key}, OPERATOR_KEY is {another}" in said) == (1, True)


def test_nobody_funded_the_keys(operator):
    code, said = operator.initialize("--yes")
    assert (code, "has 0.000000000 SOL and needs" in said) == (1, True), said
    code, said = operator.run("check")
    assert (code, f"the operator {operator.key} has 0.000000000 SOL" in said) == (1, True), said


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("ESCROW_PROGRAM", str(Keypair().pubkey()), "no program runs at"),
        ("ESCROW_MINT", str(Keypair().pubkey()), "no token's mint is at"),
        ("ESCROW_MINT", "USDC", "are public keys in base58"),
        ("SOLANA_CLUSTER", "mainnet", "SOLANA_CLUSTER is mainnet: correct SOLANA_RPC_URL"),
        ("OPERATOR_KEY", "", "there is no operator's key here"),
    ],
    ids=["program", "mint", "no key", "cluster", "no operator"],
)
def test_a_wrong_setting_is_one_sentence(operator, name, value, sentence):
    code, said = operator.run("check", **{name: value})
    assert (code, [line for line in said.splitlines() if sentence in line] != []) == (1, True), said
    assert "Traceback" not in said


def test_a_node_that_does_not_answer_is_not_a_wrong_setting(operator):
    code, said = operator.run("check", SOLANA_RPC_URL="http://127.0.0.1:1")
    assert (code, "does not tell" in said) == (2, True), said


def test_another_program_is_told_by_its_hash(machine, start):
    operator = machine(start())
    code, said = operator.run("check")
    assert (code, "is not this release's: its hash is" in said) == (1, True), said
    code, said = operator.initialize("--yes")
    assert (code, "is not this release's" in said) == (1, True), said


def test_on_a_public_cluster_nothing_of_the_local_chain_is_taken(machine, start):
    operator = machine(start(DEVNET.genesis))
    code, said = operator.run("check", ESCROW_PROGRAM=str(PROGRAM_ID))
    assert code == 1
    assert "the node belongs to devnet: set SOLANA_CLUSTER=devnet" in said
    assert "whose key is public" in said
    assert f"ESCROW_MINT must be {DEVNET.usdc}" in said
    code, said = operator.initialize("--exit-delay=1", "--timelock=86400", "--yes")
    assert (code, "the exit delay is 1 s, less than 14400 s" in said) == (1, True), said
    assert "whoever notices it late has 86399 s, less than 86400 s" in said


@pytest.mark.parametrize(
    ("genesis", "wanted", "sentence"),
    [
        (DEVNET.genesis, "mainnet", "the node belongs to devnet, SOLANA_CLUSTER is mainnet"),
        (DEVNET.genesis, "", "the node belongs to devnet: set SOLANA_CLUSTER=devnet"),
        ("", "devnet", "the node belongs to a chain of its own"),
    ],
    ids=["another", "not named", "not public"],
)
def test_the_api_does_not_start_on_another_cluster(machine, start, genesis, wanted, sentence):
    operator = machine(start(genesis))
    settings = {"DATABASE_URL": NO_LEDGER, "PYTH_URL": "", "EXEC_ALLOWED_VENUES": "agents"}
    code, said = operator.perpdex("serve", "api", SOLANA_CLUSTER=wanted, **settings)
    lines = said.strip().splitlines()
    assert (code, len(lines), sentence in lines[-1]) == (1, 1, True), said
    assert not (operator.directory / "journal").exists()


def test_a_guardian_is_not_the_operator(operator):
    code, said = operator.initialize(f"--guardian={operator.key}", "--yes")
    assert (code, "guardian must be another key" in " ".join(said.split())) == (2, True), said


def test_limits_that_the_program_does_not_take_are_named(operator, chain):
    chain.fund(operator.made("admin").pubkey)
    code, said = operator.initialize("--timelock=60", "--yes")
    assert (code, "did not create the escrow: BadLimits" in said) == (1, True), said


@pytest.mark.parametrize(
    ("rent", "rate"), [(Rent(6_960, 1.0, 50), 6_960), (Rent(5_080, 1.0, 50), 5_080)], ids=["0194", "0437"]
)
def test_what_must_be_there_is_what_the_cluster_asks_to_the_lamport(machine, start, rent, rate):
    chain = start(rent=rent, code=PROGRAM_FILE.read_bytes())
    operator = machine(chain)
    admin = operator.made("admin").pubkey
    needed = sum((size + 128) * rate for size in (ESCROW_BYTES, TOKEN_ACCOUNT_BYTES, PAGE_BYTES)) + 5_000
    chain.fund(admin, needed - 1)
    code, said = operator.initialize("--yes")
    assert (code, f"SOL and needs {needed / 10**9:.9f}" in said) == (1, True), said
    chain.fund(admin, 1)
    code, said = operator.initialize("--yes")
    assert (code, f"ESCROW_ADMIN={admin}" in said) == (0, True), said
    assert chain.client.get_balance(admin).value == 0
    fees_and_pages = 2 * (PAGE_BYTES + 128) * rate + 10_000 * 5_000
    chain.fund(operator.key, fees_and_pages - 1)
    code, said = operator.run("check", ESCROW_ADMIN=str(admin))
    assert (code, f"SOL and needs {fees_and_pages / 10**9:.9f}" in said) == (1, True), said
    chain.fund(operator.key, 1)
    assert operator.run("check", ESCROW_ADMIN=str(admin))[0] == 0


@pytest.mark.parametrize(("arguments", "rate"), [((), 6_960), (("--rent-per-byte=5080",), 5_080)])
def test_a_budget_is_computed_with_the_rent_that_is_named(operator, arguments, rate):
    code, said = operator.run("budget", "--accounts=104", *arguments)
    assert code == 0, said
    assert f"{2 * (PAGE_BYTES + 128) * rate:,}" in said
    assert f"{(ESCROW_BYTES + TOKEN_ACCOUNT_BYTES + 256) * rate:,}" in said
