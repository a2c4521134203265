"""Plays a stream of orders through one order-book package from PyPI; run by `bench.order_books` in that package's environment.

    python bench/order_book_peers.py PACKAGE STREAM

Imports nothing of this project. Prints JSON: seconds, and the volumes that show whether packages made the same
trades.
"""

import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Order = tuple[int, int, int, int, int]
"""Cancel (1) or limit order (0), id, side (+1 buys), price, size."""
Play = Callable[[list[Order]], tuple[int | None, int | None]]
"""Plays a stream; returns the volume traded and the volume left resting, where the package tells."""


def limit_order_book(orders: list[Order]) -> tuple[None, int]:
    from limit_order_book import LimitOrderBook

    book = LimitOrderBook()
    buy, sell, has, cancel = book.limit_buy, book.limit_sell, book.has, book.cancel
    for cancels, id, side, price, size in orders:
        if not cancels:
            (buy if side > 0 else sell)(id, size, price)
        elif has(id):
            cancel(id)
    return None, book.volume()


def orderly_chaos(orders: list[Order]) -> tuple[int, int]:
    from orderly_chaos import LimitOrderBook, Side

    book = LimitOrderBook()
    limit, has, cancel, buy, sell, volume = book.limit, book.has, book.cancel, Side.BUY, Side.SELL, 0
    for cancels, id, side, price, size in orders:
        if not cancels:
            volume += limit(buy if side > 0 else sell, id, size, price)
        elif has(id):
            cancel(id)
    return volume, book.volume()


def matching_engine(orders: list[Order]) -> tuple[int, None]:
    from matching_engine.domain import CancelOrder, NewOrder, SelfTradePrevention, SequencedCommand, Side
    from matching_engine.engine import MatchingEngine
    from matching_engine.events import Trade

    process, volume = MatchingEngine().process, 0
    buy, sell, apart = Side.BUY, Side.SELL, SelfTradePrevention.NONE
    for number, (cancels, id, side, price, size) in enumerate(orders):
        order = NewOrder(id, id, buy if side > 0 else sell, price, size, stp=apart) if not cancels else None
        for event in process(SequencedCommand(number + 1, number, order or CancelOrder(id, id))):
            if type(event) is Trade:
                volume += event.qty
    return volume, None


PEERS: dict[str, Play] = {
    "limit-order-book": limit_order_book,
    "orderly-chaos": orderly_chaos,
    "matching-engine": matching_engine,
}


def timed(play: Play, orders: list[Order]) -> dict[str, Any]:
    """Play the stream into a new book, after a tenth of it to warm up."""
    play(orders[: len(orders) // 10])
    gc.collect()
    gc.freeze()
    started = time.perf_counter()
    traded, resting = play(orders)
    return {"seconds": time.perf_counter() - started, "traded": traded, "resting": resting}


def main() -> None:
    package, stream = sys.argv[1:]
    orders = [tuple(order) for order in json.loads(Path(stream).read_text())]
    print(json.dumps(timed(PEERS[package], orders)))


if __name__ == "__main__":
    main()
