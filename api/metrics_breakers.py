"""Circuit breakers in Prometheus and in the log: what changed a market, and growth that is too fast."""

from collections.abc import Iterator
from typing import Any, Final, get_args

import structlog
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from api.listening import Listening
from core.custody_events import ChainAccepted, SettlementLate
from core.events import MarketListed, MarketStatusSet
from core.liquidation_events import InsuranceFloorSet
from core.market import MarketStatus
from core.operator_events import (
    DelistingAnnounced,
    LimitsSet,
    MarketSettled,
    OpenInterestJumped,
    RetryOrdered,
    ReviewOrdered,
    SaleOrdered,
    SettlementHeld,
    SharingOrdered,
    WithdrawalsHeld,
)
from matcher.gates import withdrawals_gated
from matcher.state import Exchange

_log: Final = structlog.get_logger("breakers")


def count_from_nothing(counter: Counter, state: Exchange, listening: Listening) -> None:
    """Tell a count of every market before there is anything to count: one that appears as 1 has not increased, and raises no alarm."""
    for market in state.markets.values():
        counter.labels(market.symbol)

    def listed(seq: int, event: MarketListed) -> None:
        counter.labels(event.market.symbol)

    listening.to((MarketListed,), listed)


class BreakerMetrics(Collector):
    """Gauges are read when they are asked for; jumps are counted, and every decision is logged, as they reach the disk."""

    def __init__(self, state: Exchange, listening: Listening, registry: CollectorRegistry) -> None:
        self._state = state
        self._jumps = Counter(
            "perpdex_open_interest_jumps",
            "Rises of open interest that were too fast",
            ["market"],
            registry=registry,
        )
        listening.to((OpenInterestJumped,), self._jumped)
        count_from_nothing(self._jumps, state, listening)
        decisions = MarketStatusSet | InsuranceFloorSet | LimitsSet | MarketSettled | SettlementHeld
        orders = DelistingAnnounced | SaleOrdered | ReviewOrdered | RetryOrdered | SharingOrdered
        listening.to(get_args(decisions | WithdrawalsHeld | orders | ChainAccepted), self._decided)
        listening.to((SettlementLate,), self._late)
        registry.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        state = self._state
        statuses = GaugeMetricFamily(
            "perpdex_market_status", "1 open, 2 reduce-only, 3 paused, 4 settled", labels=["market"]
        )
        used = GaugeMetricFamily(
            "perpdex_open_interest_used", "Open interest as a share of its cap", labels=["market"]
        )
        for id, market in state.markets.items():
            statuses.add_metric([market.symbol], state.statuses[id])
            used.add_metric([market.symbol], state.open_interest[id] / market.open_interest_cap)
        stopped = GaugeMetricFamily(
            "perpdex_withdrawals_stopped",
            "1 while no withdrawal is reserved",
            value=bool(withdrawals_gated(state)),
        )
        held = GaugeMetricFamily(
            "perpdex_settlement_held",
            "1 while no batch is cut, because the books differ or an operator wants it so",
            value=state.breakers.settlement is not None,
        )
        late = GaugeMetricFamily(
            "perpdex_settlement_late",
            "1 while nothing is traded but what reduces, because the chain is too far behind for the exit delay",
            value=state.custody.late,
        )
        yield from (statuses, used, stopped, held, late)

    def _jumped(self, seq: int, event: OpenInterestJumped) -> None:
        symbol = self._state.markets[event.market].symbol
        self._jumps.labels(symbol).inc()
        _log.warning(
            "open interest jumped", market=symbol, lots=event.open_interest, lowest=event.lowest, seq=seq
        )

    def _late(self, seq: int, event: SettlementLate) -> None:
        _log.warning("nothing grows: settlement is late" if event.late else "settlement is in time", seq=seq)

    def _decided(self, seq: int, event: Any) -> None:
        said = {"who": event.who, "why": event.why, "seq": seq}
        match event:
            case MarketStatusSet(market=market, status=status):
                status_name = MarketStatus(status).name.lower()
                _log.warning(
                    "market status", market=self._state.markets[market].symbol, status=status_name, **said
                )
            case WithdrawalsHeld(held=held):
                _log.warning("withdrawals held" if held else "withdrawals go on", **said)
            case InsuranceFloorSet(floor=floor):
                _log.warning("insurance floor", micro_usdc=floor, **said)
            case ReviewOrdered(account=account):
                _log.warning("account reviewed", account=account, **said)
            case RetryOrdered(batch=batch):
                _log.warning("batch taken up anew", batch=batch, **said)
            case SharingOrdered(account=account):
                _log.warning("debt shared", account=account, **said)
            case SaleOrdered(market=market):
                _log.warning("insurance sale", market=self._state.markets[market].symbol, **said)
            case ChainAccepted(slots=slots, lost=lost, left_over=left_over):
                amounts = {"slots": len(slots), "lost": lost, "left_over": left_over}
                _log.warning("taken over from the chain", **amounts, **said)
            case SettlementHeld(held=held):
                _log.warning("settlement held" if held else "settlement goes on", **said)
            case DelistingAnnounced(market=market, settles_at=settles_at):
                symbol = self._state.markets[market].symbol
                _log.warning("delisting announced", market=symbol, settles_at=settles_at, **said)
            case LimitsSet() | MarketSettled():
                what = "limits set" if isinstance(event, LimitsSet) else "market delisted"
                _log.warning(what, market=self._state.markets[event.market].symbol, **said)
