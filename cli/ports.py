"""TCP ports on 127.0.0.1: whether one is free, and free ones for runs that nobody has to find."""

import socket
from contextlib import ExitStack

from cli.processes import StackFailed


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
    """Different ports that were free a moment ago."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
