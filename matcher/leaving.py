"""What may leave an account now: by a withdrawal, and from a sub-account by a transfer to its parent. Changes nothing."""

from enum import StrEnum

from core.validity import Action
from matcher.account import Account
from matcher.exiting import leaving_of
from matcher.gates import debt_gate, withdrawals_gated
from matcher.limits import WITHDRAWALS_OPEN_MAX
from matcher.rejections import BEING_LIQUIDATED, Code, Rejection
from matcher.state import Exchange
from matcher.trust import untrusted


def withdrawal_stopped(state: Exchange, account: Account, at: int) -> Rejection | None:
    """Why no withdrawal of the account's is reserved at `at`, however small; None when its margin alone decides.

    Margin is only as good as its marks: while the index of a market that the account holds is not believed for it, nothing leaves. Nor
    does anything while some account is below zero: its debt may yet have to be shared.
    """
    if account.id in state.liquidations:
        return BEING_LIQUIDATED
    if account.withdrawals_open >= WITHDRAWALS_OPEN_MAX:
        return Rejection(
            Code.TOO_MANY_WITHDRAWALS_OPEN,
            f"The account has {WITHDRAWALS_OPEN_MAX} withdrawals that are not closed yet.",
        )
    gated = withdrawals_gated(state)
    if gated:
        return Rejection(Code.WITHDRAWALS_GATED, gated)
    return untrusted(state, account.positions, Action.MARGIN, at)


def transfer_stopped(state: Exchange, giver: Account, at: int) -> Rejection | None:
    """Why the account gives nothing to its parent or to a sub-account at `at`; None when its margin alone decides.

    While some account is below zero, whoever holds positions gives nothing: what was gained with them may have to be shared.
    """
    if giver.id in state.liquidations:
        return BEING_LIQUIDATED
    if giver.positions and (gated := debt_gate(state)):
        return Rejection(Code.WITHDRAWALS_GATED, f"Who holds positions gives nothing now. {gated}")
    return untrusted(state, giver.positions, Action.MARGIN, at)


def stopped(state: Exchange, account: Account, at: int) -> Rejection | None:
    """Why nothing leaves the account: of a sub-account to its parent, of any other to its owner's wallet."""
    why = withdrawal_stopped if account.parent is None else transfer_stopped
    return why(state, account, at)


class NothingFree(StrEnum):
    """Why `free` is nothing, the first that applies. Stable codes."""

    MARGIN = "insufficient_margin"
    """Positions need all there is: their initial requirement, and a tenth of their notional."""
    EXIT = "exit_stands"
    """Its owner asked the chain for what they leave."""
    LOSS_LIMIT = "loss_limit_reached"
    """What they leave is no collateral, and only that moves between accounts that share a slot."""
    NOT_SETTLED = "not_settled"
    """The chain does not hold it yet: it was gained since the last batch."""


def why_nothing_free(state: Exchange, account: Account) -> NothingFree | None:
    """Why margin and the chain leave nothing free; None when they leave something, or there is nothing."""
    worth = state.worth_of(account)
    if free(state, account) or worth.equity <= 0:
        return None
    if not worth.withdrawable:
        return NothingFree.MARGIN
    if worth.withdrawable <= leaving_of(state, account):
        return NothingFree.EXIT
    return NothingFree.NOT_SETTLED if account.parent is None else NothingFree.LOSS_LIMIT


def done_with(state: Exchange, account: Account) -> bool:
    """Whether no batch can ever name the account's slot again if nothing more is paid into it: neither it nor a sub-account has
    or owes anything, funding of hours that are not paid included, nothing is on its way, and the last cut moved nothing there.
    """
    family = (account, *account.subs)
    if account.settled or account.withdrawals_open or account.id in state.exits:
        return False
    if account.id not in state.owned or (state.cut is not None and account.id in state.cut.deltas):
        return False
    hours = [hour for funding in state.owing.values() for hour in funding.unpaid]
    return not any(
        one.balance or one.positions or any(one.id in hour.moved for hour in hours) for one in family
    )


def free(state: Exchange, account: Account) -> int:
    """Micro-USDC that margin and its owner's standing request to leave leave free, and the chain holds for an account that withdraws;
    never negative.

    What a loss limit keeps from backing anything may leave the slot; between the accounts that share it only collateral moves.
    """
    margin = state.worth_of(account).withdrawable - leaving_of(state, account)
    margin = max(0, margin - state.overstated(account))
    if account.parent is not None:
        return max(0, min(margin, state.margin_of(account).withdrawable))
    return min(margin, max(0, account.settled))
