"""The state of the chain: slots, blockhashes, commitment levels, and the landing of transactions.

A transaction is processed in the slot it arrives in, confirmed one slot later, and final after `finality` slots. There are no forks
but those that somebody asks for (`roll_back`).
Reads at a commitment see the state as of that slot, as on a cluster. Durable nonces are not supported: only recent blockhashes count.
"""

import hashlib
import os
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from solders.account import Account
from solders.hash import Hash
from solders.pubkey import Pubkey

from chain.localnet import genesis
from chain.localnet.history import History, Landed, Record
from chain.localnet.machine import Execution, Machine
from chain.localnet.records import meta_of
from chain.localnet.wire import WireTransaction, parse

BLOCKHASH_BLOCKS: Final = 150
"""Blocks for which a blockhash can be used."""
STATUS_SLOTS: Final = 300
"""Slots for which a status is known without searching the history."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A transaction that did not land: nothing happened, no fee was taken. `execution` when it got as far as running."""

    error: Any
    execution: Execution | None = None


class Bank:
    """One chain, used from one thread."""

    def __init__(self, directory: Path, *, finality: int, program: Path = genesis.PROGRAM_FILE) -> None:
        self.finality = finality
        self.history = History(directory)
        self.machine = Machine(genesis.PROGRAM_ID, program)
        self._versions: dict[Pubkey, deque[tuple[int, Account | None]]] = {}
        self._owned: dict[Pubkey, set[Pubkey]] = {}
        self._owner: dict[Pubkey, Pubkey] = {}
        self._blockhashes: dict[Hash, int] = {}
        self._number = self.history.last_number()
        self.slot = self._open()

    def _open(self) -> int:
        stored = self.history.meta("genesis")
        if stored is None:
            stored = os.urandom(32).hex()
            faucet = Account(genesis.FAUCET_LAMPORTS, b"", Pubkey.default())
            self.history.save([(genesis.FAUCET.pubkey(), faucet)])
            self.history.set_meta("slot", "0")
            self.history.set_meta("genesis", stored)
        self.genesis_hash = Hash(bytes.fromhex(stored))
        accounts = list(self.history.accounts())
        self.machine.restore(accounts)
        for key, account in accounts:
            self._index(key, account)
        # Everything that landed before is final now: what undoing it would need was in memory only.
        slot = int(self.history.meta("slot") or 0) + self.finality + 1
        for past in range(max(0, slot - BLOCKHASH_BLOCKS), slot):
            self._blockhashes[self._hash_of(past)] = past
        self._enter(slot)
        return slot

    def close(self) -> None:
        self.history.close()

    # Slots and blockhashes

    def advance(self) -> None:
        """Go on to the next slot."""
        self.slot += 1
        self._enter(self.slot)
        final = self.slot - self.finality
        for key in list(self._versions):
            versions = self._versions[key]
            while versions and versions[0][0] <= final:
                versions.popleft()
            if not versions:
                del self._versions[key]

    def roll_back(self, slot: int) -> None:
        """Let nothing have happened after `slot`, which must not be final: another fork has won. The slots go on counting.

        What is undone may land again, as on a cluster, for as long as its blockhash is valid.
        """
        if not self.slot - self.finality <= slot < self.slot:
            raise ValueError("only slots that are not final can be rolled back")
        undone = {key: self.account(key, slot) for key in self._versions if self._changed_after(key, slot)}
        self.history.undo(slot, undone.items())
        self._number = self.history.last_number()
        for key, account in undone.items():
            self._versions[key] = deque(one for one in self._versions[key] if one[0] <= slot)
            self.machine.put(key, account)
            self._index(key, account)

    def _changed_after(self, key: Pubkey, slot: int) -> bool:
        return any(written > slot for written, _ in self._versions[key])

    def _enter(self, slot: int) -> None:
        self._blockhashes[self._hash_of(slot)] = slot
        self._blockhashes.pop(self._hash_of(slot - BLOCKHASH_BLOCKS - self.finality - 1), None)
        recent = [(past, blockhash) for blockhash, past in reversed(self._blockhashes.items()) if past < slot]
        self.machine.move_clock(slot, int(time.time()), recent)
        self.history.set_meta("slot", str(slot))

    def _hash_of(self, slot: int) -> Hash:
        """Blockhashes follow from the genesis hash: they stay known over a restart, and no two chains share one."""
        return Hash(
            hashlib.sha256(bytes(self.genesis_hash) + slot.to_bytes(8, "little", signed=True)).digest()
        )

    def slot_at(self, commitment: str) -> int:
        depth = {"processed": 0, "confirmed": 1}.get(commitment, self.finality)
        return self.slot - depth

    def blockhash_at(self, slot: int) -> Hash:
        return self._hash_of(slot)

    def blockhash_is_valid(self, blockhash: Hash, slot: int) -> bool:
        """Whether a transaction with `blockhash` could land in `slot`."""
        made = self._blockhashes.get(blockhash)
        return made is not None and made <= slot <= made + BLOCKHASH_BLOCKS

    # Reading

    def account(self, key: Pubkey, slot: int) -> Account | None:
        """The account as of the end of `slot`, which is at most `finality` slots back."""
        for written, previous in self._versions.get(key, ()):
            if written > slot:
                return previous
        return self.machine.account(key)

    def owned_by(self, program: Pubkey, slot: int) -> list[tuple[Pubkey, Account]]:
        found = []
        for key in sorted(self._owned.get(program, set()) | self._versions.keys(), key=bytes):
            account = self.account(key, slot)
            if account is not None and account.owner == program:
                found.append((key, account))
        return found

    def parse(self, raw: bytes, *, verify: bool = True) -> WireTransaction:
        return parse(raw, self.machine.table, verify=verify)

    # Landing

    def refusal(self, wire: WireTransaction) -> str | None:
        """Why the transaction cannot land now, before running it."""
        if wire.refusal is not None:
            return wire.refusal
        if self.history.landed(wire.signature) is not None:
            return "AlreadyProcessed"
        if not self.blockhash_is_valid(wire.blockhash, self.slot):
            return "BlockhashNotFound"
        return None

    def land(self, wire: WireTransaction) -> Landed | Refusal:
        """Run the transaction; if it pays its fee it has landed, also when it failed."""
        refused = self.refusal(wire)
        if refused is not None:
            return Refusal(refused)
        execution = self.machine.run(wire)
        if not execution.charged:
            return Refusal(execution.error, execution)
        self._number += 1
        landed = Landed(self._number, wire.signature, self.slot, int(time.time()), execution.error)
        written = execution.written
        meta = meta_of(wire, execution, self.machine.account)
        self.history.land(Record(landed, wire.raw, meta), wire.keys, written.items())
        for key, account in written.items():
            self._remember(key, execution.before[key])
            self._index(key, account)
        return landed

    def _remember(self, key: Pubkey, previous: Account | None) -> None:
        versions = self._versions.setdefault(key, deque())
        if not versions or versions[-1][0] < self.slot:
            versions.append((self.slot, previous))

    def _index(self, key: Pubkey, account: Account | None) -> None:
        before = self._owner.pop(key, None)
        if before is not None:
            self._owned[before].discard(key)
        if account is not None:
            self._owner[key] = account.owner
            self._owned.setdefault(account.owner, set()).add(key)
