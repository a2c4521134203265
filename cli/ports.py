"""TCP ports on 127.0.0.1: whether one is free, and free ones for runs that nobody has to find."""

import os
import socket
from contextlib import ExitStack, suppress
from itertools import cycle, islice
from secrets import randbelow
from typing import Final

from cli.processes import StackFailed

FIRST: Final = 20_000
EACH: Final = 600
PARTS: Final = 20
"""Ports that free ones are taken from: below those that systems give to outgoing connections (Linux from 32,768, macOS from 49,152),
so that none of these takes one before whom it was found for. Processes that start together have parts of their own."""
_BEGIN: Final = FIRST + os.getpid() % PARTS * EACH
_FROM: Final = randbelow(EACH)
_OURS: Final = cycle([*range(_BEGIN + _FROM, _BEGIN + EACH), *range(_BEGIN, _BEGIN + _FROM)])


def must_be_free(port: int, what: str, setting: str) -> None:
    """Raises `StackFailed` when something listens on a port already; the sentence names the setting that chooses another."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise StackFailed(
                f"Port {port} for {what} cannot be used ({error.strerror}): "
                f"stop what uses it, or set {setting} to another port."
            ) from None


def free_ports(count: int) -> list[int]:
    """Different ports that were free a moment ago. Raises `StackFailed` when there are not so many."""
    found: list[int] = []
    with ExitStack() as held:
        for port in islice(_OURS, EACH):
            if len(found) == count:
                break
            probe = held.enter_context(socket.socket())
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
    if len(found) < count:
        raise StackFailed(f"No {count} free ports were found on 127.0.0.1.")
    return found
