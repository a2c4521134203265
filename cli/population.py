"""The demonstration agents of a run, and the screen that is shown while they trade."""

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from cli.demo_vault import VAULT, VaultOpening, strategy_options
from cli.figures import NotReadable, Reader
from cli.processes import StackFailed
from cli.screen import Screen
from cli.stack import STRATEGY, Stack, Stopped
from cli.tally import Tally

READY_S: Final = 180.0
"""How long agents may take until each has a slot on chain and its deposit is credited."""
PAUSE_S: Final = 30.0
"""Of the vault's strategy in a run without end: each of its tickets is a workflow that Temporal keeps for a day."""


def start_population(
    stack: Stack,
    tally: Tally,
    counts: Mapping[str, int],
    stopped: threading.Event,
    opening: VaultOpening | None = None,
    pause_s: float = PAUSE_S,
) -> None:
    """Start makers, then traders, each kind when the one before is funded, and what trades the vault once that is open.

    `pause_s` is how long it waits between two rounds of tickets. Raises `StackFailed` or `Stopped`.
    """

    def until(ready: Callable[[], bool], not_yet: str, log: str = "worker") -> None:
        deadline = time.monotonic() + READY_S
        while not ready():
            stack.watch()
            if time.monotonic() > deadline:
                logs = stack.settings.perpdex_data / "logs"
                raise StackFailed(f"{not_yet} after {READY_S:.0f} s; see {log}.log in {logs}")
            if stopped.wait(0.2):
                raise Stopped

    def begin(name: str) -> None:
        if counts[name]:
            stack.start_agents(name, counts[name], partial(tally.hear, name.removesuffix("s")))

    def funded(name: str) -> None:
        until(lambda: not counts[name] or tally.ready(name.removesuffix("s")), f"The {name} are not funded")

    begin("makers")
    funded("makers")
    begin("traders")
    if opening is not None:
        until(opening.done, f"The vault {VAULT} is not open")
        stack.start_strategy(strategy_options(pause_s), partial(tally.hear, STRATEGY))
    funded("traders")
    if opening is not None:
        until(lambda: tally.ready(STRATEGY), f"The vault {VAULT} is not traded", STRATEGY)


def look(stack: Stack, tally: Tally, reader: Reader, screen: Screen, note: str = "") -> None:
    """One look at everything, for the screen. Raises `StackFailed` when a part has stopped."""
    stack.watch()
    try:
        screen.show(reader.figures(tally.so_far(), tally.vault), note)
    except NotReadable as error:
        screen.trouble(f"The API did not answer {error}")
