"""Reading the escrow: its state, its pages, its vault, what came in."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from solana.rpc.async_api import AsyncClient
from solders.pubkey import Pubkey
from solders.sysvar import CLOCK

from chain.addresses import EscrowAddresses
from chain.claims import FoundClaim, claims_of
from chain.deposits import FoundDeposit, SlotReader, deposits_of
from chain.landed import landed_transaction
from chain.layout import (
    TOKEN_ACCOUNT_BYTES,
    EscrowState,
    Page,
    Slot,
    decode_escrow,
    decode_page,
    decode_token_amount,
    decode_token_holder,
)
from chain.rpc import CONFIRMED, FINALIZED, ChainUnavailable, ask
from chain.vault_listing import VaultListing

ACCOUNTS_PER_CALL: Final = 100
READ_AT_ONCE: Final = 16
"""Transactions that a node is asked for at one time."""
MONEY_KEPT: Final = 200_000
"""Transactions of which it is remembered what came in and went out, about 40 MB: final ones do not change, and several ask."""
_Money = tuple[FoundDeposit | FoundClaim, ...]
_PAUSES_S: Final = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 0.8, 0.8)
"""Before each look at more pages than one answer holds: some three seconds, or eight slots."""
_SECONDS_AT: Final = 32


@dataclass(frozen=True, slots=True)
class EscrowSnapshot:
    """Everything the escrow holds at one moment. Money in micro-USDC.

    `clock` is the second of the cluster's clock, `slot` the chain's slot: where the pages came in several answers, those of the oldest
    one. What owners ask for in their slots does not change the escrow, so of that a page may show more than was there by then, never
    less.
    `vault` may be more than `promised`: anybody can send tokens to the vault, and they belong to no slot.
    """

    slot: int
    state: EscrowState
    pages: tuple[Page, ...]
    vault: int
    clock: int

    @property
    def promised(self) -> int:
        """What the vault owes: all slots, and what an open batch took and has not given yet."""
        return sum(page.total for page in self.pages) + self.state.clearing


@dataclass(frozen=True, slots=True)
class Receipt:
    """A landed transaction: what it cost in lamports and compute units, and what it logged."""

    signature: str
    slot: int
    fee: int
    units: int
    logs: tuple[str, ...]
    succeeded: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where an engine account is on chain, as of the chain's slot `seen`."""

    page: int
    slot: Slot
    seen: int


@dataclass(frozen=True, slots=True)
class DepositScan:
    """Finalized deposits, and what owners claimed alone: `found`, by transaction in chain order. `cursor` is the transaction to go on
    from, None when there is nothing yet.

    `complete` is False when there was more than was asked for.
    """

    found: tuple[FoundDeposit | FoundClaim, ...]
    cursor: str | None
    complete: bool

    @property
    def deposits(self) -> tuple[FoundDeposit, ...]:
        return tuple(one for one in self.found if isinstance(one, FoundDeposit))

    @property
    def claims(self) -> tuple[FoundClaim, ...]:
        return tuple(one for one in self.found if isinstance(one, FoundClaim))


