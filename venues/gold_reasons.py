"""What the contracts' errors mean at a venue."""

from typing import Final

from chain.evm.abi import ContractError
from venues.driver import Reason

REASONS: Final = {
    "AccessControlUnauthorizedAccount": Reason.UNAUTHORIZED,
    "AdapterAllowanceExceeded": Reason.BUSY,
    "AdapterUnknown": Reason.BUSY,
    "AllowanceExceeded": Reason.INSUFFICIENT_MARGIN,
    "BatchExpired": Reason.EXPIRED,
    "ERC20InsufficientBalance": Reason.INSUFFICIENT_MARGIN,
    "EnforcedPause": Reason.BUSY,
    "FeedAhead": Reason.NO_PRICE,
    "FeedDecimals": Reason.NO_PRICE,
    "FeedIncomplete": Reason.NO_PRICE,
    "FeedNotPositive": Reason.NO_PRICE,
    "FeedStale": Reason.NO_PRICE,
    "LimitNotMet": Reason.NO_LIQUIDITY,
    "NotCovered": Reason.INSUFFICIENT_MARGIN,
    "NotOperator": Reason.UNAUTHORIZED,
    "OrderEmpty": Reason.ORDER_INVALID,
    "OrderKnown": Reason.CLIENT_ID_USED,
    "Panic": Reason.ORDER_INVALID,
    "PoolShort": Reason.NO_LIQUIDITY,
    "SafeCastOverflowedIntDowncast": Reason.ORDER_INVALID,
    "SafeCastOverflowedUintDowncast": Reason.ORDER_INVALID,
    "SafeCastOverflowedUintToInt": Reason.ORDER_INVALID,
}


def reason_of(error: ContractError) -> Reason:
    """Why an order was refused, by the error of the contract that refused it; of an atomic batch, by that of its leg."""
    if error.name == "LegReverted" and len(error.args) > 1:
        return reason_of(error.args[1])
    return REASONS.get(error.name, Reason.OTHER)
