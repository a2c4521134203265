"""What happened before a batch, made by the engine itself on the exchange's own journal while no API has it."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Final

from bench.settlement.accounts import Deposit, Place
from core.market import DEFAULT_MARKETS
from core.quantities import SECOND
from matcher import commands as c
from matcher.clock import SteadyClock
from matcher.engine import Engine
from matcher.rejections import Rejection

MARKET: Final = DEFAULT_MARKETS[0]
INDEX: Final = 600_000
SIZE: Final = 100
"""Lots of the smallest trade; every pair trades another size."""
SIZES: Final = 50
AT_ONCE: Final = 300
"""Commands between two waits for the disk: the engine refuses new work when too much waits."""


@asynccontextmanager
async def _engine(journal: Path) -> AsyncIterator[Engine]:
    engine = Engine(journal, SteadyClock())
    try:
        yield engine
    finally:
        engine.close()


async def _run(engine: Engine, commands: Iterator[c.Command]) -> None:
    """Raises `RuntimeError` when one is refused."""
    refused: list[Rejection] = []

    def answered(outcome: object) -> None:
        if isinstance(outcome, Rejection):
            refused.append(outcome)

    while some := list(islice(commands, AT_ONCE)):
        for command in some[:-1]:
            engine.submit(command, answered)
        answered(await engine.ask(some[-1]))
        if refused:
            raise RuntimeError(f"the engine refuses: {refused[0]}")


async def populate(journal: Path, accounts: Sequence[Place], deposits: Sequence[Deposit]) -> None:
    """Register the accounts, bind them to their slots and credit what they deposited."""

    def commands() -> Iterator[c.Command]:
        for one in DEFAULT_MARKETS:
            yield c.ListMarket(one)
        # Nobody quotes between two batches: a market that asks for two views of its price would only reduce by then.
        yield c.SetLimits(MARKET.id, thin_only_reduces=False, who="benchmark", why="nobody quotes")
        for place in accounts:
            yield c.RegisterAgent(str(place.owner.pubkey), f"agent {place.account}")
            yield c.BindSlot(place.account, place.page, place.slot)
        for deposit in deposits:
            yield c.CreditDeposit(*deposit)

    async with _engine(journal) as engine:
        await _run(engine, commands())


async def trade(journal: Path, accounts: Sequence[Place]) -> None:
    """A fill between each account and its neighbour, which belongs to another owner; sides change from pair to pair."""
    async with _engine(journal) as engine:
        known = engine.state.indexes.get(MARKET.id)
        index, before = known.price if known else INDEX, engine.state.last_fill

        def commands() -> Iterator[c.Command]:
            yield c.UpdateIndex(MARKET.id, index, 0, engine.clock(), "benchmark")
            for number, (maker, taker) in enumerate(zip(accounts[::2], accounts[1::2], strict=True)):
                side, size = 1 if number % 2 else -1, SIZE + number % SIZES
                level, expires = ((index + side, size),), engine.clock() + 30 * SECOND
                bids, asks = ((), level) if side > 0 else (level, ())
                yield c.SetQuotes(maker.account, MARKET.id, bids, asks, expires)
                key = f"{before + number}"
                yield c.OpenRequest(taker.account, key, MARKET.id, side, size, index + side, SECOND)

        await _run(engine, commands())
        filled = engine.state.last_fill - before
        if filled != len(accounts) // 2:
            raise RuntimeError(f"{filled} fills instead of {len(accounts) // 2}")
