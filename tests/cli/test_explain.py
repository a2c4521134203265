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
from core.quantities import MONEY_MAX, SECOND
from matcher import commands as c
from matcher import pruning
from matcher.apply import apply
from matcher.clock import SteadyClock
from matcher.engine import Engine
from matcher.pruning import Need, carry_out, plan
from matcher.records import encode
from matcher.segments import segment_path, segments
from matcher.snapshot import save
from matcher.state import Exchange
from matcher.tail import Tail

PATIENCE_S = 60
LOTS = 100_000
"""Worth 600,000 USDC at the index."""


async def liquidated(directory):
    """A long at 50 times leverage, auctioned once and then taken over by the insurance fund."""
    over = asyncio.Event()
    engine = Engine(directory, SteadyClock(), segment_bytes=1 << 20)
    engine.listen(lambda _, event: over.set() if isinstance(event, le.LiquidationEnded) else None)
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


def explained(directory, number=1, *more):
    arguments = ["explain", "liquidation", str(number), "--journal", str(directory), *map(str, more)]
    return CliRunner().invoke(app, arguments)


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


def steps(result):
    """All but the line that says where it was derived from."""
    return result.output.splitlines()[1:]


def test_it_begins_at_the_newest_snapshot_before_the_liquidation(journal):
    whole, state = explained(journal), Exchange()
    with closing(Tail(journal, 0)) as tail:
        for _, event in tail.read():
            if isinstance(event, le.LiquidationStarted):
                break
            apply(state, event)
    save(journal, state)
    result = explained(journal)
    assert f"liquidation 1, derived from the snapshot of record {state.seq} on" in result.output
    assert steps(result) == steps(whole)


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


async def restarted(directory):
    Engine(directory, SteadyClock()).close()


@pytest.fixture
def divided(tmp_path, monkeypatch):
    """A journal with a segment for each record and two snapshots, and where the liquidation's records of each kind are."""
    monkeypatch.setattr(pruning, "RECENT", 0)
    directory = tmp_path / "divided"
    asyncio.run(liquidated(directory))
    with closing(Tail(directory, 0)) as tail:
        records = tail.read()
    # An engine writes what belongs together into one segment; an unlucky boundary is in between.
    for _, path in segments(directory):
        path.unlink()
    for sequence, event in records:
        segment_path(directory, sequence).write_bytes(encode(sequence, 0, event))
    asyncio.run(restarted(directory))
    return directory, {type(event): at for at, event in records if hasattr(event, "liquidation")}


def pruned(directory, archive, after):
    planned = plan(directory, [Need(after, "the test")], 1 << 62)
    assert planned.files
    carry_out(directory, planned, archive)
    return planned.through


def test_what_began_after_the_records_that_were_pruned_is_explained_from_the_base(divided):
    directory, places = divided
    told = steps(explained(directory))
    pruned(directory, None, places[le.LiquidationStarted] - 1)
    result = explained(directory)
    assert (result.exit_code, steps(result)) == (0, told)


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (lambda places: places[le.TakenOver] - 1, "the beginning of liquidation 1 is not"),
        (lambda places: places[le.LiquidationEnded], "there is no liquidation 1"),
    ],
)
def test_what_was_pruned_is_said_with_where_it_went_and_read_from_there(divided, tmp_path, after, said):
    directory, places = divided
    told, archive = steps(explained(directory)), tmp_path / "archive"
    through = pruned(directory, archive, after(places))
    result = explained(directory)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert f"records 1 to {through} were moved to {archive}. Give --archive DIR" in result.stderr
    result = explained(directory, 1, "--archive", archive)
    assert (result.exit_code, steps(result)) == (0, told)


async def sold(directory):
    """The fund offers of what it took over, of which a standing bid takes a part; the bidder leaves, and is sold for in vain."""
    engine = Engine(directory, SteadyClock(), segment_bytes=1 << 20)
    maker = min(engine.state.owned)
    engine.submit(c.UpdateIndex(1, 589_000, 0, engine.clock(), "test"), None)
    engine.submit(c.SetQuotes(maker, 1, ((588_900, 700),), (), engine.clock() + 60 * SECOND), None)
    await engine.ask(c.SellInventory(1, who="ada", why="it is too much"))
    await engine.ask(c.RequestExit(maker, MONEY_MAX, engine.clock() // SECOND))
    await engine.ask(c.ReduceForExit(maker, 0))
    engine.close()


def test_what_was_sold_for_the_fund_and_for_who_leaves_is_told_and_holds(journal):
    nothing = CliRunner().invoke(app, ["explain", "sales", "--journal", str(journal)])
    assert (nothing.exit_code, nothing.stdout) == (
        0,
        "nothing was offered for the insurance fund or for an owner that leaves\n",
    )
    asyncio.run(sold(journal))
    result = CliRunner().invoke(app, ["explain", "sales", "--journal", str(journal)])
    assert result.exit_code == 0, result.output
    for told in (
        "the insurance fund, with ",
        "BTC-PERP at mark 58900.0 and offered to sell",
        "step 1 of 6",
        "0.0700 BTC-PERP at 58890.0",
        "account 16, whose owner leaves, with ",
        "step 6 of 6",
        "nobody bid",
        "every sale follows",
    ):
        assert told in result.output, result.output
