"""Expected refusals: values with stable codes. The first that applies, in the order of the checks, is the answer."""

from enum import StrEnum
from typing import NamedTuple

from core.events import Event


class Code(StrEnum):
    """Why a command was refused. The text is the sentence an agent reads."""

    OVERLOADED = "overloaded"
    NO_ROOM = "no_room"
    EXPIRED_COMMAND = "expired_command"
    ACCOUNT_UNKNOWN = "account_unknown"
    MARKET_UNKNOWN = "market_unknown"
    MARKET_IN_USE = "market_in_use"
    MARKET_SETTLED = "market_settled"
    MARKET_PAUSED = "market_paused"
    MARKET_REDUCE_ONLY = "market_reduce_only"
    INDEX_UNAVAILABLE = "index_unavailable"
    INDEX_GOES_BACK = "index_goes_back"
    BAD_VALUE = "bad_value"
    KEY_CONFLICT = "key_conflict"
    TOO_MANY_REQUESTS_OPEN = "too_many_requests_open"
    TOO_MANY_ANSWERS_KEPT = "too_many_answers_kept"
    REDUCE_ONLY_WOULD_INCREASE = "reduce_only_would_increase"
    INSUFFICIENT_MARGIN = "insufficient_margin"
    LOSS_LIMIT_REACHED = "loss_limit_reached"
    SUB_ACCOUNT_ONLY_TRADES = "sub_account_only_trades"
    SUB_ACCOUNT_MARKET = "sub_account_market"
    SUB_ACCOUNT_UNKNOWN = "sub_account_unknown"
    TRANSFER_TOO_LARGE = "transfer_too_large"
    POSITION_CAP = "position_cap"
    OPEN_INTEREST_CAP = "open_interest_cap"
    REQUEST_UNKNOWN = "request_unknown"
    NOT_ASKED = "not_asked"
    QUOTE_UNKNOWN = "quote_unknown"
    QUOTE_EXPIRED = "quote_expired"
    QUOTE_OUT_OF_BAND = "quote_out_of_band"
    PRICE_OUT_OF_BAND = "price_out_of_band"
    QUOTE_BEYOND_LIMIT = "quote_beyond_limit"
    MAKER_CANNOT_PAY = "maker_cannot_pay"
    MAKER_FROZEN = "maker_frozen"
    BEING_LIQUIDATED = "being_liquidated"
    SLOT_TAKEN = "slot_taken"
    WITHDRAWAL_TOO_SMALL = "withdrawal_too_small"
    WITHDRAWAL_TOO_LARGE = "withdrawal_too_large"
    TOO_MANY_WITHDRAWALS_OPEN = "too_many_withdrawals_open"
    WITHDRAWAL_UNKNOWN = "withdrawal_unknown"
    WITHDRAWALS_GATED = "withdrawals_gated"
    LIMITS_WOULD_LIQUIDATE = "limits_would_liquidate"
    BATCH_OUT_OF_ORDER = "batch_out_of_order"
    BATCH_NOT_RETRIED = "batch_not_retried"
    SETTLEMENT_HELD = "settlement_held"
    CHAIN_NOT_ACCEPTED = "chain_not_accepted"
    FUNDING_NOT_DUE = "funding_not_due"
    FUNDING_OUT_OF_ORDER = "funding_out_of_order"
    FUNDING_SETTLED = "funding_settled"


RETRYABLE = frozenset(
    {
        Code.OVERLOADED,
        Code.NO_ROOM,
        Code.INDEX_UNAVAILABLE,
        Code.MARKET_PAUSED,
        Code.MARKET_REDUCE_ONLY,
        Code.TOO_MANY_REQUESTS_OPEN,
        Code.TOO_MANY_ANSWERS_KEPT,
        Code.OPEN_INTEREST_CAP,
        Code.MAKER_FROZEN,
        Code.BEING_LIQUIDATED,
        Code.FUNDING_NOT_DUE,
        Code.FUNDING_OUT_OF_ORDER,
        Code.WITHDRAWALS_GATED,
        Code.SETTLEMENT_HELD,
    }
)
"""Codes for which the same command may succeed later without being changed."""


class Rejection(NamedTuple):
    """A refusal; nothing changed."""

    code: Code
    message: str

    @property
    def retryable(self) -> bool:
        return self.code in RETRYABLE


class Repeated(NamedTuple):
    """The command's key was used before with the same payload: its first answer, applied again to nothing."""

    events: tuple[Event, ...]


BEING_LIQUIDATED = Rejection(
    Code.BEING_LIQUIDATED, "The account is being liquidated: nothing is taken from it until that has ended."
)
NO_ROOM = Rejection(
    Code.NO_ROOM,
    "The exchange's disk is nearly full: only what reduces risk is taken until the operator has made room.",
)

SUB_ACCOUNT_ONLY_TRADES = Rejection(
    Code.SUB_ACCOUNT_ONLY_TRADES, "A sub-account only trades: everything else is its parent's."
)
SUB_ACCOUNT_MARKET = Rejection(
    Code.SUB_ACCOUNT_MARKET, "A sub-account trades the market that it was opened for."
)

Outcome = list[Event] | Rejection | Repeated
"""What a command leads to."""
