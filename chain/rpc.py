"""Calls to a node: every way in which one can go wrong becomes one error that means "not known", never "no"."""

from collections.abc import Awaitable
from typing import Final, TypeVar

from solana.exceptions import SolanaRpcException
from solana.rpc.core import RPCException
from solders.errors import SerdeJSONError

_T = TypeVar("_T")


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
    """The answer to a call of the node's client, or `ChainUnavailable`."""
    try:
        return await call
    except RPCException as error:
        raise ChainUnavailable(f"the node answered: {error}") from error
    except (SolanaRpcException, SerdeJSONError, ValueError) as error:
        # The client parses answers itself, with several exceptions for those that make no sense.
        raise ChainUnavailable(f"no usable answer from the node: {error.__cause__ or error}") from error
