"""Calls to a node: every way in which one can go wrong becomes one error that means "not known", never "no"."""

import logging
from collections.abc import Awaitable
from typing import Final, TypeVar

from solana.exceptions import SolanaRpcException
from solana.rpc.core import RPCException
from solders.errors import SerdeJSONError

from core.hosts import hide_in_log, only_hosts

_T = TypeVar("_T")
# The node's client writes every call's address to the log, and an address may have a provider's key in it.
logging.getLogger("httpx").addFilter(hide_in_log)


PROCESSED: Final = "processed"
CONFIRMED: Final = "confirmed"
FINALIZED: Final = "finalized"
LEVELS: Final = {PROCESSED: 0, CONFIRMED: 1, FINALIZED: 2}
"""Commitments, from the weakest."""


class ChainUnavailable(Exception):
    """A node did not answer, or with nonsense, or with an error of its own.

    Whether the call had an effect is not known; asking again is safe.
    """

    code = "chain_unavailable"


async def ask(call: Awaitable[_T]) -> _T:
    """The answer to a call of the node's client, or `ChainUnavailable`, which has no cause: the client's errors quote the address with
    whatever key is in it, and Temporal keeps causes."""
    try:
        return await call
    except RPCException as error:
        raise ChainUnavailable(f"the node answered: {only_hosts(str(error))}") from None
    except (SolanaRpcException, SerdeJSONError, ValueError) as error:
        # The client parses answers itself, with several exceptions for those that make no sense.
        raise ChainUnavailable(f"no usable answer from the node: {lost(error)}") from None


def lost(error: Exception) -> str:
    """Why an answer is lost, in the words of the client's client, which says more; without the node's key."""
    cause = error.__cause__ or error
    return only_hosts(str(cause) or type(cause).__name__)
