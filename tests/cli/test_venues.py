"""`perpdex venues simulate`: a process of its own that keeps its books over a kill."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from threading import Thread

import httpx
import pytest
from eth_account import Account
from typer.testing import CliRunner

from cli.main import app
from core.market import Side
from core.tickets import size_from
from venues.driver import Acknowledged, VenueOrder
from venues.hyper import Hyper
from venues.local import polymarket_answers as answers
from venues.local.polymarket import LocalPolymarket
from venues.local.synthetix import LocalSynthetix

ROOT = Path(__file__).resolve().parents[2]
WALLET = Account.from_key("0x" + "21" * 32)


@contextmanager
def simulated(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its URL."""
    command = [sys.executable, "-m", "cli.main", "venues", "simulate", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().split()[-1]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def test_a_killed_venue_comes_back_with_its_books(tmp_path):
    arguments = ("hyperliquid", "--port", "0", "--account", f"{WALLET.address}:5000.5")
    arguments += ("--journal", str(tmp_path / "books"))
    with simulated(*arguments) as (process, url):
        driver = Hyper(WALLET, url, time.time_ns, timeout_s=20)
        order = VenueOrder(driver.client_id("a"), "PAXG", Side.BUY, size_from("0.1"))
        assert isinstance(await driver.submit(order), Acknowledged)
        fills = await driver.fills("")
        bought = _state(url)
        process.kill()
        process.wait()
        await driver.close()
    with simulated(*arguments) as (process, url):
        assert _state(url) == bought
        driver = Hyper(WALLET, url, time.time_ns, timeout_s=20)
        assert await driver.fills("") == fills
        assert await driver.fills(fills.cursor) == ([], fills.cursor, False)
        await driver.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def _state(url: str) -> dict[str, str]:
    body = {"type": "clearinghouseState", "user": WALLET.address}
    return dict(httpx.post(f"{url}/info", json=body).json()["marginSummary"])


@pytest.fixture
def visited():
    """What a simulation in this process answers to one request; then it is told to end."""

    def visit(name: str, *arguments: str, ask: Callable[[str], httpx.Response]) -> httpx.Response:
        with socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        before, told = signal.getsignal(signal.SIGTERM), []

        def guest() -> None:
            # Only then it is a signal that ends the simulation, and not this process.
            while signal.getsignal(signal.SIGTERM) == before:
                time.sleep(0.01)
            try:
                told.append(ask(f"http://127.0.0.1:{port}"))
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        thread = Thread(target=guest, daemon=True)
        thread.start()
        command = ["venues", "simulate", name, "--port", str(port), *arguments]
        assert CliRunner().invoke(app, command).exit_code == 0
        thread.join()
        return told[0]

    return visit


def test_synthetix_opens_the_accounts_that_it_is_told(visited, tmp_path):
    asked = {"params": {"action": "getSubAccountIds", "walletAddress": WALLET.address}}
    arguments = ("--account", f"{WALLET.address}:5000", "--journal", str(tmp_path / "books"))
    answer = visited("synthetix", *arguments, ask=lambda url: httpx.post(f"{url}/v1/info", json=asked))
    (account,) = answer.json()["response"]
    # What it reads at its next start.
    assert LocalSynthetix(journal=tmp_path / "books").owners == {account: WALLET.address.lower()}


def test_polymarket_pays_into_the_wallets_that_it_is_told(visited, tmp_path):
    arguments = ("--account", f"{WALLET.address}:5000", "--journal", str(tmp_path / "books"))
    answer = visited("polymarket", *arguments, ask=lambda url: httpx.get(f"{url}/version"))
    assert answer.json() == {"version": 2}
    books = LocalPolymarket(journal=tmp_path / "books").books
    assert answers.balance(books, WALLET.address.lower(), "COLLATERAL", "")["balance"] == "5000000000"


def test_an_account_that_is_none_is_told():
    ended = CliRunner().invoke(app, ["venues", "simulate", "hyperliquid", "--account", "me:1"])
    assert ended.exit_code == 2
    assert "'me' is no address; give ADDRESS:USD" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--vault", "alpha:10"), 1, "There is no anvil: install Foundry"),
        (("--vault", "alpha:10", "--anvil", "no/such/anvil"), 1, "no/such/anvil cannot be run (No such file"),
        (("--vault", "alpha"), 2, "--vault alpha: "),
        (("--vault", "al/pha:10"), 2, "'al/pha' is no vault's name; give NAME:USD"),
    ],
)
def test_what_keeps_a_chain_with_gold_from_starting_is_a_sentence(
    tmp_path, monkeypatch, arguments, code, says
):
    monkeypatch.delenv("ANVIL", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PERPDEX_DATA", str(tmp_path))
    done = CliRunner().invoke(app, ["venues", "simulate", "gold-chain", *arguments])
    assert done.exit_code == code, done.output
    assert says in done.stderr
