"""What the journal says of withdrawals that are closed: it outlives their workflows, which Temporal forgets or loses."""

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
