"""`perpdex journal`: how large the journal is, who still needs which of its records, and taking out what nobody needs."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import psycopg
import typer

from core.hosts import only_hosts
from core.quantities import SECOND
from endings import NotReachable
from ledger.journal_needs import journal_needs
from matcher.pruning import Need, Plan, PruneRefused, began, carry_out, plan
from matcher.recovery import JournalCorrupt
from matcher.room import free_bytes
from matcher.segments import JournalInUse, segments, synced_through, whereabouts
from matcher.snapshot import SnapshotUnreadable, bases, read, sequence_of, snapshots
from places import database_url
from settings import Settings

journal = typer.Typer(no_args_is_help=True, help="Look at the journal's files, and take old ones out.")

DAY: Final = 24 * 3600 * SECOND
MB: Final = 1_000_000


@journal.command()
def status() -> None:
    """Segments and snapshots, how far the ledger has got, and who needs which records."""
    settings = Settings()
    directory = settings.perpdex_data / "journal"
    with _told():
        _print_files(directory)
    print(
        f"disk: {free_bytes(directory) / MB:,.0f} MB free; requests are refused below {settings.disk_floor_mb:,} MB"
    )
    try:
        for after, why in _ledger_needs(settings, time.time_ns()):
            print(f"needed after record {after}: {why}")
    except PruneRefused as error:
        print(error)


@journal.command()
def prune(
    keep_days: Annotated[int, typer.Option(min=0, help="days whose records stay in any case")],
    archive: Annotated[Path | None, typer.Option(help="directory to which old segments are moved")] = None,
    delete: Annotated[bool, typer.Option("--delete", help="instead: delete them for good")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do it; otherwise only say what would be done")] = False,
) -> None:
    """Take out whole segments that nobody needs any more. May run beside the exchange."""
    if (archive is None) != delete:
        print("Say where old segments go: --archive DIR, or --delete.", file=sys.stderr)
        raise typer.Exit(2)
    settings = Settings()
    directory = settings.perpdex_data / "journal"
    before = time.time_ns() - keep_days * DAY
    with _told():
        planned = plan(directory, _ledger_needs(settings, before), before)
        _print_plan(planned, f"moved to {archive}" if archive else "deleted")
        if planned.files and yes:
            carry_out(directory, planned, archive)
            print("done; what was left is proven to lead to the newest snapshot")


def _ledger_needs(settings: Settings, since: int) -> list[Need]:
    try:
        return [Need(*one) for one in journal_needs(database_url(settings), since)]
    except (psycopg.Error, NotReachable) as error:
        raise PruneRefused(
            f"the ledger cannot be asked which records it still needs, so all of them stay: {only_hosts(str(error).strip())}"
        ) from error


def _print_plan(planned: Plan, how: str) -> None:
    stops = planned.needs[0]
    print(f"what stops at record {stops.after}: {stops.why}")
    if not planned.files:
        print("no whole segment is older than that: nothing to do")
        return
    size = sum(path.stat().st_size for path in planned.files)
    print(
        f"records up to {planned.through}, {len(planned.files)} segments, {size / MB:,.0f} MB, to be {how}:"
    )
    for path in planned.files:
        print(f"  {path.name}")


def _print_files(directory: Path) -> None:
    files = segments(directory)
    if not files:
        raise JournalCorrupt(f"there is no journal in {directory}")
    synced = synced_through(directory)
    size = sum(path.stat().st_size for _, path in files)
    print(f"{len(files)} segments, {size / MB:,.0f} MB, records {files[0][0]} to {synced}")
    # The last segment may be one that no record was written to yet.
    for label, (first, path) in (("oldest", files[0]), ("newest", files[-1])):
        if first <= synced:
            print(f"{label} segment: from record {first}, {_day(began(path))}, {path.name}")
    for path in [*snapshots(directory), *bases(directory)]:
        try:
            read(path)
            found = f"{path.stat().st_size / MB:,.1f} MB, whole"
        except SnapshotUnreadable as error:
            found = f"DAMAGED: {error}"
        print(f"{path.suffix.removeprefix('.')} of record {sequence_of(path)}: {found}")
    if gone := whereabouts(directory):
        print(gone)


def _day(at: int) -> str:
    return datetime.fromtimestamp(at / SECOND, UTC).isoformat(timespec="seconds")


@contextmanager
def _told() -> Iterator[None]:
    """What cannot be done is one sentence and an exit code."""
    try:
        yield
    except (PruneRefused, JournalCorrupt, JournalInUse, OSError) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
