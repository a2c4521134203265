"""JSON-RPC errors with the codes and words of a real node."""

from typing import Any, Final

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
PREFLIGHT_FAILURE: Final = -32002
SIGNATURE_FAILURE: Final = -32003
NODE_UNHEALTHY: Final = -32005
UNSUPPORTED_VERSION: Final = -32015
MIN_CONTEXT_SLOT: Final = -32016


class RpcError(Exception):
    """An answer that is an error: code, sentence, data."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            body["data"] = self.data
        return body


def invalid_params(message: str) -> RpcError:
    return RpcError(INVALID_PARAMS, message)


def describe(error: Any) -> str:
    """A node's sentence for a transaction error in its JSON form."""
    if isinstance(error, dict) and "InstructionError" in error:
        index, cause = error["InstructionError"]
        if isinstance(cause, dict) and "Custom" in cause:
            cause = f"custom program error: {cause['Custom']:#x}"
        return f"Error processing Instruction {index}: {cause}"
    return _SENTENCES.get(error, str(error)) if isinstance(error, str) else str(error)


_SENTENCES: Final = {
    "AccountNotFound": "Attempt to debit an account but found no record of a prior credit.",
    "AlreadyProcessed": "This transaction has already been processed",
    "BlockhashNotFound": "Blockhash not found",
    "InsufficientFundsForFee": "Insufficient funds for fee",
    "TooManyAccountLocks": "Transaction locked too many accounts",
    "AccountLoadedTwice": "Account loaded twice",
}
