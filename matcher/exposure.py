"""What one account may trade in one market: its owner's cap and its margin, before and while a plan of fills is made."""

from collections.abc import Sequence

import msgspec

from core.account_risk import AccountRisk, RiskMark, account_risk, counts_for, trade_is_allowed
from core.loss_limits import Reach
from core.market import Market
from core.position import Trade, trade
from matcher.account import Account, sides_of_owner
from matcher.exiting import leaving_of
from matcher.rejections import Code
from matcher.state import Exchange
from matcher.trust import only_gets_out

Firm = tuple[int, int]
"""Price in ticks and lots of one level of a firm quote."""


class Sides(msgspec.Struct, gc=False):
    """Lots that all accounts of one owner hold long in a market, and short, as the fills of a plan change them; both positive.

    Each side has the market's cap by itself: the accounts are liquidated apart, so one side does not make the other any safer.
    """

    longs: int
    shorts: int

    def after(self, size: int, now: int) -> tuple[int, int]:
        """Both sides once one of the accounts holds `now` lots instead of `size`."""
        return self.longs + max(now, 0) - max(size, 0), self.shorts + max(-now, 0) - max(-size, 0)

    def beyond(self, size: int, now: int, cap: int) -> bool:
        """Whether that makes a side larger than `cap` that was smaller before."""
        longs, shorts = self.after(size, now)
        return longs > max(cap, self.longs) or shorts > max(cap, self.shorts)


class Bounds(msgspec.Struct, gc=False):
    """What of an account's equity backs nothing, and whether it can be valued at all.

    With `doubted` something else that the account holds can not be valued now, so nobody knows what it can afford: its position in the
    market may only shrink. So it may while its margin does not leave free what its owner is `leaving` with, of which the chain can pay
    `claimable` at any time, or needs what is out of its limit's `reach` (None: its owner set no limit).
    """

    doubted: bool
    leaving: int
    claimable: int
    reach: Reach | None


class Exposure(msgspec.Struct, gc=False):
    """An account in one market while a plan is made: its position so far, and its margin with everything else it holds.

    `elsewhere` is the initial requirement of its other positions. `sides` is shared by the exposures of one owner's accounts, and None
    for an owner of a single account. `bounds` is None for an account whose whole equity is known and backs what it trades. In the
    market's last hour `end` is what a lot would settle at, micro-USDC: no trade is worth what only the mark shows.
    """

    state: Exchange
    account: Account
    size: int
    cost: int
    equity: int
    elsewhere: int
    sides: Sides | None
    bounds: Bounds | None
    end: int | None

    def refusal(
        self, change: int, value_per_lot: int, fee: int, market: Market, mark: RiskMark
    ) -> Code | None:
        """Why the account may not trade `change` lots at `value_per_lot` micro-USDC and pay `fee`, or None.

        `mark` is the market's at the open interest after the trade.
        """
        before, cap = self.size, market.position_cap
        after = before + change
        # Beyond a cap that was lowered later a position may shrink, but not turn into one beyond it on the other side.
        if self.sides is None:
            if not -cap <= after <= cap and (abs(after) > abs(before) or after * before < 0):
                return Code.POSITION_CAP
        elif self.sides.beyond(before, after, cap):
            return Code.POSITION_CAP
        if self.bounds is not None and self.bounds.doubted and not self.shrinks(change):
            return Code.INDEX_UNAVAILABLE
        return self.lacking(change, change * value_per_lot + fee, market.id, mark)

    def shrinks(self, change: int) -> bool:
        """Whether `change` lots take the position towards nothing and not beyond."""
        return abs(change) <= reducible(self.size, change)

    def lacking(self, change: int, paid: int, market: int, mark: RiskMark) -> Code | None:
        """Why margin does not allow the account to trade `change` lots for `paid` micro-USDC (negative: it receives them), or None."""
        after = self.size + change
        # A trade at the mark moves value between position and balance; only its distance from the mark changes equity.
        equity = self.equity + self._gains(change, mark) - paid
        free, bounds = equity - self.elsewhere - mark.initial_of(after), self.bounds
        if bounds is None:
            if free >= 0 or self._gets_out(after, self.equity, equity, market, mark):
                return None
            return Code.INSUFFICIENT_MARGIN
        leaving, reach = bounds.leaving, bounds.reach
        if free >= leaving and (reach is None or free >= reach.beyond_settled(equity)):
            return None
        if (not leaving and reach is None) or self.shrinks(change):
            beyond = max(bounds.claimable, reach.beyond if reach is not None else 0)
            if self._gets_out(after, self.equity - beyond, equity - beyond, market, mark):
                return None
        return Code.INSUFFICIENT_MARGIN if free < leaving else Code.LOSS_LIMIT_REACHED

    def _gets_out(self, after: int, before: int, equity: int, market: int, mark: RiskMark) -> bool:
        """Whether the account may go from `before` to `equity`, less than its initial requirement, by holding `after` lots."""
        state, account = self.state, self.account
        others = account_risk(state.funds(account), account.positions, state.marks, leaving_out=market)
        before_it, after_it = (
            AccountRisk(
                worth,
                others.initial + mark.initial_of(size),
                others.maintenance + mark.maintenance_of(size),
                others.notional + abs(size) * mark.value_per_lot,
            )
            for size, worth in ((self.size, before), (after, equity))
        )
        return trade_is_allowed(self.size, after, before_it, after_it)

    def _gains(self, change: int, mark: RiskMark) -> int:
        """Micro-USDC by which the position counts for more once it is `change` lots larger."""
        value, end = mark.value_per_lot, self.end
        if end is None:
            return change * value
        return counts_for(self.size + change, value, end) - counts_for(self.size, value, end)

    def take(self, change: int, value_per_lot: int, fee: int, mark: RiskMark) -> Trade:
        """Trade without asking."""
        after = trade(self.size, self.cost, change, value_per_lot)
        self.equity += self._gains(change, mark) - change * value_per_lot - fee
        if self.sides is not None:
            self.sides.longs, self.sides.shorts = self.sides.after(self.size, after[0])
        self.size, self.cost, _ = after
        return after


