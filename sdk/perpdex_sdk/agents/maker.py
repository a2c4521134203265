"""A small inventory-aware market maker: standing quotes around the index, and answers to requests for more than they hold.

Both sides lean against the position: the longer the agent is, the lower it quotes, so that its next fill is likelier to bring it back.
"""

import asyncio
import random
from decimal import ROUND_DOWN, ROUND_UP, Decimal

from perpdex_sdk.agent import Agent
from perpdex_sdk.agents.population import Prices, Report, arguments, populate
from perpdex_sdk.errors import ExchangeError, NotSent, Refused
from perpdex_sdk.messages import Rfq

HALF_SPREAD = Decimal("0.0004")
LEAN = Decimal("0.0010")
"""Shift of both prices at a full position, as a share of the index."""
LEVELS = 3
LEVEL_USDC = Decimal(5_000)
"""Two makers' levels together are deep enough to say a price where 25,000 USDC are asked for, none of them for more than half."""
POSITION_USDC = Decimal(100_000)
ANSWER_USDC = Decimal(50_000)
REFRESH = 1.0
LIFE_MS = 5_000


class Maker:
    """Quotes for one agent in all of its markets."""

    def __init__(self, agent: Agent, prices: Prices, report: Report, symbols: list[str]) -> None:
        self._agent = agent
        self._prices = prices
        self._report = report
        self._symbols = symbols
        # Makers differ a little, so that the best price is not always the same one's.
        self._half_spread = HALF_SPREAD * Decimal(random.randint(80, 120)) / 100
        self._answering: set[asyncio.Task[None]] = set()
        agent.on(Rfq, self._asked)

    async def run(self) -> None:
        """Ask to be asked, then renew the standing quotes until cancelled."""
        await self._agent.subscribe(self._symbols)
        while True:
            for symbol in self._symbols:
                await self._renew(symbol)
            await asyncio.sleep(REFRESH * random.uniform(0.7, 1.3))

    async def _renew(self, symbol: str) -> None:
        fair = self._fair(symbol)
        if fair is None:
            return
        bids, asks = [], []
        for level in range(1, LEVELS + 1):
            bid, ask = self._around(symbol, fair, self._half_spread * level)
            size = self._size(symbol, LEVEL_USDC / fair)
            bids.append((bid, size))
            asks.append((ask, size))
        try:
            await self._agent.quotes(symbol, bids, asks, LIFE_MS)
        except Refused as refused:
            self._report.refused(refused.code)
        except NotSent:
            return  # the next round has newer prices
        except ExchangeError:
            self._report.unknown()

    def _asked(self, rfq: Rfq) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(rfq))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, rfq: Rfq) -> None:
        fair = self._fair(rfq.market)
        try:
            if fair is None or Decimal(rfq.size) * fair > ANSWER_USDC:
                await self._agent.pass_on(rfq)
                return
            bid, ask = self._around(rfq.market, fair, self._half_spread)
            await self._agent.answer(rfq, bid=bid, ask=ask, life_ms=LIFE_MS)
        except Refused as refused:
            self._report.refused(refused.code)
        except NotSent:
            return  # the request ended with the connection, or will with its time
        except ExchangeError:
            self._report.unknown()

    def _fair(self, symbol: str) -> Decimal | None:
        """The index, leant against the position."""
        index = self._prices.index(symbol)
        if index is None:
            return None
        full = self._agent.position(symbol) * index / POSITION_USDC
        return index * (1 - LEAN * max(Decimal(-3), min(Decimal(3), full)))

    def _around(self, symbol: str, fair: Decimal, share: Decimal) -> tuple[Decimal, Decimal]:
        """Bid rounded down and ask rounded up to the tick: never inside what was meant."""
        tick = Decimal(self._agent.markets[symbol].tick)
        bid = (fair * (1 - share) / tick).to_integral_value(ROUND_DOWN) * tick
        ask = (fair * (1 + share) / tick).to_integral_value(ROUND_UP) * tick
        return bid, ask

    def _size(self, symbol: str, wanted: Decimal) -> Decimal:
        lot = Decimal(self._agent.markets[symbol].lot)
        return max(lot, (wanted / lot).to_integral_value(ROUND_DOWN) * lot)


async def main() -> None:
    given = arguments("maker", "Market-making agents with standing quotes around the index.")
    symbols = given.markets.split(",")
    await populate("maker", given, lambda agent, prices, report: Maker(agent, prices, report, symbols).run())


if __name__ == "__main__":
    asyncio.run(main())
