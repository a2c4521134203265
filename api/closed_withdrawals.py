"""What the journal says of withdrawals: it outlives their workflows, which Temporal forgets or loses, and goes before them."""

from activities.open_withdrawals import withdrawal_workflow_id
from api.collaborators import WithdrawalView
from matcher.state import Exchange


def closed_withdrawal(state: Exchange, account: int, key: str) -> WithdrawalView | None:
    """How the account's withdrawal of that key ended, None while it is open or was never reserved."""
    reserved = state.withdrawal_keys.get((account, key))
    finished = state.finished_withdrawals.get(reserved.withdrawal) if reserved is not None else None
    if reserved is None or finished is None:
        return None
    return WithdrawalView(
        id=withdrawal_workflow_id(account, key),
        account=account,
        amount=reserved.amount,
        destination=reserved.destination,
        status="paid" if finished.paid else "released",
        message=None,
        signature=finished.signature or None,
        code=None,
    )


def as_the_journal_has_it(state: Exchange, view: WithdrawalView) -> WithdrawalView:
    """What a workflow says, but for a refusal of what is reserved: that is not its end, for the reservation is taken up anew, with the
    amount and destination that were reserved."""
    key = view.id.removeprefix(withdrawal_workflow_id(view.account, ""))
    reserved = state.withdrawal_keys.get((view.account, key))
    if view.status != "refused" or reserved is None:
        return view
    return closed_withdrawal(state, view.account, key) or view._replace(
        status="starting", code=None, amount=reserved.amount, destination=reserved.destination
    )
