"""The local Polymarket's answers, in the shapes of the real one's."""

import base64
import hashlib
from typing import Any, Final

from core.market import Side
from core.tickets import E8, PriceE8, SizeE8, e8_text, price_from
from venues.local.hyperliquid_accounts import MICRO
from venues.local.polymarket_books import Books, Market, Placed

PAGE: Final = 100
END: Final = "LTE="
NOBODY: Final = "0x" + "0" * 40
HOUSE: Final = "00000000-0000-0000-0000-000000000000"
Body = dict[str, Any]


def plain(text: str) -> str:
    """A decimal without zeros behind it."""
    return e8_text(price_from(text))


def page(rows: list[Any], cursor: str) -> Body:
    """One page of a list. Cursors are the place in it, in base64."""
    start = int(base64.b64decode(cursor or "MA=="))
    found = rows[start : start + PAGE]
    behind = start + len(found)
    following = END if behind >= len(rows) else base64.b64encode(str(behind).encode()).decode()
    return {"limit": PAGE, "count": len(found), "next_cursor": following, "data": found}


def book(books: Books, token: str, now: int) -> Body:
    """Bids and asks with the best ones last, as the venue has them."""
    market = books.markets[token]
    bids, asks = books.exchange.levels(token)
    shown: Body = {
        "market": market.condition,
        "asset_id": token,
        "timestamp": str(now),
        "bids": [{"price": plain(one["px"]), "size": plain(one["sz"])} for one in reversed(bids)],
        "asks": [{"price": plain(one["px"]), "size": plain(one["sz"])} for one in reversed(asks)],
        "min_order_size": e8_text(market.least),
        "tick_size": e8_text(market.tick),
        "neg_risk": market.neg_risk,
        "last_trade_price": e8_text(PriceE8(books.exchange.prices[token])),
    }
    digest = hashlib.sha1(repr(shown).encode(), usedforsecurity=False).hexdigest()
    return {**shown, "hash": digest}


def market_by_token(market: Market) -> Body:
    first, second = market.tokens
    return {"condition_id": market.condition, "primary_token_id": first, "secondary_token_id": second}


def market(books: Books, of: Market) -> Body:
    """A market as a whole. One that has ended is closed; who won is named, where somebody did."""
    ended = of.tokens[0] in books.resolved
    prices = {token: books.exchange.prices[token] for token in of.tokens}
    return {
        "enable_order_book": not ended,
        "active": True,
        "closed": ended,
        "archived": False,
        "accepting_orders": not ended,
        "minimum_order_size": float(e8_text(of.least)),
        "minimum_tick_size": float(e8_text(of.tick)),
        "condition_id": of.condition,
        "question": of.question,
        "neg_risk": of.neg_risk,
        "is_50_50_outcome": ended and len(set(prices.values())) == 1,
        "tokens": [
            {
                "token_id": token,
                "outcome": of.outcome(token),
                "price": price / E8,
                "winner": ended and price == E8,
            }
            for token, price in prices.items()
        ],
    }


def clob_market(market: Market) -> Body:
    shown: Body = {
        "c": market.condition,
        "t": [{"t": token, "o": market.outcome(token)} for token in market.tokens],
        "mts": float(e8_text(market.tick)),
        "mos": float(e8_text(market.least)),
        "mbf": 0,
        "tbf": 0,
        "ao": True,
    }
    if market.neg_risk:
        shown["nr"] = True
    if market.rate != "0":
        shown["fd"] = {"r": float(market.rate), "e": 1, "to": True}
    return shown


