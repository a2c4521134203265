"""Many accounts on chain at once: pages, slots and deposits packed into as few transactions as take them."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from anchorpy import Context, Program, Provider, Wallet
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM

from chain.addresses import TOKEN_PROGRAM
from chain.deltas import SLOTS_PER_PAGE
from chain.escrow import EscrowClient
from chain.idl import escrow_idl
from chain.keys import KeypairSigner
from chain.rpc import CONFIRMED, FINALIZED
from chain.send import Landed, send_until
from chain.signers.interface import Signer
from chain.transactions import SignedTransaction, UnsignedTransaction, signed
from core.accounts import FIRST_AGENT

HOLDING: Final = 1_000_000_000
"""Micro-USDC that each account deposits."""
OPENED_AT_ONCE: Final = 16
"""Accounts opened by one transaction of 1,232 bytes; the exchange opens each by itself, as agents come."""
DEPOSITS_AT_ONCE: Final = 28
PAGES_AT_ONCE: Final = 8
OWN_SLOTS: Final = 2
"""Slots of page 0 that belong to the treasury and the insurance fund."""


class Place(NamedTuple):
    """Where an account is on chain, and its owner's key."""

    account: int
    page: int
    slot: int
    owner: KeypairSigner


class Deposit(NamedTuple):
    """A deposit as the engine credits it: `key` is the transaction's signature and the place in it."""

    account: int
    amount: int
    key: str


def places(count: int) -> list[Place]:
    """The first accounts that an engine registers, in order. Two owners by turns have all accounts of a page."""
    owners: defaultdict[tuple[int, int], KeypairSigner] = defaultdict(lambda: KeypairSigner(Keypair()))
    found = []
    for number in range(count):
        page, slot = divmod(number + OWN_SLOTS, SLOTS_PER_PAGE)
        found.append(Place(FIRST_AGENT + number, page, slot, owners[page, number % 2]))
    return found


class Opener:
    """Opens accounts in an escrow that is initialized; `say` is told of each step."""

    def __init__(self, escrow: EscrowClient, operator: Signer, say: Callable[[str], None]) -> None:
        self._escrow = escrow
        self._operator = operator
        self._say = say
        self._program = Program(
            escrow_idl(), escrow.addresses.program_id, Provider(escrow.client, Wallet(Keypair()))
        )

    async def open(self, accounts: Sequence[Place]) -> list[Deposit]:
        """Returns what was deposited, all of it final; the last one is in the newest of all transactions on the vault."""
        pages: dict[int, list[Place]] = {}
        for place in accounts:
            pages.setdefault(place.page, []).append(place)
        self._say(f"opening {len(accounts):,} accounts on {len(pages)} pages")
        for first in range(1, len(pages), PAGES_AT_ONCE):
            indexes = range(first, min(first + PAGES_AT_ONCE, len(pages)))
            made = [
                self._instruction("create_page", page, page, system_program=SYSTEM_PROGRAM)
                for page in indexes
            ]
            await self._land(self._signed(self._operator, made))
        await asyncio.gather(*(self._open(page) for page in pages.values()))
        self._say("depositing into each")
        found = await asyncio.gather(*(self._deposit(page) for page in pages.values()))
        last = await self._pay(accounts[:1])
        return [*(deposit for page in found for deposit in page), *last]

    async def leave(self, accounts: Sequence[Place], amount: int) -> None:
        """Have the owners of accounts ask for `amount` micro-USDC each; final when it returns."""
        pages: dict[int, list[Place]] = {}
        for place in accounts:
            pages.setdefault(place.page, []).append(place)
        await asyncio.gather(*(self._leave(page, amount) for page in pages.values()))

    async def _leave(self, page: Sequence[Place], amount: int) -> None:
        for owner in {place.owner for place in page}:
            mine = [place for place in page if place.owner is owner]
            for first in range(0, len(mine), DEPOSITS_AT_ONCE):
                asked = [
                    self._instruction(
                        "request_withdrawal", place.page, place.slot, amount, owner=owner.pubkey
                    )
                    for place in mine[first : first + DEPOSITS_AT_ONCE]
                ]
                await self._land(self._signed(owner, asked), FINALIZED)

    async def _open(self, page: Sequence[Place]) -> None:
        """Accounts of one page in order: each takes the next free slot."""
        for first in range(0, len(page), OPENED_AT_ONCE):
            opened = [
                self._instruction("open_account", place.page, place.owner.pubkey, place.account)
                for place in page[first : first + OPENED_AT_ONCE]
            ]
            await self._land(self._signed(self._operator, opened))

    async def _deposit(self, page: Sequence[Place]) -> list[Deposit]:
        found = []
        for owner in {place.owner for place in page}:
            mine = [place for place in page if place.owner is owner]
            for first in range(0, len(mine), DEPOSITS_AT_ONCE):
                found += await self._pay(mine[first : first + DEPOSITS_AT_ONCE])
        return found

    async def _pay(self, some: Sequence[Place]) -> list[Deposit]:
        """One transaction that pays into accounts of one page and owner."""
        owner = some[0].owner
        keys = {
            "owner": owner.pubkey,
            "source": self._escrow.wallet_of(owner.pubkey),
            "vault": self._escrow.addresses.vault,
            "token_program": TOKEN_PROGRAM,
        }
        paid = [
            self._instruction("deposit", place.page, place.slot, HOLDING + place.account, **keys)
            for place in some
        ]
        signature = (await self._land(self._signed(owner, paid), FINALIZED)).signature
        return [
            Deposit(place.account, HOLDING + place.account, f"{signature}:{index}")
            for index, place in enumerate(some)
        ]

    def _instruction(self, name: str, page: int, *arguments: object, **others: Pubkey) -> Instruction:
        at = self._escrow.addresses
        accounts = {"escrow": at.escrow, "page": at.page(page), "operator": self._operator.pubkey, **others}
        built: Instruction = self._program.instruction[name](*arguments, ctx=Context(accounts=accounts))
        return built

    async def _signed(self, payer: Signer, instructions: list[Instruction]) -> SignedTransaction:
        blockhash = await self._escrow.blockhash()
        message = bytes(Message.new_with_blockhash(instructions, payer.pubkey, blockhash.value))
        return await signed(UnsignedTransaction(message, blockhash.last_valid_block_height), [payer])

    async def _land(
        self, building: Awaitable[SignedTransaction], commitment: str = CONFIRMED
    ) -> SignedTransaction:
        transaction = await building
        fate = await send_until(self._escrow.client, transaction, commitment)
        if not isinstance(fate, Landed):
            raise RuntimeError(f"the chain did not take a transaction: {fate}")
        return transaction
