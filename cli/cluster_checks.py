"""Whether settings, node, program, mint, escrow and keys belong together: one sentence for each thing that was looked at."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from solders.pubkey import Pubkey

from chain.budget import keeper_lamports_min
from chain.cluster import Cluster, ClusterView, WrongCluster, code_hash
from chain.escrow import EscrowClient
from chain.layout import EscrowState
from chain.limits import MICRO, Limits, too_short
from chain.localnet.genesis import PROGRAM_FILE, PROGRAM_ID, USDC_DECIMALS
from chain.rpc import FINALIZED
from cli.on_chain import Refused
from settings import Settings

SOL: Final = 10**9


class Level(StrEnum):
    """`WRONG` must be mended before money comes; `NOTE` is for a person to judge."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    level: Level
    text: str


class Checks:
    """Looks at what `settings` name through `escrow`'s node. Every method raises `ChainUnavailable` when that does not tell."""

    def __init__(self, settings: Settings, escrow: EscrowClient, program_file: Path = PROGRAM_FILE) -> None:
        self._settings = settings
        self._escrow = escrow
        self._view = ClusterView(escrow.client)
        self._program_file = program_file

    async def ground(self) -> list[Finding]:
        """What must be right before there is an escrow: cluster, program, mint."""
        cluster = await self._view.cluster()
        found = [await self._cluster()]
        if cluster is not None:
            found += self._settings_for(cluster)
        found += [one async for one in self._program()]
        return [*found, await self._mint(cluster)]

    async def escrow(self, operator: Pubkey) -> list[Finding]:
        """The escrow itself, and whether `operator`, the key that this machine signs with, is its operator."""
        at = self._escrow.addresses.escrow
        state = await self._escrow.view.escrow_state(FINALIZED)
        if state is None:
            whose = self._settings.escrow_admin or f"{operator}, which operates here; ESCROW_ADMIN is empty"
            return [
                _wrong(f"there is no escrow at {at}, created by {whose}: create it, or correct ESCROW_ADMIN")
            ]
        found = [_ok(f"the escrow is {at}")]
        if state.mint != self._escrow.mint:
            found.append(
                _wrong(f"the escrow keeps tokens of {state.mint}, ESCROW_MINT is {self._escrow.mint}")
            )
        if state.operator != operator:
            found.append(_wrong(f"the escrow's operator is {state.operator}, OPERATOR_KEY is {operator}"))
        found += [*_keys(state), *await self._keepers(state)]
        return [*found, *await self.delays(state), *await self._money(state)]

    async def delays(self, state: EscrowState) -> list[Finding]:
        """Delays that leave nobody time, in force or proposed: on a public cluster they are wrong, on a chain of one's own a note.

        The program takes them all, so this is the only thing that says it.
        """
        named = [("", state.settings.limits)]
        if state.proposal is not None:
            named.append((f"proposal {state.proposal.number}: ", state.proposal.settings.limits))
        level = await self._for_people()
        return [Finding(level, who + text) for who, limits in named for text in too_short(limits)]

    async def must_give_time(self, limits: Limits) -> None:
        """Raises `Refused` for delays that no public cluster should have."""
        short = too_short(limits)
        if short and await self._view.cluster() is not None:
            raise Refused("; ".join(short))

    async def funds(self, key: Pubkey, needed: int, who: str) -> Finding:
        """Whether `key` has `needed` lamports."""
        has = await self._view.lamports(key)
        if has < needed:
            return _wrong(f"{who} {key} has {has / SOL:.9f} SOL and needs {needed / SOL:.9f}: send it some")
        return _ok(f"{who} {key} has {has / SOL:.9f} SOL")

    async def _keepers(self, state: EscrowState) -> list[Finding]:
        """Whether guardian and admin can pay for what they are there for: a pause must not wait until somebody sends SOL."""
        needed = keeper_lamports_min(await self._view.rent(0))
        keys = {state.guardian: "the guardian", state.admin: "the admin"}
        found = []
        for key, who in keys.items():
            if key == state.operator:
                continue  # It needs more than that, and is looked at for itself.
            finding = await self.funds(key, needed, who)
            level = finding.level if finding.level is Level.OK else await self._for_people()
            found.append(Finding(level, finding.text))
        return found

    async def _for_people(self) -> Level:
        """What must not be so on a public cluster and may be on a chain of one's own."""
        return Level.NOTE if await self._view.cluster() is None else Level.WRONG

    async def _cluster(self) -> Finding:
        try:
            return _ok(f"the node belongs to {await self._view.must_be(self._settings.solana_cluster)}")
        except WrongCluster as wrong:
            return _wrong(str(wrong))

    def _settings_for(self, cluster: Cluster) -> list[Finding]:
        """Defaults are the local chain's, whose keys everybody has."""
        found = []
        if self._escrow.addresses.program_id == PROGRAM_ID:
            found.append(
                _wrong(
                    "ESCROW_PROGRAM is the local chain's, whose key is public: deploy under a key of your own"
                )
            )
        if not self._settings.escrow_admin:
            found.append(_note("ESCROW_ADMIN is empty: another OPERATOR_KEY would lead to another escrow"))
        return found

    async def _program(self) -> AsyncIterator[Finding]:
        program = self._escrow.addresses.program_id
        deployment = await self._view.deployment(program)
        if deployment is None:
            yield _wrong(f"no program runs at {program}: deploy it, or correct ESCROW_PROGRAM")
            return
        ours = code_hash(self._program_file.read_bytes())
        if deployment.code_hash != ours:
            yield _wrong(
                f"the program at {program} is not this release's: its hash is {deployment.code_hash}, ours {ours}"
            )
        else:
            yield _ok(f"the program {program} is this release's, hash {ours}")
        if deployment.authority is not None:
            yield _note(f"{deployment.authority} may replace the program, and with it take everything")

    async def _mint(self, cluster: Cluster | None) -> Finding:
        key = self._escrow.mint
        mint = await self._view.mint(key)
        if mint is None:
            return _wrong(f"no token's mint is at {key}: correct ESCROW_MINT")
        if cluster is not None and key != cluster.usdc:
            return _wrong(f"{key} is not USDC on {cluster.name}: ESCROW_MINT must be {cluster.usdc}")
        if mint.decimals != USDC_DECIMALS:
            return _wrong(f"the mint {key} has {mint.decimals} decimals instead of {USDC_DECIMALS}")
        return _ok(f"the mint is {key}")

    async def _money(self, state: EscrowState) -> list[Finding]:
        vault = await self._escrow.view.vault_amount(FINALIZED)
        found = [_ok(f"the vault holds {usdc(vault)}, the books of the escrow {usdc(state.held)}")]
        if vault < state.held:
            found = [_wrong(f"the vault holds {usdc(vault)}, and the escrow owes {usdc(state.held)}")]
        limits = state.settings.limits
        for name, floor in (("hour", limits.hour_floor), ("day", limits.day_floor)):
            if floor >= state.held > 0:
                found.append(
                    _note(
                        f"co-signed withdrawals of one {name} may take the whole vault: its floor is {usdc(floor)}"
                    )
                )
        return found


def usdc(micro: int) -> str:
    return f"{micro // MICRO:,}.{micro % MICRO:06d} USDC"


def _keys(state: EscrowState) -> list[Finding]:
    found = []
    if state.paused:
        found.append(_note(f"settlement is paused by the guardian {state.guardian}"))
    if state.proposal is not None:
        found.append(_note(f"proposal {state.proposal.number} is pending: `perpdex escrow pending` has it"))
    if len({state.admin, state.operator, state.guardian}) < 3:
        found.append(
            _note("admin, operator and guardian are not three keys: who steals one has the others' power too")
        )
    return found


def _ok(text: str) -> Finding:
    return Finding(Level.OK, text)


def _note(text: str) -> Finding:
    return Finding(Level.NOTE, text)


def _wrong(text: str) -> Finding:
    return Finding(Level.WRONG, text)
