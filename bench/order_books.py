"""Our book of standing quotes as a price-time limit order book, against the order-book packages of PyPI.

    python -m bench.order_books [EVENTS]

One seeded stream of limit orders and cancels, of which some match, goes through each. A peer is installed into an environment of
its own under `.bench/` the first time, and left out with a sentence where that cannot be done.
"""

import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bench.engine import Run, listed, owner
from bench.order_book_peers import PEERS, Order, timed
from bench.report import NOISE, Target, table, targets
from core.events import RequestClosed
from core.quantities import SECOND
from matcher import commands as c
from matcher.book import Ladder, Level
from matcher.limits import QUOTE_LIFE_MAX

EVENTS: Final = 200_000
ROUNDS: Final = 5
SEED: Final = 11
TARGET: Final = 1.5
OURS: Final = "our ladders"
MIDDLE: Final = 100_000
AGENTS: Final = 500
FIRST_AGENT: Final = 16
ENVIRONMENTS: Final = Path(__file__).parent.parent / ".bench"
PATIENCE_S: Final = 120

DIFFERENCES: Final = """Not like for like, in these ways:
- *our ladders* are the two sides of the book alone, as the peers are; our orders carry an owner, an expiry and the index price at
  which they were given, the peers' do not;
- *limit-order-book* and *orderly-chaos* are C++ and C underneath: what is measured is their calls from Python. They refuse to cancel
  what has traded, so they are asked first; neither makes an event of a trade, and the first tells nobody what was traded;
- *matching-engine* makes an event for every order, trade and cancel, and runs on Python 3.12 where it needs that;
- *our exchange* plays the same stream through the whole rules: every order an agent's standing quote or request with margin, caps and
  oracle band checked, every change an event; what a taker does not get it does not leave standing, so its later book differs."""


def stream(events: int) -> list[Order]:
    """Limit orders around a price that wanders, two in five cancelled some time; about a quarter of them trade."""
    rng = random.Random(SEED)
    orders: list[Order] = []
    resting: list[tuple[int, int]] = []
    middle, id = MIDDLE, 0
    while len(orders) < events:
        if resting and rng.random() < 0.4:
            at = rng.randrange(len(resting))
            resting[at], resting[-1] = resting[-1], resting[at]
            cancelled, side = resting.pop()
            orders.append((1, cancelled, side, 0, 0))
            continue
        id += 1
        side = rng.choice((1, -1))
        price = middle - side * (int(rng.expovariate(1 / 25)) - 4)
        orders.append((0, id, side, price, rng.randint(1, 100)))
        resting.append((id, side))
        middle += rng.choice((-1, 0, 0, 0, 1))
    return orders


def ladders(orders: list[Order]) -> tuple[int, int]:
    """Both sides of our book: match against the one, stand in the other."""
    asks, bids, traded = Ladder(1), Ladder(-1), 0
    for cancels, id, side, price, size in orders:
        if cancels:
            (bids if side > 0 else asks).remove(id)
            continue
        left, other = size, asks if side > 0 else bids
        while left and (best := other.best()) is not None and (best.price - price) * side <= 0:
            if best.size > left:
                best.size -= left
                left = 0
            else:
                left -= best.size
                other.remove(best.quote)
        if left:
            (bids if side > 0 else asks).add(Level(id, 0, 0, price, left, 0, 0))
        traded += size - left
    return traded, sum(level.size for ladder in (asks, bids) for level in ladder)


def exchange(orders: list[Order]) -> tuple[int, None]:
    """The whole exchange: what would trade at once is a request, all else a standing quote, replacing its agent's earlier one."""
    run, traded = _with_agents(), 0
    state, expires = run.state, run.now + QUOTE_LIFE_MAX
    asks, bids = state.book.asks[1], state.book.bids[1]
    for cancels, id, side, price, size in orders:
        agent = FIRST_AGENT + id % AGENTS
        best = (asks if side > 0 else bids).best()
        if cancels:
            command: c.Command = c.CancelAll(agent)
        elif best is not None and (best.price - price) * side <= 0:
            command = c.OpenRequest(agent, f"{id}", 1, side, size, price, SECOND)
        elif side > 0:
            command = c.SetQuotes(agent, 1, ((price, size),), (), expires)
        else:
            command = c.SetQuotes(agent, 1, (), ((price, size),), expires)
        for event in run.do(command):
            if type(event) is RequestClosed:
                traded += event.filled
    return traded, None


