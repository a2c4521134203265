"""Hyperliquid's requests and answers as values: what is signed, what its words mean, and how its rows are read."""

import hashlib
import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from eth_account.signers.local import LocalAccount
from hyperliquid.utils.signing import sign_l1_action

from core.market import Side
from core.quantities import MILLION, MILLISECOND, MicroUsdc, Nanos, NotAQuantity, divide_up
from core.tickets import PriceE8, SizeE8, TimeInForce, e8_text, no_worse, price_from, size_from
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

VENUE: Final = "hyper"
UNREADABLE: Final = "Failed to deserialize the JSON body"
"""What the venue says, in plain text, of a request that is none."""
WORST: Final = 50_000
"""Parts per million from the middle that an order at the market without a limit accepts, as in the venue's SDK."""
_FIGURES: Final = 5
_DECIMALS: Final = 6
TIFS: Final = {TimeInForce.GTC: "Gtc", TimeInForce.IOC: "Ioc", TimeInForce.POST_ONLY: "Alo"}
WORDS: Final = (
    ("Price must be divisible", Reason.ORDER_INVALID),
    ("Order has invalid", Reason.ORDER_INVALID),
    ("Order has zero", Reason.ORDER_INVALID),
    ("Order must have minimum value", Reason.TOO_SMALL),
    ("Insufficient margin", Reason.INSUFFICIENT_MARGIN),
    ("Reduce only order would increase", Reason.WOULD_NOT_REDUCE),
    ("Post only order would have", Reason.WOULD_MATCH),
    ("Order could not immediately match", Reason.NO_LIQUIDITY),
    ("No liquidity available", Reason.NO_LIQUIDITY),
    ("Order price too far", Reason.PRICE_TOO_FAR),
    ("Order price cannot be more than", Reason.PRICE_TOO_FAR),
    ("Order was never placed", Reason.ORDER_UNKNOWN),
    ("User or API Wallet", Reason.UNAUTHORIZED),
    ("Must deposit before", Reason.UNAUTHORIZED),
    ("Invalid nonce", Reason.BUSY),
    ("Action expired", Reason.TOO_LATE),
    ("Too many cumulative requests", Reason.RATE_LIMITED),
    ("Invalid leverage", Reason.LEVERAGE_INVALID),
    ("Cannot decrease leverage", Reason.LEVERAGE_INVALID),
)
"""How the venue begins its refusals. A nonce is refused when another process signed in the same millisecond."""


class Asset(NamedTuple):
    number: int
    sz_decimals: int
    cross: bool


def order_wire(asset: int, order: VenueOrder, limit: PriceE8, tif: str) -> dict[str, Any]:
    """An order as it is signed; the order of the fields is part of that."""
    return {
        "a": asset,
        "b": order.side is Side.BUY,
        "p": e8_text(limit),
        "s": e8_text(order.size),
        "r": order.reduce_only,
        "t": {"limit": {"tif": tif}},
        "c": order.client_id,
    }


def signed(
    wallet: LocalAccount,
    action: dict[str, Any],
    nonce: int,
    expires_after: int | None,
    vault: str | None,
    mainnet: bool,
) -> dict[str, Any]:
    """The body of an `/exchange` request."""
    signature = sign_l1_action(wallet, action, vault, nonce, expires_after, mainnet)
    return {
        "action": action,
        "nonce": nonce,
        "signature": signature,
        "vaultAddress": vault,
        "expiresAfter": expires_after,
    }


