"""Planning the fills of one request: who trades how much at which price, and why the others do not. Changes nothing."""

from collections.abc import Iterable, Sequence

import msgspec

from core.bands import within_band
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
from core.quantities import share_up
from matcher.book import Level
from matcher.exposure import Exposure, Sides, exposure, reducible
from matcher.limits import FILLS_BY_PRICE_MAX, FILLS_PER_REQUEST_MAX
from matcher.marking import only_reduces
from matcher.rejections import Code
from matcher.state import Exchange

Offer = tuple[int, bool, int, int, QuoteGiven | Level]
"""A firm price for one side of a request, ordered best first: price (negated for a seller), whether it may fill in part, premium
tier (negated), arrival, and what it comes from. Arrivals differ, so the last is never compared."""


class Plan(msgspec.Struct, gc=False):
    """The fills and the events around them; `code` says why the taker got no more, when it was the taker's doing.

    `open_interest` is the market's after the fills, in lots.
    """

    events: Sequence[Event]
    fills: tuple[int, ...]
    filled: int
    value: int
    code: Code | None
    open_interest: int


def nothing_filled(state: Exchange, market: int) -> Plan:
    """The plan of a request that nothing fills."""
    return Plan((), (), 0, 0, None, state.open_interest[market])


class Planner:
    """Walks offers best first and fills what may be filled.

    A request without a key is an auction of the exchange's own: it pays no fee, and its limit has been judged instead of its margin
    and of the distance to the index.
    """

    __slots__ = (
        "_at",
        "_capped",
        "_left",
        "_makers",
        "_mark",
        "_market",
        "_now",
        "_open_interest",
        "_owners",
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
        self._now = state.conditions[market]
        self._owners: dict[str, Sides] = {}
        self._taker = taker = exposure(state, state.accounts[terms.account], market, self._owners, at)
        self._makers: dict[int, Exposure] = {}
        self._open_interest = state.open_interest[market]
        self._capped = False
        self._left = terms.size
        if terms.reduce_only or only_reduces(state, market):
            self._left = min(terms.size, reducible(taker.size, terms.side))
        self._value = 0
        self._trades: list[Filled] = []
        self._reduced: list[StandingReduced] = []
        self._rejected: list[QuoteRejected | StandingReduced] = []

    def plan(self, offers: Iterable[Offer], whole: bool) -> Plan:
        """Fill best first; `whole`: all of the request or nothing."""
        wanted, trades, side = self._left, self._trades, self._terms.side
        code = None
        for ranked_price, _, _, _, offer in offers:
            code = self._try(offer, ranked_price * side)
            if code is not None or self._left == 0 or len(trades) == FILLS_PER_REQUEST_MAX:
                break
        filled = wanted - self._left
        if code is None and self._left and self._capped:
            code = Code.OPEN_INTEREST_CAP
        if wanted < self._terms.size and code is None and (whole or not wanted):
            code = self._too_large()
        if whole and filled < self._terms.size:
            return Plan(self._hollow(), (), 0, 0, code, self._state.open_interest[self._market.id])
        fills = tuple([trade.fill for trade in trades])
        events = [*self._rejected, *trades, *self._reduced]
        return Plan(events, fills, filled, self._value, code, self._open_interest)

    def _too_large(self) -> Code | None:
        """Why less than was asked for could be filled, whatever was offered; nothing of the exchange's own auctions."""
        if not self._terms.key:
            return None
        return Code.REDUCE_ONLY_WOULD_INCREASE if self._terms.reduce_only else Code.MARKET_REDUCE_ONLY

    def _hollow(self) -> Sequence[Event]:
        """Rejections that hold although nothing of the plan is filled: those of owners that trade nothing in it."""
        if not self._rejected or not self._trades:
            return self._rejected
        accounts = self._state.accounts
        traded = {accounts[fill.maker].owner for fill in self._trades}
        return [event for event in self._rejected if accounts[event.account].owner not in traded]

    def _try(self, offer: QuoteGiven | Level, price: int) -> Code | None:
        """Fill against one offer if it holds. Returns a code only when the taker can trade no further."""
        size = self._left if self._left < offer.size else offer.size
        trades = len(self._trades)
        if trades >= FILLS_BY_PRICE_MAX and offer.size * (FILLS_PER_REQUEST_MAX - trades) < self._left:
            return None
        if offer.expires <= self._at or size < offer.min_fill:
            return None
        state, account, market, now = self._state, offer.account, self._market, self._now
        maker = self._makers.get(account)
        if maker is None:
            maker = exposure(state, state.accounts[account], market.id, self._owners, self._at)
            self._makers[account] = maker
        if maker.account.owner == self._taker.account.owner:
            return None
        if not now.lowest <= price <= now.highest and self._terms.key:
            self._reject(offer, Code.PRICE_OUT_OF_BAND)
            return None
        if offer.index != now.index and not within_band(market, offer.index, now.index):
            self._reject(offer, Code.QUOTE_OUT_OF_BAND)
            return None
        frozen = state.book.frozen
        if frozen and frozen.get((account, market.id), 0) > self._at:
            return None
        return self._fill(offer, price, maker, size)

    def _fill(self, offer: QuoteGiven | Level, price: int, maker: Exposure, size: int) -> Code | None:
        state, market, mark, taker, terms = self._state, self._market, self._mark, self._taker, self._terms
        change = terms.side * size
        longer = lengthened(taker.size, maker.size, change)
        open_interest = self._open_interest + longer
        if longer > 0 and open_interest > market.open_interest_cap:
            # Others further back may close a position with the taker's, which adds nothing.
            self._capped = True
            size = min(size, self._fits(maker))
            if size < max(1, offer.min_fill):
                return None
            change = terms.side * size
            longer = lengthened(taker.size, maker.size, change)
            open_interest = self._open_interest + longer
        if open_interest > state.rises_above[terms.market]:
            mark = state.mark_at(terms.market, open_interest)
        value_per_lot = price * market.value_per_tick_lot
        value = value_per_lot * size
        fee = 0
        if terms.key:
            fee = share_up(value, market.taker_fee)
            code = taker.refusal(change, value_per_lot, fee, market, mark)
            if code is not None:
                return code
        code = maker.refusal(-change, value_per_lot, 0, market, mark)
        if code is not None:
            # Else it is not the maker's doing, and its quote stands for when it can be valued again.
            if code is not Code.INDEX_UNAVAILABLE:
                self._reject(offer, Code.MAKER_CANNOT_PAY if code is Code.INSUFFICIENT_MARGIN else code)
            return None
        self._open_interest = open_interest
        self._left -= size
        self._value += value
        _, taker_cost, taker_realized = taker.take(change, value_per_lot, fee, mark)
        _, maker_cost, maker_realized = maker.take(-change, value_per_lot, 0, mark)
        self._trades.append(
            Filled(
                self._at,
                state.last_fill + len(self._trades) + 1,
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
                self._now.index,
            )
        )
        if isinstance(offer, Level):
            self._reduced.append(self._reduction(offer, offer.size - size))
        return None

    def _fits(self, maker: Exposure) -> int:
        """Lots that taker and maker may trade under the open-interest cap: those with which either closes a position add none, and of
        others there may be as many as there is room for."""
        side = self._terms.side
        room = max(0, self._market.open_interest_cap - self._open_interest)
        return reducible(self._taker.size, side) + reducible(maker.size, -side) + room

    def _reject(self, offer: QuoteGiven | Level, code: Code) -> None:
        at, market = self._at, self._terms.market
        request = self._terms.request if isinstance(offer, QuoteGiven) else 0
        self._rejected.append(QuoteRejected(at, offer.account, request, offer.quote, market, code))
        if isinstance(offer, Level):
            self._rejected.append(self._reduction(offer, 0))

    def _reduction(self, level: Level, left: int) -> StandingReduced:
        terms = self._terms
        return StandingReduced(self._at, level.account, terms.market, terms.side, level.quote, left)


def lengthened(one: int, other: int, change: int) -> int:
    """Lots by which two positions are held longer, a short counting as none, once `change` lots have gone from `other` to `one`."""
    # Their sum stays, so both sides of zero change alike.
    return (abs(one + change) + abs(other - change) - abs(one) - abs(other)) // 2


def protect_makers(state: Exchange, events: Sequence[Event], at: int) -> list[Event]:
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
