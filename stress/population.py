"""Who takes part, drawn from a seed: accounts with their deposits, and what each of them will do when.

Amounts come from tables and whole-number draws, so the same seed gives the same crowd on every machine.
"""

from collections.abc import Sequence
from enum import Enum, auto
from random import Random
from typing import Final, NamedTuple

import base58

from core.quantities import MILLION

USDC: Final = MILLION
DEPOSITS: Final = {200: 30, 1_000: 30, 5_000: 24, 20_000: 12, 150_000: 3, 1_000_000: 1}
"""USDC, around which deposits are drawn, and how often."""
LEVERAGES: Final = {1: 10, 2: 14, 3: 14, 5: 20, 10: 20, 20: 14, 45: 8}
"""Notional over deposit, and how often. Markets that allow less make less of it."""
LONG_SHARE: Final = 640_000
"""Crowds lean the way that has just paid; parts per million of all positions."""
RETURNS: Final = 350_000
"""Parts per million of traders that do something later on."""
SECOND_ACCOUNTS: Final = 50_000
"""Parts per million of owners with a second account, which keeps its position apart from the first one's."""


class Doing(Enum):
    """What a trader does with its position; sizes of the last three follow from what it then holds."""

    OPEN = auto()
    REDUCE = auto()
    CLOSE = auto()
    WITHDRAW = auto()


class Deed(NamedTuple):
    """One act: at a step, by the trader of that number, in a market (its place on the tape). `notional` is in micro-USDC."""

    step: int
    trader: int
    doing: Doing
    market: int
    side: int
    notional: int


class Trader(NamedTuple):
    """An account to register: its owner, its name, and what it deposits in micro-USDC."""

    owner: str
    name: str
    deposit: int


class Population(NamedTuple):
    """`deeds` are in order of their steps."""

    traders: tuple[Trader, ...]
    deeds: tuple[Deed, ...]


def owner_key(number: int) -> str:
    """A base58 key that nobody holds."""
    return base58.b58encode(number.to_bytes(32, "big")).decode()


def populated(seed: int, accounts: int, leverages: Sequence[int], opening: int, steps: int) -> Population:
    """`accounts` traders in markets with these highest leverages: they open positions in the first `opening` of `steps` steps."""
    rng = Random(f"population {seed}")
    traders: list[Trader] = []
    deeds: list[Deed] = []
    owner = 1_000
    for number in range(accounts):
        second = bool(traders) and traders[-1].name == "main" and rng.randrange(MILLION) < SECOND_ACCOUNTS
        owner += not second
        deposit = _drawn(rng, DEPOSITS) * rng.randrange(50, 200) * USDC // 100
        traders.append(Trader(owner_key(owner), "apart" if second else "main", deposit))
        deeds += _deeds(rng, number, deposit, leverages, opening, steps)
    return Population(tuple(traders), tuple(sorted(deeds, key=lambda deed: deed.step)))


def _deeds(
    rng: Random, number: int, deposit: int, leverages: Sequence[int], opening: int, steps: int
) -> list[Deed]:
    """Positions in one to three markets that share the account's leverage, and perhaps what is done about one of them later."""
    count = min(len(leverages), rng.choice((1, 1, 1, 1, 2, 2, 3)))
    wanted = _drawn(rng, LEVERAGES) * rng.randrange(80, 120)
    deeds = []
    for market in rng.sample(range(len(leverages)), count):
        side = 1 if rng.randrange(MILLION) < LONG_SHARE else -1
        # Of the highest leverage a little is left for the fee and for a price that moves until the request arrives.
        leverage = min(wanted, leverages[market] * 93)
        step = rng.randrange(opening)
        deeds.append(Deed(step, number, Doing.OPEN, market, side, deposit * leverage // 100 // count))
    if rng.randrange(MILLION) < RETURNS:
        first = rng.choice(deeds)
        step = rng.randrange(first.step, steps)
        doing = rng.choice((Doing.OPEN, Doing.REDUCE, Doing.CLOSE, Doing.WITHDRAW))
        side = first.side * rng.choice((1, 1, -1))
        deeds.append(Deed(step, number, doing, first.market, side, first.notional // rng.choice((1, 2, 4))))
    return deeds


def _drawn(rng: Random, weights: dict[int, int]) -> int:
    return rng.choices(list(weights), list(weights.values()))[0]
