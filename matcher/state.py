"""State of the exchange: the durable part, rebuilt by replay, and the book of requests and quotes, which dies with the process."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heapreplace

from msgspec.structs import replace

from core.account_risk import AccountRisk, RiskMark, account_risk
from core.accounts import CLEARING, FIRST_AGENT, INSURANCE, TREASURY
from core.batches import BatchStatus
from core.events import IndexUpdated, MarkUpdated, WithdrawalFinished, WithdrawalReserved
from core.exit_events import ExitClaimed, ExitRequested
from core.exits import matures_at, taken
from core.liquidation import Stage, stage
from core.loss_limits import LossLimit, Reach
from core.margin_terms import Step, steps
from core.mark_price import Basis
from core.market import Market, MarketStatus
from core.open_interest import followed
from core.position import Position
from core.quantities import MILLION, SECOND
from core.settlement_price import MINUTE, WINDOW, Past, foreseen, window_end
from core.validity import Action, Validity, allowed, worse
from matcher.account import Account
from matcher.book import Book
from matcher.breakers import Breakers
from matcher.conditions import Conditions, conditions
from matcher.custody import Custody
from matcher.funding import MarketFunding
from matcher.late import late_at
from matcher.limits import CONFIDENCE_MAX
from matcher.sums import Sums, summed
from matcher.transfers import Transfers
from matcher.watch import Liquidation, Watch

NEVER_RISES = 1 << 100
"""Lots of open interest that no market reaches."""
NEVER = -1
"""An instant before all others."""
FOR_EVER = 1 << 100
"""An instant after all others."""
AT_ONCE = 1
"""An instant that has long come."""


class Cut:
    """The last settlement cut: deltas per account, summing to `left_over`, for the records after `previous_seq` up to `seq`.

    That is what earlier batches took on chain and gave to nobody; zero unless a thief did that.
    """

    __slots__ = ("at", "balances", "batch", "deltas", "equities", "left_over", "marks", "previous_seq", "seq")

    def __init__(
        self,
        batch: int,
        at: int,
        seq: int,
        previous_seq: int,
        marks: tuple[tuple[int, int], ...],
        deltas: dict[int, int],
        balances: dict[int, int],
        equities: dict[int, int],
        left_over: int = 0,
    ) -> None:
        self.batch = batch
        self.left_over = left_over
        self.at = at
        self.seq = seq
        self.previous_seq = previous_seq
        self.marks = marks
        self.deltas = deltas
        self.balances = balances
        self.equities = equities


def _own_accounts() -> dict[int, Account]:
    """The exchange's own accounts, of which treasury and insurance fund have the first slots on chain."""
    own = {
        id: Account(id, "", name, [])
        for id, name in ((TREASURY, "treasury"), (INSURANCE, "insurance fund"), (CLEARING, "clearing"))
    }
    own[TREASURY].page, own[TREASURY].slot = 0, 0
    own[INSURANCE].page, own[INSURANCE].slot = 0, 1
    return own


