"""The live summary: one screen on a terminal, a line every few seconds elsewhere."""

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.figures import Figures
from cli.settling import Settling
from cli.tally import VaultSaid
from core.quantities import MILLION

LINE_EVERY_S: Final = 5.0


class Screen:
    """Shows figures until left. `links` are (what, URL), printed once at first."""

    def __init__(self, links: Sequence[tuple[str, str]]) -> None:
        self._links = links
        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._last_line = 0.0
        self._settling = Settling()

    def __enter__(self) -> "Screen":
        for what, url in self._links:
            print(f"  {what:<14}{url}")
        sys.stdout.flush()
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, figures: Figures, note: str = "") -> None:
        note = " | ".join(part for part in (note, self._settling.late(figures, time.monotonic())) if part)
        if self._live is not None:
            self._live.update(_whole(figures, note), refresh=True)
        elif time.monotonic() - self._last_line >= LINE_EVERY_S:
            self._last_line = time.monotonic()
            print(line(figures, note), flush=True)

    def trouble(self, sentence: str) -> None:
        """Something that may pass by itself."""
        if self._live is not None:
            self._live.update(Text(sentence, style="yellow"), refresh=True)
        else:
            print(sentence, flush=True)


def line(figures: Figures, note: str = "") -> str:
    """All that matters in one line."""
    parts = [note] if note else []
    parts.append(f"fills {figures.fills}")
    if figures.agents is not None:
        latency = figures.agents.latency
        parts.append(f"{figures.agents.requests_per_second:.1f} requests/s")
        parts.append(f"ack p50 {latency.p50:.1f} ms, p99 {latency.p99:.1f} ms")
    if figures.batches:
        newest = figures.batches[0]
        signature = f" {newest.signatures[-1]}" if newest.signatures else ""
        parts.append(f"batch {newest.id} {newest.status}{signature}")
    if figures.vault is not None:
        parts.append(f"vault {vault_line(figures.vault)}")
    parts.append(_conservation(figures))
    parts.append(f"prices: {figures.prices}")
    if figures.not_ready:
        parts.append(figures.not_ready)
    return " | ".join(parts)


def vault_line(said: VaultSaid) -> str:
    """A vault in one line: its value and of when that is, what it holds where, and how its orders ended."""
    worth = "no value yet"
    if said.at is not None:
        instant = datetime.fromtimestamp(said.at // MILLION, UTC).strftime("%H:%M:%S")
        made_up = f", {', '.join(said.demo_prices)} at a demo price" if said.demo_prices else ""
        worth = f"NAV {said.nav or 'unknown'} USDC as of {instant} UTC{made_up}"
    held = [
        f"{venue} {' '.join(f'{symbol} {size}' for symbol, size in symbols.items())}"
        for venue, symbols in said.positions.items()
    ]
    orders = [
        f"{venue} {' '.join(f'{count} {status}' for status, count in counts.items())}"
        for venue, counts in said.orders.items()
    ]
    return (
        f"{said.vault}: {worth}; holds {', '.join(held) or 'nothing'}; orders {', '.join(orders) or 'none'}"
    )


def _conservation(figures: Figures) -> str:
    if figures.conserved and figures.positions_zero_sum:
        return "money conserved"
    return "MONEY IS NOT CONSERVED" if not figures.conserved else "POSITIONS DO NOT ADD UP TO ZERO"


def _whole(figures: Figures, note: str) -> RenderableType:
    return Group(_numbers(figures, note), Text(), _batches(figures))


def _numbers(figures: Figures, note: str) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    if note:
        table.add_row("now", note)
    table.add_row("fills", str(figures.fills))
    if (agents := figures.agents) is not None:
        latency = agents.latency
        table.add_row("requests", f"{agents.requests}, {agents.requests_per_second:.1f}/s")
        table.add_row(
            "ack latency", f"p50 {latency.p50:.1f} ms, p99 {latency.p99:.1f} ms, max {latency.max:.1f} ms"
        )
        table.add_row("answers", _counts(agents.outcomes))
        table.add_row("rejected", _counts(agents.rejected))
    table.add_row("agents", f"{figures.accounts} registered, {figures.connections} connected")
    table.add_row("journal", f"{figures.seq} records, {_ledger(figures)}")
    if figures.vault is not None:
        table.add_row("vault", vault_line(figures.vault))
    good = figures.conserved and figures.positions_zero_sum
    table.add_row("conservation", Text(_conservation(figures), style="green" if good else "bold red"))
    table.add_row("prices", figures.prices)
    return table


def _ledger(figures: Figures) -> str:
    if figures.projected is None:
        return figures.not_ready
    return f"ledger {max(0, figures.seq - figures.projected)} behind"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


def _batches(figures: Figures) -> Table:
    table = Table(title="last batches", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("batch", "status", "fills", "accounts", "pages", "lamports", "last transaction"):
        table.add_column(name, overflow="fold" if name == "last transaction" else "ellipsis")
    for batch in figures.batches:
        counts = (batch.fills, batch.deltas, batch.pages, batch.lamports)
        newest = batch.signatures[-1] if batch.signatures else "-"
        table.add_row(str(batch.id), batch.status, *map(str, counts), newest)
    return table
