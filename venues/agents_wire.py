"""This network's answers as values: what its codes mean at a venue, and how its events are read."""

from typing import Any, Final, NamedTuple

from core.market import Side
from core.quantities import MILLION, USDC_UNIT, MicroUsdc, Nanos, divide_up, units_from_decimal
from core.tickets import E8_UNIT, PriceE8, SizeE8, notional_down, notional_up, price_from, size_from
from venues.driver import (
    Acknowledged,
    FundingPayment,
    OrderState,
    OrderStatus,
    PaymentKind,
    Position,
    Reason,
    Refused,
    VenueFill,
    VenueOrder,
)

VENUE: Final = "agents"
WORST: Final = 50_000
"""Parts per million from the mark that an order at the market without a limit accepts: nobody may quote further from the index."""
SIDES: Final = {Side.BUY: "buy", Side.SELL: "sell"}
REASONS: Final = {
    "market_unknown": Reason.SYMBOL_UNKNOWN,
    "bad_value": Reason.ORDER_INVALID,
    "validation_failed": Reason.ORDER_INVALID,
    "price_out_of_band": Reason.PRICE_TOO_FAR,
    "insufficient_margin": Reason.INSUFFICIENT_MARGIN,
    "reduce_only_would_increase": Reason.WOULD_NOT_REDUCE,
    "key_conflict": Reason.CLIENT_ID_USED,
    "expired_command": Reason.TOO_LATE,
    "rate_limited": Reason.RATE_LIMITED,
    "too_many_requests_open": Reason.RATE_LIMITED,
    "too_many_answers_kept": Reason.RATE_LIMITED,
    "overloaded": Reason.BUSY,
    "no_room": Reason.BUSY,
    "market_paused": Reason.BUSY,
    "market_reduce_only": Reason.BUSY,
    "being_liquidated": Reason.BUSY,
    "index_unavailable": Reason.NO_PRICE,
    "not_authenticated": Reason.UNAUTHORIZED,
    "account_unknown": Reason.UNAUTHORIZED,
    "request_unknown": Reason.ORDER_UNKNOWN,
}
SESSION_OVER: Final = frozenset({"not_authenticated", "session_expired", "session_revoked"})
OPEN_ENDED: Final = frozenset({"answer_pending", "internal_error"})
"""Codes after which it may have been taken all the same."""


class Answer(NamedTuple):
    """`code` is empty when the call did what was asked."""

    body: Any
    code: str
    words: str


