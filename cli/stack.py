"""Starts every part in order, watches them, and stops what it started."""

import asyncio
import fcntl
import os
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.service import RPCError

from cli.environments import environment_of
from cli.escrow import create_escrow
from cli.leftovers import end_leftovers, started_at, write_down
from cli.ports import must_be_free
from cli.probes import connects, ready, rpc
from cli.processes import Child, StackFailed
from core.hosts import only_hosts
from endings import NotReachable
from ledger.embedded import EmbeddedPostgres, PostgresFailed
from ledger.migrate import SchemaNewer, upgrade
from places import public_rpc_url, rpc_url
from settings import Settings
from wiring import temporal_client

ROOT: Final = Path(__file__).resolve().parents[1]
SEARCH_ATTRIBUTES: Final = ("Batch=Keyword", "Agent=Keyword", "Market=Keyword")
START_S: Final = 90.0
"""How long one part may take until it answers."""
AGENTS: Final = ("makers", "traders")
STRATEGY: Final = "strategy"


class Stopped(Exception):
    """Somebody asked to stop while the parts were still starting."""


class Stack:
    """The parts of one data directory. `say` gets a line for each step; `stopped` ends a start that is under way."""

    def __init__(
        self, settings: Settings, say: Callable[[str], None], stopped: threading.Event | None = None
    ) -> None:
        data = settings.perpdex_data.resolve()
        self.settings = settings.model_copy(update={"perpdex_data": data})
        self._say = say
        self._stopped = stopped or threading.Event()
        self._data = data
        self._children: list[Child] = []
        self._postgres: EmbeddedPostgres | None = None
        self._lock = -1

    def start(self) -> None:
        """Start what is not configured to be elsewhere. Raises `StackFailed` or `Stopped`; the caller then calls `stop`."""
        self._hold()
        end_leftovers(self._data / "processes.json", self._say)
        self._check_ports()
        settings = self.settings
        self._start_database()
        if not settings.temporal_address:
            self._start_temporal()
        if not settings.solana_rpc_url:
            self._start_localnet()
        asyncio.run(self._finished(create_escrow(settings, self._say), "Creating the escrow on chain"))
        self.start_api()
        self._start("projector", _python("-m", "cli.main", "serve", "projector"))
        self.start_worker()

    def start_api(self) -> None:
        """Also to start it again after it was ended on purpose."""
        self._say("starting the matcher and its API")
        child = self._start("api", _python("-m", "cli.main", "serve", "api"))
        self._wait_for(child, lambda: ready(self.settings.api_url))

    def start_worker(self) -> None:
        """Also to start it again after it was ended on purpose; then it may begin only later, for Temporal remembers who is gone."""
        self._say("starting the Temporal worker")
        child = self._start("worker", _python(str(ROOT / "worker.py")))
        self._wait_for(child, lambda: asyncio.run(_polled(self.settings)))

    def start_agents(
        self, name: str, count: int, on_line: Callable[[str], None], options: Sequence[str] = ()
    ) -> None:
        """Demonstration agents ("makers" or "traders") in a process of their own, talking over the network only."""
        self._say(f"starting {count} {name}: each gets a slot on chain and deposits test USDC")
        module = f"perpdex_sdk.agents.{name.removesuffix('s')}"
        given = ["--url", self.settings.api_url, *self._node_of_agents()]
        given += ["--keys", str(self._data / "agents"), "--count", str(count)]
        self._start(name, _python("-m", module, *given, *options), on_line)

    def start_strategy(self, options: Sequence[str], on_line: Callable[[str], None]) -> None:
        """What trades the demonstration vault, in a process of its own, over the network only."""
        given = ["--url", self.settings.api_url, *self._node_of_agents()]
        given += ["--keys", str(self._data / "agents"), *options]
        self._start(STRATEGY, _python("-m", "perpdex_sdk.agents.strategy", *given), on_line)

    def _node_of_agents(self) -> list[str]:
        """A command line is for everybody on the machine to read, as what agents are told is."""
        url = public_rpc_url(self.settings)
        return ["--rpc", url] if url else []

    def stop_agents(self, names: Sequence[str] = (*AGENTS, STRATEGY)) -> dict[str, int]:
        """Let them finish what they do and report the rest; the exit code of each process by its name, below 0 for a signal."""
        ended = {}
        for child in [one for one in reversed(self._children) if one.name in names]:
            ended[child.name] = child.stop()
            self._children.remove(child)
        return ended

    def child(self, name: str) -> Child:
        """Raises `LookupError` when no such part runs."""
        for child in self._children:
            if child.name == name:
                return child
        raise LookupError(f"no part {name} was started")

    def watch(self) -> None:
        """Raises `StackFailed` when a part has stopped."""
        for child in self._children:
            child.must_live()
        if self._postgres is not None and not started_at(self._postgres.pid):
            raise StackFailed(f"PostgreSQL stopped; see {self._data / 'postgres' / 'postgres.log'}")

    def stop(self) -> None:
        """Stop what was started, last first."""
        while self._children:
            self._children.pop().stop()
        if self._postgres is not None:
            self._postgres.stop()
            self._postgres = None
        if self._lock >= 0:
            (self._data / "processes.json").unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = -1

    def _hold(self) -> None:
        """Take the directory: one run at a time. The lock dies with this process, however it ends."""
        try:
            self._data.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._data / "running", os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise StackFailed(
                f"{self._data} cannot be used ({error.strerror}): set PERPDEX_DATA to a directory of yours."
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode() or "unknown"
            os.close(lock)
            raise StackFailed(
                f"Another run (process {holder}) uses {self._data}: stop it, or set PERPDEX_DATA to another directory."
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        self._lock = lock

    def _check_ports(self) -> None:
        settings = self.settings
        must_be_free(settings.api_port, "the API", "API_PORT")
        must_be_free(settings.websocket_port, "the WebSocket", "WEBSOCKET_PORT")
        if not settings.temporal_address:
            must_be_free(settings.temporal_port, "Temporal", "TEMPORAL_PORT")
            must_be_free(settings.temporal_ui_port, "the Temporal UI", "TEMPORAL_UI_PORT")
        if not settings.solana_rpc_url:
            must_be_free(settings.rpc_port, "the local chain", "RPC_PORT")

    def _start(
        self, name: str, command: Sequence[str], on_line: Callable[[str], None] | None = None
    ) -> Child:
        environment = environment_of(name, self.settings)
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "sdk")])
        self._children = [child for child in self._children if child.name != name]
        child = Child(name, command, self._data / "logs" / f"{name}.log", environment, on_line)
        self._children.append(child)
        write_down(self._data / "processes.json", [(one.name, one.pid) for one in self._children])
        return child

    def _wait_for(self, child: Child, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_S
        while not ready():
            child.must_live()
            if time.monotonic() > deadline:
                raise StackFailed(f"{child.name} is not ready after {START_S:.0f} s; see {child.log}")
            if self._stopped.wait(0.1):
                raise Stopped

    async def _finished(self, work: Coroutine[Any, Any, None], what: str) -> None:
        """Wait for it as for a part to be ready: a chain that stands still must keep nobody from stopping."""
        task, deadline = asyncio.ensure_future(work), time.monotonic() + START_S
        try:
            while not (await asyncio.wait({task}, timeout=0.1))[0]:
                for child in self._children:
                    child.must_live()
                if time.monotonic() > deadline:
                    raise StackFailed(f"{what} is not done after {START_S:.0f} s; see {self._data / 'logs'}")
                if self._stopped.is_set():
                    raise Stopped
        finally:
            task.cancel()
            await asyncio.wait({task})
        task.result()

    def _start_database(self) -> None:
        url = self.settings.database_url
        try:
            if not url:
                self._say("starting PostgreSQL")
                self._postgres = EmbeddedPostgres(self._data / "postgres")
                url = self._postgres.start()
                if not self._postgres.home.is_relative_to(self._data):
                    self._say(f"its files are in {self._postgres.home}, outside of {self._data}")
                (self._data / "postgres.url").write_text(url)
            upgrade(url)
        except (PostgresFailed, SchemaNewer) as error:
            raise StackFailed(str(error)) from error
        except SQLAlchemyError as error:
            raise StackFailed(
                f"The database cannot be used: {only_hosts(str(error).splitlines()[0])}"
            ) from error

    def _start_temporal(self) -> None:
        self._say("starting the Temporal server")
        settings = self.settings
        command = [
            os.path.join(sysconfig.get_path("scripts"), "temporal"),
            *("server", "start-dev", "--db-filename", str(self._data / "temporal.db"), "--ip", "127.0.0.1"),
            *("--port", str(settings.temporal_port), "--ui-port", str(settings.temporal_ui_port)),
            # Nothing here calls home: neither for a newer version nor for news.
            *("--log-level", "error", "--ui-disable-news-fetch"),
            *("--dynamic-config-value", "frontend.enableServerVersionCheck=false"),
            *("--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL"),
        ]
        for attribute in SEARCH_ATTRIBUTES:
            command += ["--search-attribute", attribute]
        self._wait_for(self._start("temporal", command), lambda: connects(settings.temporal_port))

    def _start_localnet(self) -> None:
        self._say("starting the local Solana chain")
        settings = self.settings
        command = _python("-m", "chain.localnet", "--port", str(settings.rpc_port))
        command += ["--data", str(self._data / "localnet"), "--slot-ms", str(settings.localnet_slot_ms)]
        command += ["--finality-slots", str(settings.localnet_finality_slots)]
        self._wait_for(self._start("localnet", command), lambda: rpc(rpc_url(settings), "getHealth") == "ok")


def _python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


async def _polled(settings: Settings) -> bool:
    """Whether a worker asks Temporal for work."""
    try:
        client = await temporal_client(settings)
        answer = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=client.namespace,
                task_queue=TaskQueue(name=settings.task_queue),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
            )
        )
    except (RPCError, NotReachable):
        return False
    return len(answer.pollers) > 0
