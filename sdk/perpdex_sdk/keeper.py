"""Keeps an agent's exit kit up to date while it runs, with at most one proof for each final batch and none while nothing changes."""

import asyncio
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

from solders.pubkey import Pubkey

from perpdex_sdk import exit_kit
from perpdex_sdk.answers import Place, Proof
from perpdex_sdk.books import Books
from perpdex_sdk.custody import Custody
from perpdex_sdk.errors import ExchangeError, Refused
from perpdex_sdk.proofs import claimed_balance, proven_balance
from perpdex_sdk.rest import Rest

log = logging.getLogger("perpdex_sdk")

SPREAD_S: Final = 3.0
"""All agents hear of a final batch at once, and need not ask at once."""


class Keeper:
    """Writes the kit of the account as soon as that has a slot, and again with the proof of what a final batch may have changed."""

    def __init__(
        self,
        path: Path,
        owner: Pubkey,
        account: int,
        custody: Custody,
        rest: Rest,
        books: Callable[[], Books],
        final_batch: Callable[[], int],
    ) -> None:
        self.path = path
        self._owner = owner
        self._account = account
        self._custody = custody
        self._rest = rest
        self._books = books
        self._final_batch = final_batch
        self._place: Place | None = None
        self._asked = self._proven = self._since = 0
        self._head = -1
        self._heard = asyncio.Event()

    def hear(self) -> None:
        """There may be a slot, or another final batch."""
        self._heard.set()

    async def run(self) -> None:
        """Until cancelled. What cannot be kept is in the log, and tried again with the next batch."""
        while True:
            try:
                await self.renew()
            except (ExchangeError, OSError) as error:
                log.warning("the exit kit %s is not up to date: %s", self.path, error)
            await self._heard.wait()
            await asyncio.sleep(random.uniform(0, SPREAD_S))
            self._heard.clear()

    async def renew(self) -> None:
        """Write what changed. Raises `NotProven` for a proof that is none, `Unreachable`, `ChainRefused`, `Refused`, `OSError`."""
        books, batch = self._books(), self._final_batch()
        if books.place is None:
            return
        if books.place != self._place:
            self._save(books.place, None)
        if books.head != self._head:
            self._head, self._since = books.head, batch
        if batch > self._asked and self._may_differ(books):
            self._asked = batch
            proof = await self._proof(batch)
            if proof is not None:
                self._save(books.place, proof)
                self._proven = batch

    def _may_differ(self, books: Books) -> bool:
        """Open positions change equity with every mark. What the books took in may have missed the cut of the next batch already, as
        this one is final: the one after that is the first that has it for certain."""
        return bool(books.held) or self._proven < self._since + 2

    async def _proof(self, batch: int) -> Proof | None:
        try:
            proof = await self._rest.balance_proof(self._account, batch)
        except Refused as refused:
            # The account's slot is younger than the batch, or the read side has not got there: the next batch will do.
            log.info("no proof of account %d in batch %d yet (%s)", self._account, batch, refused.code)
            return None
        if self._custody.own_node is None:
            claimed_balance(proof, batch, self._account)
        else:
            await proven_balance(proof, batch, self._account, self._custody.escrow, self._custody.own_node)
        return proof

    def _save(self, place: Place, proof: Proof | None) -> None:
        kit = exit_kit.kit_of(self._owner, self._account, self._custody.escrow, place, proof)
        exit_kit.save(self.path, kit)
        self._place = place


def kit_path(folder: Path, escrow: str, account: int) -> Path:
    """Where an agent keeps the kit of an account: one key may have several, in several escrows."""
    return folder / f"exit-kit-{escrow[:8]}-{account}.json"
