"""Funding of one hour for 100,000 positions, next to a naive loop that pays each account by itself.

python -m bench.funding [POSITIONS]
"""

import gc
import statistics
import sys
import time
from collections.abc import Callable
from typing import Final

import msgspec

from api.lag import LAG_MAX
from api.streams import Streams
from bench.engine import INDEX, START, owner
from bench.report import NOISE, Target, table, targets
from core import events as e
from core.accounts import INSURANCE, TREASURY
from core.funding import HOUR, charge_per_lot, payment
from core.funding_hour import hour_of
from core.market import DEFAULT_MARKETS
from core.quantities import MILLISECOND, SECOND, share_down
from matcher import commands as c
from matcher.apply import apply
from matcher.decide import decide
from matcher.holding import hold
from matcher.image import dump, load
from matcher.state import Exchange, conserved

POSITIONS: Final = 100_000
REPETITIONS: Final = 5
LONG_NEAR: Final = 17
"""What the ids of accounts near the edge leave when divided by `NEAR`: those of longs are odd."""
MARKET: Final = DEFAULT_MARKETS[0]
_encode: Final = msgspec.msgpack.Encoder().encode

NEAR: Final = 100
"""One account in so many, a long, has as much as a micro-USDC above maintenance before the hour ends."""

ABOUT: Final = """\
One hour of one market ends and is paid. Every second account is long, every hundredth made quotes, and every hundredth is a long at
its maintenance requirement. With its end the hour is owed: that is what makes accounts liquidatable, and whoever it brings to an edge
is looked at, a few at a time. The payment is decided, applied and encoded as a journal record; the naive loop does the same amounts
account by account, a record each, applied and encoded by itself. The exchange does nothing else while an hour is ended, or is paid, so
these are how long everybody waits once an hour. Then the payment's record is numbered in the private streams of all. Others
have their turn between the parts of looks and of the numbering."""


class Paid(e.Event, frozen=True, array_like=True, tag=90):
    """What the naive loop writes for each account."""

    market: int
    hour: int
    account: int
    amount: int
    treasury: int
    insurance: int


