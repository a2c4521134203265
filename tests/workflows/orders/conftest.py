"""A desk: vaults in a real ledger, the worker's steps of orders on Temporal's test server, and local venues that can misbehave."""

import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from temporalio.client import Client

from activities.account_looks import AccountLooks
from activities.account_streams import AccountStreams
from activities.following import FollowingActivities
from activities.nav import NavActivities
from activities.open_orders import OpenOrderActivities
from activities.order_rules import OrderRules, VaultTerms
from activities.orders import OrderActivities
from activities.venue_books import VenueBooks
from activities.venue_collection import VenueCollectionActivities
from activities.venue_reconciliation import VenueReconciliationActivities
from core.risk_template import Lifecycle, RiskTemplate
from core.tickets import Leg, PriceE8, Ticket
from core.vault_risk import VaultRisk
from ledger.database import open_pool
from ledger.nav import NavSnapshots
from ledger.tables_venues import vault_cash_moves
from ledger.vaults import Vault, Vaults
from ledger.venue_fills import VenueFills
from ledger.venue_orders import VenueOrders
from ledger.venue_reads import events_after, fills_before
from ordering import OrderSteps
from venues.prices import LegPrice, NoPrice, VenuePriceRouter
from venues.registry import Registry
from worker import carrying_out
from workflows.exec_service import ExecService
from workflows.order import OrderWorkflow

_spec = spec_from_file_location("venue_places", Path(__file__).parents[2] / "venues" / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
_places = module_from_spec(_spec)
sys.modules[_spec.name] = _places
_spec.loader.exec_module(_places)

new_exchange = _places.new_exchange
place_faults = _places.place_faults

VAULT = "gold-fund"
QUEUE = "test-orders"


class Desk:
    """What a test works with. `place` is the local venue, `ahead` how far the worker's clock is in front.

    `opening` opens a vault's account there; without it all have the same.
    """

    def __init__(self, client: Client, url: str, name: str, place: Any, opening: Any = None) -> None:
        self.client = client
        self.name = name
        self.place = place
        self.ahead = 0
        self.pool = open_pool(url)
        self.exec = ExecService(client, QUEUE)
        self.orders = VenueOrders(self.pool)
        self.fills = VenueFills(self.pool)
        venues = {name: (Lifecycle.ACTIVE, opening or (lambda vault: place.open()))}
        self.drivers = Registry(venues)
        self.vaults = Vaults(
            self.pool, frozenset({name}), RiskTemplate(frozenset({name, "elsewhere"}), None, {})
        )
        self.prices = VenuePriceRouter({name: self._mids}, [], lambda leg: None, time.time_ns)
        self.books = VenueBooks(self.drivers, self.fills, self.fills.held, self._priced, self.clock, 0.01)
        known = self._terms, self._held, self._index, self.clock
        rules = OrderRules(self.drivers.lifecycles, *known, held_by_now=self.books.held_by_now)
        self.steps = OrderActivities(self.orders, rules, self.books, self.drivers, self.clock)
        self.looks = AccountLooks(self.orders, self.books, self.drivers, self.clock)
        self.streams = AccountStreams(self.drivers)
        self.following = FollowingActivities(self.orders, self.looks, self.streams)
        self.open_orders = OpenOrderActivities(self.orders, client, self.clock)
        self.reconciling = VenueReconciliationActivities(self.fills, self.books, self.clock)

    def clock(self) -> int:
        return time.time_ns() + self.ahead

    def worker(self, **slots: int) -> AbstractAsyncContextManager[None]:
        """As it is deployed, with fewer steps at one time where a test says so."""
        nav = NavActivities(NavSnapshots(self.pool), self.prices, self.clock)
        collecting = VenueCollectionActivities(self.fills, self.books)
        steps = OrderSteps(self.steps, self.following, self.open_orders, self.reconciling, collecting, nav)
        return carrying_out(self.client, QUEUE, steps, **slots)

    async def driver(self) -> Any:
        return await self.drivers.driver(VAULT, self.name)

    def ticket(self, side: Any, **changes: Any) -> Ticket:
        given = {"symbol": self.place.symbol, "size": self.place.size, "side": side, "venue": self.name}
        return Ticket(**given | changes)

    async def ended(self, facts: Any) -> Any:
        """An order's facts once its workflow is over."""
        handle = self.client.get_workflow_handle_for(OrderWorkflow.run, f"order/{facts.ticket}")
        return (await handle.result()).facts

    async def told(self) -> list[Any]:
        """What the venue itself says of the account's fills, asked anew."""
        driver = await self.place.open()
        found, cursor = [], ""
        while (page := await driver.fills(cursor)).cursor != cursor:
            found, cursor = found + page.fills, page.cursor
        await driver.close()
        return found

    async def held(self, vault: str = VAULT) -> dict[str, dict[str, int]]:
        return await self.fills.held(vault)

    async def recorded(self, vault: str = VAULT) -> list[Any]:
        async with self.pool.connect() as connection:
            return list(reversed(await fills_before(connection, vault, 0, 100)))

    async def cash(self) -> int:
        async with self.pool.connect() as connection:
            rows = await connection.execute(select(vault_cash_moves.c.amount))
            return sum(row.amount for row in rows)

    async def events(self) -> list[Any]:
        async with self.pool.connect() as connection:
            return await events_after(connection, VAULT, 0, 100)

    async def _mids(self, symbols: Any) -> Any:
        return await (await self.driver()).mids(symbols)

    async def _terms(self, vault: str) -> VaultTerms | None:
        found = await self.vaults.get(vault)
        return None if found is None else VaultTerms(found.paused, found.template)

    async def _held(self, vault: str, leg: Leg) -> int:
        return (await self.fills.held(vault)).get(leg.venue, {}).get(leg.symbol, 0)

    async def _index(self, vault: str, leg: Leg) -> PriceE8 | None:
        found = await self._priced(vault, leg)
        return None if found is None else found.price

    async def _priced(self, vault: str, leg: Leg) -> LegPrice | None:
        found = (await self.prices.get_index_prices([str(leg)]))[str(leg)]
        return None if isinstance(found, NoPrice) else found


@pytest.fixture
async def desk_of(client: Client, postgres_url: str) -> Any:
    """Opens a desk at a place, with vaults; its worker is the test's to run."""
    async with AsyncExitStack() as stack:

        async def open_of(
            name: str, place: Any, opening: Any = None, vaults: tuple[str, ...] = (VAULT,)
        ) -> Desk:
            await place.start()
            stack.push_async_callback(place.end)
            desk = Desk(client, postgres_url, name, place, opening)
            stack.push_async_callback(desk.pool.dispose)
            stack.push_async_callback(desk.drivers.close)
            stack.push_async_callback(desk.looks.close)
            stack.push_async_callback(desk.streams.close)
            none = VaultRisk(desk.vaults.set_up, desk.vaults.common)
            for vault in vaults:
                await desk.vaults.make(Vault(vault, 16, name, False, 0, 0, 1, none), "ada")
            return desk

        yield open_of


@pytest.fixture
def desk_at(desk_of: Any, tmp_path: Path, new_exchange: Any) -> Any:
    """Opens a desk at a local venue by name."""

    async def open_at(name: str) -> Desk:
        desk: Desk = await desk_of(name, _places.PLACES[name](tmp_path, new_exchange))
        return desk

    return open_at


@pytest.fixture
def vault() -> str:
    return VAULT


@pytest.fixture
def places() -> dict[str, Callable[..., Any]]:
    return dict(_places.PLACES)
