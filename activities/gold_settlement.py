"""Steps of a batch of gold orders on an EVM chain: sign, then send and watch. The workflow keeps what is signed before it is sent."""

from dataclasses import dataclass, field
from typing import Final

from temporalio import activity

from activities.heartbeats import heartbeats
from chain.evm.batch import MOCK_GOLD, Batch, GoldOrder, Leg, LegDone
from chain.evm.fees import Fees
from chain.evm.router import Executed, RouterClient, Undone
from chain.evm.sending import Attempt, Displaced, Overdue
from core.quantities import MicroUsdc
from core.tickets import PriceE8, SizeE8

EXECUTED: Final = "executed"
UNDONE: Final = "undone"
DISPLACED: Final = "displaced"
REFUSED: Final = "refused"
OVERDUE: Final = "overdue"


@dataclass
class VaultOrder:
    """One vault's order. `id` in hex, 32 bytes; sizes and prices in 1e-8, cash in micro-USDC."""

    id: str
    vault: str
    size: int
    limit_price: int
    cash_in: int
    cash_out: int


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
class OrderOutcome:
    """What came of an order. With an empty `reason` it was carried out, else nothing of it happened."""

    id: str
    price: int
    cash_out: int
    reason: str = ""


@dataclass
class GoldFate:
    """What became of the attempts: one of the words above. `reason` when nothing was done, `fee` in wei."""

    kind: str
    hash: str = ""
    block: int = 0
    fee: int = 0
    reason: str = ""
    orders: list[OrderOutcome] = field(default_factory=list)


class GoldSettlementActivities:
    """Over one router."""

    def __init__(self, router: RouterClient) -> None:
        self._router = router

    @activity.defn
    async def find_gold_batch(self, batch: GoldBatch) -> GoldFate | None:
        """What came of a batch that the router knows; None when it does not."""
        async with heartbeats():
            found = await self._router.find(_batch(batch))
            return None if found is None else _executed(batch, found)

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
                    return GoldFate(UNDONE, name, block, fee, str(reason))
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


def _attempt(one: SignedAttempt) -> Attempt:
    return Attempt(one.nonce, one.hash, bytes.fromhex(one.raw), Fees(one.most, one.priority), one.since)


def _executed(batch: GoldBatch, executed: Executed) -> GoldFate:
    outcomes = [
        OrderOutcome(order.id, leg.price, leg.cash_out)
        if isinstance(leg, LegDone)
        else OrderOutcome(order.id, 0, 0, str(leg.reason) or "no reason given")
        for order, leg in zip(batch.orders, executed.legs, strict=True)
    ]
    return GoldFate(EXECUTED, executed.hash, executed.block, executed.fee, orders=outcomes)
