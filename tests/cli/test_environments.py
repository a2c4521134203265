"""What the parts of a network are told by their environment, and what agents are not."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cli.environments import ROLES, environment_of
from cli.stack import Stack
from ledger.embedded import EmbeddedPostgres
from matcher import commands as c
from matcher.engine import Engine
from settings import Settings

SUPERVISORS = {
    *("temporal_ui_port", "localnet_slot_ms", "localnet_finality_slots"),
    *("codec_port", "temporal_ui_origin"),
}
"""Settings that no part has in its environment: told by the command line, or those of `perpdex codec`."""
NOBODYS = {
    *("SOMETHING_ELSE", "HOMEBREW_GITHUB_API_TOKEN", "LANGCHAIN_API_KEY", "LANGSMITH_API_KEY"),
    *("USER_SECRET", "PATH_TO_KEY", "TZ_TOKEN", "TMPDIR_KEY", "LOGNAME_SECRET", "PYTHON_KEYRING_PASSWORD"),
    *("VIRTUAL_ENV_TOKEN", "LD_PRELOAD_KEY", "HTTPS_PROXY_PASSWORD"),
}
SECRETS = {
    "OPERATOR_TOKEN": "an operator's token of sufficient length",
    "DATABASE_URL": "postgresql://user:password@127.0.0.1/ledger",
    "OPERATOR_KEY": "vault:transit/operator",
    "PYTH_API_KEY": "of a publisher",
    "PAYLOAD_KEYS": "/keys/payloads",
    "VAULT_TOKEN": "of the vault",
    "AWS_SECRET_ACCESS_KEY": "of the cloud",
    "TEMPORAL_API_KEY": "of the workflows",
    "PGPASSWORD": "of the ledger",
    "HTTPS_PROXY": "http://user:password@127.0.0.1:1",
    "XDG_CONFIG_HOME": "/keys/configuration",
    **{name: f"of nobody here: {name}" for name in NOBODYS},
}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


def _once_there(file: Path) -> str:
    """A process that has just begun its program shows nothing for an instant."""
    while not (shown := file.read_text()):
        time.sleep(0.001)
    return shown


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, str]]:
    """The environments of the processes that are started from here on."""
    environments: list[Mapping[str, str]] = []

    class Noted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            environments.append(options.get("env") or dict(os.environ))
            super().__init__(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    return environments


@pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="only /proc shows a process's environment"
)
@pytest.mark.parametrize("name", ["makers", "traders"])
def test_demonstration_agents_have_nothing_of_the_operator_s(tmp_path: Path, told: None, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        stack = Stack(Settings(perpdex_data=tmp_path, api_url=address), lambda line: None)
        try:
            stack.start_agents(name, 1, lambda line: None)
            process = Path(f"/proc/{stack.child(name).pid}")
            command = _once_there(process / "cmdline")
            found = _once_there(process / "environ")
        finally:
            ended = stack.stop_agents()
    # Nobody answered it: it had not begun, and did not end in order.
    assert ended[name] != 0
    assert f"perpdex_sdk.agents.{name[:-1]}" in command
    names = {one.partition("=")[0] for one in found.split("\0") if one}
    assert "PYTHONPATH" in names
    assert not names & SECRETS.keys()
    assert not names & {field.upper() for field in Settings.model_fields}
    assert not [value for value in SECRETS.values() if value in found]


def test_the_network_s_own_parts_have_what_they_need(told: None) -> None:
    settings = Settings()
    api, projector, worker = (environment_of(part, settings) for part in ("api", "projector", "worker"))
    assert (SECRETS.keys() - api.keys()) == NOBODYS
    often = Settings(nav_interval_s=60)
    assert {environment_of(part, often)["NAV_INTERVAL_S"] for part in ("api", "worker")} == {"60"}
    assert (SECRETS.keys() - worker.keys()) == NOBODYS
    assert (SECRETS.keys() & projector.keys()) == {"DATABASE_URL", "PGPASSWORD"}
    assert {name: api[name] for name in SECRETS if name in api} == {
        name: value for name, value in SECRETS.items() if name not in NOBODYS
    }


@pytest.mark.parametrize("part", ["temporal", "localnet", "makers", "traders", "strategy"])
def test_the_others_are_told_by_their_command_line_only(part: str) -> None:
    found = environment_of(
        part, Settings(), {"PATH": "/bin", "LC_ALL": "C", "PERPDEX_DATA": "/data", **SECRETS}
    )
    assert found == {"PATH": "/bin", "LC_ALL": "C"}


def test_postgresql_knows_nothing_of_the_operator_s(told: None, started: list[Mapping[str, str]]) -> None:
    directory = Path(tempfile.mkdtemp(prefix="perpdex-environment-"))
    directory.chmod(0o755)
    server = EmbeddedPostgres(directory / "pg")
    try:
        server.start()
    finally:
        server.stop()
        if server.home != directory / "pg":
            shutil.rmtree(server.home)
        shutil.rmtree(directory)
    assert len(started) >= 2, "it makes its files first"
    for environment in started:
        assert environment["PATH"] == os.environ["PATH"]
        assert not environment.keys() & SECRETS.keys()


async def test_who_makes_snapshots_knows_nothing_of_the_operator_s(
    tmp_path: Path, told: None, started: list[Mapping[str, str]]
) -> None:
    engine = Engine(tmp_path, time.time_ns, snapshot_after=1)
    await engine.ask(c.RegisterAgent("1" * 32, "agent"))
    engine._snapshots.wait()
    engine.close()
    assert list(tmp_path.glob("*.snapshot"))
    (environment,) = started
    assert not environment.keys() & SECRETS.keys()


def test_every_setting_reaches_a_part_or_is_the_supervisor_s() -> None:
    reaching = frozenset().union(*(role.settings for role in ROLES.values()))
    assert reaching | SUPERVISORS == Settings.model_fields.keys()
    assert not reaching & SUPERVISORS
