"""Open files enough for every connection that the doors take: whoever uses them up would stop the journal, and so the exchange."""

import resource
from typing import Final

from api import http_door, socket_door, socket_server
from api.callers import BACKLOG

OWN: Final = 1_000
"""The journal, snapshots, the ledger's connections, Temporal's, and those of whoever watches."""
NEEDED: Final = (
    http_door.CONNECTIONS_MAX + socket_server.CONNECTIONS_MAX + socket_door.WAITING_MAX + 2 * BACKLOG + OWN
)


class TooFewFiles(OSError):
    """The system does not let this process have the files that it may need."""


def open_files() -> None:
    """Take as many open files as are needed at most: a process' usual share, 1,024, is less. Raises `TooFewFiles`."""
    share, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if share == resource.RLIM_INFINITY or share >= NEEDED:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (NEEDED, most))
    except (ValueError, OSError):
        raise TooFewFiles(
            f"this process may have {most} files open, and its connections and its journal may need {NEEDED}: "
            f"raise its hard limit (ulimit -Hn, LimitNOFILE of systemd, --ulimit nofile of Docker)"
        ) from None
