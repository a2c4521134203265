"""A strategy without a view for a vault: small tickets at each venue, and back again where a position has grown.

It signs in as the vault's manager and makes itself a key for the vault; from there on it has tickets, numbered events and snapshots
of the vault's value, and never meets a venue.
"""

import argparse
import asyncio
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal, InvalidOperation
from itertools import count
from pathlib import Path
from typing import NamedTuple

from perpdex_sdk import files, manager
from perpdex_sdk.agents.population import Report
from perpdex_sdk.agents.vault_book import VaultBook
from perpdex_sdk.desk import Desk
from perpdex_sdk.desk_answers import Nav
from perpdex_sdk.errors import UNSEEN, ExchangeError, Refused
from perpdex_sdk.rest import Rest

NAME = "strategy"
"""Of the manager's agent, of its key file, and of the key that tickets are placed by."""
LOOK = 2.0
"""Seconds between two looks at events and value."""
KEY_DAYS = 30
SESSION_OVER = frozenset({"not_authenticated", "session_expired", "session_revoked"})
ASK_AGAIN = SESSION_OVER | UNSEEN | {"orders_unavailable", "vaults_unavailable"}
"""Refusals that say nothing of the ticket: the same one goes again."""


class Trade(NamedTuple):
    """What is traded: `step` at a time, and back once `most` is held, long or short."""

    venue: str
    symbol: str
    step: Decimal
    most: Decimal


class Ticket(NamedTuple):
    trade: Trade
    side: str
    client_id: str


def side_of(held: Decimal, most: Decimal, buys: bool) -> str:
    """The way back where as much as `most` is held, else as it comes."""
    if abs(held) >= most:
        return "sell" if held > 0 else "buy"
    return "buy" if buys else "sell"


async def signed_in(url: str, keys: Path, rpc_url: str | None) -> tuple[Rest, int]:
    """A session of the manager, whose key is made in `keys` when it is missing, and its account."""
    rest, session = await manager.signed_in(url, keys / f"{NAME}.json", NAME, rpc_url)
    return rest, session.account


class Strategy:
    """Trades for one vault. Made by `begin`, which may raise any `ExchangeError`."""

    def __init__(
        self, given: argparse.Namespace, report: Report, rest: Rest, desk: Desk, book: VaultBook
    ) -> None:
        self._given = given
        self._report = report
        self._rest = rest
        self._desk = desk
        self._book = book
        self._unanswered: dict[Trade, Ticket] = {}
        self._numbers = count(1)
        # Ids of an earlier run are other orders'.
        self._run = f"{NAME}-{time.time_ns() // 1_000_000}"
        self._said: dict[str, object] = {}

    @classmethod
    async def begin(cls, given: argparse.Namespace, report: Report) -> "Strategy":
        rest, account = await signed_in(given.url, given.keys, given.rpc)
        desk = await _desk(given, rest)
        strategy = cls(given, report, rest, desk, VaultBook(await desk.positions()))
        report.line("ready", role=NAME, agents=[account])
        return strategy

    async def close(self) -> int:
        """How often what the exchange told of positions was not what its fills add up to."""
        await self._desk.close()
        await self._rest.close()
        return self._book.mismatches

    async def run(self, stop: asyncio.Event) -> None:
        """A ticket for each trade and, in between, looks at what becomes of them. What was begun is ended before it returns."""
        due = 0.0
        while not stop.is_set():
            if time.monotonic() >= due:
                due = time.monotonic() + self._given.pause
                for trade in self._given.trades:
                    await self._place(trade)
            await self._tried(self._look)
            await _within(stop, LOOK)
        await self._tried(self._look)

    async def _place(self, trade: Trade) -> None:
        ticket = self._unanswered.get(trade) or self._next(trade)
        self._unanswered[trade] = ticket

        async def send() -> None:
            await self._desk.open(trade.symbol, ticket.side, trade.step, ticket.client_id, venue=trade.venue)

        if await self._tried(send):
            del self._unanswered[trade]

    def _next(self, trade: Trade) -> Ticket:
        held = self._book.position(trade.venue, trade.symbol)
        side = side_of(held, trade.most, random.random() < 0.5)
        return Ticket(trade, side, f"{self._run}-{next(self._numbers)}")

    async def _look(self) -> None:
        book = self._book
        while True:
            found = await self._desk.events(book.head)
            for event in found.events:
                book.take(event)
            if not found.events or book.head >= found.head:
                break
        self._say(await self._rest.nav(self._given.vault))

    def _say(self, nav: Nav | None) -> None:
        book = self._book
        said: dict[str, object] = {
            "vault": self._given.vault,
            "nav": nav.nav if nav is not None else None,
            "at": nav.at if nav is not None else None,
            "demo_prices": _made_up(nav),
            "positions": book.positions,
            "orders": book.orders,
        }
        if said != self._said:
            self._report.line("vault", **said)
            self._said = said

    async def _tried(self, call: Callable[[], Awaitable[None]]) -> bool:
        """Whether the exchange answered, be it with a no. Where it did not, the next round asks again."""
        try:
            await call()
        except Refused as refused:
            print(f"{NAME}: {refused}", file=sys.stderr)
            if refused.code in SESSION_OVER:
                await self._renew()
            return refused.code not in ASK_AGAIN
        except ExchangeError as lost:
            print(f"{NAME}: {lost}", file=sys.stderr)
            return False
        return True

    async def _renew(self) -> None:
        """Sessions last a day and keys a month: a run may last longer."""
        try:
            rest, _ = await signed_in(self._given.url, self._given.keys, self._given.rpc)
            desk = await _desk(self._given, rest)
        except ExchangeError as lost:
            print(f"{NAME}: {lost}", file=sys.stderr)
            return
        await self._desk.close()
        await self._rest.close()
        self._rest, self._desk = rest, desk


