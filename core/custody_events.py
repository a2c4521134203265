"""Records about what the chain holds otherwise than the books had it, and about how far it is behind them."""

import msgspec

from core.event import Event


class ExitDelaySeen(Event, frozen=True, array_like=True, tag=55):
    """An owner that asks to leave is paid by the chain alone after `seconds`, and a lower loss limit counts after `limit_delay`, as
    its escrow has it now; 0 in records from before that was noted."""

    seconds: int
    limit_delay: int = 0


class SettlementLate(Event, frozen=True, array_like=True, tag=56):
    """From here on nothing is traded but what reduces (`late`), because the chain holds equities from `since` (nanoseconds), too long
    ago for a delay of `exit_delay` seconds, of exits or of lower loss limits; or batches land again, and everything is traded."""

    late: bool
    since: int
    exit_delay: int


class AcceptedSlot(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An account whose slot held `change` micro-USDC more than the books had settled for it.

    `unapplied` is by how much the chain's sum of what batches did not do for it is higher. `withdrawal` is the number of the last
    co-signed withdrawal that the slot paid, where the exchange has given no such number; 0 otherwise.
    """

    account: int
    change: int
    unapplied: int
    withdrawal: int = 0


class ChainAccepted(Event, frozen=True, array_like=True, tag=57):
    """An operator had the books take over what the chain holds, micro-USDC; what the exchange owes to whom stays as it was.

    `left_over` is what batches took and gave to nobody: the next cut gives it. `astray` is what lies in `strangers`, (page, slot), of
    which the books know nothing, or was claimed from there. `lost` is by how much more than before is there or left by co-signed
    withdrawals from there: the insurance fund bears it. The changes of the slots, of `left_over`, and `lost` add up to nothing.
    """

    slots: tuple[AcceptedSlot, ...]
    left_over: int
    astray: int
    lost: int
    strangers: tuple[tuple[int, int], ...]
    who: str
    why: str


class StrayClaimed(Event, frozen=True, array_like=True, tag=58):
    """Somebody took `amount` micro-USDC, alone and finally, out of a slot that the books do not know; `key` names that, once.

    It moves nothing in the books: the chain's sum of claims has it, so ours must know of it to say whether all claims are booked.
    """

    amount: int
    key: str


CUSTODY_RECORDS = ExitDelaySeen | SettlementLate | ChainAccepted | StrayClaimed
"""Union of the event types of this family that are journal records."""
