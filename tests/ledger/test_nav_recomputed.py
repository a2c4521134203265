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
SIGNS = {TransferKind.DEPOSIT: 1, TransferKind.WITHDRAWAL: -1}


@pytest.fixture
async def pool(postgres_url):
    pool = open_pool(postgres_url)
    yield pool
    await pool.dispose()


class Days:
    """What happens to the vaults, kept beside the ledger as bare facts: (vault, instant, leg, change of size, cash as a fraction)."""

    def __init__(self, pool, seed):
        self.rng = random.Random(seed)
        # Of its own each: they are recorded at once, in any order.
        self.rngs = {name: random.Random(f"{seed} {name}") for name in NAMES}
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
        key, amount = f"{at}", self.rngs[name].randrange(10**9, 10**12)
        wanted = Transfer(key, holder, TransferKind.DEPOSIT, amount, 0, "waiting", "", "ada", at, 0)
        await self.transfers.ask(name, wanted)

    async def hour(self, number):
        """Fills, funding and every other time a correction in one hour, some vaults' recorded at once."""
        await asyncio.gather(*(self.of_one(name, START + number * HOUR) for name in NAMES))

    async def of_one(self, name, begins):
        for _ in range(self.rngs[name].randrange(1, 6)):
            await self.fill(name, begins)
        leg, at, paid = (
            self.rngs[name].choice(LEGS),
            begins + self.rngs[name].randrange(1, HOUR),
            self.rngs[name].randrange(-(10**6), 10**6),
        )
        _, since = await self.fills.cursors(name, leg.venue)
        payments = [Payment(f"{at}", leg.symbol, paid, at)]
        assert await self.fills.record_funding(name, leg.venue, since, payments, f"{since}.", at)
        self.facts.append((name, at, leg, 0, paid))
        # At the snapshot that follows nobody deals, for a vault that is worth little or nothing differs by much.
        if begins // HOUR % 2:
            await self.correct(name, begins + HOUR - 1)

    async def fill(self, name, begins):
        leg, side = self.rngs[name].choice(LEGS), self.rngs[name].choice((1, -1))
        at = begins + self.rngs[name].randrange(1, HOUR)
        size, price = self.rngs[name].randrange(1, 10**10), self.rngs[name].randrange(1, 10**12)
        fee = self.rngs[name].randrange(-100, 10**6)
        since = self.cursors[name, leg.venue]
        self.cursors[name, leg.venue] = now = f"{since}."
        taken = TakenFill(now, "", "", leg.symbol, side, size, price, fee, at)
        await self.fills.record(name, leg.venue, since, [taken], now, at)
        cost = Fraction(size * price, 10**10)
        self.facts.append((name, at, leg, side * size, (-ceil(cost) if side > 0 else floor(cost)) - fee))

    async def correct(self, name, at):
        leg = self.rngs[name].choice(LEGS)
        ours = (await self.fills.held(name)).get(leg.venue, {}).get(leg.symbol, 0)
        theirs, price = ours + self.rngs[name].choice((-7, 11)), self.rngs[name].randrange(1, 10**12)
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

    async def ask_back(self, name, holder, at):
        held = (await self.transfers.holders(name)).get(holder, 0)
        if held:
            part = held // self.rngs[name].randrange(2, 100) or held
            wanted = Transfer(f"{at}b", holder, TransferKind.WITHDRAWAL, 0, part, "waiting", "", "ada", at, 0)
            await self.transfers.ask(name, wanted)

    def expected(self, name, at, dealt):
        """Cash and value, rounded down and up, at an instant, from the facts and from what was paid in and out before it."""
        mine = [
            (leg, change, cash)
            for vault, when, leg, change, cash in self.facts
            if vault == name and when <= at
        ]
        cash = sum(one for _, _, one in mine) + sum(amount for when, amount in dealt if when < at)
        sizes = defaultdict(int)
        for leg, change, _ in mine:
            sizes[leg] += change
        values = [Fraction(size * self.prices[at][leg], 10**10) for leg, size in sizes.items()]
        return cash, cash + sum(map(floor, values)), cash + sum(map(ceil, values))


class Shares:
    """Whose a vault is, made anew from its values: the fee is a part of what is gained above the highest value of a share so far."""

    def __init__(self):
        self.holders, self.highest = defaultdict(int), None

    @property
    def all(self):
        return sum(self.holders.values())

    def fee(self, nav):
        """Micro-USDC and shares that the manager is given."""
        gain = nav - ceil(self.highest * self.all) if self.all else 0
        if gain <= 0:
            return 0, 0
        fee = gain * 200_000 // 1_000_000
        made = floor(Fraction(fee * self.all, nav - fee))
        self.holders[16] += made
        self.highest = Fraction(nav, self.all)
        return fee, made

    def deal(self, one, nav, nav_up):
        """One transfer at a value; what it moved in cash and in shares."""
        if one.kind == TransferKind.WITHDRAWAL:
            paid = floor(Fraction(one.shares * nav, self.all))
            self.holders[one.holder] -= one.shares
            return -paid, -one.shares
        made = floor(Fraction(one.amount * self.all, nav_up)) if self.all else one.amount
        self.holders[one.holder] += made
        if self.highest is None:
            self.highest = Fraction(nav + one.amount, made)
        return one.amount, made


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_value_is_what_the_bare_fills_and_prices_come_to(pool, seed):
    days = Days(pool, seed)
    await days.begin()
    for number in range(HOURS):
        # Every other one is taken late, when the next hour is recorded already.
        for step in (days.snapshot, days.hour) if number % 2 else (days.hour, days.snapshot):
            await step(number)
        for name in NAMES:
            await days.pay_in(name, days.rngs[name].choice(HOLDERS), START + number * HOUR + 1)
            await days.ask_back(name, days.rngs[name].choice(HOLDERS), START + number * HOUR + 2)
    # What each has at each venue is kept, and is what moved it.
    async with pool.connect() as connection:
        moved = "select vault, venue, sum(amount) from vault_cash_moves group by vault, venue order by 1, 2"
        kept = await connection.execute(text("select vault, venue, amount from vault_cash order by 1, 2"))
        assert [tuple(row) for row in kept] == [tuple(row) for row in await connection.execute(text(moved))]
    fees = back = 0
    for name in NAMES:
        history = await days.reads.history(name, START * 2, 99)
        assert [one.at for one in history] == [START + number * HOUR for number in reversed(range(HOURS))]
        done = await days.transfers.transfers(name, 99)
        done = sorted((one for one in done if one.status == "done"), key=lambda one: one.at)
        dealt = [(one.dealt_at, SIGNS[one.kind] * one.amount) for one in done]
        assert dealt
        shares = Shares()
        for one in reversed(history):
            cash, nav, nav_up = days.expected(name, one.at, dealt)
            assert (one.cash, one.nav, one.shares) == (cash, nav, shares.all)
            assert (one.fee, one.fee_shares) == ((0, 0) if one.doubts else shares.fee(nav))
            for moved in (other for other in done if other.dealt_at == one.at):
                assert not one.doubts
                change, made = shares.deal(moved, nav, nav_up)
                assert (SIGNS[moved.kind] * moved.amount, SIGNS[moved.kind] * moved.shares) == (change, made)
                nav, nav_up = nav + change, nav_up + change
        holders = await days.transfers.holders(name)
        assert holders == {holder: held for holder, held in shares.holders.items() if held}
        assert shares.all == (await days.vaults.get(name)).shares
        fees += any(one.fee for one in history)
        back += any(one.kind == TransferKind.WITHDRAWAL for one in done)
    assert fees
    assert back
