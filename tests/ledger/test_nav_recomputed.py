"""Days of several vaults, recorded out of order and by several at once, against values made anew from the bare fills."""

import asyncio
import random
from collections import defaultdict
from fractions import Fraction
from math import ceil, floor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core.nav_snapshot import TransferKind
from core.quantities import SECOND
from core.risk_template import RiskTemplate
from core.tickets import Leg
from core.vault_risk import VaultRisk
from ledger.database import open_pool
from ledger.nav import NavPrice, NavSnapshots
from ledger.nav_reads import NavReads
from ledger.vault_transfers import Transfer, VaultTransfers
from ledger.vaults import Vault, Vaults
from ledger.venue_fills import Difference, Payment, TakenFill, VenueFills

HOUR = 3_600 * SECOND
START = 500_000 * HOUR
HOURS = 6
LEGS = [Leg("agents", "BTC-PERP"), Leg("hyper", "ETH"), Leg("mock_gold", "XAU"), Leg("synthetix", "XAU")]
COMMON = RiskTemplate(frozenset(leg.venue for leg in LEGS), None, {})
NAMES = ["alpha", "beta", "gamma"]
HOLDERS = [17, 18]


@pytest.fixture
async def pool(postgres_url):
    pool = open_pool(postgres_url)
    yield pool
    await pool.dispose()


class Days:
    """What happens to the vaults, kept beside the ledger as bare facts: (vault, instant, leg, change of size, cash as a fraction)."""

    def __init__(self, pool, seed):
        self.rng = random.Random(seed)
        self.fills, self.nav, self.reads = VenueFills(pool), NavSnapshots(pool), NavReads(pool)
        self.vaults, self.transfers = Vaults(pool, COMMON.venues, COMMON), VaultTransfers(pool)
        self.facts, self.prices = [], {}
        self.cursors = defaultdict(str)

    async def begin(self):
        risk = VaultRisk(COMMON.venues, COMMON)
        for name in NAMES:
            await self.vaults.make(Vault(name, 16, "hyper", False, 200_000, 0, START - 9, risk), "ada")
            await self.pay_in(name, 17, START - 1)

    async def pay_in(self, name, holder, at):
        key, amount = f"{at}", self.rng.randrange(10**9, 10**12)
        wanted = Transfer(key, holder, TransferKind.DEPOSIT, amount, 0, "waiting", "", "ada", at, 0)
        await self.transfers.ask(name, wanted)

    async def hour(self, number):
        """Fills, funding and every other time a correction in one hour, some vaults' recorded at once."""
        await asyncio.gather(*(self.of_one(name, START + number * HOUR) for name in NAMES))

    async def of_one(self, name, begins):
        for _ in range(self.rng.randrange(1, 6)):
            await self.fill(name, begins)
        leg, at, paid = (
            self.rng.choice(LEGS),
            begins + self.rng.randrange(1, HOUR),
            self.rng.randrange(-(10**6), 10**6),
        )
        _, since = await self.fills.cursors(name, leg.venue)
        payments = [Payment(f"{at}", leg.symbol, paid, at)]
        assert await self.fills.record_funding(name, leg.venue, since, payments, f"{since}.", at)
        self.facts.append((name, at, leg, 0, paid))
        # At the snapshot that follows nobody deals, for a vault that is worth little or nothing differs by much.
        if begins // HOUR % 2:
            await self.correct(name, begins + HOUR - 1)

    async def fill(self, name, begins):
        leg, side = self.rng.choice(LEGS), self.rng.choice((1, -1))
        at = begins + self.rng.randrange(1, HOUR)
        size, price = self.rng.randrange(1, 10**10), self.rng.randrange(1, 10**12)
        fee = self.rng.randrange(-100, 10**6)
        since = self.cursors[name, leg.venue]
        self.cursors[name, leg.venue] = now = f"{since}."
        taken = TakenFill(now, "", "", leg.symbol, side, size, price, fee, at)
        await self.fills.record(name, leg.venue, since, [taken], now, at)
        cost = Fraction(size * price, 10**10)
        self.facts.append((name, at, leg, side * size, (-ceil(cost) if side > 0 else floor(cost)) - fee))

    async def correct(self, name, at):
        leg = self.rng.choice(LEGS)
        ours = (await self.fills.held(name)).get(leg.venue, {}).get(leg.symbol, 0)
        theirs, price = ours + self.rng.choice((-7, 11)), self.rng.randrange(1, 10**12)
        assert await self.fills.correct(name, leg.venue, Difference(leg.symbol, ours, theirs, price), at)
        cost = Fraction((theirs - ours) * price, 10**10)
        self.facts.append((name, at, leg, theirs - ours, -ceil(cost)))

    async def snapshot(self, number):
        """By two workers at once, one of which may not get through."""
        at = START + number * HOUR
        self.prices[at] = {leg: self.rng.randrange(1, 10**12) for leg in LEGS}
        found = {leg: NavPrice(price, at, "a test", "venue") for leg, price in self.prices[at].items()}
        await self.nav.record_prices(at, found)
        while True:
            done = await asyncio.gather(
                *(self.nav.take(at, "", 9, at) for _ in range(2)), return_exceptions=True
            )
            assert all(isinstance(one, DBAPIError) for one in done if isinstance(one, BaseException))
            if not any(isinstance(one, BaseException) for one in done):
                return

    def expected(self, name, at, dealt):
        """Cash and value at an instant, from the facts and from what was paid in and out before it."""
        mine = [
            (leg, change, cash)
            for vault, when, leg, change, cash in self.facts
            if vault == name and when <= at
        ]
        cash = sum(one for _, _, one in mine) + sum(amount for when, amount in dealt if when < at)
        sizes = defaultdict(int)
        for leg, change, _ in mine:
            sizes[leg] += change
        values = [floor(Fraction(size * self.prices[at][leg], 10**10)) for leg, size in sizes.items()]
        return cash, cash + sum(values)


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_value_is_what_the_bare_fills_and_prices_come_to(pool, seed):
    days = Days(pool, seed)
    await days.begin()
    for number in range(HOURS):
        # Every other one is taken late, when the next hour is recorded already.
        for step in (days.snapshot, days.hour) if number % 2 else (days.hour, days.snapshot):
            await step(number)
        for name in NAMES:
            await days.pay_in(name, days.rng.choice(HOLDERS), START + number * HOUR + 1)
    # What each has at each venue is kept, and is what moved it.
    async with pool.connect() as connection:
        moved = "select vault, venue, sum(amount) from vault_cash_moves group by vault, venue order by 1, 2"
        kept = await connection.execute(text("select vault, venue, amount from vault_cash order by 1, 2"))
        assert [tuple(row) for row in kept] == [tuple(row) for row in await connection.execute(text(moved))]
    for name in NAMES:
        history = await days.reads.history(name, START * 2, 99)
        assert [one.at for one in history] == [START + number * HOUR for number in reversed(range(HOURS))]
        done = await days.transfers.transfers(name, 99)
        dealt = [(one.dealt_at, one.amount) for one in done if one.status == "done"]
        assert dealt
        for one in history:
            assert (one.cash, one.nav) == days.expected(name, one.at, dealt)
        holders = await days.transfers.holders(name)
        assert sum(holders.values()) == (await days.vaults.get(name)).shares
