"""The page of the crash matrix names exactly the cells that tests have."""

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import activities

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "crash-matrix.md"


ONLY_READ = {
    "next_batch",
    "batch_receipt",
    "build_message",
    "funded_markets",
    "missed_hours",
    "look_for_proposal",
    "batch_under_way",
    "check_key",
    "settlement_paused",
}
TELL_TEMPORAL = {"keep_entities", "wake_settlement", "pause_settlement", "resume_settlement"}
"""What the workflow of settlement and its Schedule forget is in the engine's journal, which is asked before a batch is cut."""

TAKE_UP = {"take_up_orders"}
"""Starts the one workflow that an order has, and none beside one that runs: the next minute does what this one did not."""

OF_THE_LEDGER = {
    "resolve_order",
    "give_up_order",
    "follow_order",
    "cancel_order",
    "reconcile_venues",
    "collect_fills",
    "price_legs",
    "take_snapshots",
}
"""What they change is one transaction of the ledger, the same whoever does it and however often; a venue takes an order back once."""

OF_ANOTHER_CHAIN = {
    "cover_gold_orders",
    "end_gold_batch",
    "find_gold_batch",
    "most_gold_orders",
    "sign_gold_batch",
    "watch_gold_batch",
}
"""The router there carries a batch out once, and what is signed is in the workflow's history before it is sent: tests/evm."""


SENT_BY = {
    "open_batch": "open_batch",
    "settle_page": "settle_page",
    "seal_batch": "seal_batch",
    "carry_batch": "seal_batch",
    "withdraw": "pay",
    "open_account": "watch_unbound: open",
    "reuse_slot": "watch_unbound: reuse",
    "create_page": "watch_unbound: add a page",
    "execute_proposal": "execute_proposal",
}
"""The row of each instruction that steps send. Which of the two seals a batch is decided as it is signed, by what is left over."""


def instructions_built() -> set[str]:
    """Instructions of the escrow that some step builds, by the names of what builds them."""
    idl = json.loads((ROOT / "contracts" / "solana" / "escrow" / "idl.json").read_text())
    known = {re.sub(r"[A-Z]", lambda big: f"_{big[0].lower()}", one["name"]) for one in idl["instructions"]}
    texts = [path.read_text() for path in (ROOT / "activities").glob("*.py")]
    return {name for text in texts for name in re.findall(r"\b(?:build|combine)_(\w+)", text)} & known


def registered() -> set[str]:
    """Names of all activities that there are."""
    modules = [import_module(f"activities.{one.name}") for one in iter_modules(activities.__path__)]
    classes = {one for module in modules for one in vars(module).values() if isinstance(one, type)}
    methods = [method for one in classes for method in vars(one).values()]
    found = (getattr(method, "__temporal_activity_definition", None) for method in methods)
    return {definition.name for definition in found if definition is not None}


def test_every_step_is_in_the_table_or_only_reads():
    rows = [line.split("`")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    steps = {row.partition(":")[0] for row in rows} - {"all of a batch"}
    left_out = ONLY_READ | TELL_TEMPORAL | TAKE_UP | OF_THE_LEDGER | OF_ANOTHER_CHAIN
    assert steps | left_out == registered()
    assert not steps & left_out
    # What only reads, or talks to Temporal, is left out for one reason each; all others are named with theirs.
    said = set(re.findall(r"`(\w+)`", PAGE.read_text().partition("<!-- cells -->")[0]))
    assert said >= TAKE_UP | OF_THE_LEDGER | OF_ANOTHER_CHAIN


def test_every_step_that_sends_something_to_the_chain_has_a_row():
    """An activity has several of them: one without a row of its own would hide behind its neighbour's."""
    assert instructions_built() == SENT_BY.keys()
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    sending = {line.split("`")[1] for line in lines if line.split("|")[3].strip() == "sends a transaction"}
    assert sending == set(SENT_BY.values())


def test_the_table_is_what_the_tests_show(tmp_path):
    cells = re.compile(r"mark\.cell\(|crash_faults")
    marked = [str(path) for path in (ROOT / "tests").rglob("test_*.py") if cells.search(path.read_text())]
    written = tmp_path / PAGE.name
    written.write_text(PAGE.read_text())
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "--assert=plain",
            "-m",
            "cell",
            "--crash-matrix",
            str(written),
            *marked,
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'sdk'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr
    assert written.read_text() == PAGE.read_text()
