"""A piece of the fuzzer in every run of the suite; `fuzz.py` itself runs as long as wanted."""

import importlib
from pathlib import Path

import pytest

STEPS = 10_000
RARE = (
    "carry_batch",
    "abort_batch",
    "execute_proposal",
    "create_page",
    "close_account",
    "reuse_slot",
    "withdraw",
)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_program_does_what_the_model_does_and_nobody_loses_money(monkeypatch, seed):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    done = importlib.import_module("fuzz").fuzz(STEPS, seed)
    assert all(done.landed[name] for name in RARE), done.landed
    assert done.refused["forged"] > 100
    assert done.refused["LossOutstanding"]