def worst_price(market: dict[str, Any], side: Side) -> PriceE8 | None:
    """The furthest price from the mark, in whatever part of a tick."""
    if market["mark"] is None:
        return None
    return PriceE8(price_from(market["mark"]) * (MILLION + side * WORST) // MILLION)


def tick_of(market: dict[str, Any]) -> int:
    """The step between prices, in 1e-8."""
    return units_from_decimal(market["tick"], E8_UNIT)


def refused_in(answer: Answer) -> Refused:
    return Refused(REASONS.get(answer.code, Reason.OTHER), f"{answer.code}: {answer.words}")


def acknowledged(order: VenueOrder, size: SizeE8, answer: dict[str, Any]) -> Acknowledged | Refused:
    filled = size_from(answer["filled"])
    if filled == 0:
        return Refused(Reason.NO_LIQUIDITY, f"the request ended {answer['outcome']}")
    status = OrderStatus.FILLED if filled == size else OrderStatus.CANCELLED
    terms = order.symbol, order.side, status, size, filled
    state = OrderState(order.client_id, str(answer["request"]), *terms)
    return Acknowledged(state, price_cut(answer["average_price"]))


def state_of(closed: dict[str, Any]) -> OrderState:
    size, filled = size_from(closed["size"]), size_from(closed["filled"])
    status = OrderStatus.FILLED if filled == size else OrderStatus.CANCELLED
    terms = closed["market"], side_of(closed["side"]), status, size, filled
    return OrderState(closed["key"], str(closed["request"]), *terms)


def fills_of(event: dict[str, Any], keys: dict[int, str]) -> list[VenueFill]:
    """What an event of the account changed of its positions."""
    match event["ev"]:
        case "fill":
            return [_fill(event, keys)]
        case "taken_over" | "deleveraged":
            return [_handed_over(event, number, moved) for number, moved in enumerate(event["moved"])]
        case "market_settled":
            return [_settled(event)]
    return []


def payments_of(event: dict[str, Any]) -> list[FundingPayment]:
    """What an event of the account moved of its balance besides what trades bring."""
    match event["ev"]:
        case "funding":
            return [_payment(event, event["amount"], PaymentKind.FUNDING)]
        case "liquidation_sliced":
            return [_payment(event, event["fee"], PaymentKind.LIQUIDATION_FEE, -1)]
        case "market_settled":
            return [_payment(event, event["shared"], PaymentKind.DELISTING_SHARE)]
        case "debt_covered":
            return [_payment(event, event["amount"], PaymentKind.DEBT)]
    return []


def _fill(event: dict[str, Any], keys: dict[int, str]) -> VenueFill:
    # Whoever answers a request has no part in its id.
    key = keys.get(event["request"]) if event["role"] == "taker" else None
    return VenueFill(
        str(event["fill"]),
        key or None,
        str(event["request"]),
        event["market"],
        side_of(event["side"]),
        size_from(event["size"]),
        price_from(event["price"]),
        micro(event["fee"]),
        Nanos(event["at"] * 1_000),
    )


def _handed_over(event: dict[str, Any], number: int, moved: dict[str, Any]) -> VenueFill:
    """A position that went to the insurance fund or against another's, for what it counted for.

    That need not be a price, and a bankrupt's may be below nothing: what no price in 1e-8 comes to stands as the fee, so that cash
    moves by exactly the value.
    """
    side, size, value = side_of(moved["side"]), size_from(moved["size"]), micro(moved["value"])
    if side is Side.BUY:
        price = PriceE8(max(1, value * 10**10 // size))
        fee = value - notional_up(price, size)
    else:
        price = PriceE8(max(1, divide_up(value * 10**10, size)))
        fee = notional_down(price, size) - value
    return VenueFill(
        f"{event['ev']}-{event['at']}-{event['n']}-{number}",
        None,
        f"liquidation-{event['liquidation']}",
        moved["market"],
        side,
        size,
        price,
        MicroUsdc(fee),
        Nanos(event["at"] * 1_000),
    )


def _settled(event: dict[str, Any]) -> VenueFill:
    """A position that ended with its market."""
    held = size_from(event["size"])
    return VenueFill(
        f"market_settled-{event['at']}-{event['n']}",
        None,
        "delisting",
        event["market"],
        Side.SELL if held > 0 else Side.BUY,
        SizeE8(abs(held)),
        price_from(event["price"]),
        MicroUsdc(0),
        Nanos(event["at"] * 1_000),
    )


def _payment(event: dict[str, Any], amount: str, kind: PaymentKind, sign: int = 1) -> FundingPayment:
    came = MicroUsdc(sign * micro(amount))
    # Every account numbers its events from 1, and a vault may get another account.
    return FundingPayment(
        f"{event['at']}-{event['n']}", event.get("market", ""), came, Nanos(event["at"] * 1_000), kind
    )


def position_of(answer: dict[str, Any]) -> Position:
    size = size_from(answer["size"])
    cost = units_from_decimal(answer["cost"], USDC_UNIT)
    return Position(size, PriceE8(cost * 10**10 // size))


def side_of(name: str) -> Side:
    return Side.BUY if name == "buy" else Side.SELL


def micro(text: str) -> MicroUsdc:
    return MicroUsdc(units_from_decimal(text, USDC_UNIT))


def price_cut(text: str) -> PriceE8:
    """An average at nine decimals, cut off to eight: it is only shown."""
    whole, _, rest = text.partition(".")
    return price_from(f"{whole}.{rest[:8] or '0'}")
