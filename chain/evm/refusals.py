"""What nodes of different programs say instead of an answer, and what that means. Words that are not here mean nothing."""

from typing import Final

_HAS_IT: Final = ("already known", "known transaction", "already imported")
_TOO_CHEAP: Final = ("underpriced", "max fee per gas less than block base fee", "fee too low")
_NEVER: Final = (
    "insufficient funds",
    "intrinsic gas too low",
    "exceeds block gas limit",
    "exceeds block's gas limit",
    "gas limit too high",
    "intrinsic gas too high",
    "greater than the cap",
    "invalid sender",
    "chain id",
)
_FORGOTTEN: Final = (
    "missing trie node",
    "historical state",
    "state is not available",
    "no state available",
    "prun",
)


def has_it(message: str) -> bool:
    """The node has this transaction already."""
    return _says(message, _HAS_IT)


def too_cheap(message: str) -> bool:
    """The node takes the transaction only when it offers more."""
    return _says(message, _TOO_CHEAP)


def never(message: str) -> bool:
    """The node does not take such a transaction, whatever it offers."""
    return _says(message, _NEVER)


def forgotten(message: str) -> bool:
    """The node does not keep anymore how things stood in a block so old: most keep 128 of them."""
    return _says(message, _FORGOTTEN)


def _says(message: str, words: tuple[str, ...]) -> bool:
    return any(one in message.lower() for one in words)