def worst_price(mid: PriceE8, side: Side, sz_decimals: int) -> PriceE8:
    """Five percent from the middle, rounded towards it to a price that the venue takes."""
    return taken_price(PriceE8(mid * (MILLION + side * WORST) // MILLION), side, sz_decimals)


def taken_price(price: PriceE8, side: Side, sz_decimals: int) -> PriceE8:
    """The next price that is no worse and that the venue takes: of five significant figures or whole dollars, and of six decimals
    together with the size's."""
    step = int(10 ** max(min(len(str(price)) - _FIGURES, 8), 8 - (_DECIMALS - sz_decimals), 0))
    return no_worse(price, side, step)


def is_refusal(text: str) -> bool:
    """Whether the body of an HTTP error is the venue's own, which refuses a request as a whole: by a code, or because it cannot read
    it."""
    if text.startswith(UNREADABLE):
        return True
    try:
        said = json.loads(text)
    except ValueError:
        return False
    return isinstance(said, dict) and {"code", "msg"} <= said.keys()


def refused_in(words: str) -> Refused:
    return Refused(next((reason for start, reason in WORDS if words.startswith(start)), Reason.OTHER), words)


def cloid(ticket_id: str) -> str:
    """Sixteen bytes of hexadecimal, as the venue wants a client's id."""
    return "0x" + hashlib.blake2b(ticket_id.encode(), digest_size=16).hexdigest()


def assets_of(meta: dict[str, Any]) -> dict[str, Asset]:
    return {
        row["name"]: Asset(number, row["szDecimals"], not row.get("onlyIsolated"))
        for number, row in enumerate(meta["universe"])
        if not row.get("isDelisted")
    }


def mid_of(book: dict[str, Any]) -> Mid | None:
    bids, asks = book["levels"]
    if not bids or not asks:
        return None
    both = price_from(bids[0]["px"]) + price_from(asks[0]["px"])
    return Mid(PriceE8(both // 2), Nanos(book["time"] * MILLISECOND))


def positions_of(state: dict[str, Any]) -> dict[str, Position]:
    held = [row["position"] for row in state["assetPositions"]]
    return {
        one["coin"]: Position(size_from(one["szi"]), price_from(one["entryPx"]))
        for one in held
        if size_from(one["szi"])
    }


def order_of(client_id: str, answer: dict[str, Any]) -> OrderState:
    """An `orderStatus` that is one."""
    return _state(client_id, answer["order"], status_of(answer["status"]))


def open_orders_of(rows: Sequence[dict[str, Any]], client_ids: Collection[str]) -> dict[str, OrderState]:
    """Of these orders those that are in the list of what is open. The others' rows are not read: whatever somebody else placed in the
    account keeps nobody from hearing of these. Nor does a row of these that cannot be read: that order is not in the answer."""
    found = {}
    for row in rows:
        if row.get("cloid") in client_ids:
            with suppress(KeyError, TypeError, ValueError):
                found[row["cloid"]] = _state(row["cloid"], row, OrderStatus.OPEN)
    return found


def _state(client_id: str, found: dict[str, Any], status: OrderStatus) -> OrderState:
    # `sz` is what is left.
    size = size_from(found["origSz"])
    named = client_id, str(found["oid"]), found["coin"], side_of(found["side"])
    return OrderState(*named, status, size, SizeE8(size - size_from(found["sz"])))


def side_of(letter: str) -> Side:
    return {"B": Side.BUY, "A": Side.SELL}[letter]


def status_of(name: str) -> OrderStatus:
    """The venue has some thirty; what a caller must know is whether the order waits, is done, or was never taken."""
    if name in ("open", "triggered"):
        return OrderStatus.OPEN
    if name == "filled":
        return OrderStatus.FILLED
    return OrderStatus.REJECTED if name.lower().endswith("rejected") else OrderStatus.CANCELLED


def is_spot(coin: str) -> bool:
    return coin.startswith("@") or "/" in coin


def fill_id(row: dict[str, Any]) -> str:
    # As the venue documents it: a trade is named by block time, coin and tid; of a trade with oneself there are two fills.
    return f"{row['time']}:{row['coin']}:{row['tid']}:{row['oid']}"


def payment_id(row: dict[str, Any]) -> str:
    return f"{row['time']}:{row['delta']['coin']}"


def fill_of(row: dict[str, Any]) -> VenueFill:
    return VenueFill(
        fill_id(row),
        row.get("cloid"),
        str(row["oid"]),
        row["coin"],
        side_of(row["side"]),
        size_from(row["sz"]),
        price_from(row["px"]),
        MicroUsdc(divide_up(price_from(row["fee"]), 100)),
        Nanos(int(row["time"]) * MILLISECOND),
    )


def payment_of(row: dict[str, Any]) -> FundingPayment:
    delta = row["delta"]
    amount = MicroUsdc(price_from(delta["usdc"]) // 100)
    return FundingPayment(payment_id(row), delta["coin"], amount, Nanos(int(row["time"]) * MILLISECOND))


def price_cut(text: str) -> PriceE8:
    """An average price, which may be finer than 1e-8: cut off, because it is only shown."""
    whole, _, rest = text.partition(".")
    try:
        return price_from(f"{whole}.{rest[:8]}" if rest else whole)
    except NotAQuantity as wrong:
        raise ValueError(text) from wrong
