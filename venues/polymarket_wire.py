"""Polymarket's requests and answers as values: books, amounts, fees, what its words mean, and how its rows are read.

Sizes are shares and prices dollars a share, in 1e-8; the venue signs both as micro-units.
"""

import hashlib
import json
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any, Final, NamedTuple

from core.market import Side
from core.quantities import MILLISECOND, SECOND, MicroUsdc, Nanos
from core.tickets import E8, PriceE8, SizeE8, no_worse, price_from, size_from
from venues.driver import Mid, OrderState, OrderStatus, Position, Reason, Refused, VenueFill
from venues.sent_orders import Sent

VENUE: Final = "polymarket"
LOT: Final = E8 // 100
"""Orders are of whole hundredths of a share."""
WORST: Final = PriceE8(5 * E8 // 100)
"""So much worse than the middle an order at the market without a limit accepts: five cents."""
SALTS: Final = 2**53
"""Salts go over the wire as JSON numbers: larger ones would not arrive as they were signed."""
WORDS: Final = (
    ("duplicated", Reason.CLIENT_ID_USED),
    ("tick size", Reason.ORDER_INVALID),
    ("invalid amounts", Reason.ORDER_INVALID),
    ("lower than the minimum", Reason.TOO_SMALL),
    ("min size", Reason.TOO_SMALL),
    ("not enough balance", Reason.INSUFFICIENT_MARGIN),
    ("crosses book", Reason.WOULD_MATCH),
    ("no orders found to match", Reason.NO_LIQUIDITY),
    ("fully filled", Reason.NO_LIQUIDITY),
    ("invalid expiration", Reason.TOO_LATE),
    ("not yet ready", Reason.BUSY),
    ("restart", Reason.BUSY),
    ("disabled", Reason.BUSY),
    ("cancel-only", Reason.BUSY),
    ("unauthorized", Reason.UNAUTHORIZED),
    ("invalid api key", Reason.UNAUTHORIZED),
    ("orderbook", Reason.SYMBOL_UNKNOWN),
    ("token id", Reason.SYMBOL_UNKNOWN),
    ("closed-only", Reason.VENUE_CLOSE_ONLY),
)
"""What refusals have in them, in lower case. The venue has no codes."""
RESTING: Final = frozenset({"LIVE", "DELAYED", "UNMATCHED", "MATCHED"})
"""An order that is matched in part may be called so, too: whether it is all, its size says."""
LISTED_S: Final = 30
"""A trade is in the venue's list at the latest so long after it happened; the venue promises nothing. Until then an order that it does
not show any more is not taken for one that ended with less."""
TOLD_LISTED_S: Final = 600
"""So long it may take with those of which the venue has said already, in another answer, that they happened."""
FINAL_TRADE: Final = "CONFIRMED"
FAILED_TRADE: Final = "FAILED"


class Book(NamedTuple):
    """A token's book as far as orders need it. `tick` is 0 where the venue does not say."""

    market: str
    bid: PriceE8 | None
    ask: PriceE8 | None
    tick: PriceE8
    least: SizeE8
    neg_risk: bool
    at: Nanos

    @property
    def mid(self) -> Mid | None:
        if self.bid is None or self.ask is None:
            return None
        return Mid(PriceE8((self.bid + self.ask) // 2), self.at)

    def worst(self, side: Side) -> PriceE8 | None:
        """The worst price of an order at the market that names none; None without a middle."""
        if self.mid is None:
            return None
        last = PriceE8(E8 - self.tick) if side is Side.BUY else self.tick
        bound = no_worse(PriceE8(self.mid.price + side * WORST), side, self.tick)
        return min(bound, last) if side is Side.BUY else max(bound, last)


class Fees(NamedTuple):
    """A market's: rate x (p (1 - p))^exponent on each share, of the taker only or of both."""

    rate: Decimal
    exponent: int
    taker_only: bool


def loads(text: str | bytes) -> Any:
    """JSON with its numbers exact."""
    return json.loads(text, parse_float=Decimal)


def client_id(ticket_id: str) -> str:
    """The venue takes no name of ours: this one is for us, and the order's salt is made of it."""
    return "0x" + hashlib.blake2b(ticket_id.encode(), digest_size=16).hexdigest()


def salt(client_id: str, at: int) -> int:
    """The same for the same order at the same instant."""
    digest = hashlib.blake2b(f"{client_id} {at}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % SALTS


def amounts(side: Side, size: SizeE8, price: PriceE8) -> tuple[int, int]:
    """What is given and what is taken, in micro-units, exactly. Raises `ValueError` where that takes parts of them."""
    shares, rest = divmod(size, 100)
    cost, more = divmod(size * price, 100 * E8)
    if rest or more:
        raise ValueError("the price of this size is no whole number of micro-dollars")
    return (cost, shares) if side is Side.BUY else (shares, cost)


def fee(fees: Fees, size: SizeE8, price: PriceE8) -> MicroUsdc:
    """What a fill costs, rounded up to micro-USDC."""
    share = Fraction(price, E8)
    exact = Fraction(size, E8) * Fraction(fees.rate) * (share * (1 - share)) ** fees.exponent
    return MicroUsdc(ceil(exact * 1_000_000))


def fees_of(row: dict[str, Any]) -> Fees:
    """From `clob-markets`; a market that says nothing has none."""
    found = row.get("fd") or {}
    return Fees(Decimal(found.get("r") or 0), int(found.get("e") or 0), bool(found.get("to", True)))


def book_of(row: dict[str, Any]) -> Book:
    bids = [price_from(level["price"]) for level in row["bids"]]
    asks = [price_from(level["price"]) for level in row["asks"]]
    return Book(
        row["market"],
        max(bids, default=None),
        min(asks, default=None),
        price_from(str(row.get("tick_size") or 0)),
        size_from(str(row.get("min_order_size") or 0)),
        bool(row.get("neg_risk")),
        Nanos(int(row["timestamp"]) * MILLISECOND),
    )


def resolution_of(row: dict[str, Any], token: str) -> PriceE8 | None:
    """What each share of a token counts for, from the venue's answer on its market; None while that has not ended.

    Who won counts for a dollar. Where nobody is named, as in markets of long ago and in those that ended in half and half, it is the
    token's price once that is 0, 1 or, in such a market, a half: nobody can trade at the first two.
    """
    if not row["closed"]:
        return None
    tokens = {str(one["token_id"]): one for one in row["tokens"]}
    if token not in tokens:
        raise ValueError(f"the market of {token} does not have it")
    if any(one["winner"] for one in tokens.values()):
        return PriceE8(E8 if tokens[token]["winner"] else 0)
    prices = sorted(_e8(one["price"]) for one in tokens.values())
    halves = row.get("is_50_50_outcome") and prices == [E8 // 2, E8 // 2]
    return PriceE8(_e8(tokens[token]["price"])) if halves or prices == [0, E8] else None


def refused_for(words: str) -> Refused:
    said = words.lower()
    return Refused(next((reason for part, reason in WORDS if part in said), Reason.OTHER), words)


def open_state(sent: Sent, row: dict[str, Any]) -> OrderState:
    """An order that the venue shows: one that waits, or that was ended."""
    filled = size_from(row["size_matched"])
    said = row["status"].upper().removeprefix("ORDER_STATUS_")
    if filled >= sent.size:
        status = OrderStatus.FILLED
    elif said in RESTING:
        status = OrderStatus.OPEN
    else:
        status = OrderStatus.CANCELLED
    return state(sent, status, filled)


def state(sent: Sent, status: OrderStatus, filled: SizeE8) -> OrderState:
    return OrderState(sent.client_id, sent.order_id, sent.symbol, sent.side, status, sent.size, filled)


def listed_by(expires: Nanos) -> Nanos | None:
    """From when on what the venue takes until then is shown, at least in a trade; None where it may take it any time."""
    return Nanos(expires + LISTED_S * SECOND) if expires else None


def gone_state(sent: Sent, filled: SizeE8, failed: SizeE8, since: int) -> OrderState:
    """An order that the venue has not shown for so long, of which trades are listed that filled and that failed.

    It has ended with what is listed once the rest can not be listed any more.
    """
    told = SizeE8(max(filled, min(sent.told, sent.size) - failed))
    if told >= sent.size and (filled + failed >= sent.size or since < TOLD_LISTED_S * SECOND):
        return state(sent, OrderStatus.FILLED, told)
    wait = LISTED_S if told == filled else TOLD_LISTED_S
    if filled + failed < sent.size and since < wait * SECOND:
        return state(sent, OrderStatus.OPEN, told)
    return state(sent, OrderStatus.CANCELLED, filled)


class Part(NamedTuple):
    """Our part of a trade. One trade may have several of ours, each with another maker's order or of another of ours.

    `told` is what a cursor calls it: what a taker got of all makers of one trade is told together.
    """

    id: str
    told: str
    order_id: str
    symbol: str
    side: Side
    size: SizeE8
    price: PriceE8
    taker: bool
    market: str
    status: str
    second: int

    @property
    def at(self) -> Nanos:
        # The venue tells the second only. By its first instant a fill would count in a snapshot of that second that was taken before
        # the fill came: snapshot and books would never agree again.
        return Nanos((self.second + 1) * SECOND - 1)

    def fill(self, client: str | None, cost: MicroUsdc) -> VenueFill:
        terms = (self.symbol, self.side, self.size, self.price, cost, self.at)
        return VenueFill(self.id, client, self.order_id, *terms)


def parts_of(row: dict[str, Any], account: str) -> list[Part]:
    """Ours of a trade. A maker of the same token had the other side; one of the opposite token bought or sold as the taker did.

    A trade's own price is the limit of the taker's order. What the taker paid or got is what its makers asked for, and each of them
    may have asked for another price.
    """
    side = Side.BUY if row["side"] == "BUY" else Side.SELL
    common = (row["market"], row["status"].upper().removeprefix("TRADE_STATUS_"), int(row["match_time"]))
    makers = row["maker_orders"]
    if row["trader_side"] == "TAKER":
        if not makers:
            raise ValueError(f"trade {row['id']} says nothing of its makers, and so nothing of what was paid")
        # Where there is only one maker, the fill has the trade's id.
        name = "{trade}" if len(makers) == 1 else "{trade}:{maker}"
        return [
            Part(
                name.format(trade=row["id"], maker=maker["order_id"]),
                row["id"],
                row["taker_order_id"],
                row["asset_id"],
                side,
                size_from(maker["matched_amount"]),
                _takers_price(row, maker),
                True,
                *common,
            )
            for maker in makers
        ]
    return [
        Part(
            f"{row['id']}:{maker['order_id']}",
            f"{row['id']}:{maker['order_id']}",
            maker["order_id"],
            maker["asset_id"],
            Side(-side) if maker["asset_id"] == row["asset_id"] else side,
            size_from(maker["matched_amount"]),
            price_from(maker["price"]),
            False,
            *common,
        )
        for maker in makers
        if maker["maker_address"].lower() == account.lower()
    ]


def _takers_price(row: dict[str, Any], maker: dict[str, Any]) -> PriceE8:
    """What a share was to the taker. With a maker of the opposite token a pair of shares is made of a dollar, or becomes one: the
    taker has the rest of it."""
    price = price_from(maker["price"])
    return price if maker["asset_id"] == row["asset_id"] else PriceE8(E8 - price)


def unsettled(parts: list[Part]) -> list[Part]:
    """Those of which nobody knows yet whether they stay. On the chain, and so in positions, they may be already."""
    return [part for part in parts if part.status not in (FINAL_TRADE, FAILED_TRADE)]


def settled(parts: list[Part]) -> list[Part]:
    """Those that nothing takes back any more, oldest first, up to the first second with one that something may.

    Matched is not settled: what fails on the chain never was. Behind an open one nothing is told, so that a cursor passes none.
    """
    until = min((part.second for part in unsettled(parts)), default=None)
    return sorted(
        (part for part in parts if part.status == FINAL_TRADE and (until is None or part.second < until)),
        key=lambda part: part.second,
    )


def positions_of(rows: list[dict[str, Any]]) -> dict[str, Position]:
    """From the venue's data interface, whose numbers are for people: sizes are cut to what the chain counts in."""
    found = {
        str(row["asset"]): Position(
            SizeE8(_e8(row["size"]) // 100 * 100),
            PriceE8(_e8(row["avgPrice"])) if row.get("avgPrice") is not None else None,
        )
        for row in rows
    }
    return {token: position for token, position in found.items() if position.size}


def _e8(number: Decimal | int) -> int:
    return int(number * E8)
