"""The local Hyperliquid's matching: orders in and statuses out, in the venue's own words.

Pure: time comes with every command, so the same commands give the same state and the same answers.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from core.market import Side
from venues.local.hyperliquid_accounts import DOLLAR, MAKER_FEE, TAKER_FEE, Account, fee, usd
from venues.local.hyperliquid_market import Asset, Level, house, is_price, is_size, read, written

MINIMUM: Final = 10 * DOLLAR
FURTHEST: Final = 95
"""Percent that a price may be from the oracle's."""
HISTORY: Final = 10_000
"""So many fills of an account are kept, as at the venue."""
TICK = "Price must be divisible by tick size."
SIZE = "Order has invalid size."
MIN_NOTIONAL = "Order must have minimum value of $10."
MARGIN = "Insufficient margin to place order."
REDUCE_ONLY = "Reduce only order would increase position."
ALO = "Post only order would have immediately matched, bbo was {bid}@{ask}."
IOC = "Order could not immediately match against any resting orders."
ORACLE = "Order price too far from oracle"
MISSING = "Order was never placed, already canceled, or filled."
TRIGGER = "Trigger orders are not simulated."


def perp_fee(coin: str, price: int, size: int, taker: bool) -> int:
    """In 1e-16 dollars."""
    return fee(price, size, TAKER_FEE if taker else MAKER_FEE)


@dataclass(frozen=True)
class Rules:
    """What differs between the venues whose books are kept here: least notional, furthest price in percent, fee of a fill."""

    minimum: int = MINIMUM
    furthest: int = FURTHEST
    fee: Callable[[str, int, int, bool], int] = perp_fee


@dataclass
class Order:
    oid: int
    user: str
    coin: str
    side: Side
    limit: int
    size: int
    tif: str
    reduce_only: bool
    cloid: str | None
    at: int
    left: int = 0
    status: str = "open"
    status_at: int = 0

    def basic(self) -> dict[str, Any]:
        """As in `openOrders` and `orderUpdates`."""
        shown = {
            "coin": self.coin,
            "side": letter(self.side),
            "limitPx": written(self.limit),
            "sz": written(self.left),
            "oid": self.oid,
            "timestamp": self.at,
            "origSz": written(self.size),
        }
        if self.reduce_only:
            shown["reduceOnly"] = True
        return shown if self.cloid is None else {**shown, "cloid": self.cloid}

    def frontend(self) -> dict[str, Any]:
        """As in `frontendOpenOrders` and `orderStatus`."""
        return {
            **self.basic(),
            "triggerCondition": "N/A",
            "isTrigger": False,
            "triggerPx": "0.0",
            "children": [],
            "isPositionTpsl": False,
            "reduceOnly": self.reduce_only,
            "orderType": "Limit",
            "tif": self.tif,
            "cloid": self.cloid,
        }


@dataclass
class Told:
    """What a command changed, for those who listen."""

    fills: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    trades: list[dict[str, Any]] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    coins: set[str] = field(default_factory=set)


