"""Print the gateway's section: floors, our exchange, the peer, and targets.

python -m bench.gateway
"""

from collections.abc import Iterable
from typing import Final

from bench.gateway import runs
from bench.gateway.load import Figures
from bench.gateway.peer import PACKAGE, PeerMissing
from bench.gateway.runs import Exchange, Synced
from bench.report import Target, milliseconds, table, targets

ROUNDS: Final = 3
MOST: Final = runs.CONNECTIONS[-1]
MS: Final = 1_000_000

ABOUT: Final = f"""\
Loopback WebSocket, the server in one process and all clients in another, journal on the disk that holds the code. Each of the
connections has one request open at a time; times are from the send to the final answer, which comes when the fill is on disk. A
request is answered either by standing quotes, or by a round trip: it is sent to ten makers, all ten quote, the best quote fills. The
server is the real one, but for the limits on what one account may send, and without what is around it: nothing is settled, no
ledger follows, prices stand still. {MOST} traders and thirty makers, ten for each of three markets. Fixed rates are timed from the
instant at which a request was due, over {MOST} connections. Round trips over {MOST} connections are the median of {ROUNDS} runs, each
on a server just started, in turn with runs without syncs; all other rows of ours are one run on one server. Where synced runs come out
near or above unsynced ones, the difference is noise, and the disk is not what limits."""

UNLIKE: Final = """\
Not like for like: ours authenticates every connection, checks margin, caps and the oracle band of both sides, and tells both sides
in numbered streams; the peer takes any account, keeps a price-time book without accounts' money, and answers over HTTP, one order
each. It gets what ours gets on standing quotes: orders that fill at once against a resting size, at limits, both sides in turn."""


def rows(name: str, figures: dict[int, Figures], unit: str) -> Iterable[tuple[str, ...]]:
    return ((f"{name}, {unit} {count:,}", *found.cells) for count, found in figures.items())


def section() -> str:
    """Run everything; the section in Markdown."""
    allocated, appended = runs.disk(preallocated=True), runs.disk(preallocated=False)
    echoed = runs.echo()
    ours = runs.exchange()
    try:
        peer, without = runs.peer(), ""
    except PeerMissing as missing:
        peer, without = {}, f"The peer `{PACKAGE}` is left out: {missing}."
    compared = runs.sync_compared(ROUNDS)
    lines = [
        ("write and `fdatasync`, preallocated file", *_sync_cells(allocated)),
        ("write and `fdatasync`, growing file", *_sync_cells(appended)),
        *rows("bare echo, picows", echoed, "connections:"),
        *rows("filled by standing quotes", ours.standing.closed, "connections:"),
        *rows("filled by standing quotes", ours.standing.rated, "requests a second:"),
        *rows("round trip over 10 makers", ours.asked.closed, "connections:"),
        *rows("round trip over 10 makers", {MOST: compared[True]}, "connections:"),
        *rows("round trip over 10 makers, sync left out", {MOST: compared[False]}, "connections:"),
        *rows("round trip over 10 makers", ours.asked.rated, "requests a second:"),
        *rows("`matching-engine` gateway", peer, "connections:"),
    ]
    found = targets(reached(allocated, echoed, ours, peer, compared))
    parts = [
        "## From the socket to the disk",
        ABOUT,
        table(("what", "p50 ms", "p99 ms", "per second"), lines),
    ]
    return "\n\n".join(filter(None, [*parts, UNLIKE if peer else without, found]))


def reached(
    disk: Synced,
    echoed: dict[int, Figures],
    ours: Exchange,
    peer: dict[int, Figures],
    compared: dict[bool, Figures],
) -> list[Target]:
    """The targets beside these figures; those `compared` are round trips by whether records are synced."""
    synced, unsynced = compared[True].per_second, compared[False].per_second
    floor, alone = echoed[1].p50 + disk.p50, ours.standing.closed[1].p50
    p99s = [ours.standing.rated[rate].p99 for rate in runs.RATES]
    standing = ours.standing.closed[MOST]
    results = [
        Target(
            "fill on standing quotes, one connection, p50",
            f"<= 2 x (echo + sync) = {milliseconds(2 * floor)} ms",
            f"{milliseconds(alone)} ms, {alone / floor:.1f} x",
            alone <= 2 * floor,
        ),
        Target(
            f"p99 at {' and '.join(f'{rate:,}' for rate in runs.RATES)} requests a second",
            "<= 10 ms",
            " and ".join(f"{milliseconds(p99)} ms" for p99 in p99s),
            max(p99s) <= 10 * MS,
        ),
        Target(
            f"round trips over 10 makers, {MOST} connections",
            ">= 15,000/s",
            f"{synced:,.0f}/s",
            synced >= 15_000,
        ),
        Target(
            "the same against no sync", ">= 0.7 x", f"{synced / unsynced:.2f} x", synced >= 0.7 * unsynced
        ),
    ]
    if peer:
        ratio = standing.per_second / peer[MOST].per_second
        results.append(
            Target(
                f"against the peer's gateway, {MOST} connections",
                ">= 10 x, p99 lower",
                f"{ratio:.1f} x, p99 {milliseconds(standing.p99)} against {milliseconds(peer[MOST].p99)} ms",
                ratio >= 10 and standing.p99 < peer[MOST].p99,
            )
        )
    return results


def _sync_cells(times: Synced) -> tuple[str, str, str]:
    return milliseconds(times.p50), milliseconds(times.p99), f"{1_000 * MS / times.p50:,.0f}"


if __name__ == "__main__":
    print(section())
