"""Bodies about vaults. USDC, shares, sizes and prices are exact decimal strings; instants are microseconds since the epoch.

Names in risk rules are as users of the risk template wrote them first.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from api.schemas import Answer, Body, Decimals, Key

Name = Annotated[str, StringConstraints(pattern=r"^[!-~]+$", max_length=160)]
Why = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=200)]
Reason = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=200)]
Names = Annotated[str, StringConstraints(pattern=r"^[ -~]*$", max_length=20_000)]
SignedDecimals = Annotated[str, StringConstraints(pattern=r"^-?[0-9]{1,15}(\.[0-9]{1,8})?$", max_length=25)]
VaultName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Account = Annotated[int, Field(ge=1, le=(1 << 62) - 1)]


class VenueLimits(Body):
    """Bounds at one venue: of leverage in whole times, and of an order's value in whole dollars. Null leaves a side open."""

    minLeverage: int | None = None
    maxLeverage: int | None = None
    minNotionalUsd: int | None = None
    maxNotionalUsd: int | None = None


class RiskTemplateAnswer(Answer):
    """What may be traded."""

    allowedSymbols: str = Field(description="Separated by commas; `*` for every symbol.")
    allowedVenues: str = Field(description="Separated by commas.")
    perVenue: dict[str, VenueLimits]


class RiskRules(Answer):
    """What one side says; null says nothing about it."""

    allowedSymbols: str | None = None
    allowedVenues: str | None = None
    perVenue: dict[str, VenueLimits] | None = None


class RiskBody(Body):
    """All that the caller's role says from now on.

    A manager's rules only narrow. An operator's replace, for this vault, what they name in the template of all vaults; they may be
    wider.
    """

    allowedSymbols: Names | None = Field(None, description="Separated by commas; `*` for every symbol.")
    allowedVenues: Names | None = Field(None, description="Separated by commas.")
    perVenue: dict[Name, VenueLimits] | None = None
    why: Why = ""


class RiskVersionAnswer(Answer):
    version: int
    role: Literal["operator", "manager"]
    rules: RiskRules
    who: str = Field(description="Name of the operator's credential, or `account/` and the manager's number.")
    why: str
    at: int


class VaultRiskAnswer(Answer):
    """`effective` is what tickets are judged by: the manager's rules within the operator's, within the template of all vaults."""

    vault: str
    version: int = Field(description="Of the newest rules; 0 while there are none.")
    effective: RiskTemplateAnswer
    ceiling: RiskTemplateAnswer = Field(description="The most that the manager may allow.")
    operator: RiskRules
    manager: RiskRules


class RiskVersionsAnswer(Answer):
    versions: list[RiskVersionAnswer] = Field(description="Newest first.")


class VaultBody(Body):
    """A new vault; with `cash` or `positions` one that held these elsewhere, which become `holder`'s at the next snapshot."""

    id: VaultName
    manager: Account = Field(description="Account that decides about it.")
    default_venue: Name = Field("hyper", description="Where a symbol without a venue is.")
    performance_fee_ppm: Annotated[int, Field(ge=0, le=500_000)] = Field(
        0, description="The manager's part of what is gained above the highest value of a share so far."
    )
    cash: SignedDecimals | None = Field(None, description="USDC.")
    positions: Annotated[dict[Name, SignedDecimals], Field(max_length=1_000)] | None = Field(
        None, description="Signed sizes by `venue::symbol`; a symbol alone is at the default venue."
    )
    holder: Account | None = Field(None, description="The manager when it is left out.")


class VaultAnswer(Answer):
    id: str
    manager: int
    default_venue: str
    paused: bool
    performance_fee_ppm: int
    shares: str
    made_at: int


class VaultsAnswer(Answer):
    vaults: list[VaultAnswer] = Field(description="In the order of names.")


class PauseBody(Body):
    paused: bool
    why: Why = ""


class PriceBody(Body):
    """What a position counts for that nobody knows a price of: in snapshots, or where a venue has changed it."""

    leg: Name = Field(description="`venue::symbol`.")
    position: SignedDecimals | None = Field(
        None,
        description="What the venue has of it, as the alert `difference_unpriced` or `venue_empty` says; 0 when it is gone. Left "
        "out, the price is that of snapshots.",
    )
    price: Decimals = Field(description="USDC each; 0 for what is lost.")
    why: Reason


class WithdrawPriceBody(Body):
    """A price that was named for snapshots and is to count no more."""

    leg: Name = Field(description="`venue::symbol`.")
    why: Reason


