"""What the local Hyperliquid answers at `/info`, in the shapes of the real one's recorded answers."""

from collections.abc import Callable
from typing import Any, Final

from venues.local.hyperliquid_accounts import DOLLAR, usd
from venues.local.hyperliquid_actions import Books
from venues.local.hyperliquid_orders import Exchange

PAGE: Final = 2_000
"""So many fills are in an answer at most."""
USDC: Final = {"name": "USDC", "szDecimals": 8, "weiDecimals": 8, "index": 0, "tokenId": "0x" + "0" * 32}
FREE_REQUESTS: Final = 10_000

Body = dict[str, Any]


class View:
    """Reads of the books; with `freeze` the market is shown as it was then, while everything else goes on."""

    def __init__(self, books: Books, clock_ms: Callable[[], int]) -> None:
        self._books = books
        self._clock_ms = clock_ms
        self._frozen: tuple[int, dict[str, Any], dict[str, str]] | None = None

    @property
    def _exchange(self) -> Exchange:
        return self._books.exchange

    def freeze(self) -> None:
        books = {coin: self._exchange.levels(coin) for coin in self._exchange.assets}
        self._frozen = self._clock_ms(), books, self.mids()

    def thaw(self) -> None:
        self._frozen = None

    @property
    def is_frozen(self) -> bool:
        return self._frozen is not None

    def answer(self, body: Body) -> Any:
        """The answer to a request; raises `KeyError` for what is none."""
        user = str(body.get("user", "")).lower()
        match body["type"]:
            case "meta":
                return self._meta()
            case "metaAndAssetCtxs":
                return [self._meta(), [self._context(coin) for coin in self._exchange.assets]]
            case "spotMeta":
                return {"tokens": [USDC], "universe": []}
            case "perpDexs":
                return [None]
            case "allMids":
                return self.mids()
            case "l2Book":
                return self.book(body["coin"])
            case "clearinghouseState":
                exchange = self._exchange
                account = exchange.account(user)
                return account.state(exchange.assets, exchange.prices, self._clock_ms())
            case "openOrders":
                return [order.basic() for order in self._exchange.open_orders(user)]
            case "frontendOpenOrders":
                return [order.frontend() for order in self._exchange.open_orders(user)]
            case "userFills":
                return self.fills(user)[: -PAGE - 1 : -1]
            case "userFillsByTime":
                return _between(self.fills(user), body)[:PAGE]
            case "orderStatus":
                return self._order_status(user, body["oid"])
            case "fundingHistory":
                return _between(self._exchange.rates.get(body["coin"], []), body)
            case "userFunding":
                return _between(self._exchange.funding.get(user, []), body)[:PAGE]
            case "userRateLimit":
                return self._rate_limit(user)
            case "userRole":
                return {"role": "user" if user in self._books.opened else "missing"}
            case other:
                raise KeyError(other)

    def mids(self) -> dict[str, str]:
        if self._frozen is not None:
            return self._frozen[2]
        return {coin: self._exchange.mid(coin) for coin in self._exchange.assets}

    def book(self, coin: str) -> Body:
        if self._frozen is not None:
            return {"coin": coin, "levels": self._frozen[1][coin], "time": self._frozen[0]}
        return {"coin": coin, "levels": self._exchange.levels(coin), "time": self._clock_ms()}

    def fills(self, user: str) -> list[Body]:
        """Oldest first."""
        return self._exchange.fills.get(user, [])

    def _meta(self) -> Body:
        return {
            "universe": [
                {"szDecimals": asset.sz_decimals, "name": asset.name, "maxLeverage": asset.max_leverage}
                for asset in self._exchange.universe
            ]
        }

    def _context(self, coin: str) -> Body:
        rates = self._exchange.rates.get(coin)
        mid = self.mids()[coin]
        held = [account.held(coin).size for account in self._exchange.accounts.values()]
        interest = max(sum(size for size in held if size > 0), -sum(size for size in held if size < 0))
        return {
            "funding": rates[-1]["fundingRate"] if rates else "0.0",
            "openInterest": usd(interest * 10**8),
            "oraclePx": mid,
            "markPx": mid,
            "midPx": mid,
        }

    def _order_status(self, user: str, which: int | str) -> Body:
        order = self._exchange.find(user, which)
        if order is None:
            return {"status": "unknownOid"}
        found = {"order": order.frontend(), "status": order.status, "statusTimestamp": order.status_at}
        return {"status": "order", "order": found}

    def _rate_limit(self, user: str) -> Body:
        account = self._exchange.account(user)
        return {
            "cumVlm": usd(account.volume),
            "nRequestsUsed": account.requests,
            "nRequestsCap": FREE_REQUESTS + account.volume // DOLLAR,
        }


def _between(rows: list[Body], body: Body) -> list[Body]:
    end = body.get("endTime")
    return [row for row in rows if row["time"] >= body["startTime"] and (end is None or row["time"] <= end)]