def populated(positions: int) -> tuple[Exchange, int]:
    """An exchange with so many positions, all looked at, and an hour that is over but whose end has no record yet; and the hour."""
    state = Exchange()
    hour = hour_of(START)
    for command in (
        c.StartEpoch(),
        c.ListMarket(MARKET),
        c.UpdateIndex(MARKET.id, INDEX + 7, 0, START, "benchmark"),
    ):
        play(state, command, START)
    value = MARKET.notional(INDEX, 1)
    for number in range(positions):
        registered = play(state, c.RegisterAgent(owner(number + 1), "benchmark"), START)[0]
        account = state.accounts[registered.account]  # type: ignore[attr-defined]
        size = (1 + number // 2 % 97) * (1 if number % 2 else -1)
        hold(state, account, MARKET.id, size, size * value)
    stood = tuple((id, 1) for id in range(16, 16 + positions, 100))
    for id in range(16, 16 + positions):
        standing = state.margin_of(state.accounts[id])
        edge = standing.maintenance - standing.equity
        paid = edge + 1 if id % NEAR == LONG_NEAR else edge + 10 * value
        apply(state, e.DepositCredited(START, id, paid, f"deposit {id}"))
    sampled = e.PremiumSampled(START, MARKET.id, hour, 10**9, INDEX + 7, 0, 0, len(stood), (), stood)
    apply(state, sampled)
    play(state, c.UpdateIndex(MARKET.id, INDEX + 7, 0, hour * HOUR, "benchmark"), hour * HOUR)
    assert conserved(state)
    return state, hour


def play(state: Exchange, command: c.Command, at: int) -> list[e.Event]:
    events = decide(state, command, at)
    assert type(events) is list, events
    for event in events:
        apply(state, event)
    return events


def in_one_pass(state: Exchange, hour: int) -> int:
    """Bytes of the record."""
    return sum(len(_encode(event)) for event in play(state, c.SettleFunding(MARKET.id, hour), hour * HOUR))


def one_by_one(state: Exchange, hour: int) -> int:
    """Bytes of all records."""
    funding, accounts = state.funding[MARKET.id], state.accounts
    makers, share = funding.unpaid[0].makers, 1_000_000 - MARKET.funding.treasury_share
    charge = charge_per_lot(MARKET.notional(INDEX + 7, 1), 12_500_000)
    written, left = 0, 0
    for account in list(accounts.values()):
        position = account.positions.get(MARKET.id)
        if position is None:
            continue
        amount, treasury = int(payment(position.size, charge)), 0
        if amount < 0 and account.id in makers:
            kept = share_down(-amount, share)
            treasury, amount = -amount - kept, -kept
        left += amount - treasury
        event = Paid(hour * HOUR, MARKET.id, hour, account.id, amount, treasury, 0)
        accounts[event.account].balance -= event.amount
        accounts[TREASURY].balance += event.treasury
        accounts[event.account].number += 1
        state.seq += 1
        written += len(_encode(event))
    accounts[INSURANCE].balance += left
    return written


def looked(state: Exchange) -> bool:
    """Give the next few accounts their look; whether any are left."""
    state.watch.look(state)
    return state.watch.behind


def begun(image: bytes) -> Exchange:
    """The exchange of an image with everybody looked at, as before the next record."""
    state = load(image)
    while looked(state):
        pass
    gc.collect()
    gc.freeze()
    return state


def numbered(streams: Streams) -> bool:
    """Do the next part of the numbering; whether any is left."""
    streams.go_on()
    return streams.behind


def parts(step: Callable[[], bool]) -> list[float]:
    """Time of each part, the last of which finds nothing left."""
    taken, more = [], True
    while more:
        started = time.perf_counter()
        more = step()
        taken.append(time.perf_counter() - started)
    return taken


def around(before: bytes, ended: bytes, hour: int) -> list[tuple[str, ...]]:
    """The hour's end and what follows it, and what follows its payment, part by part."""
    state = begun(before)
    started = time.perf_counter()
    (end,) = play(state, c.Advance(), hour * HOUR)
    end_took = [time.perf_counter() - started]
    assert isinstance(end, e.HourEnded), end
    looks = parts(lambda: looked(state))
    near = sum(id % NEAR == LONG_NEAR for id in state.holding(MARKET.id))
    assert len(state.watch.due) == near, (len(state.watch.due), near)
    state = begun(ended)
    (event,) = play(state, c.SettleFunding(MARKET.id, hour), hour * HOUR)
    looks_again = parts(lambda: looked(state))
    streams = Streams({})
    started = time.perf_counter()
    streams.take(state.seq, event)
    streamed = [time.perf_counter() - started, *parts(lambda: numbered(streams))]
    return [
        (
            what,
            str(len(taken)),
            f"{sum(taken) * 1e3:.0f}",
            f"{statistics.median(taken) * 1e3:.2f}",
            f"{max(taken) * 1e3:.2f}",
        )
        for what, taken in (
            ("hour ended", end_took),
            (f"looked at after it: {near:,} to liquidate", looks),
            ("looked at after the payment", looks_again),
            ("payment numbered in streams", streamed),
        )
    ]


def seconds(image: bytes, hour: int, measured: Callable[[Exchange, int], int]) -> tuple[float, int]:
    """Time on an exchange of its own, and the bytes written."""
    state = load(image)
    gc.collect()
    gc.freeze()
    started = time.perf_counter()
    written = measured(state, hour)
    taken = time.perf_counter() - started
    assert conserved(state)
    return taken, written


def main() -> None:
    positions = int(sys.argv[1]) if len(sys.argv) > 1 else POSITIONS
    state, hour = populated(positions)
    before, rows, medians = dump(state), [], []
    play(state, c.Advance(), hour * HOUR)
    image = dump(state)
    ways = {"one record, one pass": in_one_pass, "a record for each account": one_by_one}
    # In turns: what else the machine does meanwhile falls on both.
    repetitions = [[seconds(image, hour, measured) for measured in ways.values()] for _ in range(REPETITIONS)]
    for what, runs in zip(ways, zip(*repetitions, strict=True), strict=True):
        taken, written = [took for took, _ in runs], runs[0][1]
        median = statistics.median(taken)
        medians.append(median)
        rows.append(
            (
                what,
                f"{median * 1e3:.0f}",
                f"{min(taken) * 1e3:.0f}",
                f"{median / positions * 1e6:.2f}",
                f"{written / 1e6:.2f}",
            )
        )
    print("## Funding\n")
    print(f"{ABOUT} {positions:,} positions, median and best of {REPETITIONS} repetitions. {NOISE}\n")
    print(table(["what", "ms", "best ms", "us a position", "MB in the journal"], rows), end="\n\n")
    print(
        table(
            ["around it", "parts", "ms in all", "median part, ms", "longest, ms"],
            around(before, image, hour),
        ),
        end="\n\n",
    )
    share = medians[0] / medians[1]
    turn = medians[0] * SECOND
    print(
        targets(
            [
                Target("one pass against the naive loop", "at most as long", f"{share:.2f}", share <= 1),
                Target(
                    "an hour paid: one turn of the loop",
                    f"{LAG_MAX // MILLISECOND} ms",
                    f"{turn / MILLISECOND:.0f} ms",
                    turn <= LAG_MAX,
                ),
            ]
        )
    )


if __name__ == "__main__":
    main()
