"""What happens to open requests, quotes and makers' arrangements. No journal records: they die with the process (tags from 100)."""

from core.event import Event


class RequestOpened(Event, frozen=True, array_like=True, tag=100):
    request: int
    account: int
    key: str
    terms: int
    market: int
    side: int
    size: int
    limit: int
    expires: int
    auto: bool
    all_or_none: bool
    reduce_only: bool
    show_side: bool
    makers: tuple[int, ...]


class QuoteGiven(Event, frozen=True, array_like=True, tag=101):
    quote: int
    request: int
    account: int
    bid: int
    ask: int
    size: int
    min_fill: int
    expires: int
    index: int


class MakerPassed(Event, frozen=True, array_like=True, tag=102):
    request: int
    account: int


class QuoteWithdrawn(Event, frozen=True, array_like=True, tag=103):
    request: int
    account: int
    why: str


class QuotesSet(Event, frozen=True, array_like=True, tag=104):
    account: int
    market: int
    first: int
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]
    expires: int
    index: int


class QuotesPulled(Event, frozen=True, array_like=True, tag=105):
    account: int
    market: int
    why: str


class Subscribed(Event, frozen=True, array_like=True, tag=106):
    account: int
    markets: tuple[int, ...]


class DeadlineSet(Event, frozen=True, array_like=True, tag=107):
    account: int
    deadline: int


class ProtectionSet(Event, frozen=True, array_like=True, tag=108):
    account: int
    market: int
    window: int
    size: int
    net: int
    freeze: int


class MakerFrozen(Event, frozen=True, array_like=True, tag=109):
    account: int
    market: int
    until: int


class QuoteRejected(Event, frozen=True, array_like=True, tag=110):
    """A firm quote that could not be honoured at the fill: for the maker's public statistics, and told to the maker."""

    account: int
    request: int
    quote: int
    market: int
    code: str


class StandingReduced(Event, frozen=True, array_like=True, tag=111):
    """A standing level shrank by a fill; it disappears at zero."""

    account: int
    market: int
    side: int
    quote: int
    left: int


class DeadlinePassed(Event, frozen=True, array_like=True, tag=112):
    """The earliest deadline has been dealt with."""

    due: int
    kind: int
    id: int
    market: int
