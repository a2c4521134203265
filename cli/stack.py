"""Starts every part in order, watches them, and stops what it started."""

import asyncio
import fcntl
import json
import os
import socket
import sys
import sysconfig
import urllib.request
from collections.abc import Callable
from pathlib import Path

from chain.keys import Signer
from chain.send import Landed, send_until
from cli.processes import Child, StackFailed, must_be_free, wait_until
from ledger.embedded import EmbeddedPostgres, PostgresFailed
from ledger.migrate import upgrade
from settings import Settings
from wiring import escrow_client, operator_key, rpc_url

SEARCH_ATTRIBUTES = ("Batch=Keyword", "Agent=Keyword")


class Stack:
    """The parts of one data directory. `say` gets a line for each step."""

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self.settings = settings
        self._say = say
        self._data = settings.perpdex_data.resolve()
        self._logs = self._data / "logs"
        self._children: list[Child] = []
        self._postgres: EmbeddedPostgres | None = None
        self._lock = -1

    def start(self) -> None:
        """Start everything that is not configured to be elsewhere. Raises `StackFailed`; the caller stops what runs."""
        self._hold()
        settings = self.settings
        self._check_ports()
        if not settings.database_url:
            self._start_postgres()
        else:
            upgrade(settings.database_url)
        if not settings.temporal_address:
            self._start_temporal()
        if not settings.solana_rpc_url:
            self._start_localnet()
        asyncio.run(self._initialize_escrow())
        self._start_api()
        self._start("projector", [sys.executable, "-m", "cli.main", "serve", "projector"])
        self._start("worker", [sys.executable, str(Path(__file__).parents[1] / "worker.py")])
        self._say("worker and projector run")

    def start_agents(self, role: str, count: int, *more: str) -> None:
        """Demonstration agents in a process of their own, talking over the network only."""
        keys = self._data / "agents"
        command = [sys.executable, "-m", f"perpdex_sdk.agents.{role}", "--url", self.settings.api_url]
        self._start(f"{role}s", [*command, "--keys", str(keys), "--count", str(count), *more])
        self._say(f"{count} {role} agents run")

    def watch(self) -> None:
        """Raises `StackFailed` when a part has stopped."""
        for child in self._children:
            child.must_live()

    def log_of(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def stop_agents(self) -> None:
        for child in [one for one in self._children if one.name in ("traders", "makers")]:
            child.stop()
            self._children.remove(child)

    def stop(self) -> None:
        """Stop what was started, last first."""
        while self._children:
            self._children.pop().stop()
        if self._postgres is not None:
            self._postgres.stop()
            self._postgres = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _hold(self) -> None:
        self._data.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self._data / "running", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            self._lock = -1
            raise StackFailed(
                f"Another run uses {self._data}: stop it, or set PERPDEX_DATA to another directory."
            ) from None

    def _check_ports(self) -> None:
        settings = self.settings
        must_be_free(settings.api_port, "the API", "API_PORT")
        must_be_free(settings.websocket_port, "the WebSocket", "WEBSOCKET_PORT")
        if not settings.temporal_address:
            must_be_free(settings.temporal_port, "Temporal", "TEMPORAL_PORT")
            must_be_free(settings.temporal_ui_port, "the Temporal UI", "TEMPORAL_UI_PORT")
        if not settings.solana_rpc_url:
            must_be_free(settings.rpc_port, "the local chain", "RPC_PORT")

    def _start(self, name: str, command: list[str]) -> Child:
        dumped = self.settings.model_dump(mode="json", exclude_none=True)
        environment = {key.upper(): str(value) for key, value in dumped.items()}
        environment["PERPDEX_DATA"] = str(self._data)
        environment["PYTHONPATH"] = str(Path(__file__).parents[1])
        child = Child(name, command, self.log_of(name), environment)
        self._children.append(child)
        return child

    def _start_postgres(self) -> None:
        self._say("starting PostgreSQL")
        self._postgres = EmbeddedPostgres(self._data / "postgres")
        try:
            url = self._postgres.start()
        except PostgresFailed as error:
            raise StackFailed(str(error)) from error
        (self._data / "postgres.url").write_text(url)
        upgrade(url)

    def _start_temporal(self) -> None:
        self._say("starting the Temporal server")
        settings = self.settings
        command = [
            os.path.join(sysconfig.get_path("scripts"), "temporal"),
            *("server", "start-dev", "--db-filename", str(self._data / "temporal.db"), "--ip", "127.0.0.1"),
            *("--port", str(settings.temporal_port), "--ui-port", str(settings.temporal_ui_port)),
            *("--log-level", "error", "--ui-disable-news-fetch"),
            *("--dynamic-config-value", "frontend.enableServerVersionCheck=false"),
            *("--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL"),
        ]
        for attribute in SEARCH_ATTRIBUTES:
            command += ["--search-attribute", attribute]
        child = self._start("temporal", command)
        wait_until(lambda: _connects(settings.temporal_port), child, 60)

    def _start_localnet(self) -> None:
        self._say("starting the local Solana chain")
        command = [sys.executable, "-m", "chain.localnet", "--port", str(self.settings.rpc_port)]
        child = self._start("localnet", [*command, "--data", str(self._data / "localnet")])
        wait_until(lambda: _rpc(rpc_url(self.settings), "getHealth") == "ok", child, 60)

    def _start_api(self) -> None:
        self._say("starting the matcher and its API")
        child = self._start("api", [sys.executable, "-m", "cli.main", "serve", "api"])
        wait_until(lambda: _answers(f"{self.settings.api_url}/health"), child, 60)

    async def _initialize_escrow(self) -> None:
        """Create the escrow with its vault and first page, once."""
        operator = operator_key(self.settings)
        escrow = escrow_client(self.settings)
        try:
            if await escrow.view.escrow_state() is not None:
                return
            self._say("creating the escrow on chain")
            if not self.settings.solana_rpc_url:
                _rpc(rpc_url(self.settings), "requestAirdrop", str(operator.pubkey), 10**12)
            treasury = Signer.load_or_create(self._data / "keys" / "treasury.json").pubkey
            insurance = Signer.load_or_create(self._data / "keys" / "insurance.json").pubkey
            key = operator.pubkey
            signed = await escrow.build_initialize(
                operator, operator=key, guardian=key, treasury=treasury, insurance=insurance
            )
            result = await send_until(escrow.client, signed)
            if not isinstance(result, Landed):
                raise StackFailed(f"The escrow could not be created on chain: {result}")
        finally:
            await escrow.client.close()


def _connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
    except OSError:
        return False
    return True


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _rpc(url: str, method: str, *params: object) -> object:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return json.load(response).get("result")
    except OSError:
        return None
