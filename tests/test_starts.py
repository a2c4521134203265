"""A start is nearly all imports: no process imports a floor or a package that it does not work with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

NOBODY = {"_pytest", "aiohttp", "anchorpy", "hypothesis", "loguru", "pythclient", "toolz", "web3"}
"""What is used by who signs a transaction of the escrow, reads the older Pyth accounts or Ethereum, once that is asked for."""
EDGES = {"api", "fastapi", "jwt", "prometheus_client", "uvicorn"}
DATABASE = {"ledger", "psycopg", "sqlalchemy", "alembic"}
WORKFLOWS = {"activities", "google.protobuf", "temporalio", "workflows"}
CHAIN = {"chain.escrow", "solana", "spl"}
EXCHANGE = {"activities", "api", "chain", "core", "ledger", "matcher", "oracles", "settings", "workflows"}


@pytest.mark.parametrize(
    ("modules", "without"),
    [
        pytest.param("cli.serve, serving", {"alembic", "temporalio.worker"}, id="api"),
        pytest.param(
            "cli.serve, projecting", EDGES | WORKFLOWS | CHAIN | {"alembic", "oracles"}, id="projector"
        ),
        pytest.param("worker", EDGES | {"alembic", "oracles", "typer"}, id="worker"),
        pytest.param("chain.localnet.__main__", DATABASE | WORKFLOWS | {"matcher", "pydantic"}, id="chain"),
        pytest.param("matcher.snapshot_process", EDGES | DATABASE | WORKFLOWS | CHAIN, id="snapshots"),
        pytest.param(
            "perpdex_sdk.agents.maker", EXCHANGE | DATABASE | {"pydantic", "temporalio"}, id="maker"
        ),
        pytest.param("cli.main, cli.operating", EDGES | DATABASE | WORKFLOWS | CHAIN, id="operator"),
        pytest.param("cli.main, cli.network", EDGES | {"oracles.feed", "temporalio.worker"}, id="network"),
    ],
)
def test_a_process_imports_only_what_it_works_with(modules, without):
    told = subprocess.run(
        [sys.executable, "-c", f"import sys, {modules}; print(*sys.modules)"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "sdk")])},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    imported = set(told.stdout.split())
    # A guard that names what is nowhere would hold for ever.
    assert set(modules.split(", ")) <= imported
    assert imported & (NOBODY | without) == set()
