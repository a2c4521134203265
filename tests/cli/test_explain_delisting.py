"""`perpdex explain delisting` over a journal that a real engine wrote: what was averaged, and whether the record follows from it."""

import re

import base58
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from cli.main import app
from core.market import DEFAULT_MARKETS
from core.quantities import SECOND
from core.settlement_price import MINUTE
from matcher import commands as c
from matcher.decide_delisting import settlement
from matcher.engine import Engine
from matcher.segments import segments

HOUR_BEGINS = 472_222 * 60 * MINUTE


class Hand:
    def __init__(self) -> None:
        self.now = HOUR_BEGINS

    def __call__(self) -> int:
        return self.now


@pytest.fixture
async def engine(tmp_path):
    """Two agents with a lot of BTC-PERP between them; two minutes at 60,000, half a one at 60,300, and a silent feed."""
    clock = Hand()
    engine = Engine(tmp_path / "j", clock)
    await engine.ask(c.ListMarket(DEFAULT_MARKETS[0]))
    accounts = []
    for number in (1, 2):
        owner = base58.b58encode(number.to_bytes(32, "big")).decode()
        (registered,) = await engine.ask(c.RegisterAgent(owner, "a"))
        await engine.ask(c.BindSlot(registered.account, 0, number + 1))
        await engine.ask(c.CreditDeposit(registered.account, 10**12, f"d{number}"))
        accounts.append(registered.account)
    await engine.ask(c.UpdateIndex(1, 600_000, 0, clock.now, "test"))
    await engine.ask(c.SetQuotes(accounts[0], 1, (), ((600_000, 1),), clock.now + SECOND))
    await engine.ask(c.OpenRequest(accounts[1], "k", 1, 1, 1, 600_000, SECOND))
    for second in range(0, 151, 30):
        clock.now = HOUR_BEGINS + second * SECOND
        await engine.ask(c.UpdateIndex(1, 600_000 if second < 120 else 603_000, 0, clock.now, "test"))
    clock.now = HOUR_BEGINS + 5 * MINUTE
    yield engine
    engine.close()


def explained(directory, symbol="BTC-PERP"):
    return CliRunner().invoke(app, ["explain", "delisting", symbol, "--journal", str(directory)])


async def test_it_names_every_minute_that_was_averaged(engine, tmp_path):
    await engine.ask(c.DelistMarket(1, who="ada", why="too small"))
    await engine.ask(c.DelistMarket(1, force=True, who="bob", why="its source is gone"))
    result = explained(tmp_path / "j")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert re.search(r"ada announces that it settles at 2023-11-15 23:00:00 UTC: too small", lines[0])
    assert lines[1].endswith("BTC-PERP settles at once at 60128.6, by bob: its source is gone")
    assert lines[2:6] == [
        "    2023-11-14 22:00:00 UTC: 60.000 s at 60000.00 on average",
        "    2023-11-14 22:01:00 UTC: 60.000 s at 60000.00 on average",
        "    2023-11-14 22:02:00 UTC: 60.000 s at 60300.00 on average",
        "    2023-11-14 22:03:00 UTC: 30.000 s at 60300.00 on average",
    ]
    assert lines[-1] == "the record follows from those before it"


async def test_a_record_that_does_not_follow_is_named(engine, tmp_path):
    end = settlement(engine.state, 1, engine.clock(), (True, "bob", "a friend asked"))
    engine._run(c.Advance(), [replace(end, price=end.price + 1)], None)
    await engine.ask(c.HoldWithdrawals(True, who="ada", why="so that all before is on disk"))
    result = explained(tmp_path / "j")
    assert (result.exit_code, "    DIFFERS: price follows as 601286" in result.output) == (1, True)


async def test_a_market_that_has_not_ended_has_no_end(engine, tmp_path):
    assert segments(tmp_path / "j")
    unknown = explained(tmp_path / "j")
    assert (unknown.exit_code, unknown.stderr.strip()) == (
        2,
        f"the journal in {tmp_path / 'j'} does not have the end of BTC-PERP",
    )
    assert explained(tmp_path).exit_code == 2
