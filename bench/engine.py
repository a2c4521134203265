"""The engine's rules alone, without journal, network or clock: how many requests it can quote and fill in a second.

    python -m bench.engine [CYCLES]

A cycle is a request, an answer of each of five makers, and the fill with the best of them. Everyone holds a position in each of
five markets, so that margin is over five positions on both sides of every fill. Commands are made within the measured time.
"""

import gc
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import base58
from msgspec.structs import replace

from bench.report import NOISE, Target, table, targets
from core.events import DURABLE_TYPES, Event
from core.market import DEFAULT_MARKETS, market
from core.quantities import SECOND
from matcher import commands as c
from matcher.apply import apply
from matcher.decide import decide
from matcher.state import Exchange

START: Final = 1_700_000_000 * SECOND
CYCLES: Final = 10_000
REPETITIONS: Final = 7
TARGET: Final = 100_000
INDEX: Final = 600_000
MAKERS: Final = range(16, 21)
TRADERS: Final = range(21, 71)
MARKETS: Final = (
    *DEFAULT_MARKETS,
    *(
        market(
            id,
            f"M{id}-PERP",
            "0.01",
            "0.01",
            max_leverage=10,
            position_cap="100000",
            open_interest_cap="2000000",
            feed="",
        )
        for id in (4, 5)
    ),
)


ABOUT: Final = """\
The rules alone, without journal, network or clock. A cycle is six commands decided and eight events applied: a request, five answers,
the fill, the final answer; everyone holds a position in each of five markets, and both sides' margin over all five is checked. Where
open interest is so high that initial fractions grow with it, each fill that changes it has everyone valued anew as they are met. The
target was set by a prototype that changed its state in place: without events, client keys, position caps or an oracle band."""


@dataclass
class Run:
    """An exchange and, when `journal` is wanted, the durable events it has made."""

    state: Exchange
    journal: list[Event] | None = None
    now: int = START

    def do(self, command: c.Command) -> list[Event]:
        """Decide and apply; the command must not be refused."""
        state = self.state
        events = decide(state, command, self.now)
        assert type(events) is list, events
        for event in events:
            apply(state, event)
        if self.journal is not None:
            self.journal += [event for event in events if type(event) in DURABLE_TYPES]
        return events


def owner(number: int) -> str:
    return base58.b58encode(number.to_bytes(32, "big")).decode()


def listed(journal: list[Event] | None = None) -> Run:
    """An exchange with five markets and their prices."""
    run = Run(Exchange(), journal)
    run.do(c.StartEpoch())
    for one in MARKETS:
        run.do(c.ListMarket(one))
        run.do(c.UpdateIndex(one.id, INDEX, 0, START, "benchmark"))
    return run


