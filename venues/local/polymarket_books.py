"""What the local Polymarket keeps: wallets, credentials, orders by the hash of what was signed, and the books they meet in.

Pure: time comes with every command. The books are those of the local Hyperliquid, with all paid in full and nothing sold that is not
held. The two tokens of a market have books of their own: none is made of the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any, Final

import msgspec

from core.market import Side
from core.tickets import E8, PriceE8, SizeE8, e8_text, price_from
from venues.local import hyperliquid_orders as words
from venues.local.hyperliquid_accounts import MICRO
from venues.local.hyperliquid_actions import Price
from venues.local.hyperliquid_market import Asset, house
from venues.local.hyperliquid_orders import Exchange, Order, Rules, Told

CENT: Final = PriceE8(E8 // 100)
EARLY_S: Final = 60
"""Orders end so long before the expiration that they name."""
WAITING: Final = frozenset({"GTC", "GTD"})
AT_ONCE: Final = frozenset({"FOK", "FAK"})
NOT_COVERED: Final = "not enough balance / allowance"
CROSSES: Final = "invalid post-only order: order crosses book"
NO_MATCH: Final = (
    "no orders found to match with FAK order. FAK orders are partially filled or killed if no match is found."
)
NOT_WHOLE: Final = "order couldn't be fully filled. FOK orders are fully filled or killed."
PRECISION: Final = (
    "invalid amounts, the market {} orders maker amount supports a max accuracy of 2 decimals, "
    "taker amount a max of 4 decimals"
)
TICKS: Final = "order {} is invalid. Price ({}) breaks minimum tick size rule: {}"
SMALL: Final = "order {} is invalid. Size ({}) lower than the minimum: {}"
NO_BOOK: Final = "the orderbook for this token id does not exist"
AGAIN: Final = "order {} is invalid. Duplicated."


DEPTH: Final = SizeE8(1000 * E8)
LEAST: Final = SizeE8(5 * E8)


@dataclass(frozen=True)
class Market:
    """Two outcomes of one question, in 1e-8. `rate` is of a fill's fee: rate x p (1 - p) on each share of a taker."""

    condition: str
    question: str
    tokens: tuple[str, str]
    price: PriceE8
    tick: PriceE8 = CENT
    depth: SizeE8 = DEPTH
    least: SizeE8 = LEAST
    rate: str = "0"
    neg_risk: bool = False

    def outcome(self, token: str) -> str:
        return "Yes" if token == self.tokens[0] else "No"


