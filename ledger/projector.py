"""Projections of the journal: written in runs, exactly once, from the sequence where the last writer stopped."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import psycopg

from core.events import Event
from ledger.database import APPLICATION, PROJECTOR_LOCK, libpq_url
from ledger.rows import Rows

FORGOTTEN_AT_ONCE: Final = 5_000
"""Some 10 ms: no run of records waits long for it."""
_FORGET: Final = """
    delete from requests where request = any(array(
        select request from requests where filled = 0 and at < %s order by at limit %s
    ))
"""


class ProjectorBusy(Exception):
    """Another projector writes this database."""


class JournalGap(Exception):
    """The records do not follow the last projected one."""


class JournalDiffers(Exception):
    """The journal is not the one that this database has projected."""


class Projector:
    """Writes journal records into PostgreSQL. One transaction per call of `apply`, with the cursor in the same transaction.

    After any `psycopg.Error` it is unknown whether the run was written: open a new projector, which asks the cursor.
    """

    def __init__(self, url: str) -> None:
        """Connect and take the projector's lock. Raises `ProjectorBusy`, `psycopg.Error`."""
        self._connection = psycopg.connect(libpq_url(url), autocommit=True, application_name=APPLICATION)
        row = self._connection.execute("select pg_try_advisory_lock(%s)", (PROJECTOR_LOCK,)).fetchone()
        if row is None or not row[0]:
            self._connection.close()
            raise ProjectorBusy("another projector writes this database")
        # Losing the last commits in a crash of the server is no loss, because the cursor is lost with them and the journal has all;
        # not waiting for the disk leaves it to the journal.
        self._connection.execute("set synchronous_commit = off")
        self._connection.execute(
            "insert into cursor (id, sequence, at, fills) values (1, 0, 0, 0) on conflict do nothing"
        )
        found = self._connection.execute("select sequence, at, fills from cursor").fetchone()
        assert found is not None
        self.sequence, self._at, self._fills = found
        self._heads: dict[int, int] = dict(
            self._connection.execute("select account, head from streams").fetchall()
        )

    def apply(self, records: Sequence[tuple[int, Event]]) -> None:
        """Project records, which follow each other; those already projected are passed over.

        Handing in the last projected record again (reading the journal from `sequence - 1`) proves that the journal is the same
        one. Raises `JournalGap` or `JournalDiffers` before anything is written.
        """
        fresh = self._fresh(records)
        if not fresh:
            return
        rows = Rows(self._fills, dict(self._heads))
        for sequence, event in fresh:
            rows.add(sequence, event)
        last, at = fresh[-1][0], fresh[-1][1].at
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute(
                "update cursor set sequence = %s, at = %s, fills = %s where sequence = %s",
                (last, at, rows.fills, self.sequence),
            )
            if cursor.rowcount != 1:
                raise JournalGap(f"the ledger is no longer at record {self.sequence}")
            rows.write(cursor)
        self.sequence, self._at, self._fills, self._heads = last, at, rows.fills, rows.heads

    def forget_unfilled(self, older_than: int, limit: int = FORGOTTEN_AT_ONCE) -> int:
        """Delete up to `limit` requests that ended without a fill more than `older_than` nanoseconds before the last record.

        Returns how many; `limit` means that there may be more. Money, fills and the private streams are not touched.
        """
        return self._connection.execute(_FORGET, (self._at - older_than, limit)).rowcount

    def close(self) -> None:
        """Give the lock back and hang up. A connection that broke has lost it by itself, once the server notices."""
        # The server lets go of a closed connection's lock only when its process for it has ended, which may be after the next start.
        with suppress(psycopg.Error):
            self._connection.execute("select pg_advisory_unlock_all()")
        self._connection.close()

    def _fresh(self, records: Sequence[tuple[int, Event]]) -> list[tuple[int, Event]]:
        fresh = []
        expected = self.sequence
        for sequence, event in records:
            if sequence == self.sequence and event.at != self._at:
                raise JournalDiffers(
                    f"record {sequence} of the journal is not the one that this database has: they do not belong together"
                )
            if sequence <= self.sequence:
                continue
            if sequence != expected + 1:
                raise JournalGap(f"record {sequence} follows {expected} in the ledger")
            expected = sequence
            fresh.append((sequence, event))
        return fresh
