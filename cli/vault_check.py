"""What the demonstration vault is worth by the venues' own words, to be compared with its snapshot to the micro-USDC."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from fractions import Fraction
from math import ceil, floor
from typing import Final, NamedTuple, NoReturn

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import WorkflowFailureError
from temporalio.service import RPCError

from cli.demo_vault import VAULT, VENUES, value_now
from cli.processes import StackFailed
from cli.report import VaultReport
from core.market import Side
from core.nav_snapshot import TransferKind
from core.tickets import Leg, SizeE8, e8_text
from ledger.database import open_pool
from ledger.nav_reads import NavReads, NavSnapshot
from ledger.vault_transfers import Transfer, VaultTransfers
from ledger.venue_fills import VenueFills
from ledger.venue_orders import Standing
from ledger.venue_reads import standings
from places import database_url
from settings import Settings
from venues.driver import Driver, FundingPayment, FundingPayments, VenueFill
from venues.errors import VenueError
from wiring import temporal_client

UNDECIDED: Final = (Standing.ACCEPTED, Standing.SENT)
"""Nobody knows yet what became of such an order."""
DECIDED_S: Final = 90.0
"""Longer than an order is sent again, or a lost one may be on its way."""
ASK_AGAIN_S: Final = 0.2
TRANSFERS_MAX: Final = 1_000
PER_MICRO: Final = 10**10
"""A size times a price is in 1e-16 dollars."""
DEMO: Final = "demo"


class Told(NamedTuple):
    """All that a venue says of the vault's account."""

    venue: str
    fills: Sequence[VenueFill]
    payments: Sequence[FundingPayment]


class Worth(NamedTuple):
    """Micro-USDC, and signed sizes in 1e-8 without those that are closed."""

    cash: int
    nav: int
    sizes: dict[Leg, int]


def worth(at: int, told: Sequence[Told], transfers: Sequence[Transfer], prices: Mapping[Leg, int]) -> Worth:
    """A vault at an instant (nanoseconds), from the bare facts until then; prices in 1e-8 of what it holds.

    What is bought costs its value rounded up, what is sold brings it rounded down, and what is held is worth it rounded down. A leg
    without a price counts nothing.
    """
    cash, sizes = 0, dict[Leg, int]()
    for one in transfers:
        if one.status == "done" and one.dealt_at < at:
            cash += {TransferKind.DEPOSIT: one.amount, TransferKind.WITHDRAWAL: -one.amount}.get(one.kind, 0)
    for venue in told:
        for fill in venue.fills:
            if fill.at <= at:
                value, leg = Fraction(fill.size * fill.price, PER_MICRO), Leg(venue.venue, fill.symbol)
                cash += (-ceil(value) if fill.side is Side.BUY else floor(value)) - fill.fee
                sizes[leg] = sizes.get(leg, 0) + fill.side * fill.size
        cash += sum(one.amount for one in venue.payments if one.at <= at)
    held = {leg: size for leg, size in sizes.items() if size}
    values = [floor(Fraction(size * prices.get(leg, 0), PER_MICRO)) for leg, size in held.items()]
    return Worth(cash, cash + sum(values), held)


async def checked(settings: Settings, since: int) -> VaultReport:
    """Wait until it is known what became of every order, take a snapshot, and value the vault anew; `since` (nanoseconds) is from when
    on tickets are counted. Raises `StackFailed`."""
    pool = open_pool(database_url(settings))
    try:
        undecided = await _undecided(pool)
        found = await _snapshot(settings, pool)
        told = await _told(settings, pool)
        async with pool.connect() as connection:
            tickets = await standings(connection, VAULT, since)
        transfers = await VaultTransfers(pool).transfers(VAULT, TRANSFERS_MAX)
    except (RPCError, WorkflowFailureError, VenueError) as error:
        raise StackFailed(f"The vault {VAULT} cannot be valued: {error}") from error
    finally:
        await pool.dispose()
    again = worth(found.at, told, transfers, {one.leg: one.price for one in found.legs})
    agree = again.sizes == {one.leg: one.size for one in found.legs}
    return VaultReport(
        vault=VAULT,
        at=found.at // 1_000,
        nav=found.nav,
        nav_recomputed=again.nav,
        cash=found.cash,
        cash_recomputed=again.cash,
        positions=_by_venue(found),
        positions_agree=agree,
        demo_prices=tuple(str(one.leg) for one in found.legs if one.standing == DEMO),
        doubts=tuple(found.doubts),
        tickets=tickets,
        undecided=undecided,
    )


async def _undecided(pool: AsyncEngine) -> int:
    """How many of the vault's orders nobody knows the fate of, once that is none or has been waited for."""
    deadline = time.monotonic() + DECIDED_S
    while True:
        async with pool.connect() as connection:
            now = await standings(connection, VAULT)
        left = sum(counts.get(status, 0) for counts in now.values() for status in UNDECIDED)
        if not left or time.monotonic() > deadline:
            return left
        await asyncio.sleep(ASK_AGAIN_S)


async def _snapshot(settings: Settings, pool: AsyncEngine) -> NavSnapshot:
    """The newest one, of now or later."""
    await value_now(await temporal_client(settings), settings)
    return (await NavReads(pool).latest([VAULT]))[VAULT]


async def _told(settings: Settings, pool: AsyncEngine) -> list[Told]:
    # Here, because what knows venues takes long to load, and a start waits for it.
    from trading import trading

    def none() -> NoReturn:
        raise AssertionError(f"the demonstration vault trades at {', '.join(VENUES)}")

    async with trading(settings, none, known=VenueFills(pool).account_had) as at:
        return [await _all_of(venue, await at.drivers.driver(VAULT, venue)) for venue in VENUES]


async def _all_of(venue: str, driver: Driver) -> Told:
    fills: list[VenueFill] = []
    cursor = ""
    while (page := await driver.fills(cursor)).cursor != cursor:
        fills, cursor = [*fills, *page.fills], page.cursor
    payments: list[FundingPayment] = []
    ask: Callable[[str], Awaitable[FundingPayments]] | None = getattr(driver, "funding", None)
    since = ""
    while ask is not None and (paid := await ask(since)).cursor != since:
        payments, since = [*payments, *paid.payments], paid.cursor
    return Told(venue, fills, payments)


def _by_venue(found: NavSnapshot) -> dict[str, dict[str, str]]:
    held: dict[str, dict[str, str]] = {}
    for one in found.legs:
        held.setdefault(one.leg.venue, {})[one.leg.symbol] = e8_text(SizeE8(one.size))
    return held
