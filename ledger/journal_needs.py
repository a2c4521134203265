"""Which records of the journal the ledger, and what is not finished in it, may still ask for."""

from typing import Final

import psycopg

from core.batches import BatchStatus
from ledger.database import libpq_url

_UNSETTLED: Final = """
    select batch, after_seq from cuts
    where status < %s or (fills > 0 and not exists (select from batches where batches.batch = cuts.batch))
    order by batch limit 1
"""
_SETTLED: Final = "select batch, seq from cuts order by batch desc limit 1"
_LIQUIDATIONS: Final = """
    select liquidation, seq from liquidations where ended_at = 0 or ended_at > %s order by seq limit 1
"""


def journal_needs(url: str, since: int) -> list[tuple[int, str]]:
    """For each who needs records: the sequence after which, and a phrase that says who and why.

    Liquidations that ended after the instant `since` (nanoseconds) can be explained from what stays. Raises `psycopg.Error`.
    """
    with psycopg.connect(libpq_url(url)) as connection:
        # The projector does not wait for the disk. Committing this forces what is seen here to it, or a crash of the
        # server could take the ledger back to before the records that are gone.
        connection.execute("set synchronous_commit = on")
        connection.execute("set transaction isolation level repeatable read")
        row = connection.execute("select sequence from cursor").fetchone()
        projected = row[0] if row is not None else 0
        unsettled = connection.execute(_UNSETTLED, (BatchStatus.FINAL,)).fetchone()
        settled = unsettled or connection.execute(_SETTLED).fetchone()
        liquidation = connection.execute(_LIQUIDATIONS, (since,)).fetchone()
        connection.execute("select pg_logical_emit_message(true, 'perpdex', 'what was seen is to stay')")
    # The projector hands in its last record once more when it starts.
    needs = [(max(0, projected - 1), f"the ledger, which has got to record {projected}")]
    match unsettled, settled:
        case None, None:
            needs.append((0, "settlement, which has not cut a batch yet"))
        case None, (batch, seq):
            needs.append((seq, f"settlement, whose next batch follows batch {batch}"))
        case (batch, after), _:
            needs.append((after, f"batch {batch}, which is not final or whose proofs are not stored"))
    if liquidation is not None:
        number, seq = liquidation
        needs.append((seq - 1, f"`explain` of liquidation {number}, which goes on or ended in these days"))
    return needs
