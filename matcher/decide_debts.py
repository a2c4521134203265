"""Debts of accounts that hold nothing: paid at once, by a rule; where the rule ends an operator decides."""

from core.accounts import INSURANCE, OF_EXCHANGE, TREASURY
from core.debt_events import DebtAwaited, DebtCovered
from core.debts import Cover, Payer, Tie, cover
from core.event import Event
from core.operator_events import SharingOrdered
from matcher import commands as c
from matcher.account import Account
from matcher.rejections import Code, Outcome, Rejection
from matcher.state import Exchange

_NO_DEBT = Rejection(Code.BAD_VALUE, "Only what an account owes that holds nothing is shared.")


def debt_due(state: Exchange, at: int) -> list[Event]:
    """The payment of the debt of the first account that has one; `state.watch` has found that there is one."""
    account = state.accounts[min(state.watch.debtors)]
    debt = -state.funds(account)
    paid = _cover(state, account, debt, depositors_share=False)
    if paid.left == debt:
        return [DebtAwaited(at, account.id)]
    return [_covered(account, debt, paid, at)]


def share_debt(state: Exchange, command: c.ShareDebt, at: int) -> Outcome:
    """Have everybody that has something pay what the rule has left of an account's debt."""
    account = state.accounts.get(command.account)
    if account is None or (account.id not in state.owned and account.id not in OF_EXCHANGE):
        return Rejection(Code.ACCOUNT_UNKNOWN, "No agent has that account.")
    debt = -state.funds(account)
    if account.positions or account.id in state.liquidations or debt <= 0:
        return _NO_DEBT
    paid = _cover(state, account, debt, depositors_share=True)
    ordered = SharingOrdered(at, account.id, command.who, command.why)
    return [ordered, _covered(account, debt, paid, at)] if paid.left < debt else [ordered]


def _covered(account: Account, debt: int, paid: Cover, at: int) -> DebtCovered:
    return DebtCovered(at, account.id, debt, paid.fund, paid.treasury, tuple(paid.shares), paid.left)


def _cover(state: Exchange, debtor: Account, debt: int, depositors_share: bool) -> Cover:
    fund, treasury = _fund_has(state, debtor), state.funds(state.accounts[TREASURY])
    near = {one.id: Tie.FAMILY if one.root is debtor.root else Tie.OWNER for one in debtor.owned}
    payers = _payers(state, near, debtor)
    # Strangers are looked at only when it comes to that: they may be very many.
    if debt > sum(payer.equity for payer in payers) + max(0, fund) + max(0, treasury):
        asked = (
            state.owned
            if depositors_share
            else set().union(*state.longs.values(), *state.shorts.values()) & state.owned
        )
        payers = _payers(state, dict.fromkeys(asked, Tie.STRANGER) | near, debtor)
    return cover(debt, fund, treasury, payers, depositors_share)


def _fund_has(state: Exchange, debtor: Account) -> int:
    """What the insurance fund may pay: all above its floor and what its positions require."""
    if debtor.id == INSURANCE:
        return 0
    risk = state.margin_of(state.accounts[INSURANCE])
    return risk.equity - risk.initial - state.insurance_floor


def _payers(state: Exchange, ties: dict[int, Tie], debtor: Account) -> list[Payer]:
    """Those of `ties` that have something, in the order of their numbers."""
    payers, accounts, marked = [], state.accounts, state.marked
    for id in sorted(ties):
        account = accounts[id]
        # Several debts may come with one mark, and each looks at everybody.
        if account.valued != marked:
            state.value(account)
        equity = account.balance + account.gain
        if equity > 0 and account is not debtor:
            payers.append(Payer(id, equity, account.required, bool(account.positions), ties[id]))
    return payers
