"""Whether the chain, its pages and the engine hold the same money, to the micro-unit."""

from dataclasses import dataclass
from time import time_ns
from typing import Final, NamedTuple

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.engine_door import EngineDoor, EngineState
from activities.heartbeats import heartbeats, pause
from chain.escrow import EscrowClient
from chain.rpc import FINALIZED
from ledger.settlement import Settlement

READS: Final = 5
"""A difference is one only when it stands in so many reads in a row: nodes answer for slightly different moments."""
BETWEEN_READS_S: Final = 2.0
CREDIT_PATIENCE: Final = 5
"""Reads that finalized deposits may take to be credited before that is called trouble."""


class ChainTotals(NamedTuple):
    """One finalized view of the escrow, in micro-USDC: `deposits` and `withdrawals` are running totals. All zero before it exists."""

    vault: int
    pages_total: int
    clearing: int
    deposits: int
    withdrawals: int


@dataclass
class Reconciliation:
    """The comparison after batch `batch`. Micro-USDC; `why` is a stable code, empty when everything agrees.

    `surplus` is what strangers sent to the vault beyond all balances: it belongs to nobody here and stops nothing.
    """

    batch: int
    why: str
    vault: int
    pages_total: int
    clearing: int
    deposits: int
    withdrawals: int
    engine_deposits: int
    engine_withdrawals: int
    reserved: int

    @property
    def balanced(self) -> bool:
        return not self.why

    @property
    def surplus(self) -> int:
        return self.vault - self.pages_total - self.clearing

    def sentence(self) -> str:
        """What an operator reads."""
        sums = (
            f"vault {self.vault}, pages {self.pages_total}, clearing {self.clearing}, chain deposits {self.deposits} and "
            f"withdrawals {self.withdrawals}, engine deposits {self.engine_deposits} and withdrawals "
            f"{self.engine_withdrawals} (reserved {self.reserved})"
        )
        return f"{REASONS[self.why]}: {sums}"


REASONS: Final = {
    "": "everything agrees",
    "pages_differ": "the pages do not add up to what came in less what went out",
    "vault_short": "the vault holds less than the pages promise",
    "engine_not_conserved": "the engine's own accounts do not add up",
    "engine_over_credited": "the engine credited more than the chain received",
    "withdrawals_differ": "the chain paid out something that the engine neither paid nor reserved, or less than it thinks",
    "deposits_pending": "finalized deposits are not credited yet",
}


def compare(batch: int, chain: ChainTotals, engine: EngineState) -> Reconciliation:
    """Compare a finalized view of the chain with a view of the engine that was taken before it.

    In that order the chain is never behind: what the engine credited or paid was final first. The first reason that applies counts.
    """
    held = chain.pages_total + chain.clearing
    if held != chain.deposits - chain.withdrawals:
        why = "pages_differ"
    elif chain.vault < held:
        why = "vault_short"
    elif not (engine.conserved and engine.positions_zero_sum):
        why = "engine_not_conserved"
    elif engine.deposits > chain.deposits:
        why = "engine_over_credited"
    elif not 0 <= chain.withdrawals - engine.withdrawals <= engine.reserved:
        why = "withdrawals_differ"
    elif engine.deposits < chain.deposits:
        why = "deposits_pending"
    else:
        why = ""
    return Reconciliation(
        batch=batch,
        why=why,
        vault=chain.vault,
        pages_total=chain.pages_total,
        clearing=chain.clearing,
        deposits=chain.deposits,
        withdrawals=chain.withdrawals,
        engine_deposits=engine.deposits,
        engine_withdrawals=engine.withdrawals,
        reserved=engine.reserved,
    )


class ReconciliationActivities:
    def __init__(self, door: EngineDoor, ledger: Settlement, escrow: EscrowClient) -> None:
        self._door = door
        self._ledger = ledger
        self._escrow = escrow

    @activity.defn
    async def reconcile(self, batch: int) -> Reconciliation:
        """Compare until everything agrees or a difference has stood for `READS` reads; the outcome is kept in the ledger.

        Deposits that were final at the first read and are not credited after `CREDIT_PATIENCE` reads raise ``deposits_pending``: that
        is trouble to wait out, not a difference.
        """
        different = pending = wanted = 0
        while True:
            async with heartbeats():
                engine = await self._door.state()
                result = compare(batch, await self._totals(), engine)
            if result.why == "deposits_pending":
                wanted = wanted or result.deposits
                if engine.deposits >= wanted:
                    # What came in since the first read is on its way; everything before is accounted for.
                    result.why = ""
            if result.balanced:
                break
            if result.why == "deposits_pending":
                pending += 1
                if pending >= CREDIT_PATIENCE:
                    raise ApplicationError(result.sentence(), type=result.why)
            else:
                different += 1
                if different >= READS:
                    break
            if not await pause(BETWEEN_READS_S):
                raise ApplicationError("the worker is shutting down", type="worker_shutdown")
        await self._ledger.record_reconciliation(batch, time_ns(), result.why, result.sentence())
        if not result.balanced:
            activity.logger.error("chain and engine differ: %s", result.sentence())
        return result

    async def _totals(self) -> ChainTotals:
        if await self._escrow.view.escrow_state(FINALIZED) is None:
            return ChainTotals(vault=0, pages_total=0, clearing=0, deposits=0, withdrawals=0)
        snapshot = await self._escrow.view.snapshot(FINALIZED)
        return ChainTotals(
            vault=snapshot.vault,
            pages_total=sum(page.total for page in snapshot.pages),
            clearing=snapshot.state.clearing,
            deposits=snapshot.state.deposits,
            withdrawals=snapshot.state.withdrawals + snapshot.state.exits,
        )
