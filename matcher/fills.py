"""Planning the fills of one request: who trades how much at which price, and why the others do not. Changes nothing."""

from collections.abc import Iterable

import msgspec

from core.events import (
    Event,
    Filled,
    MakerFrozen,
    QuoteGiven,
    QuoteRejected,
    QuotesPulled,
    RequestOpened,
    StandingReduced,
)
from core.margin import Mark, trade_is_affordable
from core.market import Market
from core.position import Trade, trade
from core.quantities import MILLION, share_up
from matcher.book import Level
from matcher.limits import FILLS_PER_REQUEST_MAX
from matcher.rejections import Code
from matcher.state import Account, Exchange, net_of_owner

Offer = tuple[int, bool, int, int, QuoteGiven | Level]
"""A firm price for one side of a request, ordered best first: price (negated for a seller), whether it may fill in part, premium
tier (negated), arrival, and what it comes from. Arrivals differ, so the last is never compared."""


class Plan(msgspec.Struct):
    """The fills and the events around them; `code` says why the taker got no more, when it was the taker's doing."""

    events: list[Event]
    fills: tuple[int, ...]
    filled: int
    value: int
    code: Code | None


class Exposure:
    """An account in one market while a plan is made: its position so far, and the margin of everything else it holds."""

    __slots__ = ("account", "cost", "equity", "owned", "requirement", "size")

    def __init__(self, state: Exchange, account: Account, market: int) -> None:
        elsewhere = state.margin_of(account, market)
        held = account.positions.get(market)
        self.account = account
        self.size, self.cost = (held.size, held.cost) if held is not None else (0, 0)
        self.equity = elsewhere.equity
        self.requirement = elsewhere.requirement
        self.owned = self.size if len(account.owned) == 1 else net_of_owner(account, market)

    def trade(self, change: int, value_per_lot: int, market: Market, mark: Mark, fee: int) -> Trade | Code:
        """The position after trading `change` lots at `value_per_lot` micro-USDC, or why the account may not."""
        owned = abs(self.owned + change)
        if owned > market.position_cap and owned > abs(self.owned):
            return Code.POSITION_CAP
        after = size, cost, realized = trade(self.size, self.cost, change, value_per_lot)
        equity = self.equity + realized - fee + size * mark.value_per_lot - cost
        requirement = self.requirement - (-abs(size) * mark.requirement_per_lot // MILLION)
        if equity < requirement and not trade_is_affordable(self.size, size, equity, requirement):
            return Code.INSUFFICIENT_MARGIN
        return after

    def take(self, change: int, after: Trade, fee: int) -> None:
        self.size, self.cost, realized = after
        self.equity += realized - fee
        self.owned += change


def within_band(market: Market, given: int, now: int) -> bool:
    """Whether the index moved no further than the market's band since a quote was given."""
    return abs(now - given) * MILLION <= market.oracle_band * given


def reducible(size: int, side: int) -> int:
    """Lots by which a trade of `side` can shrink a position of `size`."""
    return abs(size) if size * side < 0 else 0


class Planner:
    """Walks offers best first and fills what may be filled."""

    __slots__ = (
        "_at",
        "_index",
        "_left",
        "_makers",
        "_mark",
        "_market",
        "_open_interest",
        "_reduced",
        "_rejected",
        "_state",
        "_taker",
        "_terms",
        "_trades",
        "_value",
    )

    def __init__(self, state: Exchange, terms: RequestOpened, at: int) -> None:
        market = terms.market
        self._state = state
        self._terms = terms
        self._at = at
        self._market = state.markets[market]
        self._mark = state.marks[market]
        self._index = state.indexes[market].price
        self._taker = Exposure(state, state.accounts[terms.account], market)
        self._makers: dict[int, Exposure] = {}
        self._open_interest = state.open_interest[market]
        self._left = terms.size
        if terms.reduce_only:
            self._left = min(terms.size, reducible(self._taker.size, terms.side))
        self._value = 0
        self._trades: list[Filled] = []
        self._reduced: list[Event] = []
        self._rejected: list[Event] = []

    def plan(self, offers: Iterable[Offer], whole: bool) -> Plan:
        """Fill best first; `whole`: all of the request or nothing."""
        wanted, trades, code = self._left, self._trades, None
        for offer in offers:
            code = self._try(offer[4], offer[0] * self._terms.side)
            if code is not None or self._left == 0 or len(trades) == FILLS_PER_REQUEST_MAX:
                break
        filled = wanted - self._left
        if whole and filled < self._terms.size:
            return Plan(self._rejected, (), 0, 0, code)
        events = [*self._rejected, *trades, *self._reduced]
        return Plan(events, tuple([fill.fill for fill in trades]), filled, self._value, code)

    def _try(self, offer: QuoteGiven | Level, price: int) -> Code | None:
        """Fill against one offer if it holds. Returns a code only when the taker can trade no further."""
        size = self._left if self._left < offer.size else offer.size
        if offer.expires <= self._at or size < offer.min_fill:
            return None
        maker = self._makers.get(offer.account)
        if maker is None:
            maker = Exposure(self._state, self._state.accounts[offer.account], self._terms.market)
            self._makers[offer.account] = maker
        if maker.account.owner == self._taker.account.owner:
            return None
        if offer.index != self._index and not within_band(self._market, offer.index, self._index):
            self._reject(offer, Code.QUOTE_OUT_OF_BAND)
            return None
        frozen = self._state.book.frozen
        if frozen and frozen.get((offer.account, self._terms.market), 0) > self._at:
            return None
        return self._fill(offer, price, maker, size)

    def _fill(self, offer: QuoteGiven | Level, price: int, maker: Exposure, size: int) -> Code | None:
        market, mark, taker = self._market, self._mark, self._taker
        change = self._terms.side * size
        value_per_lot = price * market.value_per_tick_lot
        value = value_per_lot * size
        fee = share_up(value, market.taker_fee)
        taken = taker.trade(change, value_per_lot, market, mark, fee)
        if isinstance(taken, Code):
            return taken
        given = maker.trade(-change, value_per_lot, market, mark, 0)
        if isinstance(given, Code):
            self._reject(offer, Code.MAKER_CANNOT_PAY if given is Code.INSUFFICIENT_MARGIN else given)
            return None
        longs = _longs(taken[0], given[0]) - _longs(taker.size, maker.size)
        if longs > 0 and self._open_interest + longs > market.open_interest_cap:
            return Code.OPEN_INTEREST_CAP
        self._open_interest += longs
        taker.take(change, taken, fee)
        maker.take(-change, given, 0)
        self._left -= size
        self._value += value
        self._record(offer, price, size, fee, taken, given)
        return None

    def _record(
        self, offer: QuoteGiven | Level, price: int, size: int, fee: int, taken: Trade, given: Trade
    ) -> None:
        at, terms = self._at, self._terms
        _, taker_cost, taker_realized = taken
        _, maker_cost, maker_realized = given
        self._trades.append(
            Filled(
                at,
                self._state.last_fill + len(self._trades) + 1,
                terms.request,
                offer.quote,
                terms.market,
                terms.account,
                offer.account,
                terms.side,
                size,
                price,
                fee,
                taker_realized,
                maker_realized,
                taker_cost,
                maker_cost,
                self._index,
            )
        )
        if isinstance(offer, Level):
            self._reduced.append(
                StandingReduced(at, offer.account, terms.market, terms.side, offer.quote, offer.size - size)
            )

    def _reject(self, offer: QuoteGiven | Level, code: Code) -> None:
        at, terms, standing = self._at, self._terms, isinstance(offer, Level)
        request = 0 if standing else terms.request
        self._rejected.append(QuoteRejected(at, offer.account, request, offer.quote, terms.market, code))
        if standing:
            self._rejected.append(
                StandingReduced(at, offer.account, terms.market, terms.side, offer.quote, 0)
            )


def _longs(one: int, other: int) -> int:
    """Lots held long by two positions."""
    return (one if one > 0 else 0) + (other if other > 0 else 0)


def protect_makers(state: Exchange, events: list[Event], at: int) -> list[Event]:
    """What maker protection does after the fills among `events`: the maker's quotes go and it is frozen for a while."""
    caused: list[Event] = []
    if not state.book.protections:
        return caused
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
