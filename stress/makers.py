"""Market makers: standing quotes around the index and answers to requests, in integers, for the money and the nerve that they have."""

from random import Random
from typing import Final, NamedTuple

from core.market import Market
from core.quantities import MILLION, SECOND, share_down, share_up
from matcher import commands as c
from stress.population import USDC, owner_key

LEVELS: Final = 3
LIFE: Final = 30 * SECOND
WIDENS: Final = 2
"""Half spreads grow by so many times the average move of a step."""
HALF_SPREAD_MAX: Final = 9_000
"""Parts per million: beyond it nobody's limit would be reached."""
MEMORY: Final = 12
"""Steps over which moves are averaged."""
ACCOUNTS: Final = (
    # deposit in USDC, half spread, share of the worst beats that it sits out; both in parts per million
    (20_000_000, 300, 20_000),
    (20_000_000, 350, 30_000),
    (15_000_000, 400, 40_000),
    (10_000_000, 300, 60_000),
    (10_000_000, 500, 60_000),
    (6_000_000, 350, 80_000),
    (4_000_000, 600, 120_000),
    (600_000, 250, 20_000),
)
"""The last one is bold and thin: makers can be liquidated too."""


class Pace:
    """How far a market's index moves in a step, in parts per million, averaged over the last dozen."""

    def __init__(self) -> None:
        self.ppm = 0
        self._last = 0

    def see(self, price: int) -> None:
        moved = abs(price - self._last) * MILLION // self._last if self._last else 0
        # Rises at once and forgets slowly.
        self.ppm = max(moved, self.ppm) - self.ppm // MEMORY
        self._last = price


class Maker(NamedTuple):
    """What a maker goes by. `full` is the position in micro-USDC at which it leans all the way and takes no more of the same side."""

    owner: str
    name: str
    deposit: int
    half_spread: int
    sits_out: int
    full: int
    turn: int

    def quotes(self, account: int, market: Market, index: int, pace: int, held: int, now: int) -> c.SetQuotes:
        """Standing quotes on both sides, lower the longer it is; a full side is left empty."""
        bid, ask = self._prices(index, pace, held, index * market.value_per_tick_lot)
        unit = max(1, self.full // (20 * index * market.value_per_tick_lot))
        room = self._room(index * market.value_per_tick_lot)
        away = max(1, index * self.half_spread // MILLION)
        sizes = [unit << level for level in range(LEVELS)]
        bids = tuple((max(1, bid - away * level), lots) for level, lots in enumerate(sizes))
        asks = tuple((ask + away * level, lots) for level, lots in enumerate(sizes))
        return c.SetQuotes(
            account,
            market.id,
            bids if held < room else (),
            asks if held > -room else (),
            now + LIFE,
        )

    def answer(
        self,
        account: int,
        request: int,
        market: Market,
        index: int,
        pace: int,
        held: int,
        wanted: int,
        now: int,
    ) -> c.AnswerRequest | c.PassRequest:
        """A firm two-sided answer for as much of `wanted` as fits, without knowing which side is asked; else it passes."""
        bid, ask = self._prices(index, pace, held, index * market.value_per_tick_lot)
        room = self._room(index * market.value_per_tick_lot)
        size = min(wanted, max(1, room // 4))
        buys, sells = held + size <= room, held - size >= -room
        if not buys and not sells:
            return c.PassRequest(account, request)
        return c.AnswerRequest(
            account, request, bid if buys else 0, ask if sells else 0, size, 1, now + SECOND
        )

    def _room(self, value_per_lot: int) -> int:
        return self.full // value_per_lot

    def _prices(self, index: int, pace: int, held: int, value_per_lot: int) -> tuple[int, int]:
        """Bid rounded down and ask up. Both lean by up to twice the half spread against what is held."""
        half = min(HALF_SPREAD_MAX, self.half_spread + WIDENS * pace)
        lean = max(-2 * half, min(2 * half, 2 * half * held * value_per_lot // self.full))
        middle = index - index * lean // MILLION
        return max(1, middle - share_up(middle, half)), middle + max(1, share_down(middle, half))


def makers(seed: int, accounts: int, markets: int) -> tuple[Maker, ...]:
    """The makers for a crowd of `accounts` in so many markets: their money grows with the crowd, their spreads differ a little."""
    rng = Random(f"makers {seed}")
    made = []
    for turn, (deposit, half_spread, sits_out) in enumerate(ACCOUNTS):
        money = deposit * accounts // 5_000 * USDC
        half = half_spread * rng.randrange(80, 120) // 100
        made.append(Maker(owner_key(1 + turn), "maker", money, half, sits_out, 2 * money // markets, turn))
    return tuple(made)