class PricedAnswer(Answer):
    """A position that was taken over from a venue, or a leg that snapshots count at an operator's price."""

    vault: str
    leg: str = Field(description="Which it is: `venue::symbol`.")
    before: str = Field(description="What the fills added up to.")
    position: str = Field(description="What the venue has of it, and the vault's books from now on.")
    price: str = Field(description="USDC each that the difference was booked at, or snapshots count it at.")
    who: str = Field(description="Name of the operator's credential.")
    until: int | None = Field(
        description="Until when snapshots count it so, where no price is there again before; null for one that was booked."
    )


class PriceWithdrawnAnswer(Answer):
    """A price that was named for snapshots, and counts no more."""

    vault: str
    leg: str = Field(description="Of which it was: `venue::symbol`.")
    price: str = Field(description="USDC each that counts no more.")
    who: str = Field(description="Who had named it.")


class VaultChangeAnswer(Answer):
    number: int = Field(description="In the order of recording, over all vaults.")
    what: str = Field(
        description="made, paused, resumed, imported, key made, key revoked, payments forgotten, which leg was priced or counted at "
        "what, which orders, or which transfer, were taken back."
    )
    who: str
    why: str
    at: int


class VaultChangesAnswer(Answer):
    changes: list[VaultChangeAnswer] = Field(description="Newest first.")


class DepositBody(Body):
    """Money of `holder` that has come in."""

    key: Key = Field(description="The same one again is the same deposit.")
    holder: Account
    amount: Decimals = Field(description="USDC.")


class ShareBody(Body):
    """Shares that go back."""

    key: Key = Field(description="The same one again is the same withdrawal.")
    shares: Decimals
    holder: Account | None = Field(None, description="For operators; an account gives back its own.")


class CancelBody(Body):
    """A transfer that is taken back while it waits."""

    why: Why = ""


TransferStatus = Literal["waiting", "done", "refused", "cancelled"]


class VaultTransferAnswer(Answer):
    number: int = Field(description="In the order of acceptance, over all vaults.")
    key: str = Field(description="The asker's own.")
    holder: int
    kind: Literal["deposit", "withdrawal", "opening"]
    status: TransferStatus = Field(
        description="It waits for the next snapshot without doubts, and is dealt with at its value; `cancelled`: it was taken back."
    )
    amount: str = Field(description="USDC given of a deposit, else paid; 0 while it waits.")
    shares: str = Field(description="Given back of a withdrawal, else made; 0 while it waits.")
    code: str | None = Field(description="Why it was refused; else null.")
    who: str
    at: int
    dealt_at: int | None = Field(description="Instant of the snapshot, or when it was taken back; else null.")


class VaultTransfersAnswer(Answer):
    transfers: list[VaultTransferAnswer] = Field(description="Newest first.")


class HolderAnswer(Answer):
    holder: int
    shares: str


class HoldersAnswer(Answer):
    holders: list[HolderAnswer]


class NavLegAnswer(Answer):
    """A position with the price it is valued at: whose word that is, and of when."""

    symbol: str
    size: str = Field(description="Signed: positive is long.")
    price: str | None = Field(description="Null when nobody knew one.")
    price_at: int | None
    source: str = Field(description="Without a price: why there is none.")
    standing: Literal["venue", "resolved", "oracle", "last_good", "demo", "operator", "carried", "none"] = (
        Field(
            description="Where in the chain of sources it was found; `resolved`: what its market ended at; `operator`: an operator "
            "named it, as the source says; `carried`: of an earlier snapshot; `demo`: made up."
        )
    )
    value: str = Field(description="USDC, rounded down.")


class NavVenueAnswer(Answer):
    venue: str
    value: str = Field(description="USDC: the sum of its legs.")
    legs: list[NavLegAnswer]


class NavAnswer(Answer):
    """A vault at the instant of a snapshot. Cash and the venues' values add up to `nav`."""

    vault: str
    at: int
    cash: str = Field(description="USDC; what is held at a venue is paid for in full.")
    nav: str | None = Field(description="USDC; null when a leg has no price.")
    shares: str = Field(description="Before the fee, and before anybody dealt.")
    nav_per_share: str | None = Field(
        description="USDC after the fee, to nine decimals, rounded down; null without shares."
    )
    performance_fee: str = Field(description="USDC that the manager got, in new shares.")
    doubts: list[str] = Field(description="Why nobody dealt at it; empty when everybody could.")
    venues: list[NavVenueAnswer]


class NavsAnswer(Answer):
    navs: list[NavAnswer]


class NavAlertAnswer(Answer):
    vault: str
    at: int
    kind: Literal[
        "difference",
        "difference_large",
        "difference_unpriced",
        "drawdown",
        "jump",
        "no_price",
        "stale_leg",
        "venue_empty",
        "venue_silent",
    ]
    leg: str | None = Field(
        description="`venue::symbol`; a venue alone when it is about all there, null when about the whole."
    )
    sentence: str


class NavAlertsAnswer(Answer):
    alerts: list[NavAlertAnswer] = Field(description="Newest first.")
