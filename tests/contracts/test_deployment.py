"""Deployed as on a cluster, by the upgradeable loader, which checks the file more strictly than whoever just puts it there.

This machine has first deployments switched off, so the program is put in place and the loader upgrades it: the same checks.
"""

import struct

import pytest
from solders.account import Account
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account

LOADER = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")
RENT = Pubkey.from_string("SysvarRent111111111111111111111111111111111")
CLOCK = Pubkey.from_string("SysvarC1ock11111111111111111111111111111111")
PIECE = 1_000
"""Bytes of the program in one transaction."""


def meta(key: Pubkey, signer: bool = False, writable: bool = False) -> AccountMeta:
    return AccountMeta(key, signer, writable)


def account(escrow, key: Keypair, size: int) -> Instruction:
    lamports = escrow.svm.minimum_balance_for_rent_exemption(size)
    payer = escrow.admin.pubkey()
    return create_account(
        CreateAccountParams(
            from_pubkey=payer, to_pubkey=key.pubkey(), lamports=lamports, space=size, owner=LOADER
        )
    )


def deploy(escrow, code: bytes) -> int | str | None:
    """None, or what the loader said."""
    program = escrow.id
    admin, buffer = escrow.admin, Keypair.from_seed(bytes([71]) * 32)
    start = Instruction(
        LOADER, struct.pack("<I", 0), [meta(buffer.pubkey(), writable=True), meta(admin.pubkey())]
    )
    assert escrow.send([account(escrow, buffer, 37 + len(code)), start], admin, buffer) is None, escrow.logs
    for at in range(0, len(code), PIECE):
        piece = code[at : at + PIECE]
        accounts = [meta(buffer.pubkey(), writable=True), meta(admin.pubkey(), signer=True)]
        write = Instruction(LOADER, struct.pack("<IIQ", 1, at, len(piece)) + piece, accounts)
        assert escrow.send([write], admin) is None, escrow.logs
        assert escrow.size <= 1_232
    data = in_place(escrow, program)
    accounts = [
        meta(data, writable=True),
        meta(program, writable=True),
        meta(buffer.pubkey(), writable=True),
        meta(admin.pubkey(), writable=True),
        meta(RENT),
        meta(CLOCK),
        meta(admin.pubkey(), signer=True),
    ]
    upgrade = Instruction(LOADER, struct.pack("<I", 3), accounts)
    result = escrow.send([upgrade], admin)
    escrow.svm.warp_to_slot(escrow.svm.get_clock().slot + 1)
    escrow.wait(0)
    return result


def in_place(escrow, program: Pubkey) -> Pubkey:
    """A program that the admin may upgrade, as an earlier deployment left it; the address of its data."""
    data, _ = Pubkey.find_program_address([bytes(program)], LOADER)
    head = struct.pack("<IQB32s", 3, 0, 1, bytes(escrow.admin.pubkey()))
    escrow.svm.set_account(data, Account(10**10, head + escrow.code, LOADER))
    escrow.svm.set_account(program, Account(10**10, struct.pack("<I32s", 2, bytes(data)), LOADER, True))
    return data


@pytest.fixture
def undeployed(fresh):
    escrow = fresh(Keypair.from_seed(bytes([72]) * 32).pubkey(), deployed=False)
    escrow.svm.warp_to_slot(10)
    return escrow


def test_the_loader_takes_the_program_and_it_works(undeployed):
    escrow = undeployed
    assert deploy(escrow, escrow.code) is None, escrow.logs
    assert escrow.initialize() is None, escrow.logs
    escrow.wallet(escrow.owners[0], 1_000)
    assert escrow.open(0, 16) is None
    assert escrow.deposit(0, 2, 1_000) is None
    assert escrow.open_batch(1, 1) is None
    assert escrow.settle(1, bytes([0, 20, 2, 21])) is None
    assert escrow.seal(1) is None
    assert escrow.withdraw(0, 2, 90, 1) is None
    assert escrow.owns(0, "request_withdrawal", 2, 2**64 - 1) is None
    escrow.wait(3_600)
    assert escrow.owns(0, "claim_withdrawal", 2) is None, escrow.logs
    assert escrow.tokens(escrow.vault) == sum(escrow.balances()) == 10


@pytest.mark.parametrize("part", ["its head", "its code"])
def test_the_loader_refuses_a_damaged_program(undeployed, part):
    damaged = bytearray(undeployed.code)
    quarter = len(damaged) // 4
    where = slice(0, 64) if part == "its head" else slice(quarter, quarter + 4_000)
    damaged[where] = bytes([0xFF]) * len(damaged[where])
    assert deploy(undeployed, bytes(damaged)) == "InstructionErrorFieldless.InvalidAccountData", (
        undeployed.logs
    )
