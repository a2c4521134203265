"""Numbers of the accounts that are not agents. They are accounts like any other, so money is a closed system."""

from typing import Final

TREASURY: Final = 1
"""Receives fees; owns slot 0 of page 0 on chain."""
INSURANCE: Final = 2
"""Covers what bankrupt accounts cannot pay; owns slot 1 of page 0 on chain."""
CLEARING: Final = 3
"""Other side of every realized profit or loss: minus the cost of all open positions. Has no slot on chain."""
FIRST_AGENT: Final = 16
OF_EXCHANGE: Final = frozenset({TREASURY, INSURANCE})
"""The exchange's own accounts that may come to owe something, as agents' may: the chain pays their owners what it holds for them."""
