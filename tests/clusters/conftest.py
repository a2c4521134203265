"""A chain whose escrow program lies where the upgradeable loader keeps programs, under a key of its own, and was put there by it."""

import hashlib
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import base58
import httpx
import pytest
from solana.rpc.api import Client
from solana.rpc.commitment import Finalized
from solders.account import Account
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.rent import Rent
from solders.system_program import CreateAccountParams, create_account
from solders.transaction import Transaction
from typer.testing import CliRunner

from chain.cluster import UPGRADEABLE_LOADER
from chain.keys import KeypairSigner
from chain.localnet.bank import Bank
from chain.localnet.genesis import PROGRAM_FILE, USDC_MINT
from chain.localnet.process import LocalnetProcess
from cli.main import app

ROOT = Path(__file__).resolve().parents[2]
RENT = Pubkey.from_string("SysvarRent111111111111111111111111111111111")
SYSVARS = Pubkey.from_string("Sysvar1111111111111111111111111111111111111")
CLOCK = Pubkey.from_string("SysvarC1ock11111111111111111111111111111111")
PIECE = 1_000
AN_EARLIER_ONE = PROGRAM_FILE.read_bytes() + bytes(99) + b"\1"
"""Runs as well, and has another hash."""


class Chain:
    """A running chain; `program` was deployed earlier, as `AN_EARLIER_ONE`, and `authority` may replace it."""

    def __init__(self, process: LocalnetProcess, program: Pubkey, authority: Keypair) -> None:
        self.process, self.program, self.authority = process, program, authority
        self.client = Client(process.url, Finalized)

    def call(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = httpx.post(self.process.url, json=body).json()
        assert "error" not in answer, answer
        return answer["result"]

    def fund(self, key: Pubkey, lamports: int = 10**10) -> None:
        """Finally: the commands believe nothing else."""
        before = self.client.get_balance(key).value
        self.call("requestAirdrop", str(key), lamports)
        while self.client.get_balance(key).value == before:
            time.sleep(0.01)

    def land(self, instructions: list[Instruction], *signers: Keypair) -> None:
        """Take a recent blockhash and the chain's word; raises with its logs."""
        blockhash = self.client.get_latest_blockhash().value.blockhash
        message = Message.new_with_blockhash(instructions, signers[0].pubkey(), blockhash)
        self.client.send_raw_transaction(bytes(Transaction(list(signers), message, blockhash)))

    def upgrade(self, code: bytes) -> None:
        """What `solana program deploy` does: a buffer, its pieces, and the loader's own checks at the end."""
        payer, buffer = self.authority, Keypair()
        size = 37 + len(code)
        lamports = self.client.get_minimum_balance_for_rent_exemption(size).value
        made = create_account(
            CreateAccountParams(
                from_pubkey=payer.pubkey(),
                to_pubkey=buffer.pubkey(),
                lamports=lamports,
                space=size,
                owner=UPGRADEABLE_LOADER,
            )
        )
        held = [AccountMeta(buffer.pubkey(), False, True), AccountMeta(payer.pubkey(), False, False)]
        self.land([made, Instruction(UPGRADEABLE_LOADER, struct.pack("<I", 0), held)], payer, buffer)
        held[1] = AccountMeta(payer.pubkey(), True, False)
        for at in range(0, len(code), PIECE):
            piece = code[at : at + PIECE]
            head = struct.pack("<IIQ", 1, at, len(piece))
            self.land([Instruction(UPGRADEABLE_LOADER, head + piece, held)], payer)
        accounts = [
            AccountMeta(data_of(self.program), False, True),
            AccountMeta(self.program, False, True),
            AccountMeta(buffer.pubkey(), False, True),
            AccountMeta(payer.pubkey(), False, True),
            AccountMeta(RENT, False, False),
            AccountMeta(CLOCK, False, False),
            AccountMeta(payer.pubkey(), True, False),
        ]
        self.land([Instruction(UPGRADEABLE_LOADER, struct.pack("<I", 3), accounts)], payer)


def data_of(program: Pubkey) -> Pubkey:
    return Pubkey.find_program_address([bytes(program)], UPGRADEABLE_LOADER)[0]


def earlier(
    directory: Path, program: Pubkey, authority: Pubkey, genesis: str, rent: Rent | None, code: bytes
) -> None:
    """Write the chain's first state: this machine's loader takes no first deployments, only upgrades of what is there."""
    head = struct.pack("<IQB32s", 3, 0, 1, bytes(authority))
    bank = Bank(directory, finality=2)
    bank.history.save(
        [
            (data_of(program), Account(10**10, head + code, UPGRADEABLE_LOADER)),
            (
                program,
                Account(10**10, struct.pack("<I32s", 2, bytes(data_of(program))), UPGRADEABLE_LOADER, True),
            ),
        ]
    )
    if rent is not None:
        value = struct.pack("<QdB", rent.lamports_per_byte_year, rent.exemption_threshold, rent.burn_percent)
        bank.history.save([(RENT, Account(10**9, value, SYSVARS))])
    if genesis:
        bank.history.set_meta("genesis", base58.b58decode(genesis).hex())
    bank.close()


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Chain]]:
    """Starts a chain, under the genesis hash of another one or with another rent where they are given."""
    started: list[LocalnetProcess] = []

    def start(genesis: str = "", rent: Rent | None = None, code: bytes = AN_EARLIER_ONE) -> Chain:
        directory = tmp_path_factory.mktemp("chain")
        seeds = (hashlib.sha256(name).digest() for name in (b"program of the tests", b"its authority"))
        program, authority = map(Keypair.from_seed, seeds)
        earlier(directory, program.pubkey(), authority.pubkey(), genesis, rent, code)
        process = LocalnetProcess(directory, slot_ms=20, finality=2)
        process.start()
        started.append(process)
        chain = Chain(process, program.pubkey(), authority)
        chain.fund(authority.pubkey())
        while chain.client.get_account_info(USDC_MINT).value is None:
            time.sleep(0.02)  # It is made as the chain starts, and final a few slots later.
        return chain

    yield start
    for process in started:
        process.stop()


