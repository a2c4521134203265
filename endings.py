"""How a process ends: when it is told to, or because it cannot start or go on. What was to be expected of that is one sentence and an
exit code, anything else is a traceback."""

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from core.hosts import only_hosts

CANNOT: Final = 1


class NotReachable(Exception):
    """Another part that is needed from the start does not answer, or nobody said where it is. The text says what to do."""


def told_to_stop() -> asyncio.Event:
    """Set by SIGINT or SIGTERM from now on, as long as the running loop runs."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


@contextmanager
def told() -> Iterator[None]:
    """End the process with a sentence on standard error for what `sentence` knows."""
    try:
        yield
    except Exception as error:
        text = sentence(error)
        if text is None:
            raise
        print(text, file=sys.stderr)
        raise SystemExit(CANNOT) from None


def sentence(error: Exception) -> str | None:
    """What happened and what to do about it; None for what nobody expected."""
    # Here, because each process uses a few of these floors, and only who fails needs the names of all.
    import psycopg
    from pydantic import ValidationError
    from sqlalchemy.exc import SQLAlchemyError
    from temporalio.service import RPCError

    from chain.cluster import WrongCluster
    from chain.keys import KeyFileRefused
    from chain.signers.interface import SigningFailed
    from core.vault_risk import NotRules
    from fitting import DoesNotFit
    from ledger.projector import JournalDiffers
    from matcher.clock import ClockBehind
    from matcher.recovery import JournalCorrupt
    from matcher.segments import JournalInUse
    from oracles.feed import OnlyLive
    from oracles.recording import RecordingFailed
    from oracles.refusal import Refused
    from venues.registry import VenueUnknown

    match error:
        case JournalInUse():
            return f"{_first(error)}: stop it, or set PERPDEX_DATA to another directory."
        case JournalDiffers():
            return (
                f"{_first(error)}. Look at DATABASE_URL and PERPDEX_DATA. Where these are right, stop the exchange and run `perpdex "
                "ledger rebuild`, which says what to do. Never empty the database: what vaults have is in no journal."
            )
        case psycopg.Error() | SQLAlchemyError():
            return f"PostgreSQL cannot be used: {_first(error)}. Look at DATABASE_URL."
        case RPCError():
            return f"Temporal refuses: {_first(error)}. Look at TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE."
        case ValidationError():
            return wrong_setting(error)
        case SigningFailed():
            return f"{_first(error)} ({error.code}). Look at OPERATOR_KEY."
        case WrongCluster():
            return f"SOLANA_RPC_URL leads elsewhere: {_first(error)}."
        case (
            JournalCorrupt()
            | ClockBehind()
            | DoesNotFit()
            | NotReachable()
            | NotRules()
            | VenueUnknown()
            | KeyFileRefused()
            | OnlyLive()
            | RecordingFailed()
            | Refused()
            | OSError()
        ):
            return _first(error)
    return None


def wrong_setting(error: Exception) -> str | None:
    """Which settings cannot be read, and why; None for any other error."""
    from pydantic import ValidationError

    from settings import Settings

    if not isinstance(error, ValidationError) or error.title != Settings.__name__:
        return None
    return "; ".join(f"{_name(one['loc'])}{one['msg']}" for one in error.errors())


def _first(error: Exception) -> str:
    """The first line of what was said, which is where libraries say it; of addresses the hosts, as some have a password or a key."""
    return only_hosts((str(error).strip().splitlines() or [type(error).__name__])[0].rstrip("."))


def _name(location: tuple[int | str, ...]) -> str:
    return "".join(f"{part}: " for part in location).upper()