class EscrowView:
    """Reads one escrow.

    Every method raises `ChainUnavailable` when the node does not tell, and `LayoutMismatch` when the accounts are not our program's.
    """

    def __init__(self, client: AsyncClient, addresses: EscrowAddresses) -> None:
        self._client = client
        self._at = addresses
        self._listing = VaultListing(client, addresses.vault)
        self._money: dict[str, _Money] = {}

    async def escrow_state(self, commitment: str = CONFIRMED) -> EscrowState | None:
        """The escrow account, or None before it was initialized."""
        _, (data,) = await self._read([self._at.escrow], commitment)
        return decode_escrow(data) if data is not None else None

    async def page(self, index: int, commitment: str = CONFIRMED) -> Page | None:
        _, (data,) = await self._read([self._at.page(index)], commitment)
        return decode_page(data) if data is not None else None

    async def pages(self, commitment: str = CONFIRMED) -> tuple[Page, ...]:
        """All pages as of one moment; none before the escrow was initialized."""
        snapshot = await self._snapshot(commitment)
        return snapshot.pages if snapshot is not None else ()

    async def vault_amount(self, commitment: str = CONFIRMED) -> int:
        """Micro-USDC in the vault; 0 before the escrow was initialized."""
        _, (data,) = await self._read([self._at.vault], commitment)
        return decode_token_amount(data) if data is not None else 0

    async def tokens(self, wallets: Sequence[Pubkey], commitment: str = FINALIZED) -> list[int]:
        """Smallest units in each of some token accounts; 0 in what is none."""
        parts = [wallets[at : at + ACCOUNTS_PER_CALL] for at in range(0, len(wallets), ACCOUNTS_PER_CALL)]
        answers = [(await self._read(part, commitment))[1] for part in parts]
        return [
            # Anybody can send SOL to where a token account is not yet.
            decode_token_amount(data) if data is not None and len(data) == TOKEN_ACCOUNT_BYTES else 0
            for part in answers
            for data in part
        ]

    async def pays_out_to(self, target: Pubkey, owner: Pubkey, commitment: str = CONFIRMED) -> bool:
        """Whether `target` looks like what the program pays `owner` to: a token account of its own, for the escrow's mint."""
        _, (state, data) = await self._read([self._at.escrow, target], commitment)
        if state is None or data is None or len(data) != TOKEN_ACCOUNT_BYTES:
            return False
        return decode_token_holder(data) == (decode_escrow(state).mint, owner)

    async def slot_of(
        self, account: int, commitment: str = CONFIRMED, owner: str = "", page: int | None = None
    ) -> Place | None:
        """The slot of an engine account, of that owner when one is named, or None when it has none at this commitment.

        Where its `page` is known, that alone is read, and the others only when it is not there. Of several the first: an account is in
        a page once, and whoever gave it another slot did so later.
        """
        if page is not None:
            seen, (data,) = await self._read([self._at.page(page)], commitment)
            if data is not None and (place := _place(decode_page(data), seen, account, owner)):
                return place
        snapshot = await self._snapshot(commitment)
        if snapshot is None:
            return None
        places = (_place(one, snapshot.slot, account, owner) for one in snapshot.pages)
        return next((place for place in places if place is not None), None)

    async def clock(self, commitment: str = FINALIZED) -> int:
        """Second of the cluster's clock, which is what the program goes by."""
        _, (data,) = await self._read([CLOCK], commitment)
        if data is None:
            raise ChainUnavailable("the node does not show the cluster's clock")
        return _second(data)

    async def some_pages(
        self, pages: Sequence[Pubkey], commitment: str = CONFIRMED
    ) -> tuple[EscrowState, int, tuple[Page, ...]]:
        """State, second of the cluster's clock and those of the `pages` that there are, of one moment; all pages where one answer does
        not hold those that are asked for."""
        if len(pages) > ACCOUNTS_PER_CALL - 2:
            whole = await self.snapshot(commitment)
            return whole.state, whole.clock, whole.pages
        _, (escrow, clock, *found) = await self._read([self._at.escrow, CLOCK, *pages], commitment)
        if escrow is None or clock is None:
            raise ChainUnavailable(f"the escrow is not there, {commitment}")
        there = tuple(decode_page(data) for data in found if data is not None)
        return decode_escrow(escrow), _second(clock), there

    async def snapshot(self, commitment: str = FINALIZED) -> EscrowSnapshot:
        """State, pages and vault as of one moment. An escrow that is not there at this commitment is `ChainUnavailable`."""
        snapshot = await self._snapshot(commitment)
        if snapshot is None:
            raise ChainUnavailable(f"the escrow is not there, {commitment}")
        return snapshot

    async def _snapshot(self, commitment: str) -> EscrowSnapshot | None:
        """Up to 97 pages come in one answer. With more, answers side by side each carry the escrow account too, which changes whenever
        a balance does: when it is the same in all, they show one moment of all money; otherwise they are asked for again after a
        longer pause. Each carries the clock as well: where one of the nodes lags behind the others, the whole is as old as its part.
        """
        for pause in _PAUSES_S:
            await asyncio.sleep(pause)
            state = await self.escrow_state(commitment)
            if state is None:
                return None
            keys = [self._at.vault, *map(self._at.page, range(state.pages))]
            step = ACCOUNTS_PER_CALL - 2
            parts = [[self._at.escrow, CLOCK, *keys[at : at + step]] for at in range(0, len(keys), step)]
            answers = await asyncio.gather(*(self._read(part, commitment) for part in parts))
            escrow = answers[0][1][0]
            clocks = [_second(part[1]) for _, part in answers if part[1] is not None]
            rest = [data for _, part in answers for data in part[2:] if data is not None]
            whole = len(clocks) == len(parts) and len(rest) == len(keys)
            if escrow is None or not whole or any(part[0] != escrow for _, part in answers):
                continue
            state = decode_escrow(escrow)
            if state.pages == len(keys) - 1:
                vault, *pages = rest
                return EscrowSnapshot(
                    min(seen for seen, _ in answers),
                    state,
                    tuple(map(decode_page, pages)),
                    decode_token_amount(vault),
                    min(clocks),
                )
        raise ChainUnavailable("the escrow changes too fast to be read in one piece")

    async def receipt(self, signature: str, commitment: str = CONFIRMED) -> Receipt | None:
        """What a landed transaction cost and logged, or None while it is not there (confirmed at least)."""
        found = await landed_transaction(self._client, signature, commitment)
        if found is None:
            return None
        meta = found.transaction.meta
        logs = tuple(meta.log_messages or ())
        units = meta.compute_units_consumed or 0
        return Receipt(signature, found.slot, meta.fee, units, logs, meta.err is None)

    def forget_vault(self) -> None:
        """Believe nothing more of what the node said of the vault's transactions: it left something out."""
        self._listing = VaultListing(self._client, self._at.vault)
        self._money.clear()

    async def deposits_since(self, cursor: str | None, limit: int = 200) -> DepositScan:
        """Finalized deposits and claims after the transaction `cursor`, the oldest first, from up to `limit` vault transactions.

        Going on from the returned cursor finds each once. When the node does not give one of the transactions, those before it are
        returned, if there are any. What was listed and read before is not asked for again.
        """
        signatures, whole = await self._listing.after(cursor, limit)
        found: list[FoundDeposit | FoundClaim] = []
        last = cursor
        for signature, read in await self._money_in(signatures):
            if isinstance(read, ChainUnavailable) and last != cursor:
                break
            if isinstance(read, BaseException):
                raise read
            found.extend(read)
            last = signature
        return DepositScan(tuple(found), last, whole and (not signatures or last == signatures[-1]))

    async def _money_in(self, signatures: Sequence[str]) -> list[tuple[str, _Money | BaseException]]:
        """Deposits and claims of each transaction, or why nobody can tell. Side by side: for a fee anybody can name the vault, and
        other people's money must not wait for one round trip after the other."""
        window = asyncio.Semaphore(READ_AT_ONCE)

        async def read(signature: str) -> _Money:
            if signature in self._money:
                return self._money[signature]
            slot_at = self._slots()
            async with window:
                transaction = await landed_transaction(self._client, signature, FINALIZED)
                if transaction is None:
                    raise ChainUnavailable(f"the node lists {signature} but does not have it")
                deposits = await deposits_of(transaction, signature, self._at, slot_at)
                money: _Money = (*deposits, *await claims_of(transaction, signature, self._at, slot_at))
            if len(self._money) >= MONEY_KEPT:
                self._money.pop(next(iter(self._money)))
            self._money[signature] = money
            return money

        answers = await asyncio.gather(*map(read, signatures), return_exceptions=True)
        return list(zip(signatures, answers, strict=True))

    def _slots(self) -> SlotReader:
        """Reads slots as they are now, each page once; None of a page that was given up."""
        pages: dict[Pubkey, Page | None] = {}

        async def slot_at(key: Pubkey, number: int) -> tuple[int, Slot] | None:
            if key not in pages:
                _, (data,) = await self._read([key], FINALIZED)
                pages[key] = decode_page(data) if data is not None else None
            page = pages[key]
            return (page.index, page.slots[number]) if page and number < len(page.slots) else None

        return slot_at

    async def _read(self, keys: Sequence[Pubkey], commitment: str) -> tuple[int, list[bytes | None]]:
        """Slot of the view, and the data of up to 100 accounts in it."""
        answer = await ask(self._client.get_multiple_accounts(list(keys), commitment))
        return answer.context.slot, [each.data if each is not None else None for each in answer.value]


def _place(page: Page, seen: int, account: int, owner: str) -> Place | None:
    """Where the account is in the page, as of the chain's slot `seen`."""
    for slot in page.slots:
        if slot.account == account and owner in ("", str(slot.owner)):
            return Place(page.index, slot, seen)
    return None


def _second(clock: bytes) -> int:
    return int.from_bytes(clock[_SECONDS_AT : _SECONDS_AT + 8], "little")
