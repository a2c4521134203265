"""Reading the escrow: its state, its pages, its vault, what came in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from solana.rpc.async_api import AsyncClient
from solders.pubkey import Pubkey
from solders.signature import Signature

from chain.addresses import EscrowAddresses
from chain.deposits import Deposit, deposits_of
from chain.layout import EscrowState, PageView, SlotView, parse_escrow, parse_page, parse_token_amount
from chain.rpc import ChainUnavailable, Level, ask

ACCOUNTS_PER_CALL: Final = 100
SIGNATURES_PER_CALL: Final = 1000
_TRIES: Final = 10


class NotOnChain(LookupError):
    """The account is not there at the commitment asked for."""

    code = "not_on_chain"


@dataclass(frozen=True, slots=True)
class EscrowSnapshot:
    """Everything the escrow holds at one moment. Money in micro-USDC.

    `vault` may be more than `promised`: anybody can send tokens to the vault, and they belong to no slot.
    """

    slot: int
    state: EscrowState
    pages: tuple[PageView, ...]
    vault: int

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


class EscrowView:
    """Reads one escrow, confirmed unless `finalized`.

    Every method raises `ChainUnavailable` when the node does not tell, and `LayoutMismatch` when the accounts are not our program's.
    """

    def __init__(self, rpc: AsyncClient, program: Pubkey, admin: Pubkey) -> None:
        self.rpc = rpc
        self.program = program
        self.admin = admin
        self.addresses = EscrowAddresses(program, admin)
        self.address = self.addresses.escrow
        self.vault = self.addresses.vault
        self._known: dict[Pubkey, PageView] = {}

    def page_address(self, index: int) -> Pubkey:
        return self.addresses.page(index)

    async def state(self, finalized: bool = False) -> EscrowState | None:
        """The escrow account, or None while it is not initialized."""
        _, (data,) = await self._read([self.address], finalized)
        return parse_escrow(data) if data is not None else None

    async def page(self, index: int, finalized: bool = False) -> PageView:
        """Raises `NotOnChain` when there is no such page."""
        _, (data,) = await self._read([self.page_address(index)], finalized)
        if data is None:
            raise NotOnChain(f"page {index} is not on chain")
        return parse_page(data)

    async def pages(self, count: int, finalized: bool = False) -> list[PageView]:
        """The first `count` pages, a hundred in one call; beyond that they need not show one moment (`snapshot` does)."""
        found: list[PageView] = []
        for start in range(0, count, ACCOUNTS_PER_CALL):
            indexes = range(start, min(count, start + ACCOUNTS_PER_CALL))
            _, answers = await self._read(list(map(self.page_address, indexes)), finalized)
            for index, data in zip(indexes, answers, strict=True):
                if data is None:
                    raise NotOnChain(f"page {index} is not on chain")
                found.append(parse_page(data))
        return found

    async def vault_amount(self, finalized: bool = False) -> int:
        """Micro-USDC in the vault."""
        _, (data,) = await self._read([self.vault], finalized)
        if data is None:
            raise NotOnChain("the vault is not on chain")
        return parse_token_amount(data)

    async def slot_of(self, account: int, finalized: bool = False) -> SlotView | None:
        """The slot of an engine account, or None when it has none at this commitment. New accounts are in the last page."""
        state = await self.state(finalized)
        for page in reversed(await self.pages(state.pages if state else 0, finalized)):
            for slot in page.slots:
                if slot.account == account:
                    return slot
        return None

    async def snapshot(self, finalized: bool = True) -> EscrowSnapshot:
        """State, pages and vault as of one moment.

        Up to 98 pages come in one answer. With more, every answer carries the escrow account too, which changes whenever a
        balance does: when it is the same in all of them, they show one moment; otherwise they are asked for again.
        """
        for _ in range(_TRIES):
            state = await self.state(finalized)
            if state is None:
                raise NotOnChain("the escrow is not initialized")
            keys = [self.vault, *map(self.page_address, range(state.pages))]
            step = ACCOUNTS_PER_CALL - 1
            parts = [[self.address, *keys[at : at + step]] for at in range(0, len(keys), step)]
            answers = [await self._read(part, finalized) for part in parts]
            escrow = answers[0][1][0]
            rest = [data for _, part in answers for data in part[1:] if data is not None]
            one_moment = all(part[0] == escrow for _, part in answers) and len(rest) == len(keys)
            if escrow is None or not one_moment:
                continue
            state = parse_escrow(escrow)
            if state.pages == len(keys) - 1:
                pages = tuple(map(parse_page, rest[1:]))
                return EscrowSnapshot(answers[0][0], state, pages, parse_token_amount(rest[0]))
        raise ChainUnavailable("the escrow changes too fast to be read in one piece")

    async def receipt(self, signature: str, finalized: bool = False) -> Receipt | None:
        """What a landed transaction cost and logged, or None while it is not there."""
        found = await self._transaction(signature, finalized)
        if found is None:
            return None
        meta = found.transaction.meta
        logs = tuple(meta.log_messages or ())
        units = meta.compute_units_consumed or 0
        return Receipt(signature, found.slot, meta.fee, units, logs, meta.err is None)

    async def deposits_since(
        self, signature: str | None, limit: int = 500
    ) -> tuple[list[Deposit], str | None]:
        """Finalized deposits after the transaction `signature`, in chain order, and the last transaction read: where to go on from.

        Reads at most `limit` transactions, the oldest ones: the returned signature stays the same only when there is nothing new.
        """
        signatures = (await self._vault_signatures(signature))[:limit]
        found: list[Deposit] = []
        for one in signatures:
            transaction = await self._transaction(one, finalized=True)
            if transaction is None:
                raise ChainUnavailable(f"the node lists {one} but does not have it")
            found.extend(await deposits_of(transaction, one, self.addresses, self._slot_at))
        return found, signatures[-1] if signatures else signature

    async def _vault_signatures(self, after: str | None) -> list[str]:
        """Successful finalized transactions that name the vault, oldest first. Settlement does not name it."""
        newest_first: list[str] = []
        until = Signature.from_string(after) if after else None
        before: Signature | None = None
        while True:
            call = self.rpc.get_signatures_for_address(
                self.vault, before, until, SIGNATURES_PER_CALL, Level.FINALIZED.commitment
            )
            piece = (await ask(call)).value
            newest_first.extend(str(each.signature) for each in piece if each.err is None)
            if len(piece) < SIGNATURES_PER_CALL:
                return newest_first[::-1]
            before = piece[-1].signature

    async def _slot_at(self, page: Pubkey, slot: int) -> SlotView:
        """Slots never change hands, so one read of a page serves until it has new ones."""
        known = self._known.get(page)
        if known is None or slot >= len(known.slots):
            _, (data,) = await self._read([page], finalized=True)
            if data is None:
                raise NotOnChain(f"the page {page} is not on chain")
            known = self._known[page] = parse_page(data)
        return known.slots[slot]

    async def _transaction(self, signature: str, finalized: bool) -> Any:
        call = self.rpc.get_transaction(
            Signature.from_string(signature),
            "base64",
            _commitment(finalized),
            max_supported_transaction_version=0,
        )
        return (await ask(call)).value

    async def _read(self, keys: Sequence[Pubkey], finalized: bool) -> tuple[int, list[bytes | None]]:
        """Slot of the view, and the data of up to 100 accounts in it."""
        answer = await ask(self.rpc.get_multiple_accounts(list(keys), _commitment(finalized)))
        return answer.context.slot, [each.data if each is not None else None for each in answer.value]


def _commitment(finalized: bool) -> str:
    return (Level.FINALIZED if finalized else Level.CONFIRMED).commitment
