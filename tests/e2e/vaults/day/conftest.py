"""A vault with accounts at all venues, who sends its tickets and never gives one up, and what kills processes."""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psycopg
import pytest
import pytest_asyncio
from eth_account import Account
from solders.keypair import Keypair
from temporalio.client import Client
from temporalio.service import RPCError

from cli.stack import Stack
from places import operator_token
from settings import Settings
from wiring import temporal_client
from workflows.nav import NAV_SCHEDULE

_spec = spec_from_file_location("recomputed_vaults", Path(__file__).with_name("recomputed.py"))
assert _spec is not None
assert _spec.loader is not None
_recomputed = module_from_spec(_spec)
sys.modules[_spec.name] = _recomputed
_spec.loader.exec_module(_recomputed)

LATER = {"rate_limited", "overloaded", "orders_unavailable", "vaults_unavailable", "history_unavailable"}
"""Refusals that say nothing of what was asked."""
AT_VENUES = "10000000"
"""Dollars that a vault has at each venue: margin there, and nothing that its value is made of."""


@dataclass
class Sent:
    """A ticket, and the last that its sender was told of it; None before anybody answered."""

    client_id: str
    path: str
    body: dict[str, Any]
    told: dict[str, Any] | None = None


class Quant:
    """Sends a vault's tickets over HTTP, each under one client id until there is an answer, whatever dies meanwhile."""

    ended = frozenset({"filled", "cancelled", "rejected", "refused", "not_sent"})
    """How orders stand that nothing happens to any more."""

    def __init__(self, settings: Settings, vault: str) -> None:
        self.vault = vault
        self.sent: dict[str, Sent] = {}
        self.accounts: dict[str, str] = {"mock_gold": vault}
        self._settings = settings
        self._http = httpx.AsyncClient(base_url=f"{settings.api_url}/api/v1", timeout=30)
        self._operator = operator_token(settings)
        self._key = ""

    async def open(self, venues: Any) -> None:
        """Make the vault and its accounts, and a key for it."""
        keys = {venue: "0x" + os.urandom(32).hex() for venue in venues}
        owners = {venue: Account.from_key(key).address for venue, key in keys.items()}
        for venue, key in keys.items():
            self._write(venue, "key", key)
        hyper, wallet = owners["hyper"].lower(), owners["polymarket"].lower()
        await venues["hyper"].control("deposit", {"user": hyper, "usd": AT_VENUES})
        await venues["polymarket"].control("fund", {"wallet": wallet, "usd": AT_VENUES})
        body = {"owner": owners["synthetix"], "usd": AT_VENUES}
        number = (await venues["synthetix"].control("account", body))["response"]
        self._write("synthetix", "account", number)
        self.accounts |= {"hyper": hyper, "polymarket": wallet, "synthetix": number}
        await self._make()

    def _write(self, venue: str, kind: str, text: str) -> None:
        path = self._settings.perpdex_data / "keys" / "venues" / venue / f"{self.vault}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(text)
        path.chmod(0o600)

    async def _make(self) -> None:
        owner = Keypair()
        name = str(owner.pubkey())
        challenge = (await self.ask("POST", "/auth/challenge", {"owner": name}))["challenge"]
        signature = str(owner.sign_message(challenge.encode()))
        body = {"owner": name, "name": "manager", "challenge": challenge, "signature": signature}
        session = await self.ask("POST", "/agents", body)
        self.manager = session["account"]
        await self.ask("POST", "/vaults", {"id": self.vault, "manager": self.manager}, self._operator)
        wanted = {"vault": self.vault, "name": "desk", "scopes": ["read", "trade"]}
        self._key = (await self.ask("POST", "/quant/keys", wanted, session["token"]))["key"]

    async def transfer(self, kind: str, **terms: str) -> None:
        """`kind` is deposits or withdrawals; the manager's."""
        body = {**terms, "holder": self.manager}
        await self.ask("POST", f"/vaults/{self.vault}/{kind}", body, self._operator)

    async def transfers(self) -> list[dict[str, Any]]:
        """Oldest first."""
        found = await self.ask("GET", f"/vaults/{self.vault}/transfers", None, self._operator)
        return list(reversed(found["transfers"]))

    async def snapshots(self, limit: int = 100) -> list[dict[str, Any]]:
        """Newest first."""
        path = f"/nav/history?vault={self.vault}&limit={limit}"
        return list((await self.ask("GET", path, None, self._operator))["navs"])

    async def order(self, client_id: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send a ticket, or ask what became of it: that is the same. What the rules refuse has no more than a code."""
        one = self.sent.setdefault(client_id, Sent(client_id, path, body))
        one.told = await self.ask("POST", path, {**body, "client_id": client_id}, self._key, refusable=True)
        return one.told

    async def cancel(self, client_id: str) -> None:
        """Until the exchange has heard of it."""
        body = {"client_id": client_id}
        await self.ask("POST", "/quant/orders/cancel", body, self._key, refusable=True)

    async def orders(self) -> dict[str, dict[str, Any]]:
        """All that are kept, by client id."""
        found: dict[str, dict[str, Any]] = {}
        before = 0
        while before is not None:
            path = f"/quant/orders?limit=500&before={before}"
            page = await self.ask("GET", path, None, self._key)
            found |= {one["client_id"]: one for one in page["orders"]}
            before = page["next"]
        return found

    async def positions(self) -> dict[str, dict[str, str]]:
        return dict((await self.ask("GET", "/quant/positions", None, self._key))["positions"])

    async def ask(
        self, method: str, path: str, body: Any = None, token: str = "", refusable: bool = False
    ) -> dict[str, Any]:
        """The answer, however often that takes: what is not answered, and what was not looked at, is asked again."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        while True:
            try:
                answer = await self._http.request(method, path, json=body, headers=headers)
            except httpx.TransportError:
                await asyncio.sleep(0.1)
                continue
            said: dict[str, Any] = answer.json()
            if answer.is_success:
                return said
            code = said["error"]["code"]
            if code not in LATER:
                assert refusable, (path, body, said)
                return {"status": "refused", "code": code, "filled": "0"}
            await asyncio.sleep(0.2)

    async def close(self) -> None:
        await self._http.aclose()


class Row(NamedTuple):
    """An order by the ledger."""

    client_id: str
    symbol: str
    side: int
    size: int
    status: str
    filled: int
    reduce_only: int


class Ledger:
    """What the exchange's own books say of a vault, read with bare SQL."""

    def __init__(self, url: str, vault: str) -> None:
        with psycopg.connect(url) as rows:

            def of(wanted: str) -> list[Any]:
                return rows.execute(wanted, {"vault": vault}).fetchall()

            named = of(
                "select venue, venue_client_id, client_id, symbol, side, size, status, filled, reduce_only from venue_orders"
                " where vault = %(vault)s and venue_client_id <> ''"
            )
            self.orders = {(venue, name): Row(*rest) for venue, name, *rest in named}
            self.fills = Counter(
                of(
                    "select f.venue, o.venue_client_id, f.symbol, f.side, f.size, f.price, f.fee, f.at from venue_fills f"
                    " left join venue_orders o on o.ticket = f.ticket where f.vault = %(vault)s"
                )
            )
            self.positions = {
                (venue, symbol): size
                for venue, symbol, size in of(
                    "select venue, symbol, size_e8 from venue_positions where vault = %(vault)s and size_e8 <> 0"
                )
            }
            [(self.differences,)] = of("select count(*) from venue_differences where vault = %(vault)s")
            self.events = of("select number from vault_events where vault = %(vault)s order by number")


class Network:
    """What may be killed: the API, the worker and the venues. While `venues_up` is held no venue is."""

    def __init__(self, stack: Stack, venues: Any, client: Client) -> None:
        self.stack, self.venues, self.client = stack, venues, client
        self.venues_up = asyncio.Lock()
        self.killed: Counter[str] = Counter()
        self._starts = {"api": stack.start_api, "worker": stack.start_worker}
        self._starting = asyncio.Lock()
        self._dying = {name: asyncio.Lock() for name in self._starts}

    async def kill(self, name: str, down_s: float = 0.0) -> None:
        """As by `kill -9`, and started again so long afterwards."""
        self.killed[name] += 1
        if name in self._starts:
            # Both may be down at once; one that is down already is killed when it is there again.
            async with self._dying[name]:
                self.end(name)
                await asyncio.sleep(down_s)
                async with self._starting:
                    await asyncio.to_thread(self._starts[name])
            return
        async with self.venues_up:
            self.venues[name].kill()
            await asyncio.sleep(down_s)
            await asyncio.to_thread(self.venues[name].start)

    def end(self, name: str) -> None:
        child = self.stack.child(name)
        os.kill(child.pid, signal.SIGKILL)
        child.process.wait()

    async def whole(self) -> None:
        """Start what an earlier test has ended."""
        for name, start in self._starts.items():
            if not self.stack.child(name).alive():
                await asyncio.to_thread(start)
        for venue in self.venues.values():
            if not venue.alive():
                await asyncio.to_thread(venue.start)

    async def snapshots_only_when_asked_for(self) -> None:
        """Full hours of the clock on the wall are not those of the day that is played."""
        async with asyncio.timeout(60):
            while True:
                try:
                    await self.client.get_schedule_handle(NAV_SCHEDULE).pause()
                    return
                except RPCError:
                    # The worker makes it when it starts.
                    await asyncio.sleep(0.1)

    async def snapshot(self, quant: Quant) -> None:
        """One of now. Processes may be killed meanwhile, but no venue: who can not tell is left out of a snapshot by design."""
        async with self.venues_up:
            # What is triggered is of the whole second: what was done until now is before the next one.
            await asyncio.sleep(1.05 - time.time() % 1)
            known = await quant.snapshots(1)
            await self.client.get_schedule_handle(NAV_SCHEDULE).trigger()
            while await quant.snapshots(1) == known:
                await asyncio.sleep(0.1)


@pytest_asyncio.fixture(loop_scope="module")
async def network(stack: Stack, local_venues: Any) -> Network:
    found = Network(stack, local_venues, await temporal_client(stack.settings))
    await found.whole()
    await found.snapshots_only_when_asked_for()
    return found


@pytest_asyncio.fixture(loop_scope="module")
async def new_quant(stack: Stack) -> AsyncIterator[Callable[[str], Quant]]:
    """Makes who trades for a vault of that name."""
    made: list[Quant] = []

    def make(vault: str) -> Quant:
        made.append(Quant(stack.settings, vault))
        return made[-1]

    yield make
    for quant in made:
        await quant.close()


@pytest.fixture
def recomputed() -> Any:
    """The module beside this one."""
    return _recomputed


@pytest.fixture
def books_of() -> type[Ledger]:
    return Ledger
