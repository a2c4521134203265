"""A day of a vault at four venues that misbehave, while API, worker and venues are killed, against what the venues remember.

At the end no order is at a venue twice, no fill is lost or counted twice, and every snapshot of the vault's value is, to the
micro-USDC, what is reckoned anew from the venues' own journals and the prices that they were given (`recomputed.py`).
"""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

import pytest

from places import database_url

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

E8 = 10**8
TOKEN = "21742633143463906290569050155826241533067272736897614950488156847949938836455"


class Terms(NamedTuple):
    """A venue's symbol with its steps in 1e-8, and sizes in lots between which tickets are."""

    symbol: str
    tick: int
    lot: int
    least: int
    most: int


TERMS = {
    "hyper": Terms("BTC", E8, E8 // 10**5, 100, 3_000),
    "mock_gold": Terms("XAU", E8 // 100, E8 // 1_000, 10, 3_000),
    "polymarket": Terms(TOKEN, E8 // 100, E8 // 100, 500, 6_000),
    "synthetix": Terms("ETH", E8 // 100, E8 // 1_000, 10, 800),
}
LOCAL = ("hyper", "polymarket", "synthetix")
LASTING = ("duplicate", "stale_book")
LASTS = 2
"""Steps."""
QUICK = [
    *((venue, kind) for venue in LOCAL for kind in ("lose_reply", "rate_limit", "partial_fill", *LASTING)),
    *((venue, "disconnect") for venue in ("hyper", "polymarket")),
]
SLOW = [
    ("hyper", "lose_request"),
    ("synthetix", "lose_request"),
    ("polymarket", "time_out"),
    ("hyper", "time_out"),
    ("synthetix", "fail"),
]
SLOWEST = [("polymarket", "lose_request"), ("polymarket", "fail"), ("synthetix", "time_out")]
"""Known to be nowhere only after one and a half minutes, or in everybody's way for ten seconds."""


@dataclass(frozen=True)
class Pace:
    """How a day is played: so many quarters of an hour a step, tickets and steps between snapshots; what is killed; which faults.

    The `patient` wait for orders whose worker died with them: nobody knows for a minute that they are nowhere.
    """

    vault: str
    seed: int
    bars: int
    tickets: int
    snapshots: int
    kills: Counter[str]
    faults: list[tuple[str, str]]
    patient: bool
    within_s: int


SHORT = Pace(
    *("short", 1, 4, 6, 4),
    Counter(worker=2, api=1, hyper=1, polymarket=1, synthetix=1),
    *([*SLOW, *QUICK], False, 400),
)
LONG = Pace(
    *("long", 2, 1, 5, 4),
    Counter(worker=8, api=6, hyper=3, polymarket=3, synthetix=3),
    *([*SLOWEST, *SLOW, *QUICK, *SLOW, *QUICK, *QUICK], True, 800),
)


class Day:
    """Plays the recorded day to the venues and sends tickets all the while."""

    def __init__(self, pace: Pace, bars: Any, quant: Any, network: Any, gold: Any) -> None:
        self.pace, self.bars = pace, bars[pace.bars - 1 :: pace.bars]
        self.quant, self.network, self.gold = quant, network, gold
        self.rng = random.Random(pace.seed)
        self.faults: dict[int, tuple[str, str]] = dict(enumerate(pace.faults))
        self.sending: list[asyncio.Task[Any]] = []
        self.done: Counter[tuple[str, str]] = Counter()
        self.left: list[str] = []

    async def play(self) -> None:
        victims = sorted(self.pace.kills.elements())
        self.rng.shuffle(victims)
        last = len(self.bars) * self.pace.tickets
        instants = sorted(self.rng.randrange(last) for _ in victims)
        killing = [
            asyncio.create_task(self._kill(name, after, self.rng.random(), self.rng.random()))
            for name, after in zip(victims, instants, strict=True)
        ]
        await self.quant.transfer("deposits", key="first", amount="1000000")
        await self.network.snapshot(self.quant)
        for step, bar in enumerate(self.bars):
            await self._step(step, bar)
        await asyncio.gather(*killing)
        await asyncio.gather(*self.sending)
        for venue in LOCAL:
            self.left += await self.network.venues[venue].behave()

    async def _kill(self, name: str, after: int, later_s: float, down_s: float) -> None:
        while len(self.quant.sent) < after:
            await asyncio.sleep(0.01)
        await asyncio.sleep(later_s)
        await self.network.kill(name, down_s)

    async def _step(self, step: int, bar: dict[str, int]) -> None:
        began, venues = time.monotonic(), self.network.venues
        self.gold.say(bar)
        await asyncio.gather(*(venues[venue].move(bar[venue]) for venue in LOCAL))
        await self._misbehave(step)
        if step == len(self.bars) // 2:
            for venue in ("hyper", "synthetix"):
                await self._pay_funding(venue)
        now = [
            asyncio.create_task(self.quant.order(f"{step}-{number}", *self._ticket(step + number, bar)))
            for number in range(self.pace.tickets)
        ]
        self.sending += now
        if step % self.pace.snapshots == self.pace.snapshots - 1:
            await self._money(step)
            await self.network.snapshot(self.quant)
        await asyncio.wait(now, timeout=1.0)
        # Two rounds of one feed are never of one second.
        await asyncio.sleep(max(0.0, began + 1.0 - time.monotonic()))

    async def _misbehave(self, step: int) -> None:
        venue, kind = self.faults.get(step - LASTS, ("", ""))
        if kind in LASTING:
            await self.network.venues[venue].misbehave(kind, 0)
        venue, kind = self.faults.get(step, ("", ""))
        if venue:
            self.done[venue, kind] += 1
            await self.network.venues[venue].misbehave(kind)

    async def _pay_funding(self, venue: str) -> None:
        """Once, and not before there is a position that it is paid on: what is still on its way may have closed it."""
        at, terms = self.network.venues[venue], TERMS[venue]
        body = {
            "venue": venue,
            "symbol": terms.symbol,
            "side": "buy",
            "size": decimal(terms.most * terms.lot),
        }
        for number in count():
            # A venue that died with the answer would be asked twice.
            async with self.network.venues_up:
                answer = await at.control("funding", {at.named: at.coin, "rate": "0.0001"})
            if answer["response"]["paid"]:
                return
            await self.quant.order(f"funding-{venue}-{number}", "/quant/orders/open", body)

    async def _money(self, step: int) -> None:
        if step == 2 * self.pace.snapshots - 1:
            await self.quant.transfer("deposits", key="second", amount="12345.678901")
        if step == 4 * self.pace.snapshots - 1:
            await self.quant.transfer("withdrawals", key="third", shares="54321.098765")

    def _ticket(self, number: int, bar: dict[str, int]) -> tuple[str, dict[str, Any]]:
        """Mostly at the market; some with a limit that is met or not, some that close what there is."""
        venue = sorted(TERMS)[number % len(TERMS)]
        terms, kind, buys = TERMS[venue], self.rng.random(), self.rng.random()
        leg = {"venue": venue, "symbol": terms.symbol}
        if kind < 0.08:
            return "/quant/orders/close", leg
        # Nobody is short of a token: what is sold there must have been bought.
        sign = 1 if buys < (0.7 if venue == "polymarket" else 0.5) else -1
        size = self.rng.randrange(terms.least, terms.most) * terms.lot
        body = {**leg, "side": "buy" if sign > 0 else "sell", "size": decimal(size)}
        if kind < 0.4:
            # Elsewhere an order that waits may become the best of its side, and move the very middle that it is valued at.
            waits = kind < 0.22 and venue == "mock_gold"
            away = max(2 * terms.tick, bar[venue] * self.rng.randrange(3, 15) // 1_000)
            price = (bar[venue] - sign * away * (1 if waits else -1)) // terms.tick * terms.tick
            if terms.tick <= price and (venue != "polymarket" or price < E8):
                body |= {"order_type": "limit", "limit_price": decimal(price)}
                body["time_in_force"] = "gtc" if waits else "ioc"
        return "/quant/orders/open", body

    async def settle(self) -> None:
        """Take back what still waits, and wait for every order's end."""
        patience = time.monotonic() + 45
        while True:
            rows = await self.quant.orders()
            await asyncio.gather(
                *(self.quant.cancel(id) for id, one in rows.items() if one["status"] == "open")
            )
            for id in self.quant.sent.keys() - rows.keys():
                # Refused by the rules, or not judged yet.
                if self.quant.sent[id].told["status"] not in self.quant.ended:
                    await self.quant.order(id, self.quant.sent[id].path, self.quant.sent[id].body)
            told = {id: rows.get(id, one.told)["status"] for id, one in self.quant.sent.items()}
            waiting = Counter(status for status in told.values() if status not in self.quant.ended)
            late = not self.pace.patient and time.monotonic() > patience
            if not waiting or (late and set(waiting) == {"sent"}):
                break
            await asyncio.sleep(0.5)
        self.gold.say(self.bars[-1])


def decimal(e8: int) -> str:
    return f"{e8 // E8}.{e8 % E8:08}"


def each_order_was_sent_once(memories: Any, ledger: Any) -> None:
    """Nothing is at a venue twice, everything there is a ticket's, and what ended here ended there in the same way."""
    names = Counter((one.venue, one.name) for one in memories.orders)
    assert {name: times for name, times in names.items() if times > 1} == {}
    filled: Counter[Any] = Counter()
    for one in memories.fills:
        filled[one.venue, one.name] += one.size
    for one in memories.orders:
        row = ledger.orders[one.venue, one.name]
        assert (one.symbol, one.side) == (row.symbol, row.side)
        assert one.size == row.size or (row.reduce_only and one.size < row.size)
    for name, row in ledger.orders.items():
        assert row.filled == filled[name], (name, row)
        if row.status in ("filled", "cancelled", "rejected"):
            assert names[name] == 1, (name, row)
        if row.status in ("not_sent", "sent", "accepted"):
            assert names[name] == 0, (name, row)
        if row.status == "filled" and not row.reduce_only:
            assert row.filled == row.size, (name, row)


def each_sender_was_told_so(quant: Any, ledger: Any, units: Any) -> None:
    """Whoever was told how an order ended was told so of the order that there is."""
    rows = {row.client_id: row for row in ledger.orders.values()}
    for id, one in quant.sent.items():
        row = rows.get(id)
        if one.told["status"] not in quant.ended:
            # It went on: what became of it was waited for, and is held against its venue.
            continue
        if row is None:
            assert one.told["status"] in ("refused", "not_sent"), one
        else:
            assert (row.status, row.filled) == (one.told["status"], units(one.told["filled"], E8)), one


@pytest.mark.parametrize(
    "pace", [SHORT, pytest.param(LONG, marks=pytest.mark.long)], ids=lambda pace: pace.vault
)
async def test_a_day_at_four_venues(
    pace: Pace,
    day: Any,
    gold: Any,
    network: Any,
    new_quant: Any,
    recomputed: Any,
    books_of: Any,
) -> None:
    quant, data = new_quant(pace.vault), network.stack.settings.perpdex_data
    async with asyncio.timeout(pace.within_s):
        await quant.open(network.venues)
        played = Day(pace, day, quant, network, gold)
        await played.play()
        await played.settle()
        await network.snapshot(quant)
        positions, snapshots = await quant.positions(), await quant.snapshots()
        transfers = await quant.transfers()
    network.end("worker")
    for venue in network.venues.values():
        venue.kill()
    memories = await recomputed.Memories().read(quant.vault, quant.accounts, network.venues, data)
    ledger = books_of(database_url(network.stack.settings), quant.vault)
    units = recomputed.units

    each_order_was_sent_once(memories, ledger)
    assert Counter(tuple(one) for one in memories.fills) == ledger.fills
    each_sender_was_told_so(quant, ledger, units)
    held = memories.held(recomputed.FOR_EVER)
    assert ledger.positions == held
    assert {
        (venue, symbol): units(size, E8) for venue, of in positions.items() for symbol, size in of.items()
    } == held
    assert ledger.differences == 0
    assert [number for (number,) in ledger.events] == list(range(1, len(ledger.events) + 1))
    shown = {venue: network.venues[venue].shown for venue in LOCAL}
    recomputed.every_snapshot(snapshots[::-1], transfers, memories, shown, gold.rounds)

    # All of it happened.
    assert network.killed == pace.kills
    assert set(played.done) == set(pace.faults)
    # A venue that is killed forgets what it was still to do wrong.
    assert len(played.left) < len(pace.faults) // 4
    assert len(snapshots) == len(played.bars) // pace.snapshots + 2
    assert min(Counter(one.venue for one in memories.fills)[venue] for venue in TERMS) >= 10
    assert len(memories.funding) == 2
    assert [one["status"] for one in transfers] == ["done"] * 3
