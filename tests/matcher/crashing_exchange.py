"""A program: an exchange through a crash of its market, liquidations and all. Started again after a kill, it goes on.

Only the engine's own timer liquidates. A maker that is asked answers a little later, always with a bid at the mark: the bound of an
account that is nearly well again takes no less, and so the end does not depend on how often the process died. Prints the number of
records when everything has ended.
"""

import asyncio
import sys
import time
from pathlib import Path

import base58
from msgspec.structs import replace

from core.accounts import INSURANCE
from core.events import Event, RequestOpened
from core.liquidation import LiquidationTerms
from core.market import DEFAULT_MARKETS
from core.quantities import SECOND
from matcher import commands as c
from matcher.engine import Engine

LEFT = (11_000, 9_800, 9_600, 9_400, 8_000, 4_000, -3_000, -20_000)
"""Equity at the crash's mark, parts per million of the notional there; maintenance is 10,000."""
LOTS, INDEX, CRASH = 30_000, 600_000, 570_000
ANSWER_AFTER_S = 0.05


async def main(directory: Path) -> None:
    engine = Engine(directory, time.time_ns)
    if not engine.state.owned:
        await set_up(engine)
    maker = min(engine.state.owned)
    engine.submit(c.Subscribe(maker, (1,)), None)

    def answer(request: int) -> None:
        until = engine.clock() + SECOND
        bid = c.AnswerRequest(maker, request, CRASH, 2 * INDEX, 10**6, 1, until)
        engine.submit(bid, None)

    def heard(_: int, event: Event) -> None:
        if isinstance(event, RequestOpened):
            asyncio.get_running_loop().call_later(ANSWER_AFTER_S, answer, event.request)

    engine.listen(heard)
    await engine.ask(c.UpdateIndex(1, CRASH, 0, engine.clock(), "t"))
    while engine.state.liquidations or engine.state.watch.due:
        await asyncio.sleep(0.01)
    engine.close()
    print(engine.state.seq, flush=True)


async def set_up(engine: Engine) -> None:
    """A maker, accounts that are long against it with what `LEFT` says, and an insurance fund; nothing is on disk before all is."""
    terms = LiquidationTerms(slice_share=20_000, whole_up_to=100_000_000)
    listed = replace(DEFAULT_MARKETS[0], liquidation=terms)
    engine.submit(c.ListMarket(listed), None)
    engine.submit(c.UpdateIndex(1, INDEX, 0, engine.clock(), "t"), None)
    maker = agent(engine, 1, 10**12)
    value = LOTS * listed.value_per_tick_lot
    fee = -(-value * INDEX * listed.taker_fee // 10**6)
    for number, left in enumerate(LEFT, 2):
        equity = value * CRASH * left // 10**6 + value * (INDEX - CRASH) + fee
        account = agent(engine, number, max(equity, value * INDEX // listed.max_leverage + fee))
        until = engine.clock() + SECOND
        engine.submit(c.SetQuotes(maker, 1, (), ((INDEX, LOTS),), until), None)
        engine.submit(c.OpenRequest(account, "k", 1, 1, LOTS, INDEX, SECOND), None)
    engine.submit(c.CancelAll(maker), None)
    await engine.ask(c.CreditDeposit(INSURANCE, 2 * 10**10, "fund"))


def agent(engine: Engine, number: int, amount: int) -> int:
    account = engine.state.next_account
    engine.submit(c.RegisterAgent(base58.b58encode(number.to_bytes(32, "big")).decode(), "a"), None)
    engine.submit(c.BindSlot(account, 0, number + 1), None)
    engine.submit(c.CreditDeposit(account, amount, f"d{number}"), None)
    return account


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
