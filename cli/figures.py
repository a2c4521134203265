"""What a screen shows of a running network: read from its public API and, for the proofs, from ledger and chain."""

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

import httpx

from cli.tally import Tallied, VaultSaid

BATCHES_SHOWN: Final = 6
TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Batch:
    """A settlement batch as the public sees it. `seq` is the journal record it was cut at; `lamports` are all fees paid for it."""

    id: int
    seq: int
    status: str
    pages: int
    deltas: int
    fills: int
    lamports: int
    signatures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """The exchange's own counts, and whether it balances."""

    seq: int
    fills: int
    conserved: bool
    positions_zero_sum: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """One look. `projected` is how far the ledger is, None while the API is not ready, as `not_ready` says; `agents` is None where
    none are ours to count, `vault` where none of ours has said anything."""

    seq: int
    projected: int | None
    fills: int
    accounts: int
    connections: int
    conserved: bool
    positions_zero_sum: bool
    prices: str
    batches: tuple[Batch, ...]
    agents: Tallied | None
    not_ready: str = ""
    vault: VaultSaid | None = None


class NotReadable(Exception):
    """The API did not answer a read; the next one may."""


class Reader:
    """Reads the public API at `url`. Every method but `has_projected` raises `NotReadable`."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_S)

    def __enter__(self) -> "Reader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def figures(self, agents: Tallied | None, vault: VaultSaid | None = None) -> Figures:
        status = self._get("/api/v1/status")
        projected: int | None = None
        batches: list[Batch] = []
        not_ready = ""
        try:
            batches = self.batches(BATCHES_SHOWN)
            projected = self.projected()
        except NotReadable as error:
            not_ready = str(error)
        return Figures(
            seq=status["seq"],
            projected=projected,
            fills=status["fills"],
            accounts=status["agents"],
            connections=status["connections"],
            conserved=status["conserved"],
            positions_zero_sum=status["positions_zero_sum"],
            prices=self.prices(),
            batches=tuple(batches),
            agents=agents,
            not_ready=not_ready,
            vault=vault,
        )

    def status(self) -> Status:
        status = self._get("/api/v1/status")
        return Status(status["seq"], status["fills"], status["conserved"], status["positions_zero_sum"])

    def projected(self) -> int:
        """The last journal record that the ledger has."""
        return int(self._get("/ready")["projected"])

    def has_projected(self, sequence: int) -> bool:
        """Whether the ledger has a journal record, as far as anybody says now."""
        try:
            return self.projected() >= sequence
        except NotReadable:
            return False

    def batches(self, limit: int, before: int = 0) -> list[Batch]:
        """Newest first; `before` 0 begins with the newest."""
        query = {"limit": limit} | ({"before": before} if before else {})
        return [_batch(row) for row in self._get("/api/v1/batches", query)["batches"]]

    def batches_after(self, sequence: int) -> list[Batch]:
        """Every batch that was cut after a journal record, oldest first."""
        found: list[Batch] = []
        while True:
            page = self.batches(100, found[-1].id if found else 0)
            found += [batch for batch in page if batch.seq > sequence]
            if not page or page[-1].seq <= sequence:
                return found[::-1]

    def prices(self) -> str:
        """Where index prices come from, each source once."""
        sources = [market["source"] for market in self._get("/api/v1/markets")["markets"]]
        return ", ".join(dict.fromkeys(source for source in sources if source)) or "none yet"

    def _get(self, path: str, query: dict[str, int] | None = None) -> Any:
        try:
            return self._http.get(path, params=query).raise_for_status().json()
        except httpx.HTTPStatusError as error:
            raise NotReadable(f"{path}: {error.response.status_code}, {error.response.text}") from error
        except (httpx.HTTPError, ValueError) as error:
            raise NotReadable(f"{path}: {error or type(error).__name__}") from error


def _batch(row: dict[str, Any]) -> Batch:
    return Batch(
        id=row["batch"],
        seq=row["seq"],
        status=row["status"],
        pages=row["pages"],
        deltas=row["deltas"],
        fills=row["fills"],
        lamports=row["lamports"],
        signatures=tuple(row["signatures"]),
    )
