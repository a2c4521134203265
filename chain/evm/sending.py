"""Getting one transaction onto an EVM chain exactly once, whatever happens to calls, answers and blocks.

A nonce is used by one transaction at most. All attempts at the same call share one nonce, so at most one of them lands; each is stored
before it is sent, so after any crash all that may land are known. What became of the nonce is only ever decided by asking the chain.

One nonce is open at a time for a key: `follow` must end before the key signs anything else.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

import structlog

from chain.evm.fees import Fees, going_rate, replacement
from chain.evm.key import EvmKey
from chain.evm.node import LATEST, Block, Node, NodeRefused, Receipt
from chain.evm.refusals import forgotten, has_it, never, too_cheap
from chain.rpc import ChainUnavailable

_log = structlog.get_logger("evm")
POLL_S: Final = 2.0
RESEND_BLOCKS: Final = 2
"""Nodes forget transactions that wait, and restart."""
PATIENCE_BLOCKS: Final = 3
"""A transaction at the going rate is in one of the next blocks, unless the rate has changed."""
CONFIRMATIONS: Final = 3


class WrongChain(Exception):
    """The node is of another chain than the one to send to."""

    code = "evm_wrong_chain"


@dataclass(frozen=True, slots=True)
class Call:
    """What shall be done: `data` to the contract `to`, with at most `gas`."""

    to: str
    data: bytes
    gas: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """A signed transaction that carries a call. `since` is the newest block when its nonce was chosen: it lies in none before."""

    nonce: int
    hash: str
    raw: bytes = field(repr=False)
    fees: Fees
    since: int


@dataclass(frozen=True, slots=True)
class Landed:
    """It was carried out, and so many blocks lie on it as were asked for."""

    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Reverted:
    """It is in a block and was undone: its gas is paid, nothing else happened, and it cannot land again."""

    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Displaced:
    """Something else that this key signed has used the nonce, by a `block`: none of the attempts landed or ever will.

    `by` is empty where nobody can say any more what it was.
    """

    by: str
    block: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The node would not have it, at no cost, and nobody else has it: the nonce is still free."""

    message: str


@dataclass(frozen=True, slots=True)
class Overdue:
    """No block has taken any of the attempts for so long that another should offer more. All of them may still land."""


Fate = Landed | Reverted | Displaced | Refused
Store = Callable[[Attempt], Awaitable[None]]
"""Keeps an attempt, durably, before it is sent."""


