"""The engine's rules alone: cycles of a request, five answers and a fill, with margin over positions in every market; then replay.

    python bench/engine.py [CYCLES]

Prints a table. These machines are noisy: compare ratios taken in one run, not absolute figures of two.
"""

import sys
import time
from dataclasses import dataclass

import base58
import msgspec

from core.events import DURABLE, Event, QuoteGiven, RequestOpened
from core.market import DEFAULT_MARKETS
from core.quantities import SECOND
from matcher import commands as c
from matcher.apply import apply
from matcher.decide import decide
from matcher.state import Exchange

START = 1_700_000_000 * SECOND


@dataclass
class Run:
    """An exchange and the durable events it has made."""

    state: Exchange
    journal: list[Event]
    now: int = START

    def do(self, command: c.Command) -> list[Event]:
        events = decide(self.state, command, self.now)
        assert isinstance(events, list), events
        for event in events:
            apply(self.state, event)
            if isinstance(event, DURABLE):
                self.journal.append(event)
        return events


def populated(agents: int) -> Run:
    run = Run(Exchange(), [])
    run.do(c.StartEpoch())
    for market in DEFAULT_MARKETS:
        run.do(c.ListMarket(market))
        run.do(c.UpdateIndex(market.id, 600_000, 0, START, "bench"))
    for number in range(agents):
        owner = base58.b58encode((number + 1).to_bytes(32, "big")).decode()
        account = run.do(c.RegisterAgent(owner, "a"))[0].account  # type: ignore[attr-defined]
        run.do(c.BindSlot(account, number // 100 + 1, number % 100))
        run.do(c.CreditDeposit(account, 10**13, f"d{number}"))
    return run


def round_trips(run: Run, cycles: int) -> float:
    """Seconds for `cycles` of request, five answers, best one fills; markets and sides in turn."""
    makers = list(range(16, 21))
    for maker in makers:
        run.do(c.Subscribe(maker, tuple(market.id for market in DEFAULT_MARKETS)))
    started = time.perf_counter()
    for cycle in range(cycles):
        market, side = cycle % 3 + 1, 1 if cycle & 4 else -1
        trader = 21 + cycle % 50
        limit = 601_000 if side > 0 else 599_000
        opened = run.do(c.OpenRequest(trader, f"k{cycle}", market, side, 10, limit, SECOND))[0]
        assert isinstance(opened, RequestOpened)
        for step, maker in enumerate(makers):
            answered = run.do(
                c.AnswerRequest(
                    maker, opened.request, 599_900 - step, 600_100 + step, 10, 1, run.now + SECOND
                )
            )
            assert isinstance(answered[0], QuoteGiven)
    return time.perf_counter() - started


def standing_fills(run: Run, cycles: int) -> float:
    """Seconds for `cycles` of a request that a standing quote fills at once."""
    far = run.now + 60 * SECOND
    for market in DEFAULT_MARKETS:
        run.do(c.SetQuotes(20, market.id, ((599_900, 10**9),), ((600_100, 10**9),), far))
    started = time.perf_counter()
    for cycle in range(cycles):
        side = 1 if cycle & 4 else -1
        limit = 601_000 if side > 0 else 599_000
        run.do(c.OpenRequest(21 + cycle % 50, f"s{cycle}", cycle % 3 + 1, side, 10, limit, SECOND))
    return time.perf_counter() - started


def replayed(journal: list[Event]) -> float:
    """Seconds to decode and apply a journal."""
    encoder, decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(DURABLE)
    records = [encoder.encode(event) for event in journal]
    state = Exchange()
    started = time.perf_counter()
    for record in records:
        apply(state, decoder.decode(record))
    return time.perf_counter() - started


def main() -> None:
    cycles = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    run = populated(60)
    rows = [("request, 5 answers, fill", cycles, round_trips(run, cycles))]
    rows.append(("request filled by a standing quote", cycles, standing_fills(run, cycles)))
    rows.append(("replayed records", len(run.journal), replayed(run.journal)))
    print(f"{'what':38}{'count':>10}{'per second':>14}{'us each':>10}")
    for what, count, seconds in rows:
        print(f"{what:38}{count:>10}{count / seconds:>14,.0f}{seconds / count * 1e6:>10.1f}")


if __name__ == "__main__":
    main()
