"""What a vault did and was worth by its venues' own memories and the prices that they were given, in plain integers.

None of the exchange's arithmetic is used here. Sizes and prices are in 1e-8, money in micro-USDC, instants in nanoseconds.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from venues.local.hyperliquid import LocalHyperliquid
from venues.local.polymarket import LocalPolymarket
from venues.local.synthetix import LocalSynthetix

E8 = 10**8
PER_MICRO = 10**10
"""A size times a price is in 1e-16 dollars."""
MICROSECOND, MILLISECOND, SECOND = 10**3, 10**6, 10**9
FOR_EVER = 1 << 63
OLDEST = 120 * SECOND
"""No price of a snapshot is of longer before it."""
GOLD = "mock_gold"

Leg = tuple[str, str]


class Order(NamedTuple):
    """As its venue has it, under the name that it was given."""

    venue: str
    name: str
    symbol: str
    side: int
    size: int


class Fill(NamedTuple):
    venue: str
    name: str
    symbol: str
    side: int
    size: int
    price: int
    fee: int
    at: int

    @property
    def cash(self) -> int:
        """What it brought in: a purchase costs what it is worth rounded up, a sale brings it rounded down."""
        return -self.side * self.size * self.price // PER_MICRO - self.fee


class Memories:
    """What four venues remember of an account each, and what they paid it in funding as (instant, micro-USDC)."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.fills: list[Fill] = []
        self.funding: list[tuple[int, int]] = []

    async def read(self, vault: str, accounts: Mapping[str, str], venues: Any, data: Path) -> "Memories":
        """From the journals of venues that have ended, opened as each would at its next start."""
        hyper = LocalHyperliquid(journal=venues["hyper"].journal)
        synthetix = LocalSynthetix(journal=venues["synthetix"].journal)
        polymarket = LocalPolymarket(journal=venues["polymarket"].journal)
        with sqlite3.connect(data / "venues" / f"polymarket-{vault}.db") as rows:
            # Orders have no names of ours there: this file says what was signed under which.
            signed = dict(rows.execute("select order_id, client_id from sent").fetchall())
        for name, exchange, named in (
            ("hyper", hyper.books.exchange, str),
            ("synthetix", synthetix.exchange, str),
            ("polymarket", polymarket.books.exchange, signed.__getitem__),
        ):
            self._exchange(name, accounts[name], exchange, named)
        for venue in (hyper, synthetix, polymarket):
            await venue.stop()
        with sqlite3.connect(data / "venues" / "mock_gold.db") as rows:
            wanted = "select client_id, side, {} from {} where account = ?"
            for name, side, size in rows.execute(wanted.format("size", "orders"), (vault,)):
                self.orders.append(Order(GOLD, name, "XAU", side, size))
            for name, *rest in rows.execute(wanted.format("size, price, fee, at", "fills"), (vault,)):
                self.fills.append(Fill(GOLD, name, "XAU", *rest))
        return self

    def _exchange(self, venue: str, account: str, exchange: Any, named: Callable[[str], str]) -> None:
        for one in exchange.orders.values():
            if one.user == account:
                terms = (_symbol(one.coin), int(one.side), one.size)
                self.orders.append(Order(venue, named(one.cloid), *terms))
        for row in exchange.fills.get(account, []):
            side, size, price = 1 if row["side"] == "B" else -1, units(row["sz"], E8), units(row["px"], E8)
            at = row["time"] * MILLISECOND
            if venue == "polymarket":
                # It tells seconds only: the last instant of one is certainly not before the fill.
                at = at // SECOND * SECOND + SECOND - 1
            terms = (_symbol(row["coin"]), side, size, price, units(row["fee"]), at)
            self.fills.append(Fill(venue, named(row["cloid"]), *terms))
        for row in exchange.funding.get(account, []):
            self.funding.append((row["time"] * MILLISECOND, units(row["delta"]["usdc"])))

    def held(self, at: int) -> dict[Leg, int]:
        """Positions at an instant, without closed ones."""
        found: Counter[Leg] = Counter()
        for one in self.fills:
            if one.at <= at:
                found[one.venue, one.symbol] += one.side * one.size
        return {leg: size for leg, size in found.items() if size}

    def cash(self, at: int) -> int:
        """What fills and funding had brought in by an instant."""
        funding = sum(amount for when, amount in self.funding if when <= at)
        return funding + sum(one.cash for one in self.fills if one.at <= at)


def every_snapshot(
    snapshots: Sequence[dict[str, Any]],
    transfers: Sequence[dict[str, Any]],
    memories: Memories,
    shown: Mapping[str, Any],
    rounds: Mapping[int, Mapping[str, int]],
) -> None:
    """Each, oldest first, is what fills, funding, transfers and prices come to, and deals at that value.

    `rounds` are Chainlink's prices by their second and by venue: gold's, and what stands in for a venue that does not say in time.
    """
    paid_in = shares = 0
    for one in snapshots:
        at = one["at"] * MICROSECOND
        legs = {(of["venue"], leg["symbol"]): leg for of in one["venues"] for leg in of["legs"]}
        assert {leg: units(found["size"], E8) for leg, found in legs.items()} == memories.held(at), one
        for (venue, _), found in legs.items():
            price, price_at = units(found["price"], E8), found["price_at"] * MICROSECOND
            assert at - OLDEST < price_at < at + OLDEST, found
            if found["source"] == "chainlink":
                assert rounds[price_at // SECOND][venue] == price, found
            else:
                assert found["source"] == f"{venue} mid", found
                assert price in shown[venue].at(price_at), found
        cash = paid_in + memories.cash(at)
        worths = [units(found["size"], E8) * units(found["price"], E8) for found in legs.values()]
        nav = cash + sum(worth // PER_MICRO for worth in worths)
        assert (units(one["cash"]), units(one["nav"])) == (cash, nav), one
        assert units(one["shares"]) == shares, one
        assert one["doubts"] == [], one
        nav_up = cash + sum(-(-worth // PER_MICRO) for worth in worths)
        for transfer in transfers:
            if transfer["dealt_at"] == one["at"]:
                amount, given = units(transfer["amount"]), units(transfer["shares"])
                if transfer["kind"] == "deposit":
                    assert given == (amount * shares // nav_up if shares else amount), transfer
                else:
                    assert amount == given * nav // shares, transfer
                    amount, given = -amount, -given
                paid_in, shares = paid_in + amount, shares + given
                nav, nav_up = nav + amount, nav_up + amount


def units(text: str, of: int = 10**6) -> int:
    """A decimal in whole units, of which there are no parts; in micro-USDC when nothing is said."""
    exact = Decimal(text) * of
    assert exact == int(exact), text
    return int(exact)


def _symbol(coin: str) -> str:
    return coin.removesuffix("-USDT")