async def _desk(given: argparse.Namespace, rest: Rest) -> Desk:
    """The vault's desk under a new key, which is kept for whoever may read the file."""
    made = await rest.quant_key(given.vault, NAME, ("read", "trade"), KEY_DAYS)
    files.replace(given.keys / f"{given.vault}.key", made.key.encode() + b"\n")
    return Desk(given.url, made.key)


def _made_up(nav: Nav | None) -> list[str]:
    """Legs whose price is nobody's word, so that whoever shows the value says so."""
    venues = nav.venues if nav is not None else []
    return [f"{at.venue}::{leg.symbol}" for at in venues for leg in at.legs if leg.standing == "demo"]


async def _within(stop: asyncio.Event, seconds: float) -> None:
    """Wait so long, or until told to stop."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


def _trade(text: str) -> Trade:
    """Of ``venue::symbol:step:most``. Raises `ValueError`."""
    leg, step, most = text.rsplit(":", 2)
    venue, symbol = leg.split("::")
    try:
        return Trade(venue, symbol, Decimal(step), Decimal(most))
    except InvalidOperation:
        raise ValueError(f"{step} or {most} is no number") from None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="perpdex_sdk.agents.strategy", description="Trades a vault, a little."
    )
    parser.add_argument(
        "--url", default="http://127.0.0.1:8080", help="address of the exchange's HTTP interface"
    )
    parser.add_argument("--keys", type=Path, default=Path("keys"), help="directory of the manager's key file")
    parser.add_argument("--rpc", help="URL of a Solana node; by default the one that the exchange names")
    parser.add_argument("--vault", required=True, help="a vault that the manager manages")
    parser.add_argument("--pause", type=float, default=30.0, help="seconds between two rounds of tickets")
    parser.add_argument(
        "trades", nargs="+", type=_trade, metavar="VENUE::SYMBOL:STEP:MOST", help="what, how much, up to what"
    )
    return parser.parse_args()


async def main() -> None:
    given, report, stop = _arguments(), Report(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    strategy = await Strategy.begin(given, report)
    try:
        await strategy.run(stop)
    finally:
        report.line("done", role=NAME, mismatches=await strategy.close())


if __name__ == "__main__":
    asyncio.run(main())
