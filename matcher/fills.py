"""Planning the fills of one request: who trades how much at which price, and why the others do not. Changes nothing."""

from collections.abc import Iterable
from typing import NamedTuple

from core.events import Event, Filled, MakerFrozen, QuoteRejected, QuotesPulled, StandingReduced
from core.margin import margin, trade_is_affordable
from core.market import Market
from core.position import Trade, trade
from core.quantities import MILLION, share_up
from matcher.limits import FILLS_PER_REQUEST_MAX
from matcher.rejections import Code
from matcher.state import Account, Exchange


class Terms(NamedTuple):
    """What a request still wants."""

    request: int
    account: int
    market: int
    side: int
    size: int
    limit: int
    all_or_none: bool
    reduce_only: bool


class Offer(NamedTuple):
    """A firm price for one side of a request; ordered best first by `rank`."""

    rank: tuple[int, int, int, int]
    quote: int
    account: int
    price: int
    size: int
    min_fill: int
    expires: int
    given_index: int
    standing: bool


class Plan(NamedTuple):
    """The fills and the events around them; `code` says why the taker got no more, when it was the taker's doing."""

    events: list[Event]
    fills: tuple[int, ...]
    filled: int
    value: int
    code: Code | None


class Exposure:
    """An account in one market while a plan is made: its position so far, and the margin of everything else it holds."""

    __slots__ = ("account", "balance", "cost", "equity_elsewhere", "owned", "requirement_elsewhere", "size")

    def __init__(self, state: Exchange, account: Account, market: int) -> None:
        held = account.positions.get(market)
        self.account = account
        self.size, self.cost = (held.size, held.cost) if held is not None else (0, 0)
        self.balance = account.balance
        self.owned = state.positions_of_owner(account.owner, market)
        if len(account.positions) > (held is not None):
            elsewhere = margin(0, state.held(account, market))
            self.equity_elsewhere, self.requirement_elsewhere = elsewhere.equity, elsewhere.requirement
        else:
            self.equity_elsewhere = self.requirement_elsewhere = 0

    def trade(self, change: int, market: Market, price: int, mark: int, fee: int) -> Trade | Code:
        """The position after trading `change` lots, or why the account may not."""
        owned = self.owned + change
        if abs(owned) > market.position_cap and abs(owned) > abs(self.owned):
            return Code.POSITION_CAP
        after = trade(self.size, self.cost, change, price * market.value_per_tick_lot)
        value = after.size * mark * market.value_per_tick_lot
        equity = self.balance + after.realized - fee + self.equity_elsewhere + value - after.cost
        requirement = self.requirement_elsewhere + share_up(abs(value), market.initial_fraction)
        if not trade_is_affordable(self.size, after.size, equity, requirement):
            return Code.INSUFFICIENT_MARGIN
        return after

    def take(self, change: int, after: Trade, fee: int) -> None:
        self.size, self.cost = after.size, after.cost
        self.balance += after.realized - fee
        self.owned += change


def within_band(market: Market, given: int, now: int) -> bool:
    """Whether the index moved no further than the market's band since a quote was given."""
    return abs(now - given) * MILLION <= market.oracle_band * given


def reducible(size: int, side: int) -> int:
    """Lots by which a trade of `side` can shrink a position of `size`."""
    return abs(size) if size * side < 0 else 0


