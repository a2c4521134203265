"""Events of the private stream about an account in trouble, from the first warning to the end of its liquidation."""

import msgspec

from perpdex_sdk.message import Numbered


class MarginWarning(Numbered, frozen=True, tag="margin_warning"):
    """Maintenance has come to the share `level` of equity; at 1 liquidation starts. A lower level takes the last one back."""

    level: str
    equity: str
    maintenance: str


class LiquidationStarted(Numbered, frozen=True, tag="liquidation_started"):
    """The account is being liquidated: until it ends, only deposits are taken."""

    liquidation: int
    equity: str
    maintenance: str


class LiquidationSliced(Numbered, frozen=True, tag="liquidation_sliced"):
    """A part of the position was auctioned; its fills came before, and `fee` leaves the balance."""

    liquidation: int
    request: int
    market: str
    side: str
    asked: str
    limit: str
    mark: str
    size: str
    value: str
    fee: str
    equity: str
    maintenance: str
    fills: tuple[int, ...]


class Moved(msgspec.Struct, frozen=True, gc=False):
    """A position changed by `size` outside of trading; `realized` went to the balance, `cost` is the position's after it."""

    market: str
    side: str
    size: str
    mark: str
    value: str
    realized: str
    cost: str


class TakenOver(Numbered, frozen=True, tag="taken_over"):
    """The insurance fund took everything over; the account is left with nothing."""

    liquidation: int
    equity: str
    maintenance: str
    moved: tuple[Moved, ...]


class Deleveraged(Numbered, frozen=True, tag="deleveraged"):
    """A position was closed against others' at a bankruptcy price; `role` is liquidated or counterparty."""

    liquidation: int
    role: str
    moved: tuple[Moved, ...]


class LiquidationEnded(Numbered, frozen=True, tag="liquidation_ended"):
    """`why` is recovered, sold, taken_over, deleveraged or delisted."""

    liquidation: int
    why: str
    equity: str
    maintenance: str
