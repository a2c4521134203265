"""Open files enough for every connection that the doors take: whoever uses them up would stop the journal, and so the exchange."""

import resource
from typing import Final

from api.callers import ROOM, Room

OWN: Final = 1_000
"""The journal, snapshots, the ledger's connections, Temporal's, and those of whoever watches."""
NEEDED: Final = OWN + ROOM.files
LEAST: Final = 2_048
"""With fewer files there is hardly room beside `OWN` for agents, and the process does not start."""
UNSAID: Final = 10_240
"""macOS' OPEN_MAX: it names no hard limit, and gives this many where it does not give what is asked for."""
RAISE: Final = "raise its hard limit (ulimit -Hn, LimitNOFILE of systemd, --ulimit nofile of Docker)"


class TooFewFiles(OSError):
    """The system does not let this process have the files that it needs at least."""


def open_files() -> int:
    """Take `NEEDED` open files, or as many as there are: the usual share, 1,024, is less. Returns how many this process may have.

    Raises `TooFewFiles` under `LEAST`.
    """
    share = _taken()
    if share < LEAST:
        raise TooFewFiles(
            f"this process may have {share} files open, and its journal and connections need {LEAST} at least: {RAISE}"
        )
    return share


def room_in(share: int) -> Room:
    """What fits into `share` open files beside `OWN`: each part of `ROOM` in proportion, rounded down."""
    left = min(share - OWN, ROOM.files)
    return Room(*(part * left // ROOM.files for part in ROOM))


def fewer(share: int, room: Room) -> str:
    """The sentence for whoever runs a process whose doors have less room than `ROOM`."""
    return (
        f"this process may have {share} files open where {NEEDED} would do: its doors take {room.http} HTTP connections, "
        f"{room.sockets} WebSockets and {room.waiting} that are about to become one; for more, {RAISE}"
    )


def _taken() -> int:
    share, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if share == resource.RLIM_INFINITY:
        return NEEDED
    limit = NEEDED if most == resource.RLIM_INFINITY else min(NEEDED, most)
    for count in (limit, min(limit, UNSAID)):
        if share < count and _given(count, most):
            return count
    return share


def _given(count: int, most: int) -> bool:
    """Whether the system gives `count`: it may keep a ceiling below the hard limit, which it tells nobody."""
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, most))
    except (ValueError, OSError):
        return False
    return True
