"""Bodies of the quant interface: orders of vaults at outside venues. Sizes and prices are decimal strings of at most eight places."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from api.schemas import Answer, Body, SideName
from api.schemas_vaults import Reason, Why

E8 = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,10}(\.[0-9]{1,8})?$", max_length=20)]
NotAfter = Annotated[
    int | None,
    Field(
        ge=0,
        le=(1 << 53) - 1,
        description="From then on it is not sent any more (microseconds); null: so many seconds from now as the operator set for "
        "its type. At most ten minutes from now count, and of the same client id again the first.",
    ),
]
ClientId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._~-]{1,64}$", max_length=64)]
VaultId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._~-]{1,64}$", max_length=64)]
Venue = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,32}$", max_length=32)]
Symbol = Annotated[
    str,
    StringConstraints(pattern=r"^([A-Za-z0-9_-]{1,32}::)?[A-Za-z0-9._/-]{1,80}$", max_length=114),
    Field(description="`ETH`, or with its venue `hyper::ETH`."),
]
VenueOf = Annotated[
    Venue | None, Field(description="Null: the one in the symbol, else the vault's default one.")
]
Status = Literal["accepted", "sent", "open", "filled", "cancelled", "rejected", "refused", "not_sent"]


class QuantKeyBody(Body):
    vault: VaultId
    name: Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=64)] = Field(
        description="Whose it is: orders keep it."
    )
    scopes: list[Literal["read", "trade"]] = Field(min_length=1, max_length=2)
    days: Annotated[int, Field(ge=1, le=90, description="How long the key is good.")] = 30


class QuantKeyAnswer(Answer):
    """Shown once. It ends with the account's sessions, or when it is revoked by its id."""

    key: str
    id: str = Field(description="Names the key where it is counted, listed and revoked.")
    vault: str
    scopes: list[Literal["read", "trade"]]
    expires_at: int


class VaultKeyAnswer(Answer):
    """A key that was made, and what became of it; not the key itself."""

    id: str = Field(description="Names the key.")
    name: str = Field(description="Whose it is.")
    scopes: list[Literal["read", "trade"]]
    account: int = Field(description="The manager's, which answers for it.")
    at: int
    expires_at: int
    revoked_at: int | None = Field(description="Null as long as nobody has revoked it.")
    revoked_by: str | None = Field(
        description="Name of the operator's credential, or `account/` and a number."
    )
    why: str | None


class VaultKeysAnswer(Answer):
    keys: list[VaultKeyAnswer] = Field(description="Newest first.")


class RevokeBody(Body):
    why: Why = ""


class OpenBody(Body):
    """A ticket."""

    symbol: Symbol
    side: SideName
    size: E8
    venue: VenueOf = None
    reduce_only: bool = False
    leverage: Annotated[int, Field(ge=1, le=1_000)] | None = Field(
        None, description="Whole times; null: what the vault's risk template leaves it at."
    )
    order_type: Literal["market", "limit"] = "market"
    limit_price: E8 | None = Field(None, description="The worst price; a limit order needs one.")
    time_in_force: Literal["gtc", "ioc", "fok", "post_only"] = "gtc"
    client_id: ClientId | None = Field(
        None,
        description="The same one again is the same order; without one each call is an order of its own, whose id is in the answer.",
    )
    not_after: NotAfter = None


class CloseBody(Body):
    """Close a position at the market."""

    symbol: Symbol
    venue: VenueOf = None
    size: E8 | None = Field(None, description="Null: all of it. More than there is closes what there is.")
    client_id: ClientId | None = None
    not_after: NotAfter = None


class CancelBody(Body):
    client_id: ClientId


class VenueOrderAnswer(Answer):
    """An order as far as it has got. `rejected` and `refused` are the venue's words; of what the rules refuse there is no order.

    `accepted` and `sent`: nobody has answered in time. It goes on; the same client id tells later what became of it.
    """

    client_id: str
    venue: str
    symbol: str
    side: SideName | None
    size: str
    filled: str
    status: Status
    venue_order_id: str | None
    code: str | None = Field(description="The venue's reason; stable.")
    message: str | None


class ListedOrder(VenueOrderAnswer):
    number: int
    placed_by: str
    order_type: Literal["market", "limit"]
    limit_price: str | None
    time_in_force: Literal["gtc", "ioc", "fok", "post_only"]
    reduce_only: bool
    leverage: int | None
    at: int
    changed_at: int
    not_after: int | None = Field(description="From then on it was not to be sent.")


class ListedOrders(Answer):
    """The newest first. `next` is the `before` of the next page, null at the end."""

    orders: list[ListedOrder]
    next: int | None


class WaitingOrders(Answer):
    """Orders that have not ended, the oldest first. `next` is the `after` of the next page, null at the end."""

    orders: list[ListedOrder]
    next: int | None


class TakeBackBody(Body):
    client_id: ClientId | None = Field(
        None, description="Null: all that wait, the oldest 50 behind `after` in one call."
    )
    after: Annotated[int, Field(ge=0, le=(1 << 62) - 1)] = Field(
        0, description="The `next` of the call before."
    )
    why: Reason = Field(description="Stays among the vault's changes.")


class TakenBackAnswer(Answer):
    """How the orders stand now. `code` is why one was not taken back: the venue's reason, or `orders_unavailable`: nobody knows, and
    the same call asks again. `next` is the `after` of the next call, null at the end."""

    orders: list[VenueOrderAnswer]
    next: int | None


class VenueFillAnswer(Answer):
    """A fill at a venue. `client_id` is null for one of an order that is not from here."""

    number: int
    venue: str
    symbol: str
    side: SideName
    size: str
    price: str
    fee: str = Field(description="USDC; negative was received.")
    fill: str = Field(description="The venue's id.")
    venue_order_id: str
    client_id: str | None
    at: int = Field(description="By the venue's clock.")


class VenueFillsAnswer(Answer):
    """The newest first. `next` is the `before` of the next page, null at the end."""

    fills: list[VenueFillAnswer]
    next: int | None


class VenuePositionsAnswer(Answer):
    """Signed sizes by venue and symbol, as of the vault's event `head`."""

    positions: dict[str, dict[str, str]]
    head: int


class VaultEventAnswer(Answer):
    """`data` is an order, a fill, a difference, or in a position all positions by venue and symbol."""

    number: int
    kind: Literal["order", "fill", "position", "difference"]
    data: dict[str, Any]
    at: int


class VaultEventsAnswer(Answer):
    """Events after the one asked for, without gaps; `head` is the vault's last."""

    events: list[VaultEventAnswer]
    head: int
