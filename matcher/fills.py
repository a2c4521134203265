"""Planning the fills of one request: who trades how much at which price, and why the others do not. Changes nothing."""

from collections.abc import Iterable, Mapping

import msgspec

from core.account_risk import AccountRisk, RiskMark, account_risk, trade_is_allowed
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


class Exposure(msgspec.Struct, gc=False):
    """An account in one market while a plan is made: its position so far, and its margin with everything else it holds.

    `elsewhere` is the initial requirement of its other positions, `owned` the net lots of all accounts of its owner in the market;
    `marks` are the exchange's.
    """

    account: Account
    size: int
    cost: int
    equity: int
    elsewhere: int
    owned: int
    marks: Mapping[int, RiskMark]

    def refusal(
        self, change: int, value_per_lot: int, fee: int, market: Market, mark: RiskMark
    ) -> Code | None:
        """Why the account may not trade `change` lots at `value_per_lot` micro-USDC and pay `fee`, or None.

        `mark` is the market's at the open interest after the trade.
        """
        owned = abs(self.owned + change)
        if owned > market.position_cap and owned > abs(self.owned):
            return Code.POSITION_CAP
        after = self.size + change
        # A trade at the mark moves value between position and balance; only its distance from the mark changes equity.
        equity = self.equity + change * (mark.value_per_lot - value_per_lot) - fee
        if equity < self.elsewhere + mark.initial_of(after) and not self._gets_out(
            after, equity, market.id, mark
        ):
            return Code.INSUFFICIENT_MARGIN
        return None

    def _gets_out(self, after: int, equity: int, market: int, mark: RiskMark) -> bool:
        """Whether the account may hold `after` lots with `equity` although that is less than its initial requirement."""
        account = self.account
        others = account_risk(account.balance, account.positions, self.marks, leaving_out=market)
        before_it, after_it = (
            AccountRisk(
                worth,
                others.initial + mark.initial_of(size),
                others.maintenance + mark.maintenance_of(size),
                others.notional + abs(size) * mark.value_per_lot,
            )
            for size, worth in ((self.size, self.equity), (after, equity))
        )
        return trade_is_allowed(self.size, after, before_it, after_it)

    def take(self, change: int, value_per_lot: int, fee: int, mark: RiskMark) -> Trade:
        """Trade without asking."""
        after = trade(self.size, self.cost, change, value_per_lot)
        self.size, self.cost, _ = after
        self.equity += change * (mark.value_per_lot - value_per_lot) - fee
        self.owned += change
        return after


def exposure(state: Exchange, account: Account, market: int) -> Exposure:
    """An account's exposure in a market before anything is traded."""
    if account.valued != state.marked:
        state.value(account)
    owned = account.owned
    held = account.positions.get(market)
    if held is None:
        size, cost, elsewhere = 0, 0, account.required
    else:
        size, cost = held.size, held.cost
        elsewhere = account.required - held.required
    net = size if len(owned) == 1 else net_of_owner(account, market)
    return Exposure(account, size, cost, account.balance + account.gain, elsewhere, net, state.marks)


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
        "_rises_above",
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
        self._index = state.indexes[market].price
        self._mark = state.marks[market]
        self._rises_above = state.rises_above[market]
        self._taker = taker = exposure(state, state.accounts[terms.account], market)
        self._makers: dict[int, Exposure] = {}
        self._open_interest = state.open_interest[market]
        self._left = min(terms.size, reducible(taker.size, terms.side)) if terms.reduce_only else terms.size
        self._value = 0
        self._trades: list[Event] = []
        self._reduced: list[Event] = []
        self._rejected: list[Event] = []

    def plan(self, offers: Iterable[Offer], whole: bool) -> Plan:
        """Fill best first; `whole`: all of the request or nothing."""
        wanted, trades, side = self._left, self._trades, self._terms.side
        code = None
        for ranked_price, _, _, _, offer in offers:
            code = self._try(offer, ranked_price * side)
            if code is not None or self._left == 0 or len(trades) == FILLS_PER_REQUEST_MAX:
                break
        filled = wanted - self._left
        if whole and filled < self._terms.size:
            return Plan(self._rejected, (), 0, 0, code)
        first = self._state.last_fill + 1
        fills = tuple(range(first, first + len(trades)))
        return Plan(self._rejected + trades + self._reduced, fills, filled, self._value, code)

    def _try(self, offer: QuoteGiven | Level, price: int) -> Code | None:
        """Fill against one offer if it holds. Returns a code only when the taker can trade no further."""
        size = self._left if self._left < offer.size else offer.size
        if offer.expires <= self._at or size < offer.min_fill:
            return None
        state, account, market = self._state, offer.account, self._market
        maker = self._makers.get(account)
        if maker is None:
            maker = self._makers[account] = exposure(state, state.accounts[account], market.id)
        if maker.account.owner == self._taker.account.owner:
            return None
        index = self._index
        if offer.index != index and not within_band(market, offer.index, index):
            self._reject(offer, Code.QUOTE_OUT_OF_BAND)
            return None
        frozen = state.book.frozen
        if frozen and frozen.get((account, market.id), 0) > self._at:
            return None
        return self._fill(offer, price, maker, size)

    def _fill(self, offer: QuoteGiven | Level, price: int, maker: Exposure, size: int) -> Code | None:
        market, mark, taker, terms = self._market, self._mark, self._taker, self._terms
        change = terms.side * size
        longer = longs(taker.size + change, maker.size - change) - longs(taker.size, maker.size)
        open_interest = self._open_interest + longer
        if open_interest > self._rises_above:
            mark = self._state.mark_at(terms.market, open_interest)
        value_per_lot = price * market.value_per_tick_lot
        value = value_per_lot * size
        fee = share_up(value, market.taker_fee)
        code = taker.refusal(change, value_per_lot, fee, market, mark)
        if code is not None:
            return code
        code = maker.refusal(-change, value_per_lot, 0, market, mark)
        if code is not None:
            self._reject(offer, Code.MAKER_CANNOT_PAY if code is Code.INSUFFICIENT_MARGIN else code)
            return None
        if longer > 0 and open_interest > market.open_interest_cap:
            return Code.OPEN_INTEREST_CAP
        self._open_interest = open_interest
        self._left -= size
        self._value += value
        _, taker_cost, taker_realized = taker.take(change, value_per_lot, fee, mark)
        _, maker_cost, maker_realized = maker.take(-change, value_per_lot, 0, mark)
        self._trades.append(
            Filled(
                self._at,
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
            self._reduce(offer, offer.size - size, self._reduced)
        return None

    def _reject(self, offer: QuoteGiven | Level, code: Code) -> None:
        at, market = self._at, self._terms.market
        request = self._terms.request if isinstance(offer, QuoteGiven) else 0
        self._rejected.append(QuoteRejected(at, offer.account, request, offer.quote, market, code))
        if isinstance(offer, Level):
            self._reduce(offer, 0, self._rejected)

    def _reduce(self, level: Level, left: int, events: list[Event]) -> None:
        terms = self._terms
        events.append(StandingReduced(self._at, level.account, terms.market, terms.side, level.quote, left))


def longs(one: int, other: int) -> int:
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
