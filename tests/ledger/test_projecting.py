"""The projecting process when the journal's watermark went back: after a crash of the machine, and after a person's repair."""

import asyncio
import struct
import time
from contextlib import asynccontextmanager, suppress

import psycopg
import pytest
from solders.keypair import Keypair

from endings import sentence
from ledger.projector import JournalDiffers
from matcher import commands as c
from matcher.engine import Engine
from matcher.records import record_at
from matcher.segments import WATERMARK, segments
from projecting import serve_projector
from settings import Settings


@asynccontextmanager
async def projecting(settings):
    task = asyncio.create_task(serve_projector(settings))
    yield task
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def engine_with_agents(journal, count):
    """An engine on the journal, and that many more agents in it."""
    engine = Engine(journal, time.time_ns, segment_bytes=1 << 20)
    for number in range(count):
        await engine.ask(c.RegisterAgent(str(Keypair().pubkey()), f"{number}"))
    return engine


async def reaches(url, sequence, task):
    """Return when the ledger has the record; raises what the projecting process ended with."""
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute("select sequence from cursor").fetchone() != (sequence,):
            if task.done():
                task.result()
            await asyncio.sleep(0.02)


def cut(journal, last):
    """Make zeros of all records after `last`, and forget everything that knew of them."""
    ((_, path),) = segments(journal)
    content, offset = bytearray(path.read_bytes()), 0
    while (stored := record_at(memoryview(bytes(content)), offset)) and stored.sequence <= last:
        offset = stored.end
    content[offset:] = bytes(len(content) - offset)
    path.write_bytes(content)
    for known in (*journal.glob("*.snapshot"), journal / WATERMARK):
        known.unlink()


async def test_a_watermark_that_went_back_is_waited_for_and_a_shorter_journal_is_refused(
    tmp_path, postgres_url
):
    settings, journal = Settings(perpdex_data=tmp_path, database_url=postgres_url), tmp_path / "journal"
    async with asyncio.timeout(60):
        engine = await engine_with_agents(journal, 4)
        short = engine.state.seq
        async with projecting(settings) as task:
            await reaches(postgres_url, engine.state.seq, task)
            # Made anew while the projector has the old file open.
            engine.close()
            (journal / WATERMARK).unlink()
            engine = await engine_with_agents(journal, 4)
            await reaches(postgres_url, engine.state.seq, task)
        engine.close()
        # After a crash of the machine, with the projector started before the engine.
        (journal / WATERMARK).write_bytes(struct.pack("@Q", short))
        async with projecting(settings) as task:
            await asyncio.sleep(0.2)
            engine = await engine_with_agents(journal, 4)
            await reaches(postgres_url, engine.state.seq, task)
        engine.close()
        cut(journal, short)
        engine = await engine_with_agents(journal, 2)
        with pytest.raises(JournalDiffers, match="the journal has no record") as refused:
            await serve_projector(settings)
        engine.close()
    assert "Never empty the database" in str(sentence(refused.value))
