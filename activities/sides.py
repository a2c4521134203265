"""Reading all sides of the comparison: engine, chain, and the ledger as of the engine's record.

In that order the chain is never behind, and since the ledger can say what it held at any record, engine and ledger are compared at
the very same one however much is traded meanwhile.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from activities.engine_door import BooksView, EngineDoor, EngineState
from chain.claims import FoundClaim
from chain.deltas import decode_deltas
from chain.deposits import FoundDeposit
from chain.escrow_view import EscrowSnapshot, EscrowView
from chain.events import Deposited, WithdrawalClaimed
from chain.layout import ROOTS_KEPT, EscrowState
from chain.rpc import FINALIZED
from core.batches import BatchStatus
from core.quantities import MONEY_MAX
from core.reconciliation import Booked, Books, Compared, Flight, OnChain, Reserved, compare
from ledger.books import LedgerBooks
from ledger.queries import Queries

LEDGER_PATIENCE_S: Final = 60.0
LEDGER_POLL_S: Final = 0.05


class MovedOn(Exception):
    """Another batch began between the reads: they do not belong together, and reading again helps."""


class LedgerBehind(Exception):
    """The projection of the journal has not got to the engine's record."""


class ChainTotals(NamedTuple):
    """One finalized view of the escrow, in micro-USDC; all zero before it exists.

    `deposits` and `withdrawals`, those that owners took alone (`claimed`) included, are running totals. `strays` slots name accounts
    that have another one, and hold `stray` (`core.reconciliation.Compared`).
    """

    vault: int
    pages_total: int
    clearing: int
    deposits: int
    withdrawals: int
    claimed: int
    strays: int = 0
    stray: int = 0


class Waiting(NamedTuple):
    """How many deposits and claims the chain has, finally, that were not booked by the record that was read, and their micro-USDC.

    Without those of slots that nobody here ordered, which never are.
    """

    deposits: int = 0
    deposited: int = 0
    claims: int = 0
    claimed: int = 0


@dataclass(frozen=True)
class Reading:
    """What was read, and the comparison by account. `engine` is None when the exchange was not asked, and so are its `books`.

    `slots` are all that the chain has in use, `flight` is what is on its way; `open_batch` is the one that is open there, 0 for none.
    `left_over` is what the engine's next cut gives of what earlier batches took and gave to nobody.

    `foreign_batches` are those sealed on chain that are none of the ledger's, as far as both remember.

    `rebase`: what engine and chain agree is settled, by account, where the ledger lost its batches and can begin again from it.
    """

    slot: int
    seq: int
    batch: int
    chain: ChainTotals
    engine: EngineState | None
    ledger: LedgerBooks
    compared: Compared
    rebase: Mapping[int, int] | None
    slots: Sequence[OnChain]
    flight: Flight
    books: Books | None
    open_batch: int
    left_over: int
    foreign_batches: tuple[int, ...]
    waiting: Waiting


