"""Prometheus metrics of vaults, read from the ledger when somebody asks for metrics."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Final

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from api.quant import VaultTrading
from api.streams import HistoryUnavailable
from core.hosts import only_hosts
from core.nav_alerts import Kind
from core.quantities import SECOND
from ledger.vault_figures import VaultFigures

_log: Final = structlog.get_logger("vaults")
PATIENCE_S: Final = 2.0
"""All other metrics wait for the ledger no longer."""
KEPT_NS: Final = 10 * SECOND
"""Whoever asks more often gets the same again."""


class VaultMetrics(Collector):
    """What `refresh` last found. While the ledger cannot be read, nothing is told of vaults but that.

    `nav_interval_s` is how often snapshots are due.
    """

    def __init__(
        self, quant: VaultTrading, clock: Callable[[], int], registry: CollectorRegistry, nav_interval_s: int
    ) -> None:
        self._quant = quant
        self._clock = clock
        self._found: VaultFigures | None = None
        self._until = 0
        self._nav_interval_s = nav_interval_s
        registry.register(self)

    async def refresh(self) -> None:
        """Ask the ledger, unless it was asked just now."""
        now = time.monotonic_ns()
        if now < self._until:
            return
        self._until = now + KEPT_NS
        try:
            async with asyncio.timeout(PATIENCE_S):
                self._found = await self._quant.figures()
        except (HistoryUnavailable, TimeoutError, SQLAlchemyError) as error:
            # Everything else that is measured is told all the same, also over tables of another release.
            if self._found is not None:
                _log.warning("the ledger does not tell of vaults", why=only_hosts(str(error)))
            self._found = None

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        found = self._found
        yield GaugeMetricFamily(
            "perpdex_vault_figures_known",
            "1 while the ledger tells the other metrics of vaults, which are missing without it",
            value=found is not None,
        )
        if found is None:
            return
        yield from self._differences(found)
        yield from self._snapshots(found)

    def _differences(self, found: VaultFigures) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        differences = CounterMetricFamily(
            "perpdex_venue_differences",
            "Positions that were taken over from a venue, because its fills do not add up to them",
            labels=["venue"],
        )
        last = GaugeMetricFamily(
            "perpdex_venue_difference_timestamp_seconds", "When the last of them was", labels=["venue"]
        )
        for venue, (count, at) in sorted(found.differences.items()):
            differences.add_metric([venue], count)
            last.add_metric([venue], at / SECOND)
        yield from (differences, last)

    def _snapshots(self, found: VaultFigures) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        said = CounterMetricFamily("perpdex_nav_alerts_said", "Alerts of vaults' snapshots", labels=["kind"])
        standing = GaugeMetricFamily(
            "perpdex_nav_alerts", "Vaults whose newest snapshot has such an alert", labels=["kind"]
        )
        for kind in Kind:
            said.add_metric([kind], found.said.get(kind, 0))
            standing.add_metric([kind], found.standing.get(kind, 0))
        yield from (said, standing)
        if found.oldest is not None and found.newest is not None:
            now = self._clock()
            yield GaugeMetricFamily(
                "perpdex_nav_interval_seconds", "How often snapshots are due", value=self._nav_interval_s
            )
            yield GaugeMetricFamily(
                "perpdex_nav_ahead_seconds",
                "How far the last snapshot of any vault is dated ahead; negative where it is of before",
                value=(found.newest - now) / SECOND,
            )
            yield GaugeMetricFamily(
                "perpdex_nav_age_seconds",
                "Age of the newest snapshot of the vault that waits longest for the next",
                value=(now - found.oldest) / SECOND,
            )