MARKETS: Final = (
    Market(
        "0x" + "a1" * 32,
        "Will it rain?",
        (
            "71321045679252212594626385532706912750332728571942532289631379312455583992563",
            "52114319501245915516055106046884209969926127482827954674443846427813813222426",
        ),
        PriceE8(E8 // 2),
        tick=PriceE8(E8 // 1000),
    ),
    Market(
        "0x" + "a2" * 32,
        "Will it snow?",
        (
            "21742633143463906290569050155826241533067272736897614950488156847949938836455",
            "48331043336612883890938759509493159234755048973500640148014422747788308965732",
        ),
        PriceE8(E8 // 5),
        rate="0.072",
        neg_risk=True,
    ),
)


class Funded(msgspec.Struct, frozen=True, tag="funded"):
    """Micro-dollars, and shares of a token in 1e-8, for a wallet, whose owner signs for it."""

    wallet: str
    owner: str
    amount: int
    token: str = ""
    shares: int = 0


class Entered(msgspec.Struct, frozen=True, tag="entered"):
    """Credentials were made for a key."""

    address: str
    nonce: int


class Posted(msgspec.Struct, frozen=True, tag="posted"):
    """An order whose signature was checked. `most` bounds what fills at once, in parts per million."""

    id: str
    owner: str
    order: dict[str, Any]
    kind: str
    post_only: bool
    most: int | None = None


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The wish of a key to cancel orders."""

    address: str
    ids: list[str]


class Resolved(msgspec.Struct, frozen=True, tag="resolved"):
    """The market of a token ends: each of the token counts for this much in 1e-8, of the other one for the rest of a dollar."""

    token: str
    price: int


class Redeemed(msgspec.Struct, frozen=True, tag="redeemed"):
    """A wallet's shares of a token whose market has ended become money."""

    wallet: str
    token: str


Command = Funded | Entered | Posted | Ended | Price | Resolved | Redeemed


class Failed(Exception):
    """A request that is refused as a whole: HTTP status and words."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


@dataclass(frozen=True)
class Placed:
    """What is known of an order besides its book. `expires` in milliseconds, 0: never."""

    owner: str
    kind: str
    expires: int
    order: Order


class Books:
    """All of it. Amounts in `exchange` are in 1e-16 dollars."""

    def __init__(self, markets: Sequence[Market]) -> None:
        self.markets = {token: market for market in markets for token in market.tokens}
        self.owners: dict[str, str] = {}
        self.keys: dict[str, int] = {}
        self.placed: dict[str, Placed] = {}
        self.resolved: dict[str, int] = {}
        assets = [
            Asset(token, 2, 1, price, market.depth, spread=0, step=market.tick)
            for market in markets
            for token, price in zip(market.tokens, (market.price, PriceE8(E8 - market.price)), strict=True)
        ]
        self.exchange = Exchange(assets, Rules(minimum=0, furthest=10**9, fee=self._fee))

    def apply(self, command: Command, at: int) -> Any:
        """Carry a command out at a time in milliseconds; its answer, or a `Failed`."""
        self.exchange.told = Told()
        self._expire(at)
        match command:
            case Funded():
                self._fund(command, at)
            case Entered(address, nonce):
                self.keys[address] = nonce
            case Price(coin, price):
                self.exchange.move(coin, price, at)
            case Posted():
                return self._post(command, at)
            case Ended(address, ids):
                return self._end(address, ids, at)
            case Resolved(token, price):
                return self._resolve(token, price, at)
            case Redeemed(wallet, token):
                return self._redeem(wallet, token)
        return {}

    def held(self, wallet: str, token: str) -> int:
        """Shares of a wallet, in 1e-8."""
        return self.exchange.account(wallet).held(token).size

    def _fee(self, coin: str, price: int, size: int, taker: bool) -> int:
        share = Fraction(price, E8)
        exact = Fraction(size, E8) * Fraction(self.markets[coin].rate) * share * (1 - share)
        return ceil(exact * 1_000_000) * MICRO if taker else 0

    def _fund(self, funded: Funded, at: int) -> None:
        self.owners[funded.wallet] = funded.owner
        self.exchange.deposit(funded.wallet, funded.amount * MICRO)
        if funded.token:
            price = self.exchange.prices[funded.token]
            self.exchange.deposit(funded.wallet, funded.shares * price)
            self.exchange.account(funded.wallet).held(funded.token).take(funded.shares, price)

    def _resolve(self, token: str, price: int, at: int) -> Any:
        if token in self.resolved or price not in (0, E8 // 2, E8):
            return Failed(400, "a market ends once, at 0, 0.5 or 1")
        first, second = self.markets[token].tokens
        other = second if token == first else first
        for ended, worth in ((token, price), (other, E8 - price)):
            self.resolved[ended] = self.exchange.prices[ended] = worth
            for placed in self.placed.values():
                if placed.order.coin == ended and placed.order.status == "open":
                    self.exchange.cancel(placed.order.user, ended, placed.order.oid, at)
        return {}

    def _redeem(self, wallet: str, token: str) -> Any:
        if token not in self.resolved:
            return Failed(400, "the market has not ended")
        account = self.exchange.account(wallet)
        held = account.held(token)
        account.cash += held.take(-held.size, self.resolved[token])
        return {}

    def _expire(self, at: int) -> None:
        for placed in self.placed.values():
            if 0 < placed.expires <= at and placed.order.status == "open":
                self.exchange.cancel(placed.order.user, placed.order.coin, placed.order.oid, at)

    def _end(self, address: str, ids: list[str], at: int) -> dict[str, Any]:
        cancelled, kept = [], {}
        for name in ids:
            placed = self.placed.get(name)
            mine = placed is not None and self.owners.get(placed.order.user) == address
            done = (
                self.exchange.cancel(placed.order.user, placed.order.coin, placed.order.oid, at)
                if mine and placed is not None
                else None
            )
            if done == "success":
                cancelled.append(name)
            else:
                kept[name] = (
                    "order can't be found - already canceled or matched" if mine else "order not found"
                )
        return {"canceled": cancelled, "not_canceled": kept}

    # --- orders ---

    def _post(self, posted: Posted, at: int) -> Any:
        wallet, token = posted.order["maker"].lower(), posted.order["tokenId"]
        gives, takes = int(posted.order["makerAmount"]), int(posted.order["takerAmount"])
        side = Side.BUY if posted.order["side"] == "BUY" else Side.SELL
        shares, money = (takes, gives) if side is Side.BUY else (gives, takes)
        if shares <= 0 or money <= 0:
            return Failed(400, "invalid amounts")
        size, price = shares * 100, money * E8 // shares
        market = self.markets[token]
        if token in self.resolved:
            return Failed(400, NO_BOOK)
        if posted.id in self.placed:
            return Failed(400, AGAIN.format(posted.id))
        if posted.kind in WAITING and (money * E8 % shares or price % market.tick or not 0 < price < E8):
            return Failed(400, TICKS.format(posted.id, e8_text(PriceE8(price)), e8_text(market.tick)))
        if posted.kind in AT_ONCE:
            if gives % 10_000 or takes % 100:
                return Failed(400, PRECISION.format("buy" if side is Side.BUY else "sell"))
            price = min(price // market.tick * market.tick if side is Side.BUY else price, E8 - market.tick)
            size = self._worth(token, price, gives) if side is Side.BUY else size
        elif size < market.least:
            return Failed(400, SMALL.format(posted.id, e8_text(SizeE8(size)), e8_text(market.least)))
        expires = int(posted.order["expiration"]) * 1_000 if posted.kind == "GTD" else 0
        if posted.kind == "GTD" and expires - EARLY_S * 1_000 <= at:
            return Failed(400, "invalid expiration")
        selling = sum(o.left for o in self.exchange.open_orders(wallet) if o.coin == token and o.side < 0)
        if side is Side.SELL and size > self.held(wallet, token) - selling:
            return Failed(400, NOT_COVERED)
        if posted.kind == "FOK" and size > self._offered(token, side, price):
            return Failed(400, NOT_WHOLE)
        if size == 0:
            return Failed(400, NO_MATCH)
        return self._place(posted, wallet, side, PriceE8(price), SizeE8(size), expires, at)

    def _place(
        self, posted: Posted, wallet: str, side: Side, price: PriceE8, size: SizeE8, expires: int, at: int
    ) -> Any:
        token = posted.order["tokenId"]
        tif = "Ioc" if posted.kind in AT_ONCE else "Alo" if posted.post_only else "Gtc"
        wire = {
            "a": self.exchange.universe.index(self.exchange.assets[token]),
            "b": side is Side.BUY,
            "p": e8_text(price),
            "s": e8_text(size),
            "r": False,
            "t": {"limit": {"tif": tif}},
            "c": posted.id,
        }
        status = self.exchange.place(wallet, wire, at, posted.most)
        if "error" in status:
            said = str(status["error"])
            known = {words.MARGIN: NOT_COVERED, words.IOC: NO_MATCH, words.SIZE: "invalid amounts"}
            for start, ours in (*known.items(), (words.ALO.partition("{")[0], CROSSES)):
                if said.startswith(start):
                    return Failed(400, ours)
            return Failed(400, said)
        made = self.exchange.find(wallet, posted.id)
        assert made is not None
        early = expires - EARLY_S * 1_000 if expires else 0
        self.placed[posted.id] = Placed(posted.owner, posted.kind, early, made)
        return self._answered(posted.id, made)

    def _answered(self, name: str, made: Order) -> dict[str, Any]:
        rows = [row for row in self.exchange.fills.get(made.user, []) if row["oid"] == made.oid]
        shares = sum(price_from(row["sz"]) for row in rows)
        money = sum(price_from(row["sz"]) * price_from(row["px"]) for row in rows) // E8
        taken, given = (shares, money) if made.side is Side.BUY else (money, shares)
        return {
            "errorMsg": "",
            "orderID": name,
            "takingAmount": e8_text(SizeE8(taken)) if shares else "",
            "makingAmount": e8_text(SizeE8(given)) if shares else "",
            "status": "matched" if shares else "live",
            # All that it took at once is one trade.
            "transactionsHashes": [row["hash"] for row in rows[:1]],
            "tradeIDs": [str(row["tid"]) for row in rows[:1]],
            "success": True,
        }

    def _levels(self, token: str, side: Side, price: int) -> list[tuple[int, int]]:
        """What an order of that side can take up to its price, best first."""
        offers = list(house(self.exchange.assets[token], self.exchange.prices[token], side))
        found = [(level.price, level.size) for level in offers]
        found += [(o.limit, o.left) for o in self.exchange.waiting(token, Side(-side))]
        return sorted(
            ((at, size) for at, size in found if side * (at - price) <= 0), key=lambda one: side * one[0]
        )

    def _offered(self, token: str, side: Side, price: int) -> int:
        return sum(size for _, size in self._levels(token, side, price))

    def _worth(self, token: str, price: int, money: int) -> int:
        """Shares, in whole hundredths, that a sum of micro-dollars buys of the book, or of nobody at the order's price."""
        left, shares = money * 100 * E8, 0
        for at, size in self._levels(token, Side.BUY, price):
            some = min(size, left // at)
            shares, left = shares + some, left - some * at
        return (shares + left // price) // (E8 // 100) * (E8 // 100)