def order(books: Books, name: str, placed: Placed) -> Body:
    made, market = placed.order, books.markets[placed.order.coin]
    return {
        "id": name,
        "status": "LIVE" if made.status == "open" else "CANCELED",
        "owner": placed.owner,
        "maker_address": made.user,
        "market": market.condition,
        "asset_id": made.coin,
        "side": side(made.side),
        "original_size": e8_text(SizeE8(made.size)),
        "size_matched": e8_text(SizeE8(made.size - made.left)),
        "price": e8_text(PriceE8(made.limit)),
        "outcome": market.outcome(made.coin),
        "expiration": str(placed.expires // 1_000),
        "order_type": placed.kind,
        "associate_trades": [],
        "created_at": made.at // 1_000,
    }


def trades(
    books: Books, wallet: str, params: dict[str, str], status: str, listed: int | None = None
) -> list[Body]:
    """Newest first, of the first `listed` fills. The other side is always shown as the house's.

    What an order takes at once is one trade of all its makers, and the trade's price is that order's limit.
    """
    matches: dict[Any, list[Body]] = {}
    for row in books.exchange.fills.get(wallet, [])[:listed]:
        matches.setdefault(("taker", row["oid"]) if row["crossed"] else ("maker", row["tid"]), []).append(row)
    return [
        trade(books, wallet, rows, status)
        for rows in reversed(matches.values())
        if params.get("asset_id", rows[0]["coin"]) == rows[0]["coin"]
        and rows[0]["time"] // 1_000 >= int(params.get("after", 0))
        and params.get("id", trade_id(rows)) == trade_id(rows)
    ]


def trade_id(rows: list[Body]) -> str:
    """Of a trade with these fills of one account."""
    return str(rows[0]["tid"])


def trade(books: Books, wallet: str, rows: list[Body], status: str) -> Body:
    """What an order took at once, with all its fills, or one fill of an order that waited."""
    first, second, taking = rows[0], str(rows[0]["time"] // 1_000), rows[0]["crossed"]
    market, token = books.markets[first["coin"]], first["coin"]
    mine, placed = Side.BUY if first["side"] == "B" else Side.SELL, books.placed.get(first["cloid"])
    owner = HOUSE if placed is None else placed.owner
    if taking:
        makers = [_house(market, row, number % 2 == 1) for number, row in enumerate(rows)]
        limit = first["px"] if placed is None else e8_text(PriceE8(placed.order.limit))
        taker = (first["cloid"], owner, wallet)
    else:
        makers = [_maker(market, row, first["cloid"], owner, wallet) for row in rows]
        limit, taker = first["px"], (first["hash"], HOUSE, NOBODY)
    return {
        "id": trade_id(rows),
        "taker_order_id": taker[0],
        "market": market.condition,
        "asset_id": token,
        "side": side(mine if taking else Side(-mine)),
        "size": e8_text(SizeE8(sum(price_from(row["sz"]) for row in rows))),
        "fee_rate_bps": "0",
        "price": plain(limit),
        "status": status,
        "match_time": second,
        "last_update": second,
        "outcome": market.outcome(token),
        "bucket_index": 0,
        "owner": taker[1],
        "maker_address": taker[2],
        "transaction_hash": first["hash"],
        "maker_orders": makers,
        "trader_side": "TAKER" if taking else "MAKER",
    }


def _maker(market: Market, row: Body, name: str, owner: str, wallet: str) -> Body:
    return {
        "order_id": name,
        "owner": owner,
        "maker_address": wallet,
        "matched_amount": plain(row["sz"]),
        "price": plain(row["px"]),
        "fee_rate_bps": "0",
        "asset_id": row["coin"],
        "outcome": market.outcome(row["coin"]),
    }


def _house(market: Market, row: Body, opposite: bool) -> Body:
    """The house as a maker; with an order for the opposite token, what it asks for is the rest of a dollar."""
    made = _maker(market, row, row["hash"], HOUSE, NOBODY)
    if not opposite:
        return made
    first, second = market.tokens
    token = second if row["coin"] == first else first
    price = e8_text(PriceE8(E8 - price_from(row["px"])))
    return {**made, "asset_id": token, "outcome": market.outcome(token), "price": price}


def positions(books: Books, wallet: str) -> list[Body]:
    """As the data interface has them, with numbers."""
    return [
        {
            "proxyWallet": wallet,
            "asset": token,
            "conditionId": books.markets[token].condition,
            "size": held.size / E8,
            "avgPrice": held.cost // held.size / E8,
            "curPrice": books.exchange.prices[token] / E8,
            "title": books.markets[token].question,
            "outcome": books.markets[token].outcome(token),
        }
        for token, held in books.exchange.account(wallet).positions.items()
        if held.size
    ]


def balance(books: Books, wallet: str, kind: str, token: str) -> Body:
    """Micro-units, as the chain counts."""
    account = books.exchange.account(wallet)
    spent = sum(held.cost for held in account.positions.values())
    amount = books.held(wallet, token) // 100 if kind == "CONDITIONAL" else (account.cash - spent) // MICRO
    return {"balance": str(amount), "allowances": {}}


def side(of: Side) -> str:
    return "BUY" if of is Side.BUY else "SELL"
