"""What agents ask of the exchange. Units and keys as in `matcher.commands`."""

from matcher.command import Command


class OpenSubAccount(Command, frozen=True):
    """Open the account's isolated sub-account for `market`, or return it when there is one."""

    account: int
    market: int


class Transfer(Command, frozen=True):
    """Move collateral from `giver` to `receiver`: one is `account`, the other a sub-account of its."""

    account: int
    giver: int
    receiver: int
    amount: int
    key: str


class OpenRequest(Command, frozen=True):
    """Ask for `size` lots at `limit` or better.

    `ttl` is one of `matcher.limits.TTL_CLASSES`. `auto` fills the best quote at once when all makers it waits for answered or
    the time is up; otherwise the trader accepts a quote by id. `all_or_none` refuses partial fills. `show_side` lets makers see
    the direction. `expires_after` (0 = never) refuses the command when it arrives later than that instant.
    """

    account: int
    key: str
    market: int
    side: int
    size: int
    limit: int
    ttl: int
    auto: bool = True
    all_or_none: bool = False
    reduce_only: bool = False
    show_side: bool = False
    expires_after: int = 0


class AnswerRequest(Command, frozen=True):
    """A maker's firm two-sided answer; 0 price means no quote on that side. Replaces the maker's earlier answer.

    `min_fill` is the least size it will trade; `expires` the instant until which it is firm.
    """

    account: int
    request: int
    bid: int
    ask: int
    size: int
    min_fill: int
    expires: int
    expires_after: int = 0


class PassRequest(Command, frozen=True):
    """The maker will not quote: the request need not wait for it."""

    account: int
    request: int


class AcceptQuote(Command, frozen=True):
    """The trader takes `quote` for its request."""

    account: int
    request: int
    quote: int
    expires_after: int = 0


class SetQuotes(Command, frozen=True):
    """Replace all standing quotes of the account in a market. Levels are (price, size); empty sides pull them."""

    account: int
    market: int
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]
    expires: int
    expires_after: int = 0


class CancelRequest(Command, frozen=True):
    account: int
    request: int


class CancelQuote(Command, frozen=True):
    """Withdraw a quote given to a request."""

    account: int
    request: int


class CancelAll(Command, frozen=True):
    """Pull every request, answer and standing quote of the account; also what a lost connection means."""

    account: int
    why: str = "cancelled"


class CancelAfter(Command, frozen=True):
    """Dead-man switch: pull everything at `deadline` unless moved again; 0 switches it off."""

    account: int
    deadline: int


class Subscribe(Command, frozen=True):
    """Be asked as a maker in these markets (replaces the earlier set)."""

    account: int
    markets: tuple[int, ...]


class SetProtection(Command, frozen=True):
    """Maker protection: within `window`, at most `size` lots filled and `net` lots net; then quotes are pulled and the maker is
    frozen in that market for `freeze`. Zero size switches it off."""

    account: int
    market: int
    window: int
    size: int
    net: int
    freeze: int
