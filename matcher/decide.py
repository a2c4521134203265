"""What a command leads to, without changing anything."""

from collections.abc import Callable
from typing import Any, Final

from matcher import commands as c
from matcher import (
    decide_custody,
    decide_debts,
    decide_delisting,
    decide_exits,
    decide_funding,
    decide_liquidation,
    decide_loss_limits,
    decide_markets,
    decide_operator,
    decide_quotes,
    decide_requests,
    decide_subaccounts,
    offering,
)
from matcher.rejections import Code, Outcome, Rejection, Repeated
from matcher.state import Exchange

DECIDERS: Final[dict[type[c.Command], Callable[[Exchange, Any, int], Outcome]]] = {
    c.OpenRequest: decide_requests.open_request,
    c.AnswerRequest: decide_requests.answer_request,
    c.PassRequest: decide_requests.pass_request,
    c.AcceptQuote: decide_requests.accept_quote,
    c.CancelRequest: decide_requests.cancel_request,
    c.CancelQuote: decide_requests.cancel_quote,
    c.SetQuotes: decide_quotes.set_quotes,
    c.CancelAll: decide_quotes.cancel_all,
    c.CancelAfter: decide_quotes.cancel_after,
    c.Subscribe: decide_quotes.subscribe,
    c.SetProtection: decide_quotes.set_protection,
    c.Advance: decide_quotes.advance,
    c.StartEpoch: decide_operator.start_epoch,
    c.ListMarket: decide_markets.list_market,
    c.SetMarketStatus: decide_markets.set_market_status,
    c.SetLimits: decide_markets.set_limits,
    c.DelistMarket: decide_delisting.delist_market,
    c.HoldWithdrawals: decide_markets.hold_withdrawals,
    c.HoldSettlement: decide_markets.hold_settlement,
    c.RetryBatch: decide_markets.retry_batch,
    c.AcceptChain: decide_custody.accept_chain,
    c.SeeExitDelay: decide_custody.see_exit_delay,
    c.UpdateIndex: decide_operator.update_index,
    c.RegisterAgent: decide_operator.register_agent,
    c.SetTier: decide_operator.set_tier,
    c.RevokeSessions: decide_operator.revoke_sessions,
    c.BindSlot: decide_operator.bind_slot,
    c.CreditDeposit: decide_operator.credit_deposit,
    c.CreditDeposits: decide_operator.credit_deposits,
    c.ReserveWithdrawal: decide_operator.reserve_withdrawal,
    c.FinishWithdrawal: decide_operator.finish_withdrawal,
    c.RequestExit: decide_exits.request_exit,
    c.ReleaseExit: decide_exits.release_exit,
    c.ClaimExit: decide_exits.claim_exit,
    c.ReduceForExit: decide_exits.reduce_for_exit,
    c.TakeUnapplied: decide_exits.take_unapplied,
    c.SeeLossLimits: decide_loss_limits.see_loss_limits,
    c.SetInsuranceFloor: decide_operator.set_insurance_floor,
    c.ShareDebt: decide_debts.share_debt,
    c.SellInventory: offering.sell_inventory,
    c.ReviewAccount: decide_liquidation.review_account,
    c.CutSettlement: decide_operator.cut_settlement,
    c.AdvanceBatch: decide_operator.advance_batch,
    c.SettleFunding: decide_funding.settle_funding,
    c.OpenSubAccount: decide_subaccounts.open_sub_account,
    c.Transfer: decide_subaccounts.transfer,
}

ANYWHERE: Final = frozenset(
    {
        c.Advance,
        c.StartEpoch,
        c.ListMarket,
        c.SetMarketStatus,
        c.SetLimits,
        c.DelistMarket,
        c.HoldWithdrawals,
        c.HoldSettlement,
        c.RetryBatch,
        c.AcceptChain,
        c.SeeExitDelay,
        c.UpdateIndex,
        c.RegisterAgent,
        c.CreditDeposit,
        c.CreditDeposits,
        c.FinishWithdrawal,
        c.RequestExit,
        c.ReleaseExit,
        c.ClaimExit,
        c.ReduceForExit,
        c.TakeUnapplied,
        c.SeeLossLimits,
        c.SetInsuranceFloor,
        c.ShareDebt,
        c.SellInventory,
        c.ReviewAccount,
        c.CutSettlement,
        c.AdvanceBatch,
        c.SettleFunding,
    }
)
"""Commands that name no account, or not only agents'."""

EXPIRING: Final = frozenset({c.OpenRequest, c.AnswerRequest, c.AcceptQuote, c.SetQuotes})
"""Commands that carry `expires_after`."""


def decide(state: Exchange, command: c.Command, at: int) -> Outcome:
    """Events that `command` leads to at the instant `at`, or why it is refused, or the first answer to a repeated one.

    Changes nothing that a record or the state's hash has, only what is remembered of them (margins, rankings of makers, whom to look
    at): whom a request asks may follow from a ranking of up to a second ago, which is why the answer is journaled and replay decides
    nothing anew. The events are to be applied in order.
    """
    kind = type(command)
    if kind in EXPIRING:
        if command.account not in state.owned:  # type: ignore[attr-defined]
            return _UNKNOWN
        if command.expires_after and 0 < command.expires_after <= at:  # type: ignore[attr-defined]
            # What a command has led to is so however late it is asked for; only what is new can be too late.
            first = DECIDERS[kind](state, command, at)
            return first if isinstance(first, Repeated) or c.pulls(command) else _EXPIRED
    elif kind not in ANYWHERE and command.account not in state.owned:  # type: ignore[attr-defined]
        return _UNKNOWN
    return DECIDERS[kind](state, command, at)


_EXPIRED: Final = Rejection(Code.EXPIRED_COMMAND, "The command arrived after its expires_after.")
_UNKNOWN: Final = Rejection(Code.ACCOUNT_UNKNOWN, "No agent has that account.")
