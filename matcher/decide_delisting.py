"""The end of a market: announced by an operator, and settled by the exchange itself at the announced instant."""

from collections.abc import Mapping

from msgspec.structs import replace

from core import events as e
from core.account_risk import RiskMark, account_risk
from core.accounts import INSURANCE
from core.debt_events import DebtCovered
from core.debts import Cover, Payer, Tie, cover
from core.deleveraging import Holder
from core.delisting import settle_at
from core.events import Event
from core.funding import HOUR
from core.margin_terms import steps
from core.market import Market, MarketStatus
from core.operator_events import DelistingAnnounced, MarketSettled, SettledPosition
from core.quantities import SECOND, AccountId, Lots, MicroUsdc
from core.settlement_price import BELIEVED_MIN, WINDOW, Average, Past, average, window_end
from core.validity import Action
from matcher import commands as c
from matcher.account import Account
from matcher.closing import book_emptied
from matcher.limits import DELISTING_NOTICE, SETTLEMENT_PATIENCE
from matcher.rejections import Code, Outcome, Rejection
from matcher.state import Exchange
from matcher.trust import untrusted

_UNKNOWN = Rejection(Code.MARKET_UNKNOWN, "No market has that id.")


def delist_market(state: Exchange, command: c.DelistMarket, at: int) -> Outcome:
    """Announce the end of a market, which from then on only reduces; forced, end it at once. What is announced or ended stays so.

    It settles at the end of the first whole hour that is `DELISTING_NOTICE` away or more, so the window of its price lies ahead of
    everybody, and every hour of funding in which it traded is owed whole.
    """
    id = command.market
    if id not in state.markets:
        return _UNKNOWN
    if state.statuses[id] == MarketStatus.SETTLED:
        return []
    if command.force:
        return _ended(state, id, at, (True, command.who, command.why))
    if id in state.breakers.announced:
        return []
    closed: list[Event] = []
    if state.statuses[id] == MarketStatus.OPEN:
        closed.append(e.MarketStatusSet(at, id, MarketStatus.REDUCE_ONLY, command.who, command.why))
    settles_at = -(-(at + DELISTING_NOTICE) // HOUR) * HOUR
    return [*closed, DelistingAnnounced(at, id, settles_at, command.who, command.why)]


def delisting_due(state: Exchange, market: int, at: int) -> list[Event]:
    """The end of a market whose announced instant has come; nothing while it waits, or when it was opened again."""
    announced = state.breakers.announced.get(market)
    if announced is None or at < announced.settles_at or delisting_waits(state, market, at) is not None:
        return []
    return _ended(state, market, at, (False, announced.who, announced.why))


def delisting_waits(state: Exchange, market: int, at: int) -> str | None:
    """Why nobody can be settled with at `at`, in a sentence; None when everybody can. Its end has been announced.

    Its own price must be an average of half an hour at least. Those of its holders' other markets say who cannot pay, and so who has
    to pay for him; but no longer than `SETTLEMENT_PATIENCE` after the announced instant, as for a cut: then their last marks count.
    """
    holders = state.holders_of(market)
    if not holders:
        return None
    found = average_of(state, market, window_end(at))
    believed = found.believed if found is not None else 0
    if believed < BELIEVED_MIN:
        return (
            f"Its index was believed for {believed // SECOND} s of the {WINDOW // SECOND} s before: it settles once that is "
            f"{BELIEVED_MIN // SECOND} s."
        )
    if at - state.breakers.announced[market].settles_at > SETTLEMENT_PATIENCE:
        return None
    others = sorted({other for account in holders for other in account.positions} - {market})
    refused = untrusted(state, others, Action.SETTLE, at)
    return refused.message if refused is not None else None


def average_of(state: Exchange, market: int, end: int) -> Average | None:
    """The average of the market's index over the window that ends at `end`, which is past; None when none was believed in it."""
    return average(past_of(state, market, end).minutes, end)


def past_of(state: Exchange, market: int, end: int) -> Past:
    """The market's past with the index that stands, until `end`."""
    past = Past(replace(one) for one in state.pasts[market].minutes)
    index = state.indexes.get(market)
    if index is not None:
        past.add(index.price, *state.believed_span(index, end))
    return past


def _ended(state: Exchange, market: int, at: int, by: tuple[bool, str, str]) -> list[Event]:
    end = settlement(state, market, at, by)
    emptied = book_emptied(state, market, Code.MARKET_SETTLED.value, at)
    return [*emptied, *_Near(state, market, _marks_at(state, market, end.price)).paid(at), end]


class _Near:
    """What everybody is worth when a market ends, its debtors' family and owner having paid what they can of the debts, as
    `core.debts` asks them before anybody else; all micro-USDC.

    Once what they paid is booked, nothing more is found: it is the same before and after.
    """

    def __init__(self, state: Exchange, market: int, marks: Mapping[int, RiskMark]) -> None:
        self._state, self._market, self._marks = state, market, marks
        self._covers: list[tuple[Account, int, Cover]] = []
        self.equities = {one.id: self._equity(one) for one in state.holders_of(market)}
        debtors = [id for id, equity in self.equities.items() if equity < 0 and id != INSURANCE]
        for id in debtors:
            self._ask(state.accounts[id])

    def paid(self, at: int) -> list[Event]:
        """The records of what they paid."""
        return [
            DebtCovered(at, debtor.id, debt, 0, 0, tuple(cover.shares), cover.left)
            for debtor, debt, cover in self._covers
        ]

    def _ask(self, debtor: Account) -> None:
        debt = -self.equities[debtor.id]
        payers = [self._payer(debtor, one) for one in sorted(debtor.owned, key=lambda one: one.id)]
        paid = cover(debt, 0, 0, [payer for payer in payers if payer.equity > 0])
        if paid.left == debt:
            return
        self._covers.append((debtor, debt, paid))
        self.equities[debtor.id] += debt - paid.left
        for id, amount in paid.shares:
            self.equities[id] -= amount

    def _payer(self, debtor: Account, one: Account) -> Payer:
        equity = self.equities.setdefault(one.id, self._equity(one))
        rest = account_risk(0, one.positions, self._marks, leaving_out=self._market)
        tie = Tie.FAMILY if one.root is debtor.root else Tie.OWNER
        return Payer(AccountId(one.id), MicroUsdc(equity), MicroUsdc(rest.initial), bool(rest.notional), tie)

    def _equity(self, account: Account) -> int:
        return account_risk(self._state.funds(account), account.positions, self._marks).equity


def _marks_at(state: Exchange, market: int, price: int) -> Mapping[int, RiskMark]:
    """The marks, the market's at the `price` in ticks at which it ends."""
    listed = state.markets[market]
    value = price * listed.value_per_tick_lot
    return (
        {**state.marks, market: RiskMark.of(steps(listed.margin_terms, 0), value)} if value else state.marks
    )


def settlement(state: Exchange, market: int, at: int, by: tuple[bool, str, str]) -> MarketSettled:
    """The record of a market's end at the average of the window before `at`; where nothing was believed in it, at its last index.

    The insurance fund closes what it took over like everybody, but pays as the fund only, down to its floor: what it gained is already
    in what it has. What its other positions require it does not keep, as it does of a debt, which may wait: here winners would pay
    instead, for good. `by` says whether it was forced, who did it, and why.
    """
    end = window_end(at)
    found = average_of(state, market, end)
    if found is not None:
        price, believed = found.price, found.believed
    else:
        price, believed = state.indexes[market].price if market in state.indexes else 0, 0
    holders = state.holders_of(market)
    fund, uncovered, positions = _ends(state, state.markets[market], holders, price)
    return MarketSettled(at, market, price, positions, fund, uncovered, *by, end, believed)


def _ends(
    state: Exchange, market: Market, holders: list[Account], price: int
) -> tuple[int, int, tuple[SettledPosition, ...]]:
    """What the insurance fund pays, what nobody can, and everybody's end at `price` ticks."""
    value, at_price = price * market.value_per_tick_lot, _marks_at(state, market.id, price)
    equities = _Near(state, market.id, at_price).equities
    insurance = state.accounts[INSURANCE]
    fund = account_risk(state.funds(insurance), insurance.positions, at_price).equity - state.insurance_floor
    sharing = [
        Holder(AccountId(one.id), Lots(held.size), MicroUsdc(held.cost), MicroUsdc(equities[one.id]))
        for one in holders
        if one.id != INSURANCE
        for held in (one.positions[market.id],)
    ]
    end = settle_at(sharing, value, fund)
    shared = {one.account: one.shared for one in end.settled}
    positions = tuple(
        SettledPosition(one.id, held.size, held.size * value - held.cost, shared.get(AccountId(one.id), 0))
        for one in holders
        for held in (one.positions[market.id],)
    )
    return end.fund, end.uncovered, positions
