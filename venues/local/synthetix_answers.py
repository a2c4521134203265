"""What the local Synthetix answers, in the shapes of the venue's documents and SDK; the books behind it are `hyperliquid_orders`."""

from typing import Any, Final

from core.market import Side
from core.tickets import PriceE8, e8_text
from venues.local import hyperliquid_orders as words
from venues.local.hyperliquid_accounts import MICRO, usd
from venues.local.hyperliquid_market import read
from venues.local.hyperliquid_orders import Exchange, Order

QUOTE: Final = "USDT"
PAGE: Final = 1_000
USUAL: Final = 100
"""As long is an answer where nobody says how long."""
MEMORY_MS: Final = 30 * 24 * 3_600_000
TOO_OLD: Final = "startTime cannot be more than 30 days in the past"
ORDER_TYPES: Final = {"limitGtc": "Gtc", "limitIoc": "Ioc", "market": "Ioc"}
STATUSES: Final = {"open": "placed", "filled": "filled"}
CODES: Final = {
    words.TICK: "INVALID_PRICE",
    words.SIZE: "INVALID_QUANTITY",
    words.MIN_NOTIONAL: "MIN_NOTIONAL_NOT_MET",
    words.MARGIN: "INSUFFICIENT_MARGIN",
    words.REDUCE_ONLY: "REDUCE_ONLY_NO_POSITION",
    words.ALO.partition(",")[0]: "POST_ONLY_WOULD_TRADE",
    words.IOC: "IOC_NOT_FILLED",
    words.ORACLE: "PRICE_OUT_OF_BOUNDS",
    words.MISSING: "ORDER_NOT_FOUND",
}

Body = dict[str, Any]


def order_id(order: Order) -> Body:
    return {"venueId": str(order.oid), "clientId": order.cloid or ""}


def error(text: str, client: str = "", code: str = "") -> Body:
    """One order's refusal."""
    found = code or next((code for start, code in CODES.items() if text.startswith(start)), "ORDER_REJECTED")
    return {"error": text, "errorCode": found, "order": {"venueId": "0", "clientId": client}}


def placed(order: Order, status: Body) -> Body:
    """One order's status after it was placed."""
    if "error" in status:
        return error(status["error"], order.cloid or "")
    named = {"order": order_id(order), "id": str(order.oid)}
    if "resting" in status:
        return {"resting": named}
    filled = status["filled"]
    return {"filled": {**named, "totalSize": filled["totalSz"], "avgPrice": filled["avgPx"]}}


def open_order(order: Order) -> Body:
    return {
        "order": order_id(order),
        "orderId": str(order.oid),
        "symbol": order.coin,
        "side": "buy" if order.side is Side.BUY else "sell",
        "type": "limit",
        "quantity": e8_text(PriceE8(order.size)),
        "price": e8_text(PriceE8(order.limit)),
        "timeInForce": "IOC" if order.tif == "Ioc" else "GTC",
        "reduceOnly": order.reduce_only,
        "postOnly": order.tif == "Alo",
        "createdTime": order.at,
        "updatedTime": order.status_at,
        "filledQuantity": e8_text(PriceE8(order.size - order.left)),
        "closePosition": False,
    }


def past_order(order: Order) -> Body:
    """As in the history, which also has those that are open."""
    ended = "rejected" if order.status.endswith("Rejected") else "cancelled"
    status = STATUSES.get(order.status, ended)
    if status == "placed" and order.left < order.size:
        status = "partially filled"
    return {**open_order(order), "status": status, "updateTime": order.status_at}


def trade(row: Body) -> Body:
    return {
        "tradeId": f"{row['tid']}{row['oid']}",
        "order": {"venueId": str(row["oid"]), "clientId": row.get("cloid", "")},
        "orderId": str(row["oid"]),
        "symbol": row["coin"],
        "orderType": "LIMIT",
        "side": "buy" if row["side"] == "B" else "sell",
        "price": row["px"],
        "quantity": row["sz"],
        "realizedPnl": row["closedPnl"],
        "fee": row["fee"],
        "timestamp": row["time"],
        "maker": not row["crossed"],
        "direction": row["dir"],
    }