@pytest.fixture(scope="module")
def chain(start: Callable[..., Chain]) -> Chain:
    """With this release's program, which the loader took."""
    chain = start()
    chain.upgrade(PROGRAM_FILE.read_bytes())
    return chain


class Operator:
    """A machine with the operator's key, and the commands that a person runs there."""

    def __init__(self, directory: Path, chain: Chain) -> None:
        self.directory, self.chain = directory, chain
        self.key = self.made("operator").pubkey
        self.settings = {
            "PERPDEX_DATA": str(directory),
            "OPERATOR_KEY": f"file:{directory}/operator.json",
            "SOLANA_RPC_URL": chain.process.url,
            "ESCROW_PROGRAM": str(chain.program),
        }

    def made(self, name: str) -> KeypairSigner:
        return KeypairSigner.load_or_create(self.directory / f"{name}.json")

    def run(self, *arguments: str, **settings: str) -> tuple[int, str]:
        """Exit code of `perpdex escrow` and everything that was said."""
        return self.perpdex("escrow", *arguments, **settings)

    def perpdex(self, *arguments: str, **settings: str) -> tuple[int, str]:
        """Within this process: a process of its own would spend most of its time importing."""
        given = {"COLUMNS": "200", **self.settings, **settings}
        done = CliRunner().invoke(app, arguments, env=given)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.output

    def initialize(self, *more: str, **settings: str) -> tuple[int, str]:
        keys = [
            f"--{name}={self.made(name).pubkey}" for name in ("operator", "guardian", "treasury", "insurance")
        ]
        admin = f"--admin=file:{self.directory}/admin.json"
        self.made("admin")
        floors = ("--hour-floor=100", "--day-floor=500")
        return self.run("initialize", *keys, *floors, admin, *more, **settings)


@pytest.fixture
def operator(tmp_path: Path, chain: Chain) -> Operator:
    return Operator(tmp_path, chain)


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[Chain], Operator]:
    return lambda chain: Operator(tmp_path, chain)
