"""Events of the exchange as messages to agents."""

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any, Final

from api import outgoing as out
from api import outgoing_private as own
from api.outbound_risk import RISK
from api.units import MARKET_STATUSES, SIDE_NAMES, Markets, usdc
from core import events as e
from core.batches import BatchStatus
from core.debt_events import DebtCovered, came_to
from core.events import Event
from core.exit_events import ExitClaimed, ExitReleased, ExitRequested
from core.funding import HOUR
from core.funding_events import paid_by
from core.operator_events import MarketSettled, end_of
from core.quantities import SECOND, decimal_from_units
from core.rates import RATE_UNIT
from core.subaccount_events import SubAccountOpened, Transferred
from matcher.account import Account
from matcher.state import Exchange

MICROSECOND: Final = 1_000
NO_FEE: Final = usdc(0)


def micros(nanos: int) -> int:
    """Microseconds since the epoch, rounded down: exact in every JSON reader, which nanoseconds are not."""
    return nanos // MICROSECOND


def account_hash(state: Exchange, account: Account) -> str:
    """First 16 hex digits of SHA-256 over the account's head, balance and positions, as `outgoing.Heartbeat` describes."""
    held = sorted(
        (state.markets[id].symbol, position.size, position.cost) for id, position in account.positions.items()
    )
    positions = ",".join(f"{symbol}={size}/{cost}" for symbol, size, cost in held)
    return sha256(f"{account.number}:{account.balance}:{positions}".encode()).hexdigest()[:16]


