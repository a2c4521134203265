"""What may leave with the operator's signature now: the escrow's limit for all, and of that each owner's share."""

from temporalio.exceptions import ApplicationError

from chain.escrow_view import EscrowView
from chain.limits import DAY_S, HOUR_S
from chain.rpc import CONFIRMED
from core.quantities import SECOND
from ledger.queries import Queries


async def must_flow_out(view: EscrowView, queries: Queries, owner: str, amount: int, withdrawal: int) -> None:
    """Raises `ApplicationError` outflow_limited where the escrow pays no such amount (micro-USDC) now, owner_outflow_limited where it
    would be more than the owner's share (`chain.limits.Window.left_for`). `withdrawal` is the one that it is for.
    """
    state = await view.escrow_state()
    if state is None:
        raise ApplicationError("the node does not show the escrow", type="node_behind")
    now = await view.clock(CONFIRMED)
    hour, day = state.outflow_windows(now)
    allowed = min(hour.left, day.left)
    if amount > allowed:
        raise ApplicationError(
            f"co-signed withdrawals may take {allowed} micro-USDC more in this hour and day; wait, or leave alone",
            type="outflow_limited",
            non_retryable=True,
        )
    hour_start, day_start = ((now - now % length) * SECOND for length in (HOUR_S, DAY_S))
    taken = await queries.taken(owner, hour_start, day_start, withdrawal)
    share = min(hour.left_for(*taken.hour, taken.waiting), day.left_for(*taken.day, taken.waiting))
    if amount > share:
        raise ApplicationError(
            f"so that something is left for others, one owner may take {share} micro-USDC more in this hour and day; wait, take less, "
            "or leave alone",
            type="owner_outflow_limited",
            non_retryable=True,
        )
