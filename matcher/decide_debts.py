"""Debts of accounts that hold nothing: paid at once, by a rule."""

from core.accounts import INSURANCE, TREASURY
from core.debt_events import DebtAwaited, DebtCovered
from core.debts import Payer, cover
from core.event import Event
from core.quantities import AccountId, MicroUsdc
from matcher.account import Account
from matcher.state import Exchange


def debt_due(state: Exchange, at: int) -> list[Event]:
    """The payment of the debt of the first account that has one; `state.watch` has found that there is one."""
    account = state.accounts[min(state.watch.debtors)]
    debt = -state.funds(account)
    fund, treasury = _fund_has(state, account), state.funds(state.accounts[TREASURY])
    # Everybody is asked only when it comes to that.
    payers = _payers(state, account) if debt > max(0, fund) + max(0, treasury) else []
    paid = cover(debt, fund, treasury, payers)
    if paid.left == debt:
        return [DebtAwaited(at, account.id)]
    return [DebtCovered(at, account.id, debt, paid.fund, paid.treasury, tuple(paid.shares), paid.left)]


def _fund_has(state: Exchange, debtor: Account) -> int:
    """What the insurance fund may pay: all above its floor and what its positions require."""
    if debtor.id == INSURANCE:
        return 0
    risk = state.margin_of(state.accounts[INSURANCE])
    return risk.equity - risk.maintenance - state.insurance_floor


def _payers(state: Exchange, debtor: Account) -> list[Payer]:
    payers = []
    for id in sorted(state.owned):
        account = state.accounts[id]
        risk = state.margin_of(account)
        if id != debtor.id and risk.equity > 0:
            payers.append(
                Payer(AccountId(id), MicroUsdc(risk.equity), MicroUsdc(risk.initial), bool(account.positions))
            )
    return payers
