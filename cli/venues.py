"""`perpdex venues`: local venues to develop against."""

import asyncio
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from core.quantities import MicroUsdc, NotAQuantity
from core.tickets import size_from
from endings import told

if TYPE_CHECKING:
    from venues.local.serving import Door

venues = typer.Typer(no_args_is_help=True, help="Venues outside the exchange.")
simulate = typer.Typer(
    no_args_is_help=True, help="Run a venue on this machine that speaks the real one's protocol."
)
venues.add_typer(simulate, name="simulate")
Port = Annotated[int, typer.Option(min=0, max=65_535, help="port on this machine; 0: any free one")]
Journal = Annotated[
    Path | None,
    typer.Option(help="file that keeps the venue's books over a restart; none: they are gone then"),
]
Accounts = Annotated[
    list[str],
    typer.Option("--account", help="ADDRESS:USD, an account and what it starts with; may be given again"),
]
_MICRO: Final = 100


@simulate.command("hyperliquid")
def simulate_hyperliquid(account: Accounts, port: Port = 9101, journal: Journal = None) -> None:
    """Hyperliquid: `/info`, `/exchange` and `/ws`; misbehaves when asked at `/control/misbehaviour`."""
    # Here, because this needs what signs for Ethereum, which takes longer to load than all other commands together.
    from venues.local.hyperliquid import LocalHyperliquid
    from venues.local.hyperliquid_actions import Deposit

    opening = [_account(text) for text in account]

    async def run() -> None:
        venue = LocalHyperliquid(journal=journal)
        for address, amount in opening:
            # An account of an earlier run keeps what it has.
            if address.lower() not in venue.books.opened:
                await venue.do(Deposit(address, amount))
        await _served(venue, "hyperliquid", port)

    with told():
        asyncio.run(run())


@simulate.command("synthetix")
def simulate_synthetix(account: Accounts, port: Port = 9102, journal: Journal = None) -> None:
    """Synthetix: `/v1/info` and `/v1/trade`; misbehaves when asked at `/control/misbehaviour`."""
    from venues.local.synthetix import LocalSynthetix, Opened

    opening = [_account(text) for text in account]

    async def run() -> None:
        venue = LocalSynthetix(journal=journal)
        for address, amount in opening:
            if address.lower() not in venue.owners.values():
                venue.do(Opened(address, amount))
        await _served(venue, "synthetix", port)

    with told():
        asyncio.run(run())


@simulate.command("polymarket")
def simulate_polymarket(account: Accounts, port: Port = 9103, journal: Journal = None) -> None:
    """Polymarket: its order book and positions at one address; misbehaves when asked at `/control/misbehaviour`."""
    from venues.local.polymarket import LocalPolymarket
    from venues.local.polymarket_books import Funded

    opening = [_account(text) for text in account]

    async def run() -> None:
        venue = LocalPolymarket(journal=journal)
        for address, amount in opening:
            wallet = address.lower()
            if wallet not in venue.books.owners:
                venue.do(Funded(wallet, wallet, amount))
        await _served(venue, "polymarket", port)

    with told():
        asyncio.run(run())


@simulate.command("gold-chain")
def simulate_gold_chain(
    vault: Annotated[
        list[str],
        typer.Option(help="NAME:USD, a vault here and what its contract starts with; may be given again"),
    ],
    port: Annotated[int, typer.Option(min=1, max=65_535, help="port on this machine")] = 8545,
    anvil: Annotated[
        Path | None, typer.Option(envvar="ANVIL", help="Foundry's program; found by PATH")
    ] = None,
) -> None:
    """Gold on chain, for `mock_gold_evm`: a new chain with the contracts. Prints the settings that a network needs for it."""
    from cli.gold_chain import run
    from settings import Settings

    # What is set wrong is said first, as by every command.
    settings = Settings()
    opening = dict(_vault(text) for text in vault)
    with told():
        asyncio.run(run(settings, anvil, port, opening))


def _vault(text: str) -> tuple[str, MicroUsdc]:
    name, _, amount = text.partition(":")
    try:
        if not re.fullmatch("[a-z0-9][a-z0-9_-]{0,63}", name):
            raise NotAQuantity(f"{name!r} is no vault's name")
        return name, MicroUsdc(size_from(amount) // _MICRO)
    except NotAQuantity as wrong:
        print(f"--vault {text}: {wrong}; give NAME:USD", file=sys.stderr)
        raise typer.Exit(2) from None


async def _served(venue: "Door", name: str, port: int) -> None:
    """Serve until the process is told to end."""
    await venue.start(port)
    try:
        print(f"{name}: {venue.url}", flush=True)
        await _stopped()
    finally:
        await venue.stop()


def _account(text: str) -> tuple[str, MicroUsdc]:
    address, _, amount = text.partition(":")
    try:
        if not address.startswith("0x") or len(address) != 42:
            raise NotAQuantity(f"{address!r} is no address")
        return address, MicroUsdc(size_from(amount) // _MICRO)
    except NotAQuantity as wrong:
        print(f"--account {text}: {wrong}; give ADDRESS:USD", file=sys.stderr)
        raise typer.Exit(2) from None


async def _stopped() -> None:
    """Returns when the process is told to end."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()
