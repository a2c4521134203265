"""What the parts of a network are told by their environment, and what agents are not."""

import socket
import time
from pathlib import Path

import pytest

from cli.environments import ROLES, environment_of
from cli.stack import Stack
from settings import Settings

SUPERVISORS = {
    *("temporal_ui_port", "localnet_slot_ms", "localnet_finality_slots"),
    *("codec_port", "temporal_ui_origin"),
}
"""Settings that no part has in its environment: told by the command line, or those of `perpdex codec`."""
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
    "SOMETHING_ELSE": "whatever it is",
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
            stack.stop_agents()
    assert f"perpdex_sdk.agents.{name[:-1]}" in command
    names = {one.partition("=")[0] for one in found.split("\0") if one}
    assert "PYTHONPATH" in names
    assert not names & SECRETS.keys()
    assert not names & {field.upper() for field in Settings.model_fields}
    assert not [value for value in SECRETS.values() if value in found]


def test_the_network_s_own_parts_have_what_they_need(told: None) -> None:
    settings = Settings()
    api, projector, worker = (environment_of(part, settings) for part in ("api", "projector", "worker"))
    assert (SECRETS.keys() - api.keys()) == {"SOMETHING_ELSE"}
    assert (SECRETS.keys() - worker.keys()) == {"SOMETHING_ELSE", "PYTH_API_KEY"}
    assert (SECRETS.keys() & projector.keys()) == {"DATABASE_URL", "PGPASSWORD"}
    assert {name: api[name] for name in SECRETS if name in api} == {
        name: value for name, value in SECRETS.items() if name != "SOMETHING_ELSE"
    }


@pytest.mark.parametrize("part", ["temporal", "localnet", "makers", "traders"])
def test_the_others_are_told_by_their_command_line_only(part: str) -> None:
    found = environment_of(
        part, Settings(), {"PATH": "/bin", "LC_ALL": "C", "PERPDEX_DATA": "/data", **SECRETS}
    )
    assert found == {"PATH": "/bin", "LC_ALL": "C"}


def test_every_setting_reaches_a_part_or_is_the_supervisor_s() -> None:
    reaching = frozenset().union(*(role.settings for role in ROLES.values()))
    assert reaching | SUPERVISORS == Settings.model_fields.keys()
    assert not reaching & SUPERVISORS
