"""Steps of replacing the operator's key. Each may be repeated at any time by any worker, whichever of the two keys it has."""

from dataclasses import dataclass, field
from typing import Final

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.engine_door import EngineDoor
from activities.heartbeats import heartbeats
from activities.landing import Lander
from activities.settlement import must_be_projected
from chain.budget import operator_lamports_min
from chain.cluster import ClusterView
from chain.escrow import EscrowClient
from chain.layout import PAGE_BYTES, EscrowState
from chain.limits import Settings
from chain.rpc import FINALIZED
from chain.signers.interface import Signer, SigningFailed, signature_of
from chain.transactions import SignedTransaction
from core.batches import BatchStatus
from ledger.settlement import Settlement
from matcher.commands import HoldSettlement

PROPOSAL_GONE: Final = "proposal_gone"
GONE: Final = (PROPOSAL_GONE, "escrow_NoProposal", "escrow_ProposalLapsed")
"""Why a proposal that was pending can take effect no more."""
SIGNED_TO_SHOW: Final = (
    b"AI Perp DEX: the worker shows that it signs with the operator's key. This is no transaction.\n"
)


@dataclass
class ProposalSeen:
    """The finalized escrow: its `operator`, and the proposal that names the new one.

    `number` is 0 when there is none, or it has lapsed. It can be executed from second `ready_at` on, which is `ready_in` seconds away.
    `also` names whatever else it changes.
    """

    operator: str
    number: int = 0
    ready_at: int = 0
    ready_in: int = 0
    also: list[str] = field(default_factory=list)


@dataclass
class ExecuteOf:
    """Proposal `number`, which makes `operator` the escrow's."""

    operator: str
    number: int


@dataclass
class KeySeen:
    """The key that the worker signs with, which was asked to sign, the escrow's finalized operator, and the key's lamports."""

    signs_with: str
    operator: str
    lamports: int
    lamports_needed: int

    def lacks(self) -> str:
        """Why settlement cannot go on with this key; empty when it can."""
        if self.signs_with != self.operator:
            return f"the worker signs with {self.signs_with}, the escrow's operator is {self.operator}"
        if self.lamports < self.lamports_needed:
            return f"the key has {self.lamports} lamports and needs {self.lamports_needed}: send it SOL"
        return ""


class RotationActivities:
    """Over the engine's door, the ledger and the chain; `operator` is the worker's key, before the rotation the old one."""

    def __init__(
        self, door: EngineDoor, ledger: Settlement, escrow: EscrowClient, lander: Lander, operator: Signer
    ) -> None:
        self._door = door
        self._ledger = ledger
        self._escrow = escrow
        self._lander = lander
        self._operator = operator

    @activity.defn
    async def look_for_proposal(self, operator: str) -> ProposalSeen:
        """Who operates the escrow, and whether it is proposed that `operator` does."""
        async with heartbeats():
            state, now = await self._state(), await self._escrow.view.clock()
        seen, proposal = ProposalSeen(str(state.operator)), state.proposal
        if proposal is None or str(proposal.settings.operator) != operator or proposal.lapsed(now):
            return seen
        seen.number, seen.ready_at = proposal.number, proposal.ready_at
        seen.ready_in = max(0, proposal.ready_at - now)
        seen.also = _changed(state.settings, proposal.settings)
        return seen

    @activity.defn
    async def hold_for_rotation(self, why: str) -> None:
        """Have no further batch cut. What somebody held before stays held for that reason."""
        async with heartbeats():
            await self._door.command(HoldSettlement(True, why=why))

    @activity.defn
    async def batch_under_way(self) -> str:
        """What is cut and not final yet, as a sentence; empty when there is nothing, or this key cannot finish it and the new one can.

        So it is while the guardian pauses settlement, once this key is not the escrow's, and while somebody else's batch is open:
        who has stolen the key must not keep it from being replaced.
        """
        async with heartbeats():
            state = await self._state()
            if state.paused or state.operator != self._operator.pubkey:
                return ""
            await must_be_projected(self._ledger, (await self._door.state()).seq)
            batch, status = await self._ledger.last_cut() or (0, BatchStatus.FINAL)
            if status == BatchStatus.FINAL:
                return ""
            if state.open_batch:
                ours = await self._ledger.load_batch(batch)
                if ours is None or ours.root != state.root:
                    return ""
            return f"batch {batch} is {status.name.lower()}"

    @activity.defn
    async def execute_proposal(self, of: ExecuteOf) -> bool:
        """Put the proposal into effect, finally; False when it was cancelled or has lapsed. The worker's key pays the fee."""

        async def done() -> bool:
            return str((await self._state()).operator) == of.operator

        async def build(fee: int) -> SignedTransaction:
            proposal = (await self._state()).proposal
            if proposal is None or proposal.number != of.number:
                raise ApplicationError(f"proposal {of.number} is not pending any more", type=PROPOSAL_GONE)
            return await self._escrow.governance.build_execute_proposal(self._operator, price=fee)

        async with heartbeats():
            reference = f"proposal/{of.number}/execute"
            if await done():
                # By a worker that died as it landed, or by anybody else.
                await self._lander.find_landed(await self._ledger.submissions(reference))
                return True
            try:
                await self._lander.land(reference, build, done, FINALIZED)
            except ApplicationError as error:
                if error.type not in GONE:
                    raise
                return False
            return True

    @activity.defn
    async def check_key(self) -> KeySeen:
        """Have the worker's key sign something harmless, and look whether the escrow knows it and whether it can pay fees."""
        async with heartbeats():
            state, key = await self._state(), self._operator.pubkey
            try:
                await signature_of(self._operator, SIGNED_TO_SHOW)
            except SigningFailed as error:
                raise ApplicationError(str(error), type=error.code) from None
            view = ClusterView(self._escrow.client)
            lamports, needed = await view.lamports(key), operator_lamports_min(await view.rent(PAGE_BYTES))
            return KeySeen(str(key), str(state.operator), lamports, needed)

    @activity.defn
    async def release_after_rotation(self, why: str) -> str:
        """Have batches cut again; returns why not when the hold in force has another reason than `why`."""
        async with heartbeats():
            held = (await self._door.state()).settlement_held
            if held not in ("", why):
                return held
            await self._door.command(HoldSettlement(False, why=why))
            return ""

    async def _state(self) -> EscrowState:
        state = await self._escrow.view.escrow_state(FINALIZED)
        if state is None:
            raise ApplicationError(
                "there is no escrow: is ESCROW_ADMIN the key that created it?", type="escrow_missing"
            )
        return state


def _changed(old: Settings, new: Settings) -> list[str]:
    """What a proposal changes besides the operator."""
    changed = {
        "admin": old.admin != new.admin,
        "guardian": old.guardian != new.guardian,
        "limits": old.limits != new.limits,
    }
    return [name for name, differs in changed.items() if differs]
