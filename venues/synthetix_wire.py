"""Synthetix's requests and answers as values: what an order looks like, what its codes mean, and how its rows are read."""

import hashlib
from typing import Any, Final, NamedTuple

from core.market import Side
from core.quantities import MILLISECOND, MicroUsdc, Nanos, divide_up
from core.tickets import OrderType, PriceE8, SizeE8, TimeInForce, e8_text, price_from, size_from
from venues.driver import (
    FundingPayment,
    Mid,
    OrderState,
    OrderStatus,
    Position,
    Reason,
    Refused,
    VenueFill,
    VenueOrder,
)

VENUE: Final = "synthetix"
QUOTE: Final = "-USDT"
"""What the venue's symbols have behind ours: its XAU-USDT is XAU in tickets and legs."""
SIDES: Final = {Side.BUY: "buy", Side.SELL: "sell"}
REASONS: Final = {
    "MARKET_NOT_FOUND": Reason.SYMBOL_UNKNOWN,
    "MARKET_CLOSED": Reason.BUSY,
    "SERVICE_DRAINING": Reason.BUSY,
    "INSUFFICIENT_MARGIN": Reason.INSUFFICIENT_MARGIN,
    "IOC_NOT_FILLED": Reason.NO_LIQUIDITY,
    "FOK_NOT_FILLED": Reason.NO_LIQUIDITY,
    "NO_LIQUIDITY": Reason.NO_LIQUIDITY,
    "POST_ONLY_WOULD_TRADE": Reason.WOULD_MATCH,
    "REDUCE_ONLY_NO_POSITION": Reason.WOULD_NOT_REDUCE,
    "IDEMPOTENCY_CONFLICT": Reason.CLIENT_ID_USED,
    "REQUEST_EXPIRED": Reason.TOO_LATE,
    "ORDER_NOT_FOUND": Reason.ORDER_UNKNOWN,
    "CANCEL_FAILED": Reason.ORDER_UNKNOWN,
    "INVALID_LEVERAGE": Reason.LEVERAGE_INVALID,
    "RATE_LIMIT_EXCEEDED": Reason.RATE_LIMITED,
    "INVALID_NONCE": Reason.BUSY,
    "UNAUTHORIZED": Reason.UNAUTHORIZED,
    "PRICE_OUT_OF_BOUNDS": Reason.PRICE_TOO_FAR,
    "MIN_NOTIONAL_NOT_MET": Reason.TOO_SMALL,
    "VALIDATION_ERROR": Reason.ORDER_INVALID,
    "INVALID_VALUE": Reason.ORDER_INVALID,
}
KINDS: Final = (
    ("REDUCE_ONLY", Reason.WOULD_NOT_REDUCE),
    ("POST_ONLY", Reason.WOULD_MATCH),
    ("INVALID_PRICE", Reason.ORDER_INVALID),
    ("INVALID_QUANTITY", Reason.ORDER_INVALID),
    ("MAX_ORDERS", Reason.RATE_LIMITED),
)
"""How codes begin that the venue has several of."""
STATUSES: Final = {
    "filled": OrderStatus.FILLED,
    "cancelled": OrderStatus.CANCELLED,
    "expired": OrderStatus.CANCELLED,
    "rejected": OrderStatus.REJECTED,
}


class Market(NamedTuple):
    """Steps between prices and between sizes, in 1e-8."""

    price_step: int
    size_step: int
    closing: bool


def client_order_id(ticket_id: str) -> str:
    """Sixteen bytes of hexadecimal, as the venue's SDK makes them."""
    return "0x" + hashlib.blake2b(ticket_id.encode(), digest_size=16).hexdigest()


def market_symbol(symbol: str) -> str:
    return symbol + QUOTE


def our_symbol(symbol: str) -> str:
    return symbol.removesuffix(QUOTE)


def order_fields(order: VenueOrder) -> dict[str, Any]:
    """An order as it is signed. One at the market with a limit is a limit order that does not wait."""
    at_market = order.order_type is OrderType.MARKET and order.limit_price is None
    waits = order.order_type is OrderType.LIMIT and order.time_in_force is not TimeInForce.IOC
    fields = {
        "symbol": market_symbol(order.symbol),
        "side": SIDES[order.side],
        "orderType": "market" if at_market else "limitGtc" if waits else "limitIoc",
        "price": "" if order.limit_price is None else e8_text(order.limit_price),
        "quantity": e8_text(order.size),
        "reduceOnly": order.reduce_only,
        "clientOrderId": order.client_id,
    }
    return {**fields, "postOnly": True} if order.time_in_force is TimeInForce.POST_ONLY else fields


def markets_of(rows: list[dict[str, Any]]) -> dict[str, Market]:
    return {
        our_symbol(row["symbol"]): Market(
            price_from(row["priceIncrement"]), size_from(row["orderSizeIncrement"]), row["isCloseOnly"]
        )
        for row in rows
        if row["isOpen"] and row["symbol"].endswith(QUOTE)
    }


def refused_for(code: str, words: str) -> Refused:
    known = REASONS.get(code) or next((kind for start, kind in KINDS if code.startswith(start)), Reason.OTHER)
    return Refused(known, f"{code}: {words}")


def open_order_of(row: dict[str, Any]) -> OrderState:
    return _state(row, OrderStatus.OPEN)


def past_order_of(row: dict[str, Any]) -> OrderState:
    """One of the history, which also has those that still wait or are being changed."""
    return _state(row, STATUSES.get(row["status"], OrderStatus.OPEN))


def _state(row: dict[str, Any], status: OrderStatus) -> OrderState:
    return OrderState(
        row["order"]["clientId"],
        row["order"]["venueId"],
        our_symbol(row["symbol"]),
        side_of(row["side"]),
        status,
        size_from(row["quantity"]),
        size_from(row["filledQuantity"]),
    )


def fill_of(row: dict[str, Any]) -> VenueFill:
    return VenueFill(
        row["tradeId"],
        row["order"].get("clientId") or None,
        row["order"]["venueId"],
        our_symbol(row["symbol"]),
        side_of(row["side"]),
        size_from(row["quantity"]),
        price_from(row["price"]),
        MicroUsdc(divide_up(price_from(row["fee"]), 100)),
        Nanos(int(row["timestamp"]) * MILLISECOND),
    )


def payment_of(row: dict[str, Any]) -> FundingPayment:
    amount = MicroUsdc(price_from(row["payment"]) // 100)
    at = Nanos(int(row["paymentTime"]) * MILLISECOND)
    return FundingPayment(row["paymentId"], our_symbol(row["symbol"]), amount, at)


def positions_of(rows: list[dict[str, Any]]) -> dict[str, Position]:
    found = {}
    for row in rows:
        sign = 1 if row["side"] == "long" else -1
        size = SizeE8(sign * size_from(row["quantity"]))
        if size:
            found[our_symbol(row["symbol"])] = Position(size, price_from(row["entryPrice"]))
    return found


def mid_of(row: dict[str, Any]) -> Mid | None:
    if not row["bestBid"] or not row["bestAsk"]:
        return None
    both = price_from(row["bestBid"]) + price_from(row["bestAsk"])
    return Mid(PriceE8(both // 2), Nanos(int(row["timestamp"]) * MILLISECOND)) if both else None


def side_of(name: str) -> Side:
    return {"buy": Side.BUY, "sell": Side.SELL}[name]


def price_cut(text: str) -> PriceE8:
    """An average price, which may be finer than 1e-8: cut off, because it is only shown."""
    whole, _, rest = text.partition(".")
    return price_from(f"{whole}.{rest[:8] or '0'}")
