"""Whether chain, engine and ledger hold the same money, in all and for every account, to the micro-unit."""

import asyncio
from dataclasses import asdict, dataclass, field
from time import time_ns
from typing import Final

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.engine_door import EngineDoor, EngineState
from activities.heartbeats import heartbeats, pause
from activities.sides import ChainTotals, LedgerBehind, MovedOn, Reading, Sides
from activities.standing import Standing
from chain.cluster import ClusterView
from chain.escrow import EscrowClient
from chain.rpc import FINALIZED, ChainUnavailable
from core.quantities import SECOND
from core.reconciliation import Compared, Difference
from ledger.queries import Queries
from ledger.settlement import Settlement
from matcher.commands import HoldSettlement
from matcher.limits import WHY_LENGTH_MAX

BETWEEN_READS_S: Final = 2.0
TRIES: Final = 20
BETWEEN_TRIES_S: Final = 0.1
"""Batches follow each other no faster than the chain makes them final: a few tries find a moment without one between the reads."""
NAMED: Final = 20
NAMED_IN_WORDS: Final = 3
CREDIT_PATIENCE: Final = 5
"""Reads that finalized deposits and claims may take to be booked before that is called trouble."""
STUCK_S: Final = 120
"""Seconds after which a batch that is not final is an error in the log: eight times what finality takes."""
PENDING: Final = ("deposits_pending", "claims_pending")
"""Reasons that are trouble, not a difference: what was not booked is known for every account, so batches are cut all the same."""


