"""The example maker and trader in processes of their own, against a running exchange."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from matcher import commands as c
from matcher.state import conserved, positions_zero_sum

ROOT = Path(__file__).parents[2]
SECONDS = 4


async def run(role: str, exchange: Any, keys: Path, *options: str) -> list[dict[str, Any]]:
    """Run agents for a few seconds; the lines they printed."""
    command = [sys.executable, "-m", f"perpdex_sdk.agents.{role}", "--url", exchange.server.http_url]
    command += ["--keys", str(keys), "--deposit", "0", "--seconds", str(SECONDS), *options]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT / "sdk",
        env={**os.environ, "PYTHONPATH": str(ROOT / "sdk")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, errors.decode()
    return [json.loads(line) for line in output.splitlines()]


async def fund_everybody(exchange: Any) -> None:
    """Give every new account a slot and a million, as the deposit process would."""
    state = exchange.engine.state
    while True:
        for id in sorted(state.owned):
            if state.accounts[id].page < 0:
                await exchange.engine.ask(c.BindSlot(id, 0, id - 14))
                await exchange.engine.ask(c.CreditDeposit(id, 10**12, f"deposit-{id}"))
        await asyncio.sleep(0.02)


async def test_makers_and_traders_trade(exchange: Any, tmp_path: Path) -> None:
    funding = asyncio.create_task(fund_everybody(exchange))
    makers, traders = await asyncio.gather(
        run("maker", exchange, tmp_path, "--count", "2"),
        run("trader", exchange, tmp_path, "--count", "3", "--pause", "0.1"),
    )
    funding.cancel()
    assert (makers[0]["type"], makers[0]["role"], len(makers[0]["agents"])) == ("ready", "maker", 2)
    for lines in (makers, traders):
        assert lines[-1]["type"] == "done"
        assert lines[-1]["mismatches"] == 0
    answers = [answer for line in traders if line["type"] == "answers" for answer in line["answers"]]
    filled = [answer for answer in answers if answer[2] == "filled"]
    assert len(filled) > 10
    assert all(ms > 0 for *_, ms in answers)
    assert sum(line["unknown"] for line in traders if line["type"] == "answers") == 0
    fills = {fill for answer in answers for fill in answer[3]}
    filled_at_all = set(range(1, exchange.engine.state.last_fill + 1))
    assert fills <= filled_at_all
    # The clock stops each of three traders within one request at most, which each of two makers fills once at most.
    assert len(filled_at_all - fills) <= 6
    assert conserved(exchange.engine.state)
    assert positions_zero_sum(exchange.engine.state)
