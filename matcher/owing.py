"""Funding of hours that have ended and are not paid: what an account will pay when they are. Changes nothing."""

from collections.abc import Iterator

from core.funding import charge_per_lot, funding_run
from core.funding_hour import Seen, cap_of, hour_rates
from core.quantities import AccountId
from matcher.decide_funding import owners
from matcher.funding import Hour, MarketFunding
from matcher.state import Account, Exchange


def unpaid_funding(state: Exchange, account: Account, at: int) -> int:
    """Micro-USDC that the account pays (negative: receives) when every hour that has ended at `at` is paid; exact.

    Costs what the makers of these hours cost, and the accounts that have traded since: an hour that is paid at once, almost nothing.
    """
    return sum(
        payment
        for market, funding in state.funding.items()
        if market in account.positions or any(account.id in hour.moved for hour in funding.unpaid)
        for payment in _payments(state, market, funding, account.id, at)
    )


def _payments(state: Exchange, market: int, funding: MarketFunding, account: int, at: int) -> Iterator[int]:
    """The account's payment of each unpaid hour, oldest first: each hour's rate starts where the one before it ended."""
    listed, hours, last = state.markets[market], funding.owed(at), funding.rate
    cap = cap_of(listed.funding, listed.margin_terms)
    for hour, moved in zip(hours, _moved(hours), strict=True):
        seen = _seen(state, market, hour, moved, last)
        rates = hour_rates(listed.funding, cap, seen)
        last = rates.after
        charge = charge_per_lot(hour.index * listed.value_per_tick_lot, rates.hourly)
        held = (AccountId(account), _size(state, market, account, moved))
        ((_, payment),) = funding_run([held], charge, hour.makers(), listed.funding.treasury_share).payments
        yield payment


def _moved(hours: list[Hour]) -> list[dict[int, int]]:
    """For each hour the sizes at its end, in lots, of accounts that have traded since: what was noted first counts."""
    sizes: dict[int, int] = {}
    moved = []
    for hour in reversed(hours):
        sizes = sizes | hour.moved
        moved.append(sizes)
    return moved[::-1]


def _size(state: Exchange, market: int, account: int, moved: dict[int, int]) -> int:
    if account in moved:
        return moved[account]
    held = state.accounts[account].positions.get(market)
    return held.size if held is not None else 0


def _seen(state: Exchange, market: int, hour: Hour, moved: dict[int, int], last: int) -> Seen:
    """The hour as its payment will see it: longs equal shorts, so the skew of all others is what makers held, turned around."""
    grown = sum(max(0, _size(state, market, account, {})) - max(0, size) for account, size in moved.items())
    return Seen(
        samples=hour.samples,
        total=hour.total,
        makers=owners(state, hour),
        skew=-sum(_size(state, market, maker, moved) for maker in hour.makers()),
        open_interest=state.open_interest[market] - grown,
        last=last,
    )