class Exchange:
    """All accounts and books."""

    def __init__(self, assets: Sequence[Asset], rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.universe = list(assets)
        self.assets = {asset.name: asset for asset in assets}
        self.prices: dict[str, int] = {asset.name: asset.price for asset in assets}
        self.accounts: dict[str, Account] = {}
        self.agents: dict[str, str] = {}
        self.orders: dict[int, Order] = {}
        self.fills: dict[str, list[dict[str, Any]]] = {}
        self.funding: dict[str, list[dict[str, Any]]] = {}
        self.rates: dict[str, list[dict[str, Any]]] = {}
        self.told = Told()
        self._waiting: dict[tuple[str, Side], list[Order]] = {}
        self._by_cloid: dict[tuple[str, str], int] = {}
        self._oid = 1000

    # --- what the venue itself does ---

    def deposit(self, user: str, amount: int) -> None:
        """Credit `amount` in 1e-16 dollars, opening the account."""
        self.account(user).cash += amount

    def account(self, user: str) -> Account:
        return self.accounts.setdefault(user, Account(user))

    def move(self, coin: str, price: int, at: int) -> None:
        """Have the house stand around another price: it takes the orders it meets, at their own limits."""
        self.prices[coin] = price
        self.told.coins.add(coin)
        for side in Side:
            for order in list(self._queue(coin, side)):
                for level in house(self.assets[coin], price, side):
                    if side * (level.price - order.limit) > 0 or order.status != "open":
                        break
                    size = self._fillable(order, min(order.left, level.size))
                    if size:
                        self._book(order, None, order.limit, size, at, taker=False)
                self._settle(order, at)

    def pay_funding(self, coin: str, rate: int, at: int) -> int:
        """One payment of `rate` in 1e-8 of the notional by longs to shorts, or the other way when it is negative; to how many."""
        paid_to = 0
        self.rates.setdefault(coin, []).append(
            {"coin": coin, "fundingRate": written(rate), "premium": written(rate), "time": at}
        )
        for user, account in self.accounts.items():
            held = account.held(coin)
            if held.size == 0:
                continue
            # Whole micro-USDC, rounded against the account.
            paid = -(-held.size * self.prices[coin] * rate // (10**8 * 10**10)) * 10**10
            account.cash -= paid
            held.funding += paid
            delta = {
                "type": "funding",
                "coin": coin,
                "usdc": usd(-paid),
                "szi": written(held.size),
                "fundingRate": written(rate),
                "nSamples": None,
            }
            row = {"time": at, "hash": "0x" + "0" * 64, "delta": delta}
            self.funding.setdefault(user, []).append(row)
            paid_to += 1
        return paid_to

    # --- orders ---

    def place(self, user: str, wire: dict[str, Any], at: int, most: int | None = None) -> dict[str, Any]:
        """An order of a request. `most` bounds what fills at once, in parts per million, for a venue that is to misbehave."""
        parsed = self._parsed(user, wire, at)
        if isinstance(parsed, str):
            return {"error": parsed}
        self.orders[parsed.oid] = parsed
        if parsed.cloid is not None:
            self._by_cloid[user, parsed.cloid] = parsed.oid
        refused = self._refused(parsed)
        if refused is not None:
            return self._reject(parsed, *refused, at)
        takes = self._match(parsed, at, parsed.size if most is None else parsed.size * most // 1_000_000)
        if parsed.tif == "Ioc" and not takes:
            return self._reject(parsed, IOC, "iocCancelRejected", at)
        self._settle(parsed, at)
        if parsed.status == "open" and (parsed.tif == "Ioc" or self._fillable(parsed, parsed.left) == 0):
            self._end(parsed, "canceled" if parsed.tif == "Ioc" else "reduceOnlyCanceled", at)
        if parsed.status == "open":
            self._queue(parsed.coin, parsed.side).append(parsed)
            self.told.orders.append(parsed)
        if not takes:
            return {"resting": {"oid": parsed.oid, **({"cloid": parsed.cloid} if parsed.cloid else {})}}
        total = sum(level.size for level in takes)
        average = sum(level.price * level.size for level in takes) // total
        filled = {"totalSz": written(total), "avgPx": written(average), "oid": parsed.oid}
        return {"filled": {**filled, "cloid": parsed.cloid} if parsed.cloid else filled}

    def cancel(self, user: str, coin: str, oid: int, at: int) -> Any:
        order = self.orders.get(oid)
        if order is None or order.user != user or order.coin != coin or order.status != "open":
            return {"error": MISSING}
        self._end(order, "canceled", at)
        return "success"

    def cancel_by_cloid(self, user: str, coin: str, cloid: str, at: int) -> Any:
        return self.cancel(user, coin, self._by_cloid.get((user, cloid), 0), at)

    def modify(self, user: str, which: Any, wire: dict[str, Any], at: int) -> dict[str, Any]:
        """Cancel one order and place another. `which` is an oid or a cloid."""
        order = self.find(user, which)
        if order is None or self.cancel(user, order.coin, order.oid, at) != "success":
            return {"error": "Cannot modify canceled or filled order"}
        return self.place(user, wire, at)

    def find(self, user: str, which: Any) -> Order | None:
        """An account's order by its oid, or the last one by its cloid."""
        oid = self._by_cloid.get((user, which)) if isinstance(which, str) else which
        order = self.orders.get(oid) if isinstance(oid, int) else None
        return order if order is not None and order.user == user else None

    def open_orders(self, user: str) -> list[Order]:
        return [o for queue in self._waiting.values() for o in queue if o.user == user]

    def waiting(self, coin: str, side: Side) -> list[Order]:
        """Orders of accounts that wait on a side, first come first."""
        return list(self._queue(coin, side))

    def levels(self, coin: str, depth: int = 20) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Bids and asks with sizes added up, best first."""
        sides = []
        for taking in (Side.SELL, Side.BUY):
            sizes: dict[int, list[int]] = {}
            for price, size in house(self.assets[coin], self.prices[coin], taking):
                sizes.setdefault(price, []).append(size)
            for order in self._queue(coin, Side(-taking)):
                sizes.setdefault(order.limit, []).append(order.left)
            best = sorted(sizes, reverse=taking is Side.SELL)[:depth]
            sides.append([{"px": written(p), "sz": written(sum(sizes[p])), "n": len(sizes[p])} for p in best])
        return sides[0], sides[1]

    def mid(self, coin: str) -> str:
        bids, asks = self.levels(coin, 1)
        low, high = read_level(bids), read_level(asks)
        return written((low + high) // 2)

    # --- within ---

    def _queue(self, coin: str, side: Side) -> list[Order]:
        """Waiting orders of a side, first come first; sorted by price when they are met."""
        return self._waiting.setdefault((coin, side), [])

    def _parsed(self, user: str, wire: dict[str, Any], at: int) -> Order | str:
        number, terms = wire.get("a"), wire.get("t", {})
        if not isinstance(number, int) or not 0 <= number < len(self.universe):
            return f"Invalid perp asset index {number}"
        limit, size = read(wire.get("p")), read(wire.get("s"))
        if limit is None or size is None or limit <= 0 or size <= 0:
            return "Order has invalid price." if limit is None or limit <= 0 else SIZE
        if "limit" not in terms:
            return TRIGGER
        self._oid += 1
        tif = str(terms["limit"].get("tif"))
        return Order(
            self._oid,
            user,
            self.universe[number].name,
            Side.BUY if wire.get("b") else Side.SELL,
            limit,
            size,
            "Ioc" if tif == "FrontendMarket" else tif,
            bool(wire.get("r")),
            wire.get("c"),
            at,
            left=size,
            status_at=at,
        )

    def _refused(self, order: Order) -> tuple[str, str] | None:
        """The venue's words and the status they leave behind, or None."""
        asset, price = self.assets[order.coin], self.prices[order.coin]
        held = self.account(order.user).held(order.coin)
        if not is_price(asset, order.limit):
            return TICK, "tickRejected"
        if not is_size(asset, order.size):
            return SIZE, "tickRejected"
        if not order.reduce_only and order.size * order.limit < self.rules.minimum:
            return MIN_NOTIONAL, "minTradeNtlRejected"
        if abs(order.limit - price) * 100 > self.rules.furthest * price:
            return ORACLE, "oracleRejected"
        if order.reduce_only and held.size * order.side >= 0:
            return REDUCE_ONLY, "reduceOnlyRejected"
        if not order.reduce_only and self._costs(order) > self._available(order.user):
            return MARGIN, "perpMarginRejected"
        if order.tif == "Alo" and self._reaches(order):
            bids, asks = self.levels(order.coin, 1)
            return ALO.format(bid=bids[0]["px"], ask=asks[0]["px"]), "badAloPxRejected"
        return None

    def _costs(self, order: Order) -> int:
        """The margin that an order needs for as much of it as adds to the position."""
        account = self.account(order.user)
        adds = max(0, order.left - max(0, -order.side * account.held(order.coin).size))
        worst = max(order.limit, self.prices[order.coin]) if order.side is Side.SELL else order.limit
        return adds * worst // account.leverage_of(self.assets[order.coin])[0]

    def _available(self, user: str) -> int:
        account = self.account(user)
        waiting = sum(self._costs(order) for order in self.open_orders(user) if not order.reduce_only)
        return account.value(self.prices) - account.margin_used(self.assets, self.prices) - waiting

    def _reaches(self, order: Order) -> bool:
        best = [level.price for level in house(self.assets[order.coin], self.prices[order.coin], order.side)]
        best += [other.limit for other in self._queue(order.coin, Side(-order.side))]
        return any(order.side * (price - order.limit) <= 0 for price in best)

    def _match(self, order: Order, at: int, most: int) -> list[Level]:
        """Fill an order against whoever waits, best price first, agents before the house."""
        takes: list[Level] = []
        offers: list[tuple[int, int, Level, Order | None]] = [
            (order.side * level.price, 1, level, None)
            for level in house(self.assets[order.coin], self.prices[order.coin], order.side)
        ]
        offers += [
            (order.side * other.limit, 0, Level(other.limit, other.left), other)
            for other in self._queue(order.coin, Side(-order.side))
        ]
        for _, _, level, maker in sorted(offers, key=lambda offer: offer[:2]):
            room = self._fillable(order, min(order.left, most - sum(take.size for take in takes)))
            if room == 0 or order.side * (level.price - order.limit) > 0:
                break
            if maker is not None and maker.user == order.user:
                self._end(maker, "selfTradeCanceled", at)
            if maker is not None and maker.status != "open":
                continue
            size = min(room, level.size if maker is None else self._fillable(maker, maker.left))
            if size == 0:
                continue
            self._book(order, maker, level.price, size, at, taker=True)
            takes.append(Level(level.price, size))
            if maker is not None:
                self._settle(maker, at)
        return takes

    def _fillable(self, order: Order, size: int) -> int:
        """As much of `size` as an order may still do: one that reduces does not do more than there is."""
        if not order.reduce_only:
            return size
        held = self.account(order.user).held(order.coin).size
        return min(size, max(0, -order.side * held))

    def _book(self, order: Order, maker: Order | None, price: int, size: int, at: int, taker: bool) -> None:
        """One trade: both sides' money, positions and fills."""
        self.told.coins.add(order.coin)
        other = 0 if maker is None else maker.oid
        if maker is None:
            self._oid += 1
            other = self._oid
        pair = (order.oid, other) if order.side is Side.BUY else (other, order.oid)
        digest = hashlib.blake2b(f"{pair}".encode(), digest_size=32).digest()
        trade = {
            "coin": order.coin,
            "side": letter(order.side if taker else Side(-order.side)),
            "px": written(price),
            "sz": written(size),
            "time": at,
            "hash": "0x" + digest.hex(),
            "tid": int.from_bytes(digest[:8], "big") >> 14,
        }
        users = (order.user, "0x" + "0" * 40 if maker is None else maker.user)
        self.told.trades.append({**trade, "users": users if order.side is Side.BUY else users[::-1]})
        self._fill(order, trade, price, size, taker)
        if maker is not None:
            self._fill(maker, trade, price, size, False)

    def _fill(self, order: Order, trade: dict[str, Any], price: int, size: int, taker: bool) -> None:
        account = self.account(order.user)
        held = account.held(order.coin)
        before = held.size
        realized = held.take(order.side * size, price)
        cost = self.rules.fee(order.coin, price, size, taker)
        account.cash += realized - cost
        account.volume += price * size
        order.left -= size
        row = {
            **trade,
            "side": letter(order.side),
            "startPosition": written(before),
            "dir": _direction(before, held.size),
            "closedPnl": usd(realized),
            "oid": order.oid,
            "crossed": taker,
            "fee": usd(cost),
            "feeToken": "USDC",
            "twapId": None,
        }
        if order.cloid is not None:
            row["cloid"] = order.cloid
        kept = self.fills.setdefault(order.user, [])
        kept.append(row)
        del kept[:-HISTORY]
        self.told.fills.append((order.user, row))

    def _settle(self, order: Order, at: int) -> None:
        """End an order that has nothing left to do, and those that would reduce what is no more."""
        if order.left == 0 and order.status == "open":
            self._end(order, "filled", at)
        held = self.account(order.user).held(order.coin).size
        for other in self.open_orders(order.user):
            if other.reduce_only and other.coin == order.coin and held * other.side >= 0:
                self._end(other, "reduceOnlyCanceled", at)

    def _reject(self, order: Order, words: str, status: str, at: int) -> dict[str, Any]:
        order.status, order.status_at = status, at
        self.told.orders.append(order)
        return {"error": f"{words} asset={self.universe.index(self.assets[order.coin])}"}

    def _end(self, order: Order, status: str, at: int) -> None:
        order.status, order.status_at = status, at
        queue = self._queue(order.coin, order.side)
        if order in queue:
            queue.remove(order)
            self.told.coins.add(order.coin)
        self.told.orders.append(order)


def letter(side: Side) -> str:
    """Bids are B, asks are A."""
    return "B" if side is Side.BUY else "A"


def read_level(levels: list[dict[str, Any]]) -> int:
    value = read(levels[0]["px"].removesuffix(".0"))
    assert value is not None
    return value


def _direction(before: int, after: int) -> str:
    if before * after < 0:
        return "Long > Short" if before > 0 else "Short > Long"
    of = "Long" if before > 0 or after > 0 else "Short"
    return f"{'Open' if abs(after) > abs(before) else 'Close'} {of}"
