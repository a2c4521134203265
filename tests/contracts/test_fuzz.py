"""A piece of the fuzzer in every run of the suite; `fuzz.py` itself runs as long as wanted."""

import importlib
from pathlib import Path

import pytest
from solders.account import Account

STEPS = 10_000
THEFTS = 60
HEADS = 800
"""Bytes in which all fields are that do not repeat."""
RARE = (
    "carry_batch",
    "abort_batch",
    "execute_proposal",
    "create_page",
    "close_account",
    "reuse_slot",
    "withdraw",
)


@pytest.fixture
def fuzz(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return importlib.import_module("fuzz")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_program_does_what_the_model_does_and_nobody_loses_money(fuzz, seed):
    done = fuzz.fuzz(STEPS, seed)
    assert all(done.landed[name] for name in RARE), done.landed
    layouts = importlib.import_module("fuzz_chain").LAYOUTS
    assert set(done.forged) == {(name, role) for name, roles in layouts.items() for role, _, _ in roles}
    assert done.refused["LossOutstanding"]
    assert done.refused["OutflowLimited"]
    assert done.refused["Overflow"]


@pytest.mark.slow
def test_no_byte_escapes_the_fuzzer(fuzz):
    """Whatever byte of the escrow, its pages and its vault were wrong, the comparison after the next instruction would say so."""
    world = fuzz.Fuzzer(0)
    chain = world.chain
    for address in (chain.escrow, chain.vault, *world.pages):
        right = chain.svm.get_account(address)
        size = len(chain.data(address))
        for at in (*range(min(size, HEADS)), *range(HEADS, size, 37)):
            data = bytearray(right.data)
            data[at] ^= 0x5A
            chain.svm.set_account(address, Account(right.lamports, bytes(data), right.owner))
            with pytest.raises(AssertionError, match="other ones from"):
                world.compare("deposit", None)
        if right is not None:
            chain.svm.set_account(address, right)
    world.compare("deposit", None)
    chain.said.pop()
    with pytest.raises(AssertionError, match="Deposited"):
        world.compare("deposit", None)


def test_whoever_is_robbed_with_the_operators_key_is_named_by_the_comparison(fuzz):
    thief = importlib.import_module("fuzz_thief")
    outcomes = thief.play(THEFTS, 1) + thief.play(THEFTS, 2)
    assert min(outcomes[each] for each in ("robbed", "nothing taken", "taken for a short page")), outcomes
