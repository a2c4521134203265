"""Isolated sub-accounts: opening them, and moving collateral between them and their parent."""

from core.market import MarketStatus
from core.subaccount_events import SubAccountOpened, Transferred
from matcher import commands as c
from matcher.account import Account
from matcher.exiting import leaving_of
from matcher.leaving import transfer_stopped
from matcher.limits import KEY_LENGTH_MAX
from matcher.rejections import SUB_ACCOUNT_ONLY_TRADES, Code, Outcome, Rejection, Repeated
from matcher.state import Exchange


def open_sub_account(state: Exchange, command: c.OpenSubAccount, at: int) -> Outcome:
    """Open the account's sub-account for a market; the same market again returns it, also when the market is settled since."""
    parent = state.accounts[command.account]
    if parent.parent is not None:
        return SUB_ACCOUNT_ONLY_TRADES
    if command.market not in state.markets:
        return Rejection(Code.MARKET_UNKNOWN, "No market has that id.")
    known = next((sub for sub in parent.subs if sub.market == command.market), None)
    if known is not None:
        return Repeated((SubAccountOpened(at, known.id, parent.id, known.market, known.name),))
    if state.statuses[command.market] == MarketStatus.SETTLED:
        return Rejection(Code.MARKET_SETTLED, "The market was delisted.")
    name = f"{parent.name}/{state.markets[command.market].symbol}"
    return [SubAccountOpened(at, state.next_account, parent.id, command.market, name)]


def transfer(state: Exchange, command: c.Transfer, at: int) -> Outcome:
    """Move what the giver could withdraw if all of it were on chain."""
    parent = state.accounts[command.account]
    if parent.parent is not None:
        return SUB_ACCOUNT_ONLY_TRADES
    kept = state.transfers.get(parent.id)
    known = kept.get(command.key) if kept is not None else None
    if known is not None:
        if (known.giver, known.receiver, known.amount) != (command.giver, command.receiver, command.amount):
            return Rejection(
                Code.KEY_CONFLICT, "That transfer id was used with other accounts or another amount."
            )
        return Repeated((known,))
    if command.amount <= 0 or not 0 < len(command.key) <= KEY_LENGTH_MAX:
        return Rejection(Code.BAD_VALUE, "A transfer has a positive amount and an id.")
    if not _joins(parent, command.giver, command.receiver):
        return Rejection(
            Code.SUB_ACCOUNT_UNKNOWN, "A transfer is between the account and one of its sub-accounts."
        )
    refused = _keeps(state, state.accounts[command.giver], command.amount, at)
    if refused is not None:
        return refused
    return [Transferred(at, command.key, command.giver, command.receiver, command.amount)]


def _joins(parent: Account, giver: int, receiver: int) -> bool:
    """Whether one of the two is `parent` and the other a sub-account of its."""
    return any((giver, receiver) in ((parent.id, sub.id), (sub.id, parent.id)) for sub in parent.subs)


def _keeps(state: Exchange, giver: Account, amount: int, at: int) -> Rejection | None:
    """Why the giver cannot give so much, or None."""
    refused = transfer_stopped(state, giver, at)
    if refused is not None:
        return refused
    free = state.worth_of(giver).withdrawable - leaving_of(state, giver)
    if amount > min(free, state.margin_of(giver).withdrawable):
        return Rejection(Code.TRANSFER_TOO_LARGE, "More than the giver's margin leaves free.")
    return None
