"""Builds what carries out orders at venues: over the ledger, the vaults' rules and the venues that the settings allow."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from temporalio.client import Client

from activities.account_looks import AccountLooks
from activities.account_streams import AccountStreams
from activities.backing import VaultBacking
from activities.following import FollowingActivities
from activities.nav import NavActivities
from activities.open_orders import OpenOrderActivities
from activities.order_rules import OrderRules, VaultTerms
from activities.orders import OrderActivities
from activities.venue_books import VenueBooks
from activities.venue_collection import VenueCollectionActivities
from activities.venue_reconciliation import VenueReconciliationActivities
from core.tickets import Leg
from ledger.database import open_pool
from ledger.nav import NavSnapshots
from ledger.vaults import Vaults
from ledger.venue_exposure import VenueExposure
from ledger.venue_fills import VenueFills
from ledger.venue_orders import VenueOrders
from places import database_url
from settings import Settings
from trading import GOLD_EVM, trading
from vault_terms import alert_limits, operator_template, set_up

if TYPE_CHECKING:
    from venues.mock_gold_evm import Batches


@dataclass(frozen=True)
class OrderSteps:
    """The worker's steps of orders and of vaults' snapshots, over the real ledger and venues."""

    orders: OrderActivities
    following: FollowingActivities
    open_orders: OpenOrderActivities
    reconciling: VenueReconciliationActivities
    collecting: VenueCollectionActivities
    nav: NavActivities


@asynccontextmanager
async def order_steps(
    settings: Settings,
    client: Client,
) -> AsyncIterator[OrderSteps]:
    """Build the steps; what they hold is closed at the end. `client` leads to the batches of gold orders on chain.

    Raises `NotReachable`, and for settings that make no sense `VenueUnknown`, `NotRules` and `OSError`.
    """

    def batches() -> "Batches":
        # Here, because what knows the contracts takes long to load, and few need it.
        from workflows.gold_door import GoldDoor

        return GoldDoor(client, GOLD_EVM)

    pool = open_pool(database_url(settings))
    try:
        fills = VenueFills(pool)
        async with trading(settings, batches, known=fills.account_had) as at:
            vaults = Vaults(pool, set_up(settings), operator_template(settings))

            async def terms(vault: str) -> VaultTerms | None:
                found = await vaults.get(vault)
                return None if found is None else VaultTerms(found.paused, found.template)

            async def held(vault: str, leg: Leg) -> int:
                return (await fills.held(vault)).get(leg.venue, {}).get(leg.symbol, 0)

            backing = VaultBacking(VenueExposure(pool), at.prices, at.drivers).by_venue()
            books = VenueBooks(at.drivers, fills, fills.held, at.priced, time.time_ns)
            known = terms, held, at.index, time.time_ns, backing, books.held_by_now
            rules = OrderRules(at.drivers.lifecycles, *known)
            orders = VenueOrders(pool)
            looks = AccountLooks(orders, books, at.drivers, time.time_ns)
            streams = AccountStreams(at.drivers)
            try:
                yield OrderSteps(
                    OrderActivities(orders, rules, books, at.drivers, time.time_ns),
                    FollowingActivities(orders, looks, streams),
                    OpenOrderActivities(orders, client, time.time_ns),
                    VenueReconciliationActivities(fills, books),
                    VenueCollectionActivities(fills, books),
                    NavActivities(NavSnapshots(pool, alert_limits(settings)), at.prices, time.time_ns),
                )
            finally:
                await streams.close()
                await looks.close()
    finally:
        await pool.dispose()