def trades(exchange: Exchange, user: str, params: Body) -> Body:
    """Newest first."""
    since, end = params.get("startTime", 0), params.get("endTime")
    found = [
        trade(row)
        for row in reversed(exchange.fills.get(user, []))
        if row["time"] >= since
        and (end is None or row["time"] <= end)
        and params.get("orderId") in (None, str(row["oid"]))
    ]
    start = params.get("offset", 0)
    page = found[start : start + min(params.get("limit", USUAL), PAGE)]
    return {"trades": page, "hasMore": start + len(page) < len(found), "total": len(found)}


def positions(exchange: Exchange, user: str, params: Body) -> list[Body]:
    account = exchange.account(user)
    return [
        {
            "positionId": f"{user}-{coin}",
            "subAccountId": user,
            "symbol": coin,
            "side": "long" if held.size > 0 else "short",
            "entryPrice": e8_text(PriceE8(held.cost // held.size)),
            "quantity": e8_text(PriceE8(abs(held.size))),
            "unrealizedPnl": usd(held.size * exchange.prices[coin] - held.cost),
            "netFunding": usd(-held.funding),
            "status": "open",
        }
        for coin, held in account.positions.items()
        if held.size and params.get("symbol") in (None, coin)
    ]


def sub_account(exchange: Exchange, user: str) -> Body:
    account = exchange.account(user)
    value, used = account.value(exchange.prices), account.margin_used(exchange.assets, exchange.prices)
    return {
        "subAccountId": user,
        "masterAccountId": None,
        "subAccountName": "",
        "collaterals": [{"symbol": QUOTE, "quantity": usd(account.cash), "pendingWithdraw": "0"}],
        "crossMarginSummary": {
            "accountValue": usd(value),
            "availableMargin": usd(value - used),
            "initialMargin": usd(used),
            "withdrawable": usd(max(0, value - used)),
        },
        "positions": positions(exchange, user, {}),
    }


def funding_payments(exchange: Exchange, user: str, params: Body) -> Body:
    """Newest first, a hundred where nobody says how many."""
    since, end = params.get("startTime", 0), params.get("endTime")
    rows = [
        row
        for row in reversed(exchange.funding.get(user, []))
        if row["time"] >= since and (end is None or row["time"] <= end)
    ]
    history = [
        {
            "paymentId": f"{row['time']}-{row['delta']['coin']}",
            "symbol": row["delta"]["coin"],
            "positionSize": row["delta"]["szi"],
            "fundingRate": row["delta"]["fundingRate"],
            "payment": row["delta"]["usdc"],
            "timestamp": row["time"],
            "paymentTime": row["time"],
        }
        for row in rows
    ]
    page = history[: params.get("limit", USUAL)]
    return {"summary": {"totalPayments": str(len(history))}, "fundingHistory": page}


def markets(exchange: Exchange) -> list[Body]:
    return [
        {
            "symbol": asset.name,
            "description": asset.name,
            "baseAsset": asset.name.partition("-")[0],
            "quoteAsset": QUOTE,
            "isOpen": True,
            "isCloseOnly": False,
            "priceIncrement": e8_text(PriceE8(asset.step)),
            "minOrderSize": e8_text(PriceE8(asset.lot)),
            "orderSizeIncrement": e8_text(PriceE8(asset.lot)),
            "contractSize": 1,
            "minNotionalValue": str(words.MINIMUM // MICRO // 1_000_000),
            "maintenanceMarginTiers": [{"maxLeverage": asset.max_leverage}],
        }
        for asset in exchange.universe
    ]


def prices(exchange: Exchange, now: int) -> dict[str, Body]:
    found = {}
    for coin in exchange.assets:
        bids, asks = exchange.levels(coin, 1)
        mark = e8_text(PriceE8(exchange.prices[coin]))
        best = {"bestBid": _plain(bids[0]["px"]), "bestAsk": _plain(asks[0]["px"])}
        found[coin] = {"symbol": coin, **best, "markPrice": mark, "indexPrice": mark, "timestamp": now}
    return found


def orderbook(exchange: Exchange, coin: str, now: int) -> Body:
    bids, asks = exchange.levels(coin)
    sides = {
        name: [[one["px"], one["sz"]] for one in side] for name, side in (("bids", bids), ("asks", asks))
    }
    return {"symbol": coin, **sides, "timestamp": now}


def _plain(text: str) -> str:
    value = read(text.removesuffix(".0"))
    assert value is not None
    return e8_text(PriceE8(value))
