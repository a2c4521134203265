"""What the exchange answers about vaults and their orders at venues. Sizes, prices and USDC are plain decimal strings, instants
microseconds since the epoch."""

from typing import Any

import msgspec


class QuantKey(msgspec.Struct, frozen=True):
    """A key for one vault. It ends with the sessions of the account that made it."""

    key: str
    id: str
    vault: str
    scopes: list[str]
    expires_at: int


class VenueOrder(msgspec.Struct, frozen=True):
    """An order as far as it has got: accepted, sent, open, filled, cancelled, rejected, refused or not_sent.

    `accepted` and `sent`: nobody has answered in time. It goes on, and the same client id tells later what became of it. `code` is the
    venue's reason; `side` is None of a close before its position is known.
    """

    client_id: str
    venue: str
    symbol: str
    side: str | None
    size: str
    filled: str
    status: str
    venue_order_id: str | None
    code: str | None
    message: str | None


class VenuePositions(msgspec.Struct, frozen=True):
    """Signed sizes by venue and symbol, as of the vault's event `head`."""

    positions: dict[str, dict[str, str]]
    head: int


class VaultEvent(msgspec.Struct, frozen=True):
    """`kind` is order, fill, position or difference; numbers have no gaps."""

    number: int
    kind: str
    data: dict[str, Any]
    at: int


class VaultEvents(msgspec.Struct, frozen=True):
    """Oldest first; `head` is the number of the vault's last event."""

    events: list[VaultEvent]
    head: int


class NavLeg(msgspec.Struct, frozen=True):
    """A position of a snapshot. `standing` says whose word its price is; `demo` is made up. Without a price it is None."""

    symbol: str
    size: str
    price: str | None
    source: str
    standing: str
    value: str


class NavVenue(msgspec.Struct, frozen=True):
    venue: str
    value: str
    legs: list[NavLeg]


class Nav(msgspec.Struct, frozen=True):
    """A vault at the instant of a snapshot. `nav` is None when a leg has no price; `doubts` say why nobody dealt at it."""

    vault: str
    at: int
    cash: str
    nav: str | None
    shares: str
    nav_per_share: str | None
    performance_fee: str
    doubts: list[str]
    venues: list[NavVenue]