def exposure(state: Exchange, account: Account, market: int, owners: dict[str, Sides], at: int) -> Exposure:
    """An account's exposure in a market before it trades anything at `at`.

    `owners` has the sides of those already met, and gains its own's.
    """
    if account.valued != state.marked:
        state.value(account)
    held = account.positions.get(market)
    if held is None:
        size, cost, elsewhere = 0, 0, account.required
    else:
        size, cost = held.size, held.cost
        elsewhere = account.required - held.required
    sides = None
    if len(account.owned) > 1:
        sides = owners.get(account.owner)
        if sides is None:
            sides = owners[account.owner] = Sides(*sides_of_owner(account, market))
    equity = account.balance + account.gain
    bounds = None
    if at > state.values_until or state.exits or state.loss_limits:
        bounds = _bounds(state, account, market, at)
    end = state.ends.get(market) if state.ends else None
    return Exposure(state, account, size, cost, equity, elsewhere, sides, bounds, end)


def _bounds(state: Exchange, account: Account, market: int, at: int) -> Bounds:
    return Bounds(
        only_gets_out(state, account, market, at),
        leaving_of(state, account),
        state.claimable(account),
        state.reach_of(account),
    )


def refused_at_mark(state: Exchange, account: Account, market: int, change: int, at: int) -> Code | None:
    """Why the account may not trade `change` lots at the market's mark, without a fee, or None."""
    listed, held = state.markets[market], account.positions.get(market)
    after = change if held is None else held.size + change
    # Below the cap, and with this much to spare, the rule need not be asked; in a last hour the mark is not what a lot is worth.
    if (
        not state.ends
        and -listed.position_cap <= after <= listed.position_cap
        and len(account.owned) == 1
        and at <= state.values_until
        and spare(state, account) >= abs(change) * state.conditions[market].most_per_lot
    ):
        return None
    mark = state.marks[market]
    exposed = exposure(state, account, market, {}, at)
    return exposed.refusal(change, mark.value_per_lot, 0, listed, mark)


def spare(state: Exchange, account: Account) -> int:
    """Micro-USDC of an account's equity at the marks that no position requires and that may back another."""
    if account.valued != state.marked:
        state.value(account)
    free = account.balance + account.gain - account.required
    if state.exits or state.loss_limits:
        free -= held_back(account, leaving_of(state, account), state.reach_of(account))
    return free


def backed(
    state: Exchange,
    account: Account,
    market: int,
    bids: Sequence[Firm],
    asks: Sequence[Firm],
    at: int,
    leaving: int | None = None,
    reach: Reach | None = None,
) -> Code | None:
    """Why the account could not honour all of its firm bids, or all of its firm asks, whichever of them are taken, best first.

    Each side by itself; what only reduces its position it always can. `leaving` is what its owner is about to leave with, and `reach`
    what its limit is about to be, where that is not in the state yet.
    """
    if leaving is None:
        leaving = leaving_of(state, account)
    if reach is None:
        reach = state.reach_of(account)
    now, value_per_tick = state.conditions[market], state.markets[market].value_per_tick_lot
    lots = max(sum([size for _, size in bids]), sum([size for _, size in asks]))
    # What a level gains does not count: those before it may be all that is taken.
    lost = value_per_tick * max(
        sum([(price - now.mark) * size for price, size in bids if price > now.mark]),
        sum([(now.mark - price) * size for price, size in asks if price < now.mark]),
    )
    if account.valued != state.marked:
        state.value(account)
    free = account.balance + account.gain - account.required - held_back(account, leaving, reach)
    # With this much to spare the rule need not be asked; in a last hour the mark is not what a lot is worth.
    if not state.ends and free - lost >= lots * now.most_per_lot and at <= state.values_until:
        return None
    mark = state.marks[market]
    exposed = exposure(state, account, market, {}, at)
    bounds = exposed.bounds = exposed.bounds or _bounds(state, account, market, at)
    bounds.leaving, bounds.reach = leaving, reach
    for side, levels in ((1, bids), (-1, asks)):
        change = paid = 0
        for price, size in sorted(levels, reverse=side > 0):
            change += side * size
            paid += side * size * price * value_per_tick
            if abs(change) <= reducible(exposed.size, side):
                continue
            if bounds.doubted:
                return Code.INDEX_UNAVAILABLE
            code = exposed.lacking(change, paid, market, mark)
            if code is not None:
                return code
    return None


def held_back(account: Account, leaving: int, reach: Reach | None) -> int:
    """Micro-USDC of the equity of an account, valued at the marks, that back no trade: its owner leaves with them, or they are out of
    reach."""
    return leaving if reach is None else max(leaving, reach.beyond_settled(account.balance + account.gain))


def reducible(size: int, side: int) -> int:
    """Lots by which a trade in the direction of `side` (its sign counts) can shrink a position of `size`."""
    return abs(size) if size * side < 0 else 0