@dataclass(slots=True, eq=False, repr=False)
class Exchange:
    """Everything the rules read. Only `matcher.apply` changes it.

    `seq` counts durable events, so it equals the journal's sequence; `at` is the instant of the last. `marks`, `conditions`,
    `fills_until` and `values_until` follow from the markets' parameters, statuses, indexes and mark records (`follow_index`), and are
    kept because every quote and every fill asks for them: the latter are until when each market may fill, and until when all of them
    value accounts. `mark_records` has the record that came with a market's last believed index price, if any; `bases` and
    `last_prices` (of fills) go into the next one. `pasts` are the markets' indexes of the last hour, without the one that stands.
    `ends` are, of markets in the hour at whose average they settle, micro-USDC per lot at that average if the index stays. `marked`
    counts the changes of marks: an account valued at another number is valued anew when it next trades, so a new mark costs the same
    however many positions are open. `rises_above` are the lots of open interest up to which a market's initial fractions stay as its
    terms have them: only beyond does a change of open interest change its mark. `longs` and `shorts` are the positions on either side
    of each market, by account (`matcher.holding`). `liquidations` are those going on, by account, and `watch` finds those to begin.
    `fund_began` is the insurance fund's equity when `fund_period` began, days of UTC since the Unix epoch, with what was paid in since
    (`core.fund`). `transfers` are by the parent. `owing` are the markets with hours of funding that have ended and are not paid;
    `hour_due` is when the next end of an hour is to be recorded, 0 when there is none: that comes before any other command, because
    from then on it is owed. `exits` are the standing requests to leave, by account; `claimed` is the micro-USDC of `paid_out` that
    owners took alone, in the `claims`. Those of accounts in `matured` the chain may pay at any time; `exits_due` is a heap of what
    `ripens` says of the others, in which those that are gone, or later by now, stay until they come up. `loss_limits` are the owners'
    limits on chain, by the account whose slot it is. `unfilled_kept` counts the final answers without fills of all accounts. `unbound`
    are those that wait for a slot, as they registered.

    Idempotency keys are kept for ever, because the chain's records that they answer for never go away either: a million credited
    deposits take about 180 MB, a million finished withdrawals about 730 MB.
    """

    seq: int = 0
    at: int = 0
    epoch: int = 0
    last_fill: int = 0
    last_withdrawal: int = 0
    next_account: int = FIRST_AGENT
    markets: dict[int, Market] = field(default_factory=dict)
    statuses: dict[int, MarketStatus] = field(default_factory=dict)
    indexes: dict[int, IndexUpdated] = field(default_factory=dict)
    mark_records: dict[int, MarkUpdated] = field(default_factory=dict)
    pasts: dict[int, Past] = field(default_factory=dict)
    bases: dict[int, Basis] = field(default_factory=dict)
    last_prices: dict[int, int] = field(default_factory=dict)
    marks: dict[int, RiskMark] = field(default_factory=dict)
    conditions: dict[int, Conditions] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    rises_above: dict[int, int] = field(default_factory=dict)
    marked: int = 0
    fills_until: dict[int, int] = field(default_factory=dict)
    values_until: int = FOR_EVER
    _values_until: dict[int, int] = field(default_factory=dict)
    open_interest: dict[int, int] = field(default_factory=dict)
    funding: dict[int, MarketFunding] = field(default_factory=dict)
    owing: dict[int, MarketFunding] = field(default_factory=dict)
    hour_due: int = 0
    accounts: dict[int, Account] = field(default_factory=_own_accounts)
    owners: dict[str, list[Account]] = field(default_factory=dict)
    owned: set[int] = field(default_factory=set)
    unbound: dict[int, None] = field(default_factory=dict)
    longs: dict[int, dict[int, Position]] = field(default_factory=dict)
    shorts: dict[int, dict[int, Position]] = field(default_factory=dict)
    names: dict[tuple[str, str], int] = field(default_factory=dict)
    slots: dict[tuple[int, int], int] = field(default_factory=lambda: {(0, 0): TREASURY, (0, 1): INSURANCE})
    deposits: dict[str, tuple[int, int]] = field(default_factory=dict)
    withdrawals: dict[int, WithdrawalReserved] = field(default_factory=dict)
    withdrawal_keys: dict[tuple[int, str], WithdrawalReserved] = field(default_factory=dict)
    finished_withdrawals: dict[int, WithdrawalFinished] = field(default_factory=dict)
    unfilled_kept: int = 0
    deposited: int = 0
    paid_out: int = 0
    claimed: int = 0
    claims: dict[str, ExitClaimed] = field(default_factory=dict)
    exits: dict[int, ExitRequested] = field(default_factory=dict)
    loss_limits: dict[int, LossLimit] = field(default_factory=dict)
    matured: set[int] = field(default_factory=set)
    exits_due: list[tuple[int, int, int]] = field(default_factory=list)
    reserved: int = 0
    sums: Sums = field(default_factory=Sums)
    transfers: dict[int, Transfers] = field(default_factory=dict)
    cut: Cut | None = None
    batches: dict[int, int] = field(default_factory=dict)
    last_liquidation: int = 0
    liquidations: dict[int, Liquidation] = field(default_factory=dict)
    insurance_floor: int = 0
    fund_period: int = 0
    fund_began: int = 0
    watch: Watch = field(default_factory=Watch)
    breakers: Breakers = field(default_factory=Breakers)
    custody: Custody = field(default_factory=Custody)
    book: Book = field(default_factory=Book)

    def follow_index(self, market: int) -> None:
        """Derive a market's mark, and until when its index lets it fill and values accounts; a paused or settled one never fills.

        To be called when the market's parameters, status, index or mark record change.
        """
        index = self.indexes.get(market)
        if index is None:
            self.fills_until[market] = NEVER
            return
        listed = self.markets[market]
        record = self.mark_records.get(market)
        price = index.price if record is None else record.price
        terms, value_per_lot = listed.margin_terms, price * listed.value_per_tick_lot
        rises = terms.open_interest_lower < terms.open_interest_upper
        self.rises_above[market] = terms.open_interest_lower // value_per_lot if rises else NEVER_RISES
        self._follow_mark(market, self._mark(listed, value_per_lot, self.open_interest[market]))
        validity, until = validity_of(index), index.published + listed.index_max_age
        fills = allowed(validity, Action.FILL) and self.statuses[market] < MarketStatus.PAUSED
        ending = self.breakers.announced.get(market)
        self._foresee(index, ending.settles_at if ending is not None else FOR_EVER)
        self.watch.move(market, self.span_of(market), self.at)
        last = ending.settles_at - 1 if ending is not None else FOR_EVER
        self.fills_until[market] = min(until, index.published + listed.fill_max_age, last) if fills else NEVER
        values = until if allowed(validity, Action.MARGIN) else NEVER
        # Nobody holds a settled market, so no account waits for its price, which never comes again.
        self._values_until[market] = FOR_EVER if self.statuses[market] == MarketStatus.SETTLED else values
        self.values_until = min(self._values_until.values())

    def _follow_mark(self, market: int, mark: RiskMark) -> None:
        """Take a new mark, and derive what quotes and fills ask of the market."""
        self.marks[market] = mark
        self.conditions[market] = conditions(self.markets[market], self.indexes[market].price, mark)
        self.marked += 1

    def _foresee(self, index: IndexUpdated, settles_at: int) -> None:
        """Derive at what a market would settle, once the hour has begun whose average that is."""
        market, before = index.market, self.ends.pop(index.market, None)
        if index.at > settles_at - WINDOW:
            # While it waits, the hour is the one before the next minute.
            end = max(settles_at, window_end(index.at) + MINUTE)
            price = foreseen(self.pasts[market], index.price, index.at, end)
            self.ends[market] = price * self.markets[market].value_per_tick_lot
            if before is None:
                self.watch.suspect_many(self.holding(market))

    def overstated(self, account: Account) -> int:
        """Micro-USDC by which an account's positions are worth more at the marks than at what markets in their last hour would settle
        at: where the mark is ahead of the average, what it shows is not to be had."""
        held = account.positions
        return sum(
            max(0, held[market].size * (self.marks[market].value_per_lot - end))
            for market, end in self.ends.items()
            if market in held
        )

    def believed_span(self, index: IndexUpdated, end: int) -> tuple[int, int]:
        """From when until when, `end` at the latest, an index counts in the average that a delisted market settles at; empty where its
        first instant is not before its last: it was not believed for settlement."""
        if not allowed(validity_of(index), Action.SETTLE):
            return end, end
        return index.at, min(end, index.published + self.markets[index.market].index_max_age)

    def post(self, account: Account, amount: int) -> None:
        """Change an account's balance by `amount` micro-USDC. Nothing but this and `collect` changes one."""
        account.balance += amount
        self.sums.balances += amount

    def collect(self, payments: Iterable[tuple[int, int]]) -> list[int]:
        """`post` for very many: each account (id, micro-USDC) pays; negative is received. Those of them that are warned."""
        accounts, collected, warned = self.accounts, 0, []
        for id, paid in payments:
            account = accounts[id]
            account.balance -= paid
            collected += paid
            if account.warned:
                warned.append(id)
        self.sums.balances -= collected
        return warned

    def change_open_interest(self, market: int, lots: int) -> None:
        """Open interest grew by `lots`; its mark follows where initial fractions depend on that."""
        before = self.open_interest[market]
        after = self.open_interest[market] = before + lots
        lows, alarm = self.breakers.lows.get(market), self.markets[market].alarm
        if lows is not None and alarm is not None:
            self.breakers.lows[market] = followed(lows, before, after, self.at, alarm.window)
        above = self.rises_above[market]
        if before > above or after > above:
            self._follow_mark(market, self.mark_at(market, after))

    def mark_at(self, market: int, open_interest: int) -> RiskMark:
        """The market's mark as it would be at an open interest in lots."""
        return self._mark(self.markets[market], self.marks[market].value_per_lot, open_interest)

    def mark_price(self, market: int) -> int:
        """The market's mark in ticks."""
        return self.marks[market].value_per_lot // self.markets[market].value_per_tick_lot

    def span_of(self, market: int) -> tuple[int, int]:
        """The mark and what the market would settle at, once its last hour has begun, in ticks, the lower one first.

        A long is worth that, and a short costs the other.
        """
        mark, end = self.mark_price(market), self.ends.get(market)
        settles = mark if end is None else end // self.markets[market].value_per_tick_lot
        return min(mark, settles), max(mark, settles)

    def steps_of(self, market: int) -> tuple[Step, ...]:
        """The market's margin tiers at its open interest; before its first price, as its terms have them."""
        mark = self.marks.get(market)
        return mark.steps if mark is not None else steps(self.markets[market].margin_terms, 0)

    def _mark(self, listed: Market, value_per_lot: int, open_interest: int) -> RiskMark:
        return RiskMark.of(steps(listed.margin_terms, open_interest * value_per_lot), value_per_lot)

    def value(self, account: Account) -> None:
        """Bring an account's `gain` and `required` up to the marks: a memory of `margin_of`; nothing else changes."""
        gain = required = 0
        for market, held in account.positions.items():
            mark = self.marks[market]
            gain += held.size * mark.value_per_lot - held.cost
            held.required = mark.initial_of(held.size)
            required += held.required
        if self.owing:
            gain -= self.owed(account)
        if self.ends:
            gain -= self.overstated(account)
        account.gain, account.required, account.valued = gain, required, self.marked

    def follow_hours(self) -> None:
        """Derive which markets have unpaid funding, and when the next hour ends; to be called when either may have changed."""
        self.owing = {id: funding for id, funding in self.funding.items() if funding.unpaid}
        self.hour_due = min((due for funding in self.funding.values() if (due := funding.due())), default=0)

    def owed(self, account: Account) -> int:
        """Micro-USDC of funding that an account owes for hours that have ended and are not paid; negative: is to receive."""
        held = account.positions
        return sum(
            funding.owed_by(account.id, held[market].size if market in held else 0)
            for market, funding in self.owing.items()
        )

    def funds(self, account: Account) -> int:
        """An account's balance once the funding that it owes is paid: what counts wherever it is asked what it is worth."""
        return account.balance - self.owed(account) if self.owing else account.balance

    def reach_of(self, account: Account, limit: LossLimit | None = None) -> Reach | None:
        """How far settlement can reach into what is the account's; None when its owner set no limit.

        `limit` is the owner's, where it is another than in the state.
        """
        root = account.root
        if limit is None and self.loss_limits:
            limit = self.loss_limits.get(root.id)
        if limit is None:
            return None
        before = others = 0
        for one in (root, *root.subs):
            if one is account:
                before = others
            else:
                others += max(0, self.worth_of(one).equity)
        return Reach(root.settled, limit.left, before, others)

    def collateral(self, account: Account) -> int:
        """An account's funds less what of its equity settlement could not take, or the chain can pay out alone, whichever is more: the
        balance that margin goes by."""
        return self.funds(account) - self._kept_back(account)

    def backing(self, account: Account) -> int:
        """An account's collateral less what its positions are overstated by. What its owner keeps back pays for that: it is worth so
        much less, and owes nothing that it has."""
        if not self.ends:
            return self.collateral(account)
        overstated = self.overstated(account)
        return self.funds(account) - overstated - self._kept_back(account, overstated)

    def _kept_back(self, account: Account, overstated: int = 0) -> int:
        """Micro-USDC of an account's equity, less what that is `overstated` by, that back nothing; never more than there are."""
        equity, reach = self.worth_of(account).equity - overstated, self.reach_of(account)
        beyond = 0 if reach is None else reach.uncounted(equity)
        return max(beyond, min(self.claimable(account), max(0, equity)))

    def worth_of(self, account: Account) -> AccountRisk:
        """Equity and requirements of an account at the marks, whatever of the equity backs anything."""
        return account_risk(self.funds(account), account.positions, self.marks)

    def counted_of(self, account: Account) -> AccountRisk:
        """The same, of positions in markets in their last hour no more than they would settle at."""
        worth = self.worth_of(account)
        return replace(worth, equity=worth.equity - self.overstated(account)) if self.ends else worth

    def margin_of(self, account: Account) -> AccountRisk:
        """Equity that counts as collateral, and requirements of an account at the marks: what trades and liquidation go by."""
        return account_risk(self.backing(account), account.positions, self.marks)

    def bound(self, account: Account) -> bool:
        """Whether the account, if it is short of margin, is so only by what its owner's limit or request to leave keeps back: all that
        it is worth would leave it above takeover. Then there is no hurry, and nobody has to take it at a price in doubt.
        """
        root = account.root.id
        if root not in self.loss_limits and root not in self.matured:
            return False
        worth = self.counted_of(account)
        return stage(worth.equity, worth.maintenance) is not Stage.TAKEOVER

    def offered_first(self, account: Account) -> bool:
        """Whether the account's margin calls for takeover only by what its owner keeps back: then makers are asked before."""
        if not self.bound(account):
            return False
        risk = self.margin_of(account)
        return stage(risk.equity, risk.maintenance) is Stage.TAKEOVER

    def claimable(self, account: Account) -> int:
        """Micro-USDC of the account's equity that the chain can pay to its owner at any time; never more than there is."""
        root = account.root
        if root.id not in self.matured:
            return 0
        family = (root, *root.subs)
        worths = [self.worth_of(one) for one in family]
        return taken(self.payable(root), [(worth.equity, worth.initial) for worth in worths])[
            family.index(account)
        ]

    def payable(self, account: Account) -> int:
        """Micro-USDC that the chain may pay at any time to the owner of the account's slot, whose request has matured."""
        return min(self.exits[account.root.id].amount, self.on_chain(account.root))

    def on_chain(self, account: Account) -> int:
        """The most that the chain holds for an account with a slot while the last cut may or may not have landed; never negative."""
        cut = self.cut
        if cut is None or self.batches.get(cut.batch) == BatchStatus.FINAL:
            return max(0, account.settled)
        return max(0, account.settled - min(0, cut.deltas.get(account.id, 0)))

    def ripens(self, request: ExitRequested) -> tuple[int, int, int]:
        """When a request matures as far as is known, whose it is, and since when it stands: a batch that lands makes it later."""
        due = matures_at(request.at, request.exit_at * SECOND, self.custody.since)
        return due, request.account, request.at

    def overdrawn(self, account: Account) -> bool:
        """Whether the chain would pay the account's owner more than its slot's accounts are worth: what they lost is not settled."""
        family = (account, *account.subs)
        worth = sum(max(0, self.worth_of(one).equity) for one in family)
        return min(self.exits[account.id].amount, self.on_chain(account)) > worth

    def exit_due(self) -> int:
        """When the next request matures; 0 when there is none."""
        due = self.exits_due
        while due:
            request = self.exits.get(due[0][1])
            if request is None or request.account in self.matured or request.at != due[0][2]:
                heappop(due)
                continue
            ripens = self.ripens(request)
            if ripens == due[0]:
                return ripens[0]
            heapreplace(due, ripens)
        return 0

    def late_at(self) -> int:
        """When the chain will be too far behind for risk to grow; 0 when it is, or can not be."""
        custody = self.custody
        return late_at(custody.since, custody.escape_delay, custody.late)

    def holding(self, market: int) -> list[int]:
        """Accounts with a position in the market, by number."""
        return sorted(self.positions_in(market))

    def positions_in(self, market: int) -> dict[int, Position]:
        """Positions in the market by account, in no order."""
        return self.longs.get(market, {}) | self.shorts.get(market, {})

    def holders_of(self, market: int) -> list[Account]:
        """The same as accounts."""
        return [self.accounts[id] for id in self.holding(market)]

    def next_deadline(self) -> int:
        """Instant of the next thing to be done: in the past when an account is to be liquidated or warned; 0 when there is none."""
        if self.watch.presses(self):
            return AT_ONCE
        earliest = self.book.earliest()
        due = earliest[0] if earliest is not None else 0
        for coming in (self.hour_due, self.exit_due(), self.late_at()):
            if 0 < coming < due or not due:
                due = coming
        return due


def validity_of(index: IndexUpdated) -> Validity:
    """How far an index is believed by itself, whatever its age: as it was judged, but never fully at a doubt too wide to trade at."""
    if index.confidence * MILLION > CONFIDENCE_MAX * index.price:
        return worse(index.validity, Validity.UNCERTAIN)
    return index.validity


def adds_up(state: Exchange, sums: Sums) -> bool:
    """Whether balances, reserved withdrawals and clearing add up to what came in less what went out, to the micro-unit."""
    return (
        sums.balances + state.reserved == state.deposited - state.paid_out
        and state.accounts[CLEARING].balance == -sums.costs
    )


def conserved(state: Exchange) -> bool:
    """`adds_up`, looked up in every account instead of believed: in proportion to how many there are."""
    return adds_up(state, summed(state.accounts.values()))


def positions_zero_sum(state: Exchange) -> bool:
    """Whether the positions of every market add up to nothing, looked up as by `conserved`."""
    return summed(state.accounts.values()).zero