def _with_agents() -> Run:
    run = listed()
    run.do(c.UpdateIndex(1, MIDDLE, 0, run.now, "benchmark"))
    for number in range(AGENTS):
        account = FIRST_AGENT + number
        run.do(c.RegisterAgent(owner(account), "benchmark"))
        run.do(c.BindSlot(account, number // 100 + 1, number % 100))
        run.do(c.CreditDeposit(account, 10**13, f"deposit {account}"))
    return run


def rounds(orders: list[Order]) -> tuple[dict[str, list[dict[str, Any]]], list[str]]:
    """Figures of each book, one a round, and a sentence on each peer that is missing.

    All play in every round, so that other work on the machine slows one about as much as another.
    """
    pythons = {package: _environment(package) for package in PEERS}
    missing = [_MISSING.format(package) for package, python in pythons.items() if python is None]
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "orders.json"
        path.write_text(json.dumps(orders))
        for _ in range(ROUNDS):
            found.setdefault(OURS, []).append(timed(ladders, orders))
            for package, python in pythons.items():
                if python is not None:
                    found.setdefault(package, []).append(_played(python, package, path))
            found.setdefault("our exchange", []).append(timed(exchange, orders))
    return found, missing


_MISSING: Final = "{} could not be installed here, neither on this Python nor on Python 3.12: left out."


def _played(python: Path, package: str, stream: Path) -> dict[str, Any]:
    script = Path(__file__).parent / "order_book_peers.py"
    command = [str(python), str(script), package, str(stream)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def _environment(package: str) -> Path | None:
    """A Python that has the package, installed on the first one that can; None when none can."""
    for python in _pythons():
        version = _run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
        if version is None:
            continue
        home = ENVIRONMENTS / f"{package}-{version.strip()}"
        inside, ready = home / "bin" / "python", home / "ready"
        if not ready.exists():
            print(f"installing {package} on Python {version.strip()} into {home} ...", file=sys.stderr)
            quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]
            if _run([python, "-m", "venv", str(home)]) is None or _run([str(inside), *quiet]) is None:
                continue
            ready.touch()
        return inside
    return None


def _pythons() -> Iterator[str]:
    yield sys.executable
    for found in (shutil.which("python3.12"), *Path.home().glob(".pyenv/versions/3.12*/bin/python")):
        if found is not None:
            yield str(found)


def _run(command: list[str]) -> str | None:
    """What a command prints; None when it fails, is missing or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def main() -> None:
    events = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    orders = stream(events)
    found, missing = rounds(orders)
    rates = {name: [events / figures["seconds"] for figures in one] for name, one in found.items()}
    rows = []
    for name, one in found.items():
        told = [one[0][what] if one[0][what] is not None else "-" for what in ("traded", "resting")]
        rows.append((name, f"{statistics.median(rates[name]):,.0f}", f"{max(rates[name]):,.0f}", *told))
    print("## Order books\n")
    print(f"{events:,} limit orders and cancels, seed {SEED}, median and best of {ROUNDS} rounds. {NOISE}\n")
    print(table(["book", "events per second", "best", "traded", "resting"], rows), end="\n\n")
    for sentence in missing:
        print(f"{sentence}\n")
    print(DIFFERENCES, end="\n\n")
    print(targets(against(rates, name) for name in PEERS if name in rates))


def against(rates: dict[str, list[float]], peer: str) -> Target:
    """Our ladders against a peer: the median of the rounds' ratios."""
    ratio = statistics.median(ours / theirs for ours, theirs in zip(rates[OURS], rates[peer], strict=True))
    return Target(f"our ladders against {peer}", f"{TARGET} x", f"{ratio:.2f} x", ratio >= TARGET)


if __name__ == "__main__":
    main()
