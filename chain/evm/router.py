"""Batches through the router: carried out once, with what came of each leg, whatever happens on the way.

Two things keep a batch from being carried out twice: its attempts share a nonce, and the router refuses an id that it knows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from eth_hash.auto import keccak

from chain.evm.abi import ContractError, Event, load
from chain.evm.batch import Batch, Leg, LegOutcome, gas_for, id32, most_legs, outcomes, reason
from chain.evm.node import LATEST, Block, NodeRefused, Receipt
from chain.evm.sending import (
    Attempt,
    Call,
    Displaced,
    Fate,
    Landed,
    Overdue,
    Refused,
    Reverted,
    Sender,
    Store,
)
from chain.rpc import ChainUnavailable

_BATCH_EXECUTED = keccak(b"BatchExecuted(bytes32,address,bool,uint256,uint256)")


@dataclass(frozen=True, slots=True)
class Executed:
    """The batch was carried out. `fee` in wei."""

    hash: str
    block: int
    fee: int
    legs: tuple[LegOutcome, ...]


@dataclass(frozen=True, slots=True)
class Undone:
    """The transaction is in a block and nothing of the batch happened: one leg of an atomic batch failed, it was too late, or paused.

    The reason is found by asking again, and missing when the chain has moved on so far that the batch would pass now.
    """

    hash: str
    block: int
    fee: int
    reason: ContractError


@dataclass(frozen=True, slots=True)
class Expired:
    """A block that stays is past the batch's deadline and the router had not carried it out: it takes it in none that comes."""


class RouterClient:
    """One router, and the key whose batches it takes."""

    def __init__(self, sender: Sender, address: str) -> None:
        self.address = address
        self._sender = sender
        self._node = sender.node

    async def call(self, batch: Batch) -> Call:
        """With gas for what the batch's adapters are registered with now. Raises `ChainUnavailable`."""
        registered = [await self._registered_gas(adapter) for adapter in {leg.adapter for leg in batch.legs}]
        return Call(self.address, batch.call_data(), gas_for(batch.legs, max(registered, default=0)))

    async def most_legs(self, leg: Leg) -> int:
        """How many legs like this one a batch may have, by what its adapter is registered with and by the newest block. Raises
        `ChainUnavailable`."""
        head, gas = await self._node.block(), await self._registered_gas(leg.adapter)
        return most_legs(leg, gas, head.gas_limit)

    async def carry_out(
        self, batch: Batch, attempts: Sequence[Attempt], store: Store
    ) -> Executed | Undone | Displaced | Refused:
        """Bring a batch to its fate; `attempts` are all that were ever stored for it.

        After `Displaced`, and after `Refused` once its cause is gone, the batch may be carried out anew without any attempts.
        Raises `ChainUnavailable` and `WrongChain`; the batch's fate is then unknown.
        """
        found = None if attempts else await self.find(batch)
        if found is not None:
            return found
        return await self._told(batch, await self._sender.follow(await self.call(batch), attempts, store))

    async def sign(self, batch: Batch, attempts: Sequence[Attempt]) -> Attempt | None:
        """The next attempt, for whoever stores attempts by itself; as `Sender.sign`."""
        return await self._sender.sign(await self.call(batch), attempts)

    async def watch(
        self, batch: Batch, attempts: Sequence[Attempt], *, fresh: bool
    ) -> Executed | Undone | Displaced | Refused | Overdue:
        """Send what is stored and see what comes of it; as `Sender.watch`."""
        fate = await self._sender.watch(attempts, fresh=fresh)
        return fate if isinstance(fate, Overdue) else await self._told(batch, fate)

    async def find(self, batch: Batch) -> Executed | None:
        """What came of a batch that the router knows, at a depth that stays; None when it does not know it there."""
        return await self._found(batch, (await self._deep()).number)

    async def ended(self, batch: Batch) -> Executed | Expired | None:
        """What came of a batch for certain, whoever still holds transactions that carry it; None while one of them may do so."""
        deep = await self._deep()
        found = await self._found(batch, deep.number)
        return Expired() if found is None and deep.time > batch.deadline else found

    async def _deep(self) -> Block:
        """The newest block that stays."""
        head = await self._node.block()
        return await self._node.block(max(0, head.number - self._sender.confirmations + 1))

    async def _found(self, batch: Batch, at: int) -> Executed | None:
        router = load("Router")
        answer = await self._node.call(self.address, router.call("executedIn", batch.id), at=at)
        block = router.answer("executedIn", answer)
        if not block:
            return None
        topics = ["0x" + _BATCH_EXECUTED.hex(), "0x" + batch.id.hex()]
        logs = await self._node.logs(self.address, topics, block, block)
        receipt = await self._node.receipt(str(logs[0]["transactionHash"])) if logs else None
        if receipt is None:
            raise ChainUnavailable(f"the node does not show the transaction of a batch in block {block}")
        return self._executed(batch, receipt)

    async def rehearse(self, batch: Batch) -> list[tuple[bool, ContractError | None]] | ContractError:
        """What would come of each leg now, at no cost: done, or why not. One error when nothing at all would be done."""
        router = load("Router")
        try:
            answer = await self._node.call(self.address, batch.call_data(), sender=self._sender.address)
        except NodeRefused as error:
            if not error.data:
                raise
            return reason(error.data)
        results = router.answer("executeMulti", answer)
        return [(done, None if done else reason(words)) for done, _, words in results]

    def events(self, receipt: Receipt) -> list[Event]:
        """What the router told in a transaction."""
        router = load("Router")
        own = [log for log in receipt.logs if log.address.lower() == self.address.lower()]
        found = (router.event(log.address, log.topics, log.data) for log in own)
        return [event for event in found if event is not None]

    async def _registered_gas(self, adapter: str) -> int:
        """What one leg of an adapter may use; zero for one that is not registered, whose legs the router refuses at once."""
        router = load("Router")
        answer = await self._node.call(self.address, router.call("adapters", id32(adapter)))
        _, gas, _, _ = router.answer("adapters", answer)
        return int(gas)

    async def _told(self, batch: Batch, fate: Fate) -> Executed | Undone | Displaced | Refused:
        """What a transaction's fate means for the batch: another one may have carried it out."""
        match fate:
            case Landed(receipt):
                return self._executed(batch, receipt)
            case Reverted(receipt):
                return await self.find(batch) or await self._undone(batch, receipt)
            case Displaced():
                return await self.find(batch) or fate
            case Refused():
                return fate

    def _executed(self, batch: Batch, receipt: Receipt) -> Executed:
        legs = outcomes(batch, self.events(receipt))
        return Executed(receipt.hash, receipt.block, receipt.fee, tuple(legs))

    async def _undone(self, batch: Batch, receipt: Receipt) -> Undone:
        why = ContractError("")
        for at in (receipt.block - 1, LATEST):
            try:
                await self._node.call(self.address, batch.call_data(), sender=self._sender.address, at=at)
            except NodeRefused as error:
                if error.data:
                    why = reason(error.data)
                    break
        return Undone(receipt.hash, receipt.block, receipt.fee, why)