@dataclass
class Reconciliation:
    """The comparison after batch `batch`. Micro-USDC; `why` is a stable code, empty when everything agrees, be it that what came in or
    was claimed waits for too long to be booked: `pending` is one of `PENDING` then.

    `claimed` and `engine_claimed` are what was claimed, by the chain and as far as the engine knows. `different` accounts differ; the
    first `NAMED` of them are in `differences`, all of them in the ledger.
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
    different: int = 0
    differences: list[Difference] = field(default_factory=list)
    claimed: int = 0
    engine_claimed: int = 0
    pending: str = ""

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
        named = "; ".join(one.sentence() for one in self.differences[:NAMED_IN_WORDS])
        return f"{REASONS[self.why or self.pending]}: {named + '; ' if named else ''}{sums}"


REASONS: Final = {
    "": "everything agrees",
    "pages_differ": "the pages do not add up to what came in less what went out",
    "vault_short": "the vault holds less than the pages promise",
    "engine_not_conserved": "the engine's own accounts do not add up",
    "engine_over_credited": "the engine credited more than the chain received",
    "withdrawals_differ": "the chain paid out something that the engine neither paid nor reserved, or less than it thinks",
    "accounts_differ": "not all say the same of every account",
    "deposits_pending": "finalized deposits are not credited yet",
    "claims_pending": "what owners claimed, finally, is not booked yet: until then no request to leave is released, nothing is closed "
    "for one, and no slot is given again",
}


def compare(batch: int, chain: ChainTotals, engine: EngineState) -> Reconciliation:
    """Compare a finalized view of the chain with a view of the engine that was taken before it.

    In that order the chain is never behind: what the engine credited or paid was final first. The first reason that applies counts.
    """
    held = chain.pages_total + chain.clearing
    claimed = engine.claimed + engine.claimed_astray
    if held != chain.deposits - chain.withdrawals:
        why = "pages_differ"
    elif chain.vault < held:
        why = "vault_short"
    elif not (engine.conserved and engine.positions_zero_sum):
        why = "engine_not_conserved"
    elif engine.deposits > chain.deposits:
        why = "engine_over_credited"
    elif claimed > chain.claimed or not 0 <= _paid(chain) - _paid(engine) <= engine.reserved:
        why = "withdrawals_differ"
    elif claimed < chain.claimed:
        # Strays or not: until the engine knows of it nobody's request is released and no slot given again.
        why = "claims_pending"
    elif _only_strays(chain, engine):
        why = ""
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
        claimed=chain.claimed,
        engine_claimed=claimed,
    )


def _only_strays(chain: ChainTotals, engine: EngineState) -> bool:
    """Whether all that the engine has not booked came into slots that nobody ordered, and is there or was claimed from there.

    What it has accepted as astray was settled there.
    """
    came, went = chain.deposits - engine.deposits, chain.claimed - engine.claimed
    return (chain.strays > 0 or engine.astray > 0) and came - went + engine.astray == chain.stray


def _paid(side: ChainTotals | EngineState) -> int:
    """Micro-USDC that left by co-signed withdrawals."""
    astray = side.astray if isinstance(side, EngineState) else 0
    return side.withdrawals - side.claimed - astray


@dataclass
class Looks:
    """Looks in a row at what may just be on its way: whether they have come to an end."""

    _wanted: tuple[int, int] | None = None
    _pending: int = 0
    standing: Standing = field(default_factory=Standing)

    def conclude(self, result: Reconciliation, compared: Compared, held: str) -> bool:
        """Whether the last look's `result` stands, maybe with what is not booked in time as `pending` instead of `why`.

        `held` is why the engine then said that settlement is held.
        """
        if result.why in PENDING:
            self._wanted = self._wanted or (result.deposits, result.claimed)
            booked = result.engine_deposits >= self._wanted[0] and result.engine_claimed >= self._wanted[1]
            self._pending += not booked
            if booked or self._pending >= CREDIT_PATIENCE:
                # What came in since the first look is on its way; everything before is accounted for, or late.
                result.pending, result.why = "" if booked else result.why, ""
        if result.balanced:
            return not compared.moving
        if result.why in PENDING:
            return False
        self.standing.hear(held)
        self.standing.differs((one.account for one in compared.differences), result.why != "accounts_differ")
        return self.standing.counts


class ReconciliationActivities:
    def __init__(self, door: EngineDoor, ledger: Settlement, queries: Queries, escrow: EscrowClient) -> None:
        self._door = door
        self._ledger = ledger
        self._escrow = escrow
        self._sides = Sides(escrow.view, queries, door)

    @activity.defn
    async def reconcile(self, batch: int) -> Reconciliation:
        """Compare until everything agrees or a difference has stood for `READS` reads; the outcome is kept in the ledger.

        A difference holds settlement, in the engine's journal, until an operator lets it go on; one who does so meanwhile has all of
        it compared anew. Deposits and claims that were final at the first read and are not booked after `CREDIT_PATIENCE` reads are
        an alarm and hold nothing: anybody can send more of them than are booked in that time.
        """
        await self._say_how_late()
        await self._say_what_pays()
        looks = Looks()
        while True:
            async with heartbeats():
                reading = await self._read()
            result = judged(batch, reading)
            assert reading.engine is not None
            if looks.conclude(result, reading.compared, reading.engine.settlement_held):
                if result.balanced:
                    break
                # A reading takes its time: who let settlement go on during the last one is heard, too.
                looks.standing.hear((await self._door.state()).settlement_held)
                if looks.standing.counts:
                    break
            if not await pause(BETWEEN_READS_S):
                raise ApplicationError("the worker is shutting down", type="worker_shutdown")
        async with heartbeats():
            await self._conclude(result, reading)
        return result

    async def _read(self) -> Reading:
        for _ in range(TRIES):
            try:
                return await self._sides.read()
            except MovedOn:
                await asyncio.sleep(BETWEEN_TRIES_S)
            except LedgerBehind as error:
                raise ApplicationError(str(error), type="ledger_behind") from None
        raise ApplicationError("the chain has a batch that the ledger does not know", type="other_batch_open")

    async def _say_how_late(self) -> None:
        """For the alarm about a batch that is stuck: told every minute, whatever the comparison comes to."""
        waiting = await self._ledger.unfinished_since()
        late = (time_ns() - waiting[1]) // SECOND if waiting is not None else 0
        meter = activity.metric_meter()
        meter.create_gauge("perpdex_batch_waiting_seconds", "Age of the cut batch that is not final").set(
            max(0, late)
        )
        meter.create_gauge(
            "perpdex_batch_looked_seconds", "When that was last looked at, since the epoch"
        ).set(time_ns() // SECOND)
        if waiting is not None and late >= STUCK_S:
            activity.logger.error("batch %d is not final after %d s", waiting[0], late)

    async def _say_what_pays(self) -> None:
        """For the alarm before the operator has too little SOL: every transaction of the exchange's costs some.

        A node that does not tell it keeps nothing from being compared.
        """
        try:
            async with heartbeats():
                state = await self._escrow.view.escrow_state(FINALIZED)
                if state is None:
                    return
                lamports = await ClusterView(self._escrow.client).lamports(state.settings.operator)
        except ChainUnavailable as error:
            activity.logger.warning("what the operator has for rent and fees is not known: %s", error)
            return
        activity.metric_meter().create_gauge(
            "perpdex_operator_lamports", "What the escrow's operator has for rent and fees"
        ).set(lamports)

    async def _conclude(self, result: Reconciliation, reading: Reading) -> None:
        every = [asdict(one) for one in reading.compared.differences]
        await self._ledger.record_reconciliation(
            result.batch, time_ns(), result.why, result.sentence(), every if not result.balanced else ()
        )
        if result.balanced and reading.rebase is not None:
            await self._ledger.rebase(reading.batch, reading.rebase, reading.seq)
        meter = activity.metric_meter()
        meter.create_gauge(
            "perpdex_reconciliation_differences", "Accounts that differ in the last comparison"
        ).set(result.different)
        meter.create_gauge(
            "perpdex_reconciliation_finished_seconds",
            "When a comparison last came to an end, since the epoch",
        ).set(time_ns() // SECOND)
        meter.create_gauge(
            "perpdex_reconciliation_agrees",
            "1 when chain, engine and ledger said the same at the last look, and all that came in was booked",
        ).set(int(result.balanced and not result.pending))
        if result.pending:
            activity.logger.error("%s", result.sentence())
        meter.create_gauge(
            "perpdex_stray_slots", "Slots on chain that name an account which has another"
        ).set(len(reading.compared.strays))
        meter.create_gauge(
            "perpdex_foreign_batches", "Sealed batches that the program remembers and the ledger did not make"
        ).set(len(reading.foreign_batches))
        if reading.foreign_batches:
            activity.logger.error(
                "batches on chain that are not ours, made with the operator's key: %s",
                reading.foreign_batches[:NAMED],
            )
        for slot in reading.compared.strays:
            activity.logger.error("nobody here ordered slot %d/%d of account %d", *slot[:3])
        if not result.balanced:
            activity.logger.error("chain, engine and ledger differ: %s", result.sentence())
            await self._door.command(HoldSettlement(True, why=as_reason(result.sentence())))


def judged(batch: int, reading: Reading) -> Reconciliation:
    """The totals' reason, and where they agree that of the accounts."""
    assert reading.engine is not None
    result = compare(batch, reading.chain, reading.engine)
    result.different = len(reading.compared.differences)
    result.differences = reading.compared.differences[:NAMED]
    if result.different and result.why in ("", *PENDING):
        result.why = "accounts_differ"
    return result


def as_reason(sentence: str) -> str:
    """As long as the audit trail takes it."""
    return sentence if len(sentence) <= WHY_LENGTH_MAX else sentence[: WHY_LENGTH_MAX - 1] + "…"
