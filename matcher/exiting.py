"""What owners that leave have asked for, and what of it their accounts must keep free for it.

A slot on chain holds an account together with its sub-accounts, so what one of them does not have free the others may have.
"""

from core.exit_events import ExitRequested
from core.exits import sell_by
from core.quantities import SECOND
from matcher.account import Account
from matcher.selling import steps_until
from matcher.state import Exchange


def family(account: Account) -> tuple[Account, ...]:
    """All accounts that share the slot of `account` on chain, the one that owns it first."""
    root = account.root
    return (root, *root.subs)


def free(state: Exchange, account: Account) -> int:
    """Micro-USDC of equity that the account's initial requirement leaves, of which a position in a market's last hour is worth no more
    than it would settle at; never negative."""
    return max(0, state.counted_of(account).available)


def leaving_of(state: Exchange, account: Account, asked: int | None = None) -> int:
    """Micro-USDC that the account must keep free besides its initial requirement, because its owner asked to take them out.

    `asked` is the amount, where it is another than that of the request that stands.
    """
    if asked is None:
        request = state.exits.get(account.root.id) if state.exits else None
        if request is None:
            return 0
        asked = request.amount
    others = sum(free(state, one) for one in family(account) if one is not account)
    return max(0, asked - others)


def promised(state: Exchange, account: Account) -> int:
    """Micro-USDC of the equity of an account without sub-accounts that its owner asked the chain for, whether or not it can be claimed
    already; never more than there are."""
    request = state.exits.get(account.id) if state.exits else None
    return min(request.amount, max(0, state.counted_of(account).equity)) if request is not None else 0


def uncovered(state: Exchange, request: ExitRequested) -> int:
    """Micro-USDC that still have to come free for the request to be paid out of free money alone; 0 when it can be.

    Nobody leaves with more than there is, so who asks for everything is covered once nothing is held any more.
    """
    accounts = family(state.accounts[request.account])
    there = sum(max(0, state.counted_of(one).equity) for one in accounts)
    return max(0, min(request.amount, there) - sum(free(state, one) for one in accounts))


def closes_from(request: ExitRequested) -> int:
    """The instant from which the exchange closes what stands against a request: half of what was left when it was seen.

    The other half is for auctions in vain, and for the batch that brings the result to the chain before the claim.
    """
    return request.at + max(0, request.exit_at * SECOND - request.at) // 2


def must_sell(state: Exchange, account: Account, at: int) -> bool:
    """Whether a request of the account's owner stands for which the exchange sells at `at`: it is time, and something is not free."""
    request = state.exits.get(account.root.id)
    return request is not None and at >= closes_from(request) and uncovered(state, request) > 0


def steps_to_leave(request: ExitRequested, at: int) -> int:
    """How far from the mark a sale for a request has come at `at`, of `matcher.selling.WIDEST`.

    Only time moves it, and only away from the mark: both ends of its way are known since the request was seen. When it matures is
    not, since that depends on batches: whoever waits for the widest would wait for the next batch as well.
    """
    ends = request.sell_by or sell_by(request.exit_at)
    return steps_until(closes_from(request), ends * SECOND, at)
