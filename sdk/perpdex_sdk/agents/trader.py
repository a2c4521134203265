"""A trader without a view: asks for random sizes on random sides, and trades back what has grown large."""

import asyncio
import random
from decimal import ROUND_DOWN, Decimal

from perpdex_sdk.agent import Agent
from perpdex_sdk.agents.population import Prices, Report, arguments, populate
from perpdex_sdk.errors import ExchangeError, Refused

SLIPPAGE = Decimal("0.005")
"""How far beyond the index the limit lies."""
SMALL_USDC, LARGE_USDC = 100, 2_000
RARELY_USDC = 20_000
"""A size that standing quotes do not hold, so that makers are asked; one request in ten."""
POSITION_USDC = Decimal(20_000)
"""A larger position is traded back."""


class Trader:
    """Requests of one agent."""

    def __init__(
        self, agent: Agent, prices: Prices, report: Report, symbols: list[str], pause: float
    ) -> None:
        self._agent = agent
        self._prices = prices
        self._report = report
        self._symbols = symbols
        self._pause = pause

    async def run(self) -> None:
        """Trade at random moments until cancelled."""
        while True:
            await asyncio.sleep(random.expovariate(1 / self._pause))
            symbol = random.choice(self._symbols)
            index = self._prices.index(symbol)
            if index is not None:
                await self._trade(symbol, index)

    async def _trade(self, symbol: str, index: Decimal) -> None:
        side, size = self._choice(symbol, index)
        market = self._agent.markets[symbol]
        tick, lot = Decimal(market.tick), Decimal(market.lot)
        limit = index * (1 + SLIPPAGE if side == "buy" else 1 - SLIPPAGE)
        opened = self._agent.ask(
            symbol,
            side,
            max(lot, (size / lot).to_integral_value(ROUND_DOWN) * lot),
            (limit / tick).to_integral_value() * tick,
            ttl_ms=random.choice((250, 1000)),
        )
        try:
            closed = await self._agent.answer_to(opened)
        except Refused as refused:
            self._report.refused(refused.code)
        except ExchangeError:
            self._report.unknown()
        else:
            self._report.answer(self._agent.account, closed, opened.elapsed_ms)

    def _choice(self, symbol: str, index: Decimal) -> tuple[str, Decimal]:
        """A side and a size."""
        held = self._agent.position(symbol)
        if abs(held) * index > POSITION_USDC:
            return ("sell" if held > 0 else "buy"), abs(held)
        worth = RARELY_USDC if random.random() < 0.1 else random.randint(SMALL_USDC, LARGE_USDC)
        return random.choice(("buy", "sell")), worth / index


async def main() -> None:
    given = arguments("trader", "Trading agents that ask for random sizes on random sides.")
    symbols = given.markets.split(",")
    await populate(
        "trader",
        given,
        lambda agent, prices, report: Trader(agent, prices, report, symbols, given.pause).run(),
    )


if __name__ == "__main__":
    asyncio.run(main())
