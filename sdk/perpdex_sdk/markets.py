"""Markets and their prices, as the exchange shows them to anyone. Amounts are decimal strings, instants microseconds."""

import msgspec


class MarkInputs(msgspec.Struct, frozen=True):
    """The views of the price whose median is the mark; None for one that is not known."""

    index_with_basis: str | None
    quotes: str | None
    outside: str | None = None


class MarketFunding(msgspec.Struct, frozen=True):
    """Rates are plain decimals for eight hours but `predicted_hourly`; positive when longs pay. `unpaid` are ends of unpaid hours."""

    rate: str
    hour: int
    predicted: str
    predicted_hourly: str
    unpaid: list[int]


class Delisting(msgspec.Struct, frozen=True):
    """The announced end of a market, in microseconds; `waits` says, from `settles_at` on, what keeps it from being settled."""

    announced_at: int
    settles_at: int
    why: str
    waits: str | None


class Market(msgspec.Struct, frozen=True):
    """`tick` and `lot` are the units of prices and sizes.

    `validity` says how far the index is believed; `allows` are those of "fill", "margin", "liquidate", "fund" and "settle" that may be
    done at it.
    """

    symbol: str
    status: str
    tick: str
    lot: str
    max_leverage: int
    taker_fee_ppm: int
    index: str | None
    mark: str | None = None
    mark_inputs: MarkInputs | None = None
    validity: str = "valid"
    allows: list[str] = []
    open_interest: str = "0"
    open_interest_value: str | None = None
    open_interest_cap: str | None = None
    position_cap: str | None = None
    funding: MarketFunding | None = None
    delisting: Delisting | None = None


class Reason(msgspec.Struct, frozen=True):
    source: str
    fault: str


class SourcePrice(msgspec.Struct, frozen=True):
    """What one source says; a `witness` confirms others but is never the index."""

    source: str
    publisher: str
    witness: bool
    price: str | None
    confidence: str | None
    published: int | None
    validity: str
    fault: str | None


class MarketPrices(msgspec.Struct, frozen=True):
    market: str
    validity: str
    allows: list[str]
    reasons: list[Reason]
    sources: list[SourcePrice]


class Trouble(msgspec.Struct, frozen=True):
    """What keeps a source from answering; `market` is None where it is the whole source."""

    source: str
    market: str | None
    code: str


class Prices(msgspec.Struct, frozen=True):
    source: str
    markets: list[MarketPrices]
    troubles: list[Trouble]