class Sender:
    """Sends with one key to one chain. `fee_cap` bounds what is offered, in wei a unit of gas; a
    transaction that `patience` blocks did not take offers more."""

    def __init__(
        self,
        node: Node,
        key: EvmKey,
        chain_id: int,
        fee_cap: int,
        *,
        confirmations: int = CONFIRMATIONS,
        poll_s: float = POLL_S,
        patience: int = PATIENCE_BLOCKS,
    ) -> None:
        self.node = node
        self.address = key.address
        self._key = key
        self._chain_id = chain_id
        self._fee_cap = fee_cap
        self.confirmations = confirmations
        self._poll_s = poll_s
        self._patience = patience

    async def follow(self, call: Call, attempts: Sequence[Attempt], store: Store) -> Fate:
        """Bring a call to its fate: `attempts` are all that were ever stored for it, none if it is new.

        Errors and lost answers are unknown, and asked about again; bound the wait from outside and call again with what is stored.
        Raises `WrongChain`.
        """
        known, fresh = list(attempts), not attempts
        while True:
            if known:
                fate = await self.watch(known, fresh=fresh)
                if not isinstance(fate, Overdue):
                    return fate
                fresh = False
            try:
                more = await self.sign(call, known)
            except ChainUnavailable as error:
                _log.info("the node gave no answer, asking again", address=self.address, error=str(error))
                await asyncio.sleep(self._poll_s)
                continue
            if more is not None:
                await store(more)
                known.append(more)

    async def sign(self, call: Call, attempts: Sequence[Attempt]) -> Attempt | None:
        """The first attempt at a call, or one that replaces the last; None when that may not offer more.

        It is not sent: store it first. Raises `ChainUnavailable` and `WrongChain`.
        """
        await self._must_be_our_chain()
        head = await self.node.block()
        rate = going_rate(head, await self.node.priority_fee(), self._fee_cap)
        if not attempts:
            nonce = await self.node.transaction_count(self.address, LATEST)
            return self._signed(call, nonce, rate, head.number)
        last = attempts[-1]
        fees = replacement(last.fees, rate, self._fee_cap)
        if fees is None:
            _log.warning("a transaction waits and may not offer more", hash=last.hash, offers=last.fees.most)
            return None
        return self._signed(call, last.nonce, fees, last.since)

    async def watch(self, attempts: Sequence[Attempt], *, fresh: bool) -> "Fate | Overdue":
        """Send the attempts, all of which are stored, until one has a fate or no block has taken any for too long.

        `fresh` tells that none was ever sent: only then a refusal is final. Lost answers are asked about again; bound the wait from
        outside. Raises `WrongChain`.
        """
        checked, silence = False, ""
        begun = send_at = 0
        while True:
            try:
                if not checked:
                    await self._must_be_our_chain()
                    checked = True
                head = await self.node.block()
                begun = begun or head.number
                state = await self._fate(attempts, head)
                if state is not None and not isinstance(state, Waiting):
                    return state
                if state is None and head.number >= send_at:
                    answer = await self._submit_all(attempts)
                    if isinstance(answer, Refused) and fresh:
                        return answer
                    fresh = False
                    send_at = head.number + RESEND_BLOCKS
                    if answer is _Submission.TOO_CHEAP:
                        begun = min(begun, head.number - self._patience)
                if state is None and head.number >= begun + self._patience:
                    await asyncio.sleep(self._poll_s)
                    return Overdue()
                silence = ""
            except ChainUnavailable as error:
                # Not known is not failed: the next round asks again. A submission without an answer may have arrived.
                fresh = False
                if str(error) != silence:
                    silence = str(error)
                    _log.info("the node gave no answer, asking again", address=self.address, error=silence)
            await asyncio.sleep(self._poll_s)

    async def _must_be_our_chain(self) -> None:
        found = await self.node.chain_id()
        if found != self._chain_id:
            raise WrongChain(f"the node is of chain {found}, not {self._chain_id}")

    def _signed(self, call: Call, nonce: int, fees: Fees, since: int) -> Attempt:
        raw, name = self._key.sign(
            {
                "type": 2,
                "chainId": self._chain_id,
                "nonce": nonce,
                # As bytes: as text it would have to be written with the right capitals.
                "to": bytes.fromhex(call.to[2:]),
                "data": call.data,
                "value": 0,
                "gas": call.gas,
                "maxFeePerGas": fees.most,
                "maxPriorityFeePerGas": fees.priority,
            }
        )
        return Attempt(nonce, name, raw, fees, since)

    async def _fate(
        self, attempts: Sequence[Attempt], head: Block
    ) -> "Landed | Reverted | Displaced | Waiting | None":
        """What became of the nonce: None while no block has used it, `Waiting` while too few blocks lie on the one that did."""
        nonce = attempts[0].nonce
        if await self.node.transaction_count(self.address, head.number) <= nonce:
            return None
        for attempt in attempts:
            receipt = await self.node.receipt(attempt.hash)
            if receipt is None:
                continue
            if not await self._is_deep(receipt.block, receipt.block_hash, head):
                return Waiting()
            return Landed(receipt) if receipt.succeeded else Reverted(receipt)
        return await self._displaced(attempts, head)

    async def _displaced(self, attempts: Sequence[Attempt], head: Block) -> "Displaced | Waiting":
        """Prove who used the nonce. That receipts are missing proves nothing: the node that was asked may be behind."""
        nonce = attempts[0].nonce
        low, high = attempts[0].since, head.number
        try:
            if await self.node.transaction_count(self.address, low) > nonce:
                # Used before we chose it: the node that was asked for a free one was behind.
                return Displaced("", low)
        except NodeRefused as error:
            if not forgotten(error.message):
                raise
            return await self._displaced_long_ago(attempts, head)
        while low < high:
            middle = (low + high) // 2
            if await self.node.transaction_count(self.address, middle) > nonce:
                high = middle
            else:
                low = middle + 1
        user = await self.node.sent_by(self.address, nonce, low)
        if user is None or user in [attempt.hash for attempt in attempts]:
            raise ChainUnavailable("the node does not show what used a nonce")
        block = await self.node.block(low)
        return Displaced(user, low) if await self._is_deep(low, block.hash, head) else Waiting()

    async def _displaced_long_ago(self, attempts: Sequence[Attempt], head: Block) -> "Displaced | Waiting":
        """Where the node does not know any more when the nonce was used: it was by a block that stays, and no attempt has a receipt.

        A receipt may be missing for another reason, so whoever signs a call anew must be sure that it counts once.
        """
        deep = max(0, head.number - self.confirmations + 1)
        if await self.node.transaction_count(self.address, deep) <= attempts[0].nonce:
            return Waiting()
        for attempt in attempts:
            if await self.node.receipt(attempt.hash) is not None:
                raise ChainUnavailable("the node shows what used a nonce only now")
        return Displaced("", deep)

    async def _is_deep(self, number: int, name: str, head: Block) -> bool:
        if head.number - number + 1 < self.confirmations:
            return False
        # A receipt may be of a block that was given up since.
        return (await self.node.block(number)).hash == name

    async def _submit_all(self, attempts: Sequence[Attempt]) -> "Refused | _Submission":
        """Hand all attempts to the node, the dearest first; the answer is of that one."""
        dearest, *others = reversed(attempts)
        answer = await self._submit(dearest)
        if answer is not _Submission.TAKEN:
            # Money for the dearest may be missing where a cheaper one would do.
            for attempt in others:
                await self._submit(attempt)
        return answer

    async def _submit(self, attempt: Attempt) -> "Refused | _Submission":
        try:
            await self.node.submit(attempt.raw)
        except NodeRefused as error:
            if has_it(error.message):
                return _Submission.TAKEN
            _log.info("the node does not take a transaction", hash=attempt.hash, said=error.message)
            if too_cheap(error.message):
                return _Submission.TOO_CHEAP
            if never(error.message):
                return Refused(error.message)
            return _Submission.UNKNOWN
        return _Submission.TAKEN


class Waiting:
    """The nonce is used, in a block that may yet be given up."""


class _Submission(Enum):
    TAKEN = auto()
    TOO_CHEAP = auto()
    UNKNOWN = auto()