class Planner:
    """Walks offers best first and fills what may be filled."""

    def __init__(self, state: Exchange, terms: Terms, at: int) -> None:
        self.state = state
        self.terms = terms
        self.at = at
        self.market = state.markets[terms.market]
        self.index = state.indexes[terms.market].price
        self.taker = Exposure(state, state.accounts[terms.account], terms.market)
        self.makers: dict[int, Exposure] = {}
        self.open_interest = state.open_interest[terms.market]
        self.next_fill = state.last_fill + 1
        self.left = (
            min(terms.size, reducible(self.taker.size, terms.side)) if terms.reduce_only else terms.size
        )
        self.value = 0
        self.trades: list[Filled] = []
        self.reduced: list[Event] = []
        self.rejected: list[Event] = []

    def plan(self, offers: Iterable[Offer]) -> Plan:
        """Fill best first. All-or-none requests fill whole or not at all."""
        code = None
        for offer in offers:
            if self.left == 0 or len(self.trades) == FILLS_PER_REQUEST_MAX:
                break
            code = self._try(offer)
            if code is not None:
                break
        wanted = self.terms.size
        filled = sum(fill.size for fill in self.trades)
        if self.terms.all_or_none and filled < wanted:
            return Plan(self.rejected, (), 0, 0, code)
        events = [*self.rejected, *self.trades, *self.reduced]
        return Plan(events, tuple(fill.fill for fill in self.trades), filled, self.value, code)

    def _try(self, offer: Offer) -> Code | None:
        """Fill against one offer if it holds. Returns a code only when the taker can trade no further."""
        size = min(self.left, offer.size)
        maker = self._maker(offer.account)
        if (
            offer.expires <= self.at
            or maker.account.owner == self.taker.account.owner
            or size < offer.min_fill
        ):
            return None
        if not within_band(self.market, offer.given_index, self.index):
            self._reject(offer, Code.QUOTE_OUT_OF_BAND)
            return None
        if self.state.book.frozen.get((offer.account, self.market.id), 0) > self.at:
            return None
        return self._fill(offer, maker, size)

    def _fill(self, offer: Offer, maker: Exposure, size: int) -> Code | None:
        change = self.terms.side * size
        value = self.market.notional(offer.price, size)
        fee = share_up(value, self.market.taker_fee)
        taken = self.taker.trade(change, self.market, offer.price, self.index, fee)
        if isinstance(taken, Code):
            return taken
        given = maker.trade(-change, self.market, offer.price, self.index, 0)
        if isinstance(given, Code):
            self._reject(offer, Code.MAKER_CANNOT_PAY if given is Code.INSUFFICIENT_MARGIN else given)
            return None
        longs = max(0, taken.size) + max(0, given.size) - max(0, self.taker.size) - max(0, maker.size)
        if longs > 0 and self.open_interest + longs > self.market.open_interest_cap:
            return Code.OPEN_INTEREST_CAP
        self.open_interest += longs
        self.taker.take(change, taken, fee)
        maker.take(-change, given, 0)
        self.left -= size
        self.value += value
        self._record(offer, size, fee, taken, given)
        return None

    def _record(self, offer: Offer, size: int, fee: int, taken: Trade, given: Trade) -> None:
        terms = self.terms
        self.trades.append(
            Filled(
                self.at,
                self.next_fill + len(self.trades),
                terms.request,
                offer.quote,
                terms.market,
                terms.account,
                offer.account,
                terms.side,
                size,
                offer.price,
                fee,
                taken.realized,
                given.realized,
                taken.cost,
                given.cost,
                self.index,
            )
        )
        if offer.standing:
            self.reduced.append(
                StandingReduced(
                    self.at, offer.account, terms.market, terms.side, offer.quote, offer.size - size
                )
            )

    def _maker(self, account: int) -> Exposure:
        maker = self.makers.get(account)
        if maker is None:
            maker = Exposure(self.state, self.state.accounts[account], self.market.id)
            self.makers[account] = maker
        return maker

    def _reject(self, offer: Offer, code: Code) -> None:
        request = 0 if offer.standing else self.terms.request
        event = QuoteRejected(self.at, offer.account, request, offer.quote, self.market.id, code)
        self.rejected.append(event)
        if offer.standing:
            self.rejected.append(
                StandingReduced(self.at, offer.account, self.market.id, self.terms.side, offer.quote, 0)
            )


def protect_makers(state: Exchange, events: list[Event], at: int) -> list[Event]:
    """What maker protection does after the fills among `events`: the maker's quotes go and it is frozen for a while."""
    caused: list[Event] = []
    makers = {(event.maker, event.market) for event in events if isinstance(event, Filled)}
    for account, market in sorted(makers):
        protection = state.book.protections.get((account, market))
        if protection is None:
            continue
        changes = [change for when, change in protection.fills if when > at - protection.window]
        changes += [
            -event.side * event.size
            for event in events
            if isinstance(event, Filled) and event.maker == account and event.market == market
        ]
        if sum(map(abs, changes)) >= protection.size or (
            protection.net and abs(sum(changes)) >= protection.net
        ):
            caused.append(QuotesPulled(at, account, market, "protection"))
            caused.append(MakerFrozen(at, account, market, at + protection.freeze))
    return caused
