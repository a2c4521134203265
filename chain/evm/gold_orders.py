"""Vaults' orders for the gold market, as they wait for their batch, and what came of them."""

from dataclasses import dataclass


@dataclass
class VaultOrder:
    """One vault's order. `id` in hex, 32 bytes; sizes and prices in 1e-8, cash in micro-USDC.

    With `cover` the cash is not given, but reckoned when the batch is made, from what the vault has at the market then; a limit price
    of zero is then one near the market's. With `reduce_only` as well it is made no larger than the position. An order that is placed
    after `until` (seconds since 1970; 0: at any time) is refused, so that a call that was lost cannot come later.
    """

    id: str
    vault: str
    size: int
    limit_price: int
    cash_in: int
    cash_out: int
    cover: bool = False
    reduce_only: bool = False
    until: int = 0


@dataclass
class OrderOutcome:
    """What came of an order of `size`. With an empty `reason` it was carried out, else nothing of it happened.

    `code` is a `venues.driver.Reason`, or `TAKEN_BACK`.
    """

    id: str
    price: int
    cash_out: int
    reason: str = ""
    code: str = ""
    size: int = 0


TAKEN_BACK = "taken_back"
"""The code of an order that its vault did not want any more."""
WAITING = "waiting"
UNDER_WAY = "under_way"
DONE = "done"


@dataclass
class OrderPlace:
    """Where an order is: one of the words above, or an empty one when it was never placed, or long ago. `outcome` when it is done."""

    where: str
    order: VaultOrder | None = None
    outcome: OrderOutcome | None = None
