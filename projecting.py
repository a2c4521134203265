"""The process that projects: the journal into PostgreSQL, until told to stop."""

import asyncio
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import psycopg
import structlog

from core.hosts import only_hosts
from core.quantities import SECOND
from endings import told_to_stop
from ledger.projector import JournalDiffers, JournalGap, Projector, ProjectorBusy
from matcher.tail import Tail, lies_there
from places import database_url
from settings import Settings

PROJECT_EVERY_S: Final = 0.05
PROJECT_AGAIN_S: Final = 1.0
FORGET_EVERY_S: Final = 1.0
_log = structlog.get_logger("projecting")


async def serve_projector(settings: Settings) -> None:
    """Follow the journal into PostgreSQL until told to stop, whatever happens to the database meanwhile.

    Raises `JournalDiffers` when the database has projected another journal, `JournalCorrupt` when the journal cannot be read.
    """
    stopped = told_to_stop()
    while not stopped.is_set():
        try:
            await _project(settings, stopped)
        except (psycopg.OperationalError, ProjectorBusy, JournalGap) as error:
            _log.warning("projecting again soon", why=only_hosts(str(error).strip()))
            await _pause(stopped, PROJECT_AGAIN_S)


async def _project(settings: Settings, stopped: asyncio.Event) -> None:
    """One connection's life. The last projected record is handed in again, as the proof that it is the same journal."""
    journal = settings.perpdex_data / "journal"
    journal.mkdir(parents=True, exist_ok=True)
    forget_at, looked_at = time.monotonic(), 0
    with closing(Projector(database_url(settings))) as projector:
        _log.info("projecting", after=projector.sequence)
        with closing(Tail(journal, max(0, projector.sequence - 1))) as tail:
            while not stopped.is_set():
                records = tail.read()
                if records:
                    projector.apply(records)
                if time.monotonic() >= forget_at:
                    forget_at = time.monotonic() + FORGET_EVERY_S
                    projector.forget_unfilled(settings.requests_kept_days * 24 * 3_600 * SECOND)
                if records:
                    continue
                if 0 < tail.synced < projector.sequence and tail.synced != looked_at:
                    looked_at = tail.synced
                    _must_be_there(journal, projector)
                if tail.replaced:
                    return
                await _pause(stopped, PROJECT_EVERY_S)


def _must_be_there(journal: Path, projector: Projector) -> None:
    """Raise `JournalDiffers` unless the journal has the last projected record.

    A watermark below it is no proof: a crash of the machine sets that back, and it stays there until the engine starts. But what was
    projected had been synced, so the record itself is there, or the journal was cut short.
    """
    event = lies_there(journal, projector.sequence)
    if event is None:
        raise JournalDiffers(
            f"the journal has no record {projector.sequence}, which this database has: it was cut short or is another one"
        )
    projector.apply([(projector.sequence, event)])


async def _pause(stopped: asyncio.Event, seconds: float) -> None:
    """Wait, but not longer than until told to stop."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopped.wait()