class Outbound:
    """Translates with the exchange's markets; `fee_of` finds the fees of recent fills by their numbers."""

    def __init__(self, markets: Markets, fee_of: Callable[[int], int | None]) -> None:
        self._markets = markets
        self._fee_of = fee_of

    def private(self, account: int, n: int, seq: int, event: Event) -> own.Numbered:
        """A durable event that concerns `account`, as event `n` of its stream."""
        head, kind = (n, seq, event.at // MICROSECOND), type(event)
        translated = PRIVATE.get(kind)
        if translated is None:
            return RISK[kind](self._markets, account, head, event)
        return translated(self, account, head, event)

    def closed(
        self, event: e.RequestClosed, head: tuple[int, int, int], *, repeated: bool = False
    ) -> own.Closed:
        units = self._markets[event.market]
        return own.Closed(
            *head,
            event.key,
            event.request,
            units.symbol,
            SIDE_NAMES[event.side],
            units.size(event.size),
            units.size(event.filled),
            units.average(event.value, event.filled),
            usdc(event.value),
            self.fees(event.fills),
            event.outcome,
            event.fills,
            repeated,
        )

    def fees(self, fills: Iterable[int]) -> str | None:
        total = 0
        for fill in fills:
            fee = self._fee_of(fill)
            if fee is None:
                return None
            total += fee
        return usdc(total)

    def opened(self, event: e.RequestOpened) -> out.RequestOpened:
        symbol = self._markets[event.market].symbol
        return out.RequestOpened(event.key, event.request, symbol, len(event.makers), micros(event.expires))

    def rfq(self, event: e.RequestOpened) -> out.Rfq:
        units = self._markets[event.market]
        side = SIDE_NAMES[event.side] if event.show_side else None
        return out.Rfq(event.request, units.symbol, side, units.size(event.size), micros(event.expires))

    def quote(self, event: e.QuoteGiven, opened: e.RequestOpened) -> out.QuoteShown | None:
        """A maker's answer as its trader sees it; None when it has no price for the trader's side."""
        price = event.ask if opened.side > 0 else event.bid
        if price == 0:
            return None
        units = self._markets[opened.market]
        return out.QuoteShown(
            event.request,
            event.quote,
            units.price(price),
            units.size(event.size),
            units.size(event.min_fill),
            micros(event.expires),
        )

    def batch(self, batch: int, status: int, after: int, seq: int, signatures: tuple[str, ...]) -> out.Batch:
        return out.Batch(batch, BatchStatus(status).name.lower(), after, seq, signatures)

    def market_changed(
        self, market: int, status: int, changed: out.MarketChange, why: str
    ) -> out.MarketChanged:
        return out.MarketChanged(self._markets[market].symbol, MARKET_STATUSES[status], changed, why)

    def pulled(self, event: e.QuotesPulled) -> out.QuotesPulled:
        return out.QuotesPulled(self._markets[event.market].symbol, event.why)

    def frozen(self, event: e.MakerFrozen) -> out.Frozen:
        return out.Frozen(self._markets[event.market].symbol, micros(event.until))

    def quote_rejected(self, event: e.QuoteRejected) -> out.QuoteRejected:
        return out.QuoteRejected(event.request, event.quote, self._markets[event.market].symbol, event.code)

    def _registered(self, account: int, head: tuple[int, int, int], event: e.AgentRegistered) -> own.Numbered:
        return own.Registered(*head, owner=event.owner, name=event.name)

    def _revoked(self, account: int, head: tuple[int, int, int], event: e.SessionsRevoked) -> own.Numbered:
        return own.SessionsRevoked(*head)

    def _tier(self, account: int, head: tuple[int, int, int], event: e.TierSet) -> own.Numbered:
        return own.Tier(*head, tier=event.tier)

    def _slot(self, account: int, head: tuple[int, int, int], event: e.SlotBound) -> own.Numbered:
        return own.Slot(*head, page=event.page, slot=event.slot)

    def _deposit(self, account: int, head: tuple[int, int, int], event: e.DepositCredited) -> own.Numbered:
        return own.Deposit(*head, amount=usdc(event.amount), key=event.key)

    def _reserved(
        self, account: int, head: tuple[int, int, int], event: e.WithdrawalReserved
    ) -> own.Numbered:
        amount = usdc(event.amount)
        return own.Withdrawal(*head, event.withdrawal, amount, "reserved", event.key, "")

    def _finished(
        self, account: int, head: tuple[int, int, int], event: e.WithdrawalFinished
    ) -> own.Numbered:
        status: own.WithdrawalStatus = "paid" if event.paid else "released"
        return own.Withdrawal(*head, event.withdrawal, usdc(event.amount), status, "", event.signature)

    def _filled(self, account: int, head: tuple[int, int, int], event: e.Filled) -> own.Numbered:
        units = self._markets[event.market]
        common = (*head, event.fill, event.request, event.quote, units.symbol)
        size, price = units.size(event.size), units.price(event.price)
        if account == event.taker:
            side, fee = SIDE_NAMES[event.side], usdc(event.fee)
            realized, cost = usdc(event.taker_realized), usdc(event.taker_cost)
            return own.Fill(*common, "taker", side, size, price, fee, realized, cost)
        side, realized = SIDE_NAMES[-event.side], usdc(event.maker_realized)
        return own.Fill(*common, "maker", side, size, price, NO_FEE, realized, usdc(event.maker_cost))

    def _funding(self, account: int, head: tuple[int, int, int], event: e.FundingSettled) -> own.Numbered:
        units = self._markets[event.market]
        return own.Funding(
            *head,
            market=units.symbol,
            hour=micros(event.hour * HOUR),
            hourly=decimal_from_units(event.hourly, RATE_UNIT),
            index=units.price(event.index),
            amount=usdc(-paid_by(event, account)),
        )

    def _settled(self, account: int, head: tuple[int, int, int], event: MarketSettled) -> own.Numbered:
        units, end = self._markets[event.market], end_of(event, account)
        return own.MarketSettled(
            *head,
            market=units.symbol,
            size=units.size(end.size),
            price=units.price(event.price),
            realized=usdc(end.realized),
            shared=usdc(end.shared),
        )

    def _sub_account(self, account: int, head: tuple[int, int, int], event: SubAccountOpened) -> own.Numbered:
        symbol = self._markets[event.market].symbol
        return own.SubAccountOpened(*head, event.account, event.parent, symbol, event.name)

    def _transfer(self, account: int, head: tuple[int, int, int], event: Transferred) -> own.Numbered:
        return own.Transfer(*head, event.giver, event.receiver, usdc(event.amount), event.key)

    def _covered(self, account: int, head: tuple[int, int, int], event: DebtCovered) -> own.Numbered:
        return own.DebtCovered(
            *head,
            role="debtor" if event.account == account else "payer",
            amount=usdc(came_to(event, account)),
        )

    def _exit(
        self, account: int, head: tuple[int, int, int], event: ExitRequested | ExitReleased
    ) -> own.Numbered:
        status: own.ExitStatus = "requested" if isinstance(event, ExitRequested) else "released"
        return own.Exit(*head, status, usdc(event.amount), micros(event.exit_at * SECOND), usdc(0), "")

    def _claimed(self, account: int, head: tuple[int, int, int], event: ExitClaimed) -> own.Numbered:
        given = dict(event.given)
        taken = given[account] if account in given else event.amount - sum(given.values())
        return own.Exit(*head, "claimed", usdc(event.amount), 0, usdc(taken), event.key)

    def _closed(self, account: int, head: tuple[int, int, int], event: e.RequestClosed) -> own.Numbered:
        return self.closed(event, head)


PRIVATE: Final[dict[type[Event], Callable[[Outbound, int, tuple[int, int, int], Any], own.Numbered]]] = {
    e.AgentRegistered: Outbound._registered,
    e.TierSet: Outbound._tier,
    e.SessionsRevoked: Outbound._revoked,
    e.SlotBound: Outbound._slot,
    e.DepositCredited: Outbound._deposit,
    e.WithdrawalReserved: Outbound._reserved,
    e.WithdrawalFinished: Outbound._finished,
    e.Filled: Outbound._filled,
    e.RequestClosed: Outbound._closed,
    e.FundingSettled: Outbound._funding,
    MarketSettled: Outbound._settled,
    ExitRequested: Outbound._exit,
    ExitReleased: Outbound._exit,
    ExitClaimed: Outbound._claimed,
    SubAccountOpened: Outbound._sub_account,
    Transferred: Outbound._transfer,
    DebtCovered: Outbound._covered,
}
"""Every durable event that `core.concerns` gives to an account, but those of `api.outbound_risk`."""
