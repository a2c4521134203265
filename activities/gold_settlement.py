"""Steps of a batch of gold orders on an EVM chain: sign, then send and watch. The workflow keeps what is signed before it is sent."""

from dataclasses import dataclass, field, replace
from typing import Final

from temporalio import activity

from activities.heartbeats import heartbeats
from chain.evm.abi import ContractError
from chain.evm.batch import EVERYTHING, MOCK_GOLD, NO_CASH, Batch, GoldOrder, Leg, LegDone
from chain.evm.cover import covered
from chain.evm.fees import Fees
from chain.evm.gold_market import GoldMarket, Quote
from chain.evm.gold_orders import OrderOutcome, VaultOrder
from chain.evm.router import Executed, Expired, RouterClient, Undone
from chain.evm.sending import Attempt, Displaced, Overdue
from chain.rpc import ChainUnavailable
from core.quantities import MicroUsdc
from core.tickets import PriceE8, SizeE8
from venues.driver import Reason
from venues.gold_reasons import reason_of

EXECUTED: Final = "executed"
UNDONE: Final = "undone"
DISPLACED: Final = "displaced"
REFUSED: Final = "refused"
OVERDUE: Final = "overdue"
LATE: Final = "late"
REHEARSED: Final = bytes(32)
"""Id of a batch that is only tried: the router has never carried it out, and never will."""
FOR_EVER: Final = 2**64 - 1
NO_ORDER: Final = VaultOrder("00" * 32, "0x" + "00" * 20, 0, 0, 0, 0)
"""As large in a transaction as any."""


@dataclass
class GoldBatch:
    """The orders of a period. `id` in hex, 32 bytes; `deadline` in seconds since 1970."""

    id: str
    deadline: int
    orders: list[VaultOrder]


@dataclass
class SignedAttempt:
    """A signed transaction, which may have been sent as soon as this is stored. `raw` in hex."""

    nonce: int
    hash: str
    raw: str
    most: int
    priority: int
    since: int


@dataclass
class GoldTry:
    """A batch with all that was ever signed for it under its present nonce, and whether any of it may have been `sent`."""

    batch: GoldBatch
    attempts: list[SignedAttempt] = field(default_factory=list)
    sent: bool = False


@dataclass
class GoldCovered:
    """Orders as they go into a batch, and what came of those that do not."""

    orders: list[VaultOrder] = field(default_factory=list)
    refused: list[OrderOutcome] = field(default_factory=list)


@dataclass
class GoldFate:
    """What became of the attempts: one of the words above. `reason` and its `code` when nothing was done, `fee` in wei."""

    kind: str
    hash: str = ""
    block: int = 0
    fee: int = 0
    reason: str = ""
    orders: list[OrderOutcome] = field(default_factory=list)
    code: str = ""


