"""What one account may trade in one market: its owner's cap and its margin, before and while a plan of fills is made."""

from collections.abc import Mapping, Sequence

import msgspec

from core.account_risk import AccountRisk, RiskMark, account_risk, trade_is_allowed
from core.loss_limits import Reach
from core.market import Market
from core.position import Trade, trade
from core.quantities import MILLION
from matcher.account import Account, net_of_owner
from matcher.exiting import leaving_of
from matcher.rejections import Code
from matcher.state import Exchange
from matcher.trust import only_gets_out

Firm = tuple[int, int]
"""Price in ticks and lots of one level of a firm quote."""


class Net(msgspec.Struct, gc=False):
    """Signed lots that all accounts of one owner hold in a market together, as the fills of a plan change them."""

    lots: int


class Exposure(msgspec.Struct, gc=False):
    """An account in one market while a plan is made: its position so far, and its margin with everything else it holds.

    `funds` is its balance less what it owes in funding, `elsewhere` the initial requirement of its other positions. `net` is shared by
    the exposures of one owner's accounts, and None for an owner of a single account, whose net is its position; `marks` are the
    exchange's. With `doubted` something else that it holds can not be valued now, so nobody knows what it can afford: its position
    here may only shrink. So it may while its margin does not leave free what its owner is `leaving` with, of which the chain can pay
    `claimable` at any time, or needs what is out of its limit's `reach` (None: its owner set no limit).
    """

    account: Account
    funds: int
    size: int
    cost: int
    equity: int
    elsewhere: int
    net: Net | None
    marks: Mapping[int, RiskMark]
    doubted: bool
    leaving: int
    claimable: int
    reach: Reach | None

    def refusal(
        self, change: int, value_per_lot: int, fee: int, market: Market, mark: RiskMark
    ) -> Code | None:
        """Why the account may not trade `change` lots at `value_per_lot` micro-USDC and pay `fee`, or None.

        `mark` is the market's at the open interest after the trade.
        """
        before = self.size if self.net is None else self.net.lots
        net = before + change
        # Beyond a cap that was lowered later a position may shrink, but not turn into one beyond it on the other side.
        if abs(net) > market.position_cap and (abs(net) > abs(before) or net * before < 0):
            return Code.POSITION_CAP
        if self.doubted and not self.shrinks(change):
            return Code.INDEX_UNAVAILABLE
        return self.lacking(change, change * value_per_lot + fee, market.id, mark)

    def shrinks(self, change: int) -> bool:
        """Whether `change` lots take the position towards nothing and not beyond."""
        return abs(change) <= reducible(self.size, change)

    def lacking(self, change: int, paid: int, market: int, mark: RiskMark) -> Code | None:
        """Why margin does not allow the account to trade `change` lots for `paid` micro-USDC (negative: it receives them), or None."""
        after = self.size + change
        # A trade at the mark moves value between position and balance; only its distance from the mark changes equity.
        equity = self.equity + change * mark.value_per_lot - paid
        free, reach = equity - self.elsewhere - mark.initial_of(after), self.reach
        if free >= self.leaving and (reach is None or free >= reach.beyond_settled(equity)):
            return None
        if (not self.leaving and reach is None) or self.shrinks(change):
            beyond = max(self.claimable, reach.beyond if reach is not None else 0)
            if self._gets_out(after, self.equity - beyond, equity - beyond, market, mark):
                return None
        return Code.INSUFFICIENT_MARGIN if free < self.leaving else Code.LOSS_LIMIT_REACHED

    def _gets_out(self, after: int, before: int, equity: int, market: int, mark: RiskMark) -> bool:
        """Whether the account may go from `before` to `equity`, less than its initial requirement, by holding `after` lots."""
        account = self.account
        others = account_risk(self.funds, account.positions, self.marks, leaving_out=market)
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

    def take(self, change: int, value_per_lot: int, fee: int, mark: RiskMark) -> Trade:
        """Trade without asking."""
        after = trade(self.size, self.cost, change, value_per_lot)
        self.size, self.cost, _ = after
        self.equity += change * (mark.value_per_lot - value_per_lot) - fee
        if self.net is not None:
            self.net.lots += change
        return after


def exposure(state: Exchange, account: Account, market: int, nets: dict[str, Net], at: int) -> Exposure:
    """An account's exposure in a market before it trades anything at `at`.

    `nets` has those of the owners already met, and gains its own.
    """
    if account.valued != state.marked:
        state.value(account)
    held = account.positions.get(market)
    if held is None:
        size, cost, elsewhere = 0, 0, account.required
    else:
        size, cost = held.size, held.cost
        elsewhere = account.required - held.required
    net = None
    if len(account.owned) > 1:
        net = nets.get(account.owner)
        if net is None:
            net = nets[account.owner] = Net(net_of_owner(account, market))
    equity = account.balance + account.gain
    doubted = at > state.values_until and only_gets_out(state, account, market, at)
    return Exposure(
        account,
        state.funds(account),
        size,
        cost,
        equity,
        elsewhere,
        net,
        state.marks,
        doubted,
        leaving_of(state, account),
        state.claimable(account) if state.matured else 0,
        state.reach_of(account),
    )


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
    mark = state.marks[market]
    value_per_tick = state.markets[market].value_per_tick_lot
    lots = lost = 0
    for side, levels in ((1, bids), (-1, asks)):
        most = worst = 0
        for price, size in levels:
            most += size
            # What a level gains does not count: those before it may be all that is taken.
            worst += max(0, side * (price * value_per_tick - mark.value_per_lot)) * size
        lots, lost = max(lots, most), max(lost, worst)
    if account.valued != state.marked:
        state.value(account)
    free = account.balance + account.gain - account.required - held_back(account, leaving, reach)
    # With this much to spare the rule need not be asked.
    spare = (free - lost) * MILLION - mark.most_required(lots)
    if spare >= 0 and at <= state.values_until:
        return None
    exposed = exposure(state, account, market, {}, at)
    exposed.leaving, exposed.reach = leaving, reach
    for side, levels in ((1, bids), (-1, asks)):
        change = paid = 0
        for price, size in sorted(levels, reverse=side > 0):
            change += side * size
            paid += side * size * price * value_per_tick
            if abs(change) <= reducible(exposed.size, side):
                continue
            if exposed.doubted:
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
