"""The transactions that name the vault, each listed once: anybody can name it, as often as he pays the fees."""

import asyncio
from typing import Final

from solana.rpc.async_api import AsyncClient
from solders.pubkey import Pubkey
from solders.signature import Signature

from chain.rpc import FINALIZED, ask

SIGNATURES_PER_CALL: Final = 1000
PASSED_KEPT: Final = 100_000
"""Transactions before the last place asked for that are kept, for whoever is not so far: about 15 MB."""


class VaultListing:
    """Successful finalized transactions that name the vault, the oldest first, from some place on.

    A node lists the newest first and at most a thousand at a time, so what was listed is kept, be it that whoever asked was cancelled
    before the list was whole: the next one goes on there.
    """

    def __init__(self, client: AsyncClient, vault: Pubkey) -> None:
        self._client = client
        self._vault = vault
        self._turn = asyncio.Lock()
        self._after: str | None = None
        self._known: list[str] = []
        self._places: dict[str, int] = {}
        self._newest: str | None = None
        self._coming: list[tuple[str, bool]] = []

    async def after(self, cursor: str | None, count: int) -> tuple[list[str], bool]:
        """Up to `count` signatures after the transaction `cursor` (None: from the start), and whether these were the last ones."""
        async with self._turn:
            place = self._places.get(cursor, -1) + 1 if cursor is not None else 0
            if not place and cursor != self._after:
                self._begin(cursor)
            if place + count >= len(self._known):
                await self._list_newer()
            piece = self._known[place : place + count]
            whole = place + len(piece) == len(self._known)
            if place > PASSED_KEPT:
                self._forget(place - PASSED_KEPT // 2)
            return piece, whole

    def _begin(self, cursor: str | None) -> None:
        self._after = self._newest = cursor
        self._known, self._places, self._coming = [], {}, []

    async def _list_newer(self) -> None:
        until = Signature.from_string(self._newest) if self._newest else None
        while True:
            before = Signature.from_string(self._coming[-1][0]) if self._coming else None
            call = self._client.get_signatures_for_address(
                self._vault, before, until, SIGNATURES_PER_CALL, FINALIZED
            )
            piece = (await ask(call)).value
            self._coming += [(str(each.signature), each.err is None) for each in piece]
            if len(piece) < SIGNATURES_PER_CALL:
                break
        for signature, succeeded in reversed(self._coming):
            if succeeded:
                self._places[signature] = len(self._known)
                self._known.append(signature)
        if self._coming:
            self._newest = self._coming[0][0]
            self._coming = []

    def _forget(self, count: int) -> None:
        self._after = self._known[count - 1]
        self._known = self._known[count:]
        self._places = {signature: place for place, signature in enumerate(self._known)}
