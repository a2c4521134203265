"""Accounts of the local Hyperliquid: cash, positions and margin, in exact integers.

Amounts are in 1e-16 of a dollar, the product of a size and a price, so nothing is rounded before it is shown. Nobody is
liquidated here.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from core.quantities import MILLION, divide_up
from venues.local.hyperliquid_market import Asset, written

DOLLAR: Final = 10**16
MICRO: Final = 10**10
TAKER_FEE: Final = 450
MAKER_FEE: Final = 150
"""Parts per million of the notional."""
DEFAULT_LEVERAGE: Final = 20


@dataclass
class Held:
    """A position: signed size and what it cost."""

    size: int = 0
    cost: int = 0
    funding: int = 0

    def take(self, change: int, price: int) -> int:
        """Book a fill and return what it realized. What closes takes its part of the cost with it, rounded down."""
        if self.size * change >= 0:
            self.size += change
            self.cost += change * price
            return 0
        closed = min(abs(change), abs(self.size)) * (1 if self.size > 0 else -1)
        part = self.cost * closed // self.size
        self.size -= closed
        self.cost -= part
        opened = change + closed
        if opened:
            self.size, self.cost, self.funding = opened, opened * price, 0
        return closed * price - part


@dataclass
class Account:
    address: str
    cash: int = 0
    positions: dict[str, Held] = field(default_factory=dict)
    leverage: dict[str, tuple[int, bool]] = field(default_factory=dict)
    volume: int = 0
    requests: int = 0

    def held(self, coin: str) -> Held:
        return self.positions.setdefault(coin, Held())

    def leverage_of(self, asset: Asset) -> tuple[int, bool]:
        """Times, and whether margin is shared with the other positions."""
        return self.leverage.get(asset.name, (min(DEFAULT_LEVERAGE, asset.max_leverage), True))

    def value(self, prices: dict[str, int]) -> int:
        """Cash and what the positions would bring at the prices."""
        return self.cash + sum(held.size * prices[coin] - held.cost for coin, held in self.positions.items())

    def margin_used(self, assets: dict[str, Asset], prices: dict[str, int]) -> int:
        """Of all positions, each rounded up."""
        return sum(
            divide_up(abs(held.size) * prices[coin], self.leverage_of(assets[coin])[0])
            for coin, held in self.positions.items()
        )

    def state(self, assets: dict[str, Asset], prices: dict[str, int], now: int) -> dict[str, Any]:
        """`clearinghouseState`."""
        value, used = self.value(prices), self.margin_used(assets, prices)
        notional = sum(abs(held.size) * prices[coin] for coin, held in self.positions.items())
        summary = {
            "accountValue": usd(value),
            "totalNtlPos": usd(notional),
            "totalRawUsd": usd(self.cash - sum(held.cost for held in self.positions.values())),
            "totalMarginUsed": usd(used),
        }
        return {
            "marginSummary": summary,
            "crossMarginSummary": summary,
            "crossMaintenanceMarginUsed": usd(used // 2),
            "withdrawable": usd(max(0, value - used)),
            "assetPositions": [
                {"type": "oneWay", "position": self._position(assets[coin], held, prices[coin])}
                for coin, held in self.positions.items()
                if held.size
            ],
            "time": now,
        }

    def _position(self, asset: Asset, held: Held, price: int) -> dict[str, Any]:
        times, cross = self.leverage_of(asset)
        worth = abs(held.size) * price
        gain = held.size * price - held.cost
        margin = divide_up(worth, times)
        return {
            "coin": asset.name,
            "szi": written(held.size),
            "leverage": {"type": "cross" if cross else "isolated", "value": times},
            "entryPx": written(held.cost // held.size),
            "positionValue": usd(worth),
            "unrealizedPnl": usd(gain),
            "returnOnEquity": written(gain * 10**8 // margin) if margin else "0.0",
            "liquidationPx": None,
            "marginUsed": usd(margin),
            "maxLeverage": asset.max_leverage,
            "cumFunding": {
                "allTime": usd(held.funding),
                "sinceOpen": usd(held.funding),
                "sinceChange": usd(held.funding),
            },
        }


def fee(price: int, size: int, rate: int) -> int:
    """What a fill costs: whole micro-USDC, rounded up, in 1e-16 dollars."""
    return divide_up(price * size * rate, MILLION * MICRO) * MICRO


def usd(amount: int) -> str:
    """An amount as the venue shows it: whole micro-USDC, rounded down."""
    return written(amount // MICRO * 100)
