"""What may leave with the operator's signature now: the escrow's limit for all, and of that each owner's share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio.exceptions import ApplicationError

from chain.escrow import EscrowClient
from chain.layout import EscrowState
from chain.limits import DAY_S, HOUR_S
from chain.payments import SignedPayment, payment_in, unpaid
from chain.rpc import CONFIRMED, FINALIZED, ask
from core.quantities import SECOND
from ledger.queries import Queries
from ledger.settlement import Settlement

LIMITED, OWNER_LIMITED = "outflow_limited", "owner_outflow_limited"


class Outflow:
    """Over the escrow, and the ledger that knows what was signed."""

    def __init__(self, escrow: EscrowClient, ledger: Settlement, queries: Queries) -> None:
        self._escrow = escrow
        self._ledger = ledger
        self._queries = queries
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def one_by_one(self) -> AsyncIterator[None]:
        """For whoever looks at what may leave and keeps signed bytes by it: what one keeps, the next one sees.

        The chain is read meanwhile and not before: what lands in between would be neither among what is alive nor in that view.
        """
        # Those who wait in this process do not each hold one of the pool's connections.
        async with self._turn, self._ledger.payments_one_by_one():
            yield

    async def must_allow(self, owner: str, amount: int, withdrawal: int) -> None:
        """Raises `ApplicationError` outflow_limited where the escrow pays no such amount (micro-USDC) now, owner_outflow_limited where
        it would be more than the owner's share (`chain.limits.Window.left_for`). `withdrawal` is the one that it is for.

        What is signed and may still land counts as gone.
        """
        open_ones, state, now = await self._seen(withdrawal)
        mine = [one for one in open_ones if str(one.owner) == owner]
        own = sum(one.amount for one in mine)
        others = sum(one.amount for one in open_ones) - own
        hour, day = state.outflow_windows(now)
        allowed = max(0, min(hour.left, day.left) - own - others)
        if amount > allowed:
            raise ApplicationError(
                f"co-signed withdrawals may take {allowed} micro-USDC more in this hour and day; wait, or leave alone",
                type=LIMITED,
                non_retryable=True,
            )
        hour, day = (window._replace(used=window.used + others) for window in (hour, day))
        hour_start, day_start = ((now - now % length) * SECOND for length in (HOUR_S, DAY_S))
        taken = await self._queries.taken(owner, hour_start, day_start, withdrawal)
        # Of what was reserved before, what the owner has signed is a part, unless the ledger has not got there. Of what was reserved
        # later only that counts.
        earlier = sum(one.amount for one in mine if one.withdrawal < withdrawal)
        waiting = max(taken.waiting, earlier) + own - earlier
        share = min(hour.left_for(*taken.hour, waiting), day.left_for(*taken.day, waiting))
        if amount > share:
            raise ApplicationError(
                f"so that something is left for others, one owner may take {share} micro-USDC more in this hour and day; wait, take "
                "less, or leave alone",
                type=OWNER_LIMITED,
                non_retryable=True,
            )

    async def _seen(self, withdrawal: int) -> tuple[list[SignedPayment], EscrowState, int]:
        """What is signed and not paid but for this withdrawal, as of a view of the chain, and the state and second of that.

        Others wait meanwhile, so only the pages are read in which something signed may land.
        """
        alive = await self._alive(withdrawal)
        concerned = list({one.page for one in alive})
        state, now, pages = await self._escrow.view.some_pages(concerned, CONFIRMED)
        return unpaid(alive, pages, self._escrow.addresses), state, now

    async def _alive(self, withdrawal: int) -> list[SignedPayment]:
        # Read before the chain, so that what lands in between is seen at least once.
        height = (await ask(self._escrow.client.get_block_height(FINALIZED))).value
        payments = [payment_in(one.raw) for one in await self._ledger.payments_alive(height)]
        return [one for one in payments if one.withdrawal != withdrawal]