def populated(journal: list[Event] | None = None) -> Run:
    """Makers that are asked in every market, traders, and a position of each of them in each market."""
    run = listed(journal)
    for account in (*MAKERS, *TRADERS):
        run.do(c.RegisterAgent(owner(account), "benchmark"))
        run.do(c.BindSlot(account, account // 100 + 1, account % 100))
        run.do(c.CreditDeposit(account, 10**13, f"deposit {account}"))
    for one in MARKETS:
        for step, trader in enumerate(TRADERS):
            maker, side = MAKERS[step % len(MAKERS)], 1 if step % 4 < 2 else -1
            run.do(c.SetQuotes(maker, one.id, ((INDEX - 1, 1_000),), ((INDEX + 1, 1_000),), START + SECOND))
            run.do(c.OpenRequest(trader, f"first {one.id}", one.id, side, 1_000, INDEX + side, SECOND))
            run.do(c.CancelAll(maker))
    for maker in MAKERS:
        run.do(c.Subscribe(maker, tuple(one.id for one in MARKETS)))
    return run


def round_trips(run: Run, cycles: int, name: str) -> None:
    """Requests, five answers each, and fills; markets, sides, traders and the best maker take turns."""
    do, expires, best = run.do, run.now + SECOND, len(MAKERS)
    for cycle in range(cycles):
        one, side = cycle % len(MARKETS) + 1, 1 if cycle // 50 % 2 else -1
        trader = TRADERS[cycle % len(TRADERS)]
        opened = do(c.OpenRequest(trader, f"{name}{cycle}", one, side, 10, INDEX + 1_000 * side, SECOND))
        request = opened[0].request  # type: ignore[attr-defined]
        for step, maker in enumerate(MAKERS):
            away = 100 + (step + cycle) % best
            do(c.AnswerRequest(maker, request, INDEX - away, INDEX + away, 10, 1, expires))


def accepted_trips(run: Run, cycles: int, name: str) -> None:
    """The same, but the trader accepts the quote itself."""
    do, expires, best = run.do, run.now + SECOND, len(MAKERS)
    for cycle in range(cycles):
        one, side = cycle % len(MARKETS) + 1, 1 if cycle // 50 % 2 else -1
        trader = TRADERS[cycle % len(TRADERS)]
        opened = do(
            c.OpenRequest(trader, f"{name}{cycle}", one, side, 10, INDEX + 1_000 * side, SECOND, auto=False)
        )
        request = opened[0].request  # type: ignore[attr-defined]
        quote = 0
        for step, maker in enumerate(MAKERS):
            away = 100 + (step + cycle) % best
            given = do(c.AnswerRequest(maker, request, INDEX - away, INDEX + away, 10, 1, expires))
            if away == 100:
                quote = given[0].quote  # type: ignore[attr-defined]
        do(c.AcceptQuote(trader, request, quote))


def standing_fills(run: Run, cycles: int, name: str) -> None:
    """Requests that a standing quote fills at once."""
    for one in MARKETS:
        run.do(c.SetQuotes(16, one.id, ((INDEX - 100, 10**6),), ((INDEX + 100, 10**6),), run.now + SECOND))
    for cycle in range(cycles):
        market, side = cycle % len(MARKETS) + 1, 1 if cycle // 50 % 2 else -1
        trader = TRADERS[cycle % len(TRADERS)]
        run.do(c.OpenRequest(trader, f"{name}{cycle}", market, side, 10, INDEX + 1_000 * side, SECOND))
    run.do(c.CancelAll(16))


def quote_updates(run: Run, cycles: int, name: str) -> None:
    """A maker replaces all of ten levels a side, in a market where four others stand with as many."""
    sizes = [(step, 1_000) for step in range(10)]
    for cycle in range(cycles):
        middle = INDEX + cycle % 7
        bids = tuple((middle - 50 - step, size) for step, size in sizes)
        asks = tuple((middle + 50 + step, size) for step, size in sizes)
        run.do(c.SetQuotes(MAKERS[cycle % len(MAKERS)], 1, bids, asks, run.now + SECOND))


def crowded(run: Run) -> Run:
    """The same exchange with open interest where initial fractions grow with it: what opens or closes values everyone anew."""
    for one in MARKETS:
        terms = run.state.markets[one.id].margin_terms
        steep = replace(terms, open_interest_lower=1, open_interest_upper=10**18)
        run.do(c.SetLimits(one.id, margin=steep, force=True, who="bench", why="measured"))
    return run


def seconds(run: Run, measured: Callable[[Run, int, str], None], cycles: int) -> list[float]:
    """Time of each repetition, after one that is not counted, without the collector's work on what was there before."""
    measured(run, cycles // 5, f"{measured.__name__} warm ")
    taken = []
    for repetition in range(REPETITIONS):
        gc.collect()
        gc.freeze()
        started = time.perf_counter()
        measured(run, cycles, f"{measured.__name__} {repetition} ")
        taken.append(time.perf_counter() - started)
    return taken


def main() -> None:
    cycles = int(sys.argv[1]) if len(sys.argv) > 1 else CYCLES
    run = populated()
    rows, reached = [], 0.0
    for what, measured, state in (
        ("request, 5 answers, best one fills", round_trips, run),
        ("request, 5 answers, accept", accepted_trips, run),
        ("request filled by a standing quote", standing_fills, run),
        ("10 x 2 standing levels replaced", quote_updates, run),
        ("the first, where margin grows with open interest", round_trips, crowded(populated())),
    ):
        taken = seconds(state, measured, cycles)
        median, best = cycles / statistics.median(taken), cycles / min(taken)
        rows.append((what, f"{1e6 / median:.1f}", f"{median:,.0f}", f"{best:,.0f}"))
        reached = reached or median
    print("## Engine\n")
    print(f"{ABOUT} {cycles:,} cycles, median and best of {REPETITIONS} repetitions. {NOISE}\n")
    print(table(["what", "us each", "per second", "best per second"], rows), end="\n\n")
    ratio = f"{reached:,.0f} ({reached / TARGET:.2f} x)"
    print(targets([Target("cycles per second, plain CPython", f"{TARGET:,}", ratio, reached >= TARGET)]))


if __name__ == "__main__":
    main()