class GoldSettlementActivities:
    """Over one router, and the market that it has for gold."""

    def __init__(self, router: RouterClient, market: GoldMarket) -> None:
        self._router = router
        self._market = market

    @activity.defn
    async def most_gold_orders(self) -> int:
        """How many orders one transaction may have now, each given the gas that it may use at worst. One at least: whether that is too
        much the node says."""
        async with heartbeats():
            [leg] = _batch(GoldBatch(REHEARSED.hex(), FOR_EVER, [NO_ORDER])).legs
            return max(1, await self._router.most_legs(leg))

    @activity.defn
    async def cover_gold_orders(self, orders: list[VaultOrder], since: int) -> GoldCovered:
        """Give each order the cash that it needs by what its vault has now, and refuse what would be undone anyway.

        Only while nothing else of these vaults is under way, and one order of each. `since` is the block of the last batch: a node
        that does not have it yet would tell what vaults had before. Nothing is sent.
        """
        async with heartbeats():
            made = GoldCovered()
            quote, depth = await self._market.quote(), await self._market.depth()
            if depth < since:
                raise ChainUnavailable(f"the node is at block {depth}, before the last batch in {since}")
            for order in orders:
                if quote.price <= 0:
                    made.refused.append(_refused(order, Reason.NO_PRICE, "the feed has no price"))
                elif (ready := await self._covered(order, quote, depth)).size:
                    made.orders.append(ready)
                else:
                    made.refused.append(_refused(order, Reason.WOULD_NOT_REDUCE, "nothing to reduce"))
            return await self._rehearsed(made)

    async def _covered(self, order: VaultOrder, quote: Quote, depth: int) -> VaultOrder:
        held = await self._market.held(order.vault, depth)
        limit = PriceE8(order.limit_price)
        cover = covered(held, SizeE8(order.size), limit, quote.price, reduce_only=order.reduce_only)
        worst, cash_in = cover.limit_price, cover.cash_in
        return replace(order, size=cover.size, limit_price=worst, cash_in=cash_in, cash_out=EVERYTHING)

    async def _rehearsed(self, made: GoldCovered) -> GoldCovered:
        """Without those that the chain as it is now would not carry out: they would cost gas and come to nothing."""
        if not made.orders:
            return made
        tried = await self._router.rehearse(_batch(GoldBatch(REHEARSED.hex(), FOR_EVER, made.orders)))
        if isinstance(tried, ContractError):
            tried = [(False, tried)] * len(made.orders)
        kept = []
        for order, (_, error) in zip(made.orders, tried, strict=True):
            if error is not None and error.name == "PoolShort":
                # What was gained must wait for the pool; the position need not.
                kept.append(replace(order, cash_out=NO_CASH))
            elif error is not None:
                made.refused.append(_refused(order, reason_of(error), str(error)))
            else:
                kept.append(order)
        return GoldCovered(kept, made.refused)

    @activity.defn
    async def find_gold_batch(self, batch: GoldBatch) -> GoldFate | None:
        """What came of a batch that the router knows; None when it does not."""
        async with heartbeats():
            found = await self._router.find(_batch(batch))
            return None if found is None else _executed(batch, found)

    @activity.defn
    async def end_gold_batch(self, batch: GoldBatch) -> GoldFate | None:
        """What came of a batch for certain, whatever was signed and sent of it; None while that may still carry it out."""
        async with heartbeats():
            match await self._router.ended(_batch(batch)):
                case Executed() as executed:
                    return _executed(batch, executed)
                case Expired():
                    return GoldFate(LATE, reason="no block took it in time")
            return None

    @activity.defn
    async def sign_gold_batch(self, what: GoldTry) -> SignedAttempt | None:
        """The first attempt, or one that offers more than the last; None when it may not. Nothing is sent."""
        async with heartbeats():
            attempt = await self._router.sign(_batch(what.batch), [_attempt(one) for one in what.attempts])
            if attempt is None:
                return None
            fees = attempt.fees
            return SignedAttempt(
                attempt.nonce, attempt.hash, attempt.raw.hex(), fees.most, fees.priority, attempt.since
            )

    @activity.defn
    async def watch_gold_batch(self, what: GoldTry) -> GoldFate:
        """Send what is signed until something is known of it."""
        # An earlier try may have sent it already: then a refusal says nothing.
        fresh = activity.info().attempt == 1 and not what.sent
        async with heartbeats():
            attempts = [_attempt(one) for one in what.attempts]
            match await self._router.watch(_batch(what.batch), attempts, fresh=fresh):
                case Executed() as executed:
                    return _executed(what.batch, executed)
                case Undone(name, block, fee, reason):
                    return GoldFate(UNDONE, name, block, fee, str(reason), code=reason_of(reason).value)
                case Displaced(by, block):
                    return GoldFate(DISPLACED, by, block)
                case Overdue():
                    return GoldFate(OVERDUE)
                case refused:
                    return GoldFate(REFUSED, reason=refused.message)


def _batch(batch: GoldBatch) -> Batch:
    legs = (
        Leg(
            MOCK_GOLD,
            one.vault,
            MicroUsdc(one.cash_in),
            GoldOrder(
                bytes.fromhex(one.id), SizeE8(one.size), PriceE8(one.limit_price), MicroUsdc(one.cash_out)
            ).encoded(),
        )
        for one in batch.orders
    )
    return Batch(bytes.fromhex(batch.id), batch.deadline, False, tuple(legs))


def _refused(order: VaultOrder, reason: Reason, words: str) -> OrderOutcome:
    return OrderOutcome(order.id, 0, 0, words, reason.value, order.size)


def _attempt(one: SignedAttempt) -> Attempt:
    return Attempt(one.nonce, one.hash, bytes.fromhex(one.raw), Fees(one.most, one.priority), one.since)


def _executed(batch: GoldBatch, executed: Executed) -> GoldFate:
    outcomes = [
        OrderOutcome(order.id, leg.price, leg.cash_out, size=order.size)
        if isinstance(leg, LegDone)
        else _refused(order, reason_of(leg.reason), str(leg.reason))
        for order, leg in zip(batch.orders, executed.legs, strict=True)
    ]
    return GoldFate(EXECUTED, executed.hash, executed.block, executed.fee, orders=outcomes)
