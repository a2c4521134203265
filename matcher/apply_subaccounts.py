"""Records of sub-accounts into state."""

from typing import Final

from core.event import Event
from core.subaccount_events import SubAccountOpened, Transferred
from matcher.account import Account, join
from matcher.apply_book import Applier
from matcher.apply_exits import tie
from matcher.state import Exchange
from matcher.transfers import Transfers


def _opened(state: Exchange, event: SubAccountOpened) -> None:
    parent = state.accounts[event.parent]
    account = state.accounts[event.account] = Account(event.account, parent.owner, event.name, parent.owned)
    account.tier = parent.tier
    account.owned.append(account)
    join(parent, account, event.market)
    state.owned.add(event.account)
    state.next_account = event.account + 1
    tie(state, event.parent)


def _transferred(state: Exchange, event: Transferred) -> None:
    giver, receiver = state.accounts[event.giver], state.accounts[event.receiver]
    state.post(giver, -event.amount)
    state.post(receiver, event.amount)
    state.watch.dirty.update((event.giver, event.receiver))
    parent = giver.root.id
    if parent not in state.transfers:
        state.transfers[parent] = Transfers()
    state.transfers[parent].keep(event)


SUB_ACCOUNT_APPLIERS: Final[dict[type[Event], Applier]] = {
    SubAccountOpened: _opened,
    Transferred: _transferred,
}
