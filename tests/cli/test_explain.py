"""`perpdex explain liquidation` over a journal that a real engine wrote, its own timer having driven the liquidation."""

import asyncio
from contextlib import closing

import base58
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from cli.main import app
from core import liquidation_events as le
from core.accounts import INSURANCE
from core.market import DEFAULT_MARKETS
from core.quantities import SECOND
from matcher import commands as c
from matcher.clock import SteadyClock
from matcher.engine import Engine
from matcher.records import encode
from matcher.recovery import JournalCorrupt
from matcher.segments import segments
from matcher.snapshot import prune
from matcher.tail import Tail

PATIENCE_S = 60
LOTS = 100_000
"""Worth 600,000 USDC at the index."""


SEGMENT_BYTES = 1_024


async def liquidated(directory, *, restarted=False):
    """A long at 50 times leverage, auctioned once and then taken over by the insurance fund; perhaps after a restart in between."""

    def begin():
        engine = Engine(directory, SteadyClock(), segment_bytes=SEGMENT_BYTES if restarted else 1 << 20)
        engine.listen(lambda _, event: over.set() if isinstance(event, le.LiquidationEnded) else None)
        return engine

    over = asyncio.Event()
    engine = begin()
    engine.submit(c.ListMarket(DEFAULT_MARKETS[0]), None)
    accounts = []
    for number, amount in enumerate((10**13, 13_000_000_000), 1):
        owner = base58.b58encode(number.to_bytes(32, "big")).decode()
        (registered,) = await engine.ask(c.RegisterAgent(owner, "a"))
        engine.submit(c.BindSlot(registered.account, 0, number + 1), None)
        engine.submit(c.CreditDeposit(registered.account, amount, f"d{number}"), None)
        accounts.append(registered.account)
    maker, trader = accounts
    engine.submit(c.CreditDeposit(INSURANCE, 10**11, "fund"), None)

    def at(price, bids, asks):
        engine.submit(c.SetQuotes(maker, 1, bids, asks, engine.clock() + 60 * SECOND), None)
        engine.submit(c.UpdateIndex(1, price, 0, engine.clock(), "test"), None)

    at(600_000, (), ())
    at(600_000, (), ((600_000, LOTS),))
    await engine.ask(c.OpenRequest(trader, "k", 1, 1, LOTS, 600_000, SECOND))
    if restarted:
        engine.close()
        engine = begin()
    at(593_000, ((592_990, 5_000),), ())
    while trader not in engine.state.liquidations:
        await asyncio.sleep(0)
    at(589_000, (), ())
    async with asyncio.timeout(PATIENCE_S):
        await over.wait()
    engine.close()


@pytest.fixture
def journal(tmp_path):
    directory = tmp_path / "journal"
    asyncio.run(liquidated(directory))
    return directory


def explained(directory, number=1):
    return CliRunner().invoke(app, ["explain", "liquidation", str(number), "--journal", str(directory)])


def test_every_step_is_told_and_holds(journal):
    result = explained(journal)
    assert result.exit_code == 0, result.output
    for told in (
        "liquidation 1, derived from the first record on",
        "it holds 10.0000 BTC-PERP at mark 59300.0",
        "auction of 2.0000 BTC-PERP",
        "taken over: below two thirds",
        "to the insurance fund for",
        "ended, taken over: equity 0.000000 USDC of 0.000000 USDC required",
        "every record follows from those before it",
    ):
        assert told in result.output, result.output


def test_it_begins_at_the_newest_snapshot_before_the_liquidation(tmp_path):
    directory = tmp_path / "journal"
    asyncio.run(liquidated(directory, restarted=True))
    whole = explained(directory)
    assert whole.exit_code == 0, whole.output
    older, newer = sorted(int(path.stem) for path in directory.glob("*.snapshot"))
    assert f"liquidation 1, derived from the snapshot of record {older} on" in whole.output
    # What was before it is not needed.
    assert prune(directory, newer)
    with closing(Tail(directory, 0)) as tail, pytest.raises(JournalCorrupt):
        tail.read()
    assert explained(directory).output == whole.output
    # Without it all of the journal is, and here that is gone.
    (directory / f"{older:020d}.snapshot").unlink()
    assert (explained(directory).exit_code, "no longer in the journal" in explained(directory).stderr) == (
        2,
        True,
    )


def test_a_changed_amount_is_shown_and_is_an_exit_code(journal):
    with closing(Tail(journal, 0)) as tail:
        records = tail.read()
    content = b""
    for sequence, event in records:
        if isinstance(event, le.TakenOver):
            (part,) = event.parts
            event = replace(event, parts=(replace(part, value=part.value + 1),))
        content += encode(sequence, 0, event)
    ((_, path),) = segments(journal)
    path.write_bytes(content.ljust(path.stat().st_size, b"\0"))
    result = explained(journal)
    assert result.exit_code == 1
    assert "DIFFERS: parts: recorded" in result.output
    assert "1 differences" in result.output


def test_what_there_is_not_is_said(journal, tmp_path):
    result = explained(journal, 2)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no liquidation 2 in the journal" in result.stderr
    assert "there is no journal" in explained(tmp_path / "none").stderr
    assert not (tmp_path / "none").exists()
