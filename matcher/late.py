"""When the chain is too far behind for anybody to take on more risk: who loses could leave with what it held before. Reads only.

An owner that asks to leave is paid what the chain holds after the exit delay, whatever was lost since the last batch that landed; and
of one that lowers its loss limit no batch takes what it lost, once the lower one counts. So once the chain holds equities older than
half of the shorter delay, nothing is traded but what reduces: whoever asked when batches stopped still waits as long again, and what
can be lost is what is open then.
"""

from typing import Final

from core.quantities import SECOND
from matcher.limits import LATE_LEAST

NEVER: Final = 0


def margin(delay: int) -> int:
    """Nanoseconds that the chain may be behind for a delay in seconds: half of it, but `LATE_LEAST` at least."""
    return max(delay * SECOND // 2, LATE_LEAST)


def too_late(since: int, delay: int, at: int) -> bool:
    """Whether the chain, with equities of the instant `since`, is too far behind at `at`; never without a delay or an instant."""
    return 0 < since <= at - margin(delay) if delay else False


def late_at(since: int, delay: int, late: bool) -> int:
    """The instant at which growth is to stop; `NEVER` when it has, or when nothing is known of the chain."""
    return NEVER if late or not since or not delay else since + margin(delay)