class Sides:
    """`door` is None when the exchange is down: chain and ledger are compared then.

    A reading remembers the withdrawals that it saw paid and the books did not know: of those the next one's books must.
    """

    def __init__(self, view: EscrowView, queries: Queries, door: EngineDoor | None) -> None:
        self._view = view
        self._queries = queries
        self._door = door
        self._seen: Mapping[int, int] = {}

    async def read(self) -> Reading:
        """One reading. Raises `MovedOn`, `LedgerBehind`, and what the sides raise that do not answer."""
        seen = self._seen
        state = await self._door.state() if self._door is not None else None
        engine = await self._door.books() if self._door is not None else None
        chain = await self._snapshot()
        ledger = await self._ledger(engine.seq if engine is not None else None)
        batch = engine.batch if engine is not None else ledger.batch
        final = engine is not None and engine.status == BatchStatus.FINAL
        roots = await self._queries.newest_roots(ROOTS_KEPT)
        if chain is not None and not final:
            must_belong_together(chain.state, batch, ledger, roots)
        elif ledger.newest > batch:
            raise MovedOn
        ours = _engine_books(engine) if engine is not None else None
        theirs = _ledger_books(ledger, engine, batch)
        coming, gone = await self._on_their_way(chain, state, ledger.seq, ours or theirs)
        flight = Flight(
            _by_account(coming),
            lambda page: final or (ledger.batch == batch and landed(chain, ledger.root, page)),
            _by_account(gone),
            final,
        )
        slots = _slots(chain)
        compared = compare(slots, flight, ours, theirs, seen)
        self._seen = compared.ahead
        lost = engine is not None and any(one.settled is None for one in ledger.accounts.values())
        agreed = lost and ledger.batch == batch and not (compared.differences or compared.moving)
        return Reading(
            slot=chain.slot if chain is not None else 0,
            seq=ledger.seq,
            batch=batch,
            chain=_totals(chain, compared.strays),
            engine=state,
            ledger=ledger,
            compared=compared,
            rebase={one.account: one.settled for one in engine.accounts} if engine and agreed else None,
            slots=slots,
            flight=flight,
            books=ours,
            open_batch=chain.state.open_batch if chain is not None else 0,
            left_over=engine.left_over if engine is not None else 0,
            foreign_batches=foreign_batches(chain.state, roots) if chain is not None else (),
            waiting=Waiting(
                len(coming), sum(one.amount for one in coming), len(gone), sum(one.amount for one in gone)
            ),
        )

    async def _snapshot(self) -> EscrowSnapshot | None:
        if await self._view.escrow_state(FINALIZED) is None:
            return None
        return await self._view.snapshot(FINALIZED)

    async def _ledger(self, seq: int | None) -> LedgerBooks:
        try:
            async with asyncio.timeout(LEDGER_PATIENCE_S):
                while True:
                    books = await self._queries.books(seq)
                    if seq is None or books.seq == seq:
                        return books
                    await asyncio.sleep(LEDGER_POLL_S)
        except TimeoutError:
            raise LedgerBehind(f"the ledger has not got to journal sequence {seq}") from None

    async def _on_their_way(
        self, chain: EscrowSnapshot | None, engine: EngineState | None, seq: int, books: Books
    ) -> tuple[list[Deposited], list[WithdrawalClaimed]]:
        """Deposits and claims that are in this view of the chain and were not booked by record `seq`."""
        if chain is None or (
            engine is not None
            and (engine.deposits, engine.claimed) == (chain.state.deposits, chain.state.exits)
        ):
            return [], []
        found: list[FoundDeposit | FoundClaim] = []
        cursor, complete = await self._queries.booked_before(seq), False
        while not complete:
            scan = await self._view.deposits_since(cursor)
            found += scan.found
            cursor, complete = scan.cursor, scan.complete
        keys = {one.key: one for one in found}
        waiting = keys.keys() - await self._queries.credited(list(keys), seq)
        unbooked = [
            one
            for key, one in keys.items()
            if key in waiting and one.slot <= chain.slot and not _strays(one, books)
        ]
        return (
            [one.deposit for one in unbooked if isinstance(one, FoundDeposit)],
            [one.claim for one in unbooked if isinstance(one, FoundClaim)],
        )


def _by_account(moved: Sequence[Deposited] | Sequence[WithdrawalClaimed]) -> dict[int, int]:
    sums: dict[int, int] = defaultdict(int)
    for one in moved:
        sums[one.account] += one.amount
    return sums


def _strays(found: FoundDeposit | FoundClaim, books: Books) -> bool:
    """Whether the money went into or out of a slot that names an account which has another one."""
    event = found.deposit if isinstance(found, FoundDeposit) else found.claim
    booked = books.accounts.get(event.account)
    return booked is not None and (booked.page, booked.slot) != (event.page, event.slot)


