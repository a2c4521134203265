"""Money at risk in Prometheus and in the log: the insurance fund, debts, liquidations, funding that nobody has paid."""

from collections.abc import Callable, Iterator
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from api.listening import Listening
from api.metrics_breakers import count_from_nothing
from core.accounts import INSURANCE, TREASURY
from core.exit_events import ExitRequested
from core.liquidation_events import Deleveraged, TakenOver
from core.quantities import MILLION
from matcher.gates import below_zero
from matcher.state import Exchange

_log: Final = structlog.get_logger("risk")
OWN: Final = {TREASURY: "treasury", INSURANCE: "insurance"}
"""The exchange's own accounts with a slot on chain, by number."""


class RiskMetrics(Collector):
    """Gauges are read when they are asked for; takeovers and deleveragings are counted, and logged, as they reach the disk."""

    def __init__(
        self, state: Exchange, clock: Callable[[], int], listening: Listening, registry: CollectorRegistry
    ) -> None:
        self._state = state
        self._clock = clock
        self._takeovers = Counter(
            "perpdex_takeovers", "Accounts that the insurance fund took over", registry=registry
        )
        self._deleveragings = Counter(
            "perpdex_deleveragings",
            "Positions closed against opposite ones because nobody else could take them",
            ["market"],
            registry=registry,
        )
        count_from_nothing(self._deleveragings, state, listening)
        listening.to((TakenOver,), self._taken_over)
        listening.to((Deleveraged,), self._deleveraged)
        listening.to((ExitRequested,), self._asked)
        registry.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        state, now = self._state, self._clock()
        fund = state.margin_of(state.accounts[INSURANCE])
        unpaid = GaugeMetricFamily(
            "perpdex_funding_unpaid_hours",
            "Hours of funding that have ended and are not paid",
            labels=["market"],
        )
        for id, market in state.markets.items():
            unpaid.add_metric([market.symbol], len(state.funding[id].owed(now)))
        asked = GaugeMetricFamily(
            "perpdex_own_exit_asked_usdc",
            "What the key of the exchange's own slot asked the chain for, to be paid without anybody else",
            labels=["account"],
        )
        for id, name in OWN.items():
            asked.add_metric([name], state.exits[id].amount / MILLION if id in state.exits else 0)
        yield from (unpaid, asked)
        for name, text, value in (
            ("insurance_equity_usdc", "What the insurance fund has at the marks", fund.equity / MILLION),
            (
                "insurance_required_usdc",
                "What it wants to keep: maintenance of its positions and its floor",
                (fund.maintenance + state.insurance_floor) / MILLION,
            ),
            ("accounts_below_zero", "Accounts whose debt keeps withdrawals back", len(below_zero(state))),
            ("liquidations_running", "Accounts that are being liquidated", len(state.liquidations)),
        ):
            yield GaugeMetricFamily(f"perpdex_{name}", text, value=value)

    def _asked(self, seq: int, event: ExitRequested) -> None:
        if event.account in OWN:
            name, until = OWN[event.account], event.exit_at
            _log.error("an own slot is left", account=name, micro_usdc=event.amount, exit_at=until, seq=seq)

    def _taken_over(self, seq: int, event: TakenOver) -> None:
        self._takeovers.inc()
        _log.warning(
            "account taken over",
            liquidation=event.liquidation,
            account=event.account,
            equity=event.equity,
            seq=seq,
        )

    def _deleveraged(self, seq: int, event: Deleveraged) -> None:
        symbol = self._state.markets[event.market].symbol
        self._deleveragings.labels(symbol).inc()
        _log.warning(
            "deleveraged",
            liquidation=event.liquidation,
            account=event.account,
            market=symbol,
            lots=event.size,
            left=event.left,
            seq=seq,
        )
