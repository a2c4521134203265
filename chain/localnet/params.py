"""Parameters of a call, read with a node's strictness."""

import base64
import binascii
from typing import Any, Final, TypeVar

import base58
from solders.hash import Hash, ParseHashError
from solders.pubkey import Pubkey
from solders.signature import Signature

from chain.localnet.bank import Bank
from chain.localnet.errors import MIN_CONTEXT_SLOT, RpcError, invalid_params

COMMITMENTS: Final = ("processed", "confirmed", "finalized")
_T = TypeVar("_T")


class Params:
    """Positional parameters; the last one may be an object of options."""

    def __init__(self, values: Any) -> None:
        if not isinstance(values, list):
            raise invalid_params("`params` should be an array")
        self._values: list[Any] = values

    def __len__(self) -> int:
        return len(self._values)

    def get(self, index: int, kind: type[_T], name: str) -> _T:
        """A required parameter. A JSON true is no number."""
        value = self._values[index] if index < len(self._values) else None
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise invalid_params(f"Invalid params: `{name}` must be {_KINDS[kind]}")
        return value

    def unsigned(self, index: int, name: str) -> int:
        value = self.get(index, int, name)
        if not 0 <= value < 1 << 64:
            raise invalid_params(f"Invalid params: `{name}` must be an unsigned 64-bit number")
        return value

    def pubkey(self, index: int, name: str = "pubkey") -> Pubkey:
        return pubkey(self.get(index, str, name))

    def options(self, index: int) -> "Options":
        value = self._values[index] if index < len(self._values) else None
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise invalid_params("Invalid params: the options must be an object")
        return Options(value)


class Options:
    """The options object of a call."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def get(self, name: str, kind: type[_T], default: _T) -> _T:
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise invalid_params(f"Invalid params: `{name}` must be {_KINDS[kind]}")
        return value

    def optional(self, name: str, kind: type[_T]) -> _T | None:
        return self.get(name, kind, None) if self._values.get(name) is not None else None

    @property
    def commitment(self) -> str:
        value = self.get("commitment", str, "finalized")
        if value not in COMMITMENTS:
            raise invalid_params(f"Invalid params: unknown commitment `{value}`")
        return value

    def slot(self, bank: Bank) -> int:
        """Slot that the commitment stands for; refuses when it is before `minContextSlot`."""
        slot = bank.slot_at(self.commitment)
        least = self.get("minContextSlot", int, 0)
        if slot < least:
            raise RpcError(
                MIN_CONTEXT_SLOT, "Minimum context slot has not been reached", {"contextSlot": slot}
            )
        return slot


_KINDS: Final[dict[type, str]] = {
    str: "a string",
    int: "a number",
    bool: "a boolean",
    list: "an array",
    dict: "an object",
}


def pubkey(text: Any) -> Pubkey:
    try:
        return Pubkey.from_string(text)
    except (ValueError, TypeError) as error:
        raise invalid_params(f"Invalid param: {error}") from error


def signature(text: Any) -> str:
    try:
        return str(Signature.from_string(text))
    except (ValueError, TypeError) as error:
        raise invalid_params(f"Invalid param: {error}") from error


def blockhash(text: str) -> Hash:
    try:
        return Hash.from_string(text)
    except ParseHashError as error:
        raise invalid_params(f"Invalid param: {error}") from error


def binary(text: str, encoding: str) -> bytes:
    """Bytes of a transaction or message parameter."""
    try:
        if encoding == "base64":
            return base64.b64decode(text, validate=True)
        if encoding == "base58":
            return base58.b58decode(text)
    except (binascii.Error, ValueError) as error:
        raise invalid_params(f"invalid {encoding} encoding: {error}") from error
    raise invalid_params(f"unsupported encoding: {encoding}. Supported encodings: base58, base64")