def must_belong_together(
    state: EscrowState, batch: int, ledger: LedgerBooks, roots: Collection[bytes]
) -> None:
    """Raises `MovedOn` when the chain shows another batch of ours, whose `roots` the ledger has, than the books' last one, or one
    whose root the ledger lost.

    With a batch of somebody else's open, ours has not begun to land: whoever has the operator's key must not be able to keep the
    sides from being compared by leaving one open.
    """
    number = state.number_of(ledger.root)
    if ledger.batch == batch and not number and state.open_batch and state.root not in roots:
        return
    if ledger.batch == batch and number and state.open_batch in (0, number) and state.sealed_batch <= number:
        return
    if state.open_batch or ledger.newest > max(batch, ledger.batch):
        raise MovedOn


def foreign_batches(state: EscrowState, ours: frozenset[bytes]) -> tuple[int, ...]:
    """Numbers of the sealed batches whose roots are not among `ours`, the newest that the ledger has, or are those of newer ones: a
    root of ours is sealed once, and somebody else's copy of it mostly before ours.

    They are told as far as the program keeps roots, without what was sealed before the first of ours: the ledger may have lost that.
    """
    if not ours:
        return ()
    kept = range(max(0, state.sealed_batch - ROOTS_KEPT) + 1, state.sealed_batch + 1)
    first = next((number for number in kept if state.sealed_root(number) in ours), 0)
    roots = {state.sealed_root(number): number for number in kept}
    return tuple(
        number
        for number in kept
        if number >= first
        and not (state.sealed_root(number) in ours and roots[state.sealed_root(number)] == number)
    )


def landed(chain: EscrowSnapshot | None, root: bytes, page: int) -> bool:
    if chain is None:
        return False
    number = chain.state.number_of(root)
    if number and number == chain.state.open_batch:
        return any(one.index == page and one.last_batch >= number for one in chain.pages)
    return number > 0


def _slots(chain: EscrowSnapshot | None) -> list[OnChain]:
    """Numbers of withdrawals beyond all that a record holds, which only a thief gives, count as the largest one."""
    if chain is None:
        return []
    return [
        OnChain(
            page.index,
            one.index,
            one.account,
            str(one.owner),
            one.balance,
            min(one.last_withdrawal, MONEY_MAX),
            one.unapplied,
        )
        for page in chain.pages
        for one in page.slots
    ]


def _engine_books(engine: BooksView) -> Books:
    reserved: dict[int, list[Reserved]] = defaultdict(list)
    for one in engine.reserved:
        reserved[one.account].append(Reserved(one.withdrawal, one.amount))
    accounts = {one.account: Booked(*msgspec.structs.astuple(one)) for one in engine.accounts}
    return Books(accounts, reserved, engine.last_withdrawal, frozenset(engine.strangers))


def _ledger_books(ledger: LedgerBooks, engine: BooksView | None, batch: int) -> Books:
    """With the engine's reservations, which are of the same record, where there is an engine. Batches before the last are landed."""
    deltas = {
        (page.page, slot): delta
        for page in (ledger.pages if ledger.batch == batch else ())
        for slot, delta in decode_deltas(page.deltas)
    }
    accounts = {
        one.account: Booked(*one[:6], deltas.get((one.page, one.slot), 0), one.unapplied, one.foreign)
        for one in ledger.accounts.values()
    }
    if engine is not None:
        books = _engine_books(engine)
        return Books(accounts, books.reserved, books.last_withdrawal, books.strangers)
    reserved: dict[int, list[Reserved]] = defaultdict(list)
    for withdrawal, account, amount in ledger.reserved:
        reserved[account].append(Reserved(withdrawal, amount))
    return Books(accounts, reserved, ledger.last_withdrawal, ledger.strangers)


def _totals(chain: EscrowSnapshot | None, strays: Sequence[OnChain]) -> ChainTotals:
    if chain is None:
        return ChainTotals(vault=0, pages_total=0, clearing=0, deposits=0, withdrawals=0, claimed=0)
    return ChainTotals(
        vault=chain.vault,
        pages_total=sum(page.total for page in chain.pages),
        clearing=chain.state.clearing,
        deposits=chain.state.deposits,
        withdrawals=chain.state.withdrawals + chain.state.exits,
        claimed=chain.state.exits,
        strays=len(strays),
        stray=sum(slot.balance for slot in strays),
    )
