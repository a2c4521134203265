"""Auctions that the exchange opens: of who is liquidated, of what the insurance fund holds, and of what owners must close to leave."""

from core.accounts import INSURANCE
from core.events import Event
from core.liquidation import slice_to_close
from core.operator_events import SaleOrdered
from matcher import commands as c
from matcher.account import Account
from matcher.asking import makers_asked
from matcher.auctions import offered_limit
from matcher.closing import closed, standing_offers
from matcher.decide_requests import not_tradable, opened
from matcher.fills import Planner
from matcher.limits import AUCTION_TTL, MAKERS_LOOKED_MAX
from matcher.rejections import Code, Outcome, Rejection
from matcher.state import Exchange


def auction(state: Exchange, account: Account, market: int, change: int, limit: int, at: int) -> list[Event]:
    """A request for the account. Makers are always asked, where there are any: standing quotes compete with their answers at the
    close, or a single one at the bound would keep all others from bidding."""
    side = 1 if change > 0 else -1
    command = c.OpenRequest(account.id, "", market, side, abs(change), limit, AUCTION_TTL, reduce_only=True)
    makers = makers_asked(state, account.owner, market, abs(change), at, MAKERS_LOOKED_MAX)
    terms = opened(state, command, tuple(makers), at)
    if makers:
        return [terms]
    plan = Planner(state, terms, at).plan(standing_offers(state, terms), whole=False)
    return closed(state, terms, plan, at)


def sell_inventory(state: Exchange, command: c.SellInventory, at: int) -> Outcome:
    """Auction a slice of the insurance fund's position, as far from the mark as `matcher.selling` says: whoever is the only one to bid
    does not have it at the worst price at once."""
    if command.market not in state.markets:
        return Rejection(Code.MARKET_UNKNOWN, "No market has that id.")
    fund = state.accounts[INSURANCE]
    held = fund.positions.get(command.market)
    if held is None or INSURANCE in state.liquidations or state.book.open_keys.get(INSURANCE):
        return []
    refused = not_tradable(state, command.market, at)
    if refused is not None:
        return refused
    ordered = [SaleOrdered(at, command.market, command.who, command.why)] if command.why else []
    return [*ordered, *part_auctioned(state, fund, command.market, at)]


def part_auctioned(state: Exchange, account: Account, market: int, at: int) -> list[Event]:
    """An auction of a slice of what an account that is not being liquidated holds; none where it could only lose what it lacks."""
    size, terms = account.positions[market].size, state.markets[market].liquidation
    lots = slice_to_close(terms, size, state.marks[market].value_per_lot)
    limit = offered_limit(state, account, market, lots, at)
    return auction(state, account, market, -lots if size > 0 else lots, limit, at) if limit else []
