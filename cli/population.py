"""The demonstration agents of a run, and the screen that is shown while they trade."""

import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Final

from cli.figures import NotReadable, Reader
from cli.processes import StackFailed
from cli.screen import Screen
from cli.stack import AGENTS, Stack, Stopped
from cli.tally import Tally

READY_S: Final = 180.0
"""How long agents may take until each has a slot on chain and its deposit is credited."""


def start_population(stack: Stack, tally: Tally, counts: Mapping[str, int], stopped: threading.Event) -> None:
    """Start makers, then traders, each kind when the one before is funded. Raises `StackFailed` or `Stopped`."""
    for name in AGENTS:
        if not counts[name]:
            continue
        role = name.removesuffix("s")
        stack.start_agents(name, counts[name], partial(tally.hear, role))
        deadline = time.monotonic() + READY_S
        while not tally.ready(role):
            stack.watch()
            if time.monotonic() > deadline:
                raise StackFailed(
                    f"The {name} are not funded after {READY_S:.0f} s; see worker.log in {stack.child(name).log.parent}"
                )
            if stopped.wait(0.2):
                raise Stopped


def look(stack: Stack, tally: Tally, reader: Reader, screen: Screen, note: str = "") -> None:
    """One look at everything, for the screen. Raises `StackFailed` when a part has stopped."""
    stack.watch()
    try:
        screen.show(reader.figures(tally.so_far()), note)
    except NotReadable as error:
        screen.trouble(f"The API did not answer {error}")
