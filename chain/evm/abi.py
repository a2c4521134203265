"""The contracts as they were built: calls, answers, errors and events between Python values and bytes."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_hash.auto import keccak

BUILD: Final = Path(__file__).resolve().parents[2] / "contracts" / "evm" / "build"
_PANIC: Final = {"name": "Panic", "inputs": [{"name": "code", "type": "uint256"}]}
_ERROR: Final = {"name": "Error", "inputs": [{"name": "message", "type": "string"}]}


@dataclass(frozen=True, slots=True)
class ContractError:
    """Why a contract refused: the error's name and arguments. Without a name it gave none, or none that is known here."""

    name: str
    args: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(_shown, self.args))})" if self.name else "no reason given"


@dataclass(frozen=True, slots=True)
class Event:
    """An event that `address` emitted; arguments by name, indexed ones too."""

    address: str
    name: str
    args: Mapping[str, Any]


class Contract:
    """One contract's interface."""

    def __init__(self, abi: Sequence[Mapping[str, Any]], bytecode: bytes = b"") -> None:
        self._bytecode = bytecode
        self._constructor: Mapping[str, Any] = {"inputs": []}
        self._functions: dict[str, Mapping[str, Any]] = {}
        self._events: dict[bytes, Mapping[str, Any]] = {}
        for entry in abi:
            match entry["type"]:
                case "constructor":
                    self._constructor = entry
                case "function":
                    self._functions[entry["name"]] = entry
                case "event":
                    self._events[keccak(signature(entry).encode())] = entry
        self.errors = {
            selector(entry): entry
            for entry in [*(entry for entry in abi if entry["type"] == "error"), _PANIC, _ERROR]
        }

    def deployment(self, *args: Any) -> bytes:
        """The code that a transaction to nobody carries to deploy the contract with these arguments."""
        return self._bytecode + encode(_types(self._constructor["inputs"]), args)

    def call(self, function: str, *args: Any) -> bytes:
        """What a transaction or call to the contract carries. Integers that do not fit raise eth_abi's `EncodingError`."""
        entry = self._functions[function]
        return selector(entry) + encode(_types(entry["inputs"]), args)

    def answer(self, function: str, data: bytes) -> Any:
        """What a function answered: one value, or a tuple of several. Raises eth_abi's `DecodingError`."""
        values = decode(_types(self._functions[function]["outputs"]), data)
        return values[0] if len(values) == 1 else values

    def event(self, address: str, topics: Sequence[bytes], data: bytes) -> Event | None:
        """What a log says, or None for an event that is not this contract's."""
        entry = self._events.get(topics[0]) if topics else None
        if entry is None:
            return None
        indexed = [one for one in entry["inputs"] if one["indexed"]]
        plain = [one for one in entry["inputs"] if not one["indexed"]]
        values = dict(zip((one["name"] for one in plain), decode(_types(plain), data), strict=True))
        for one, topic in zip(indexed, topics[1:], strict=True):
            values[one["name"]] = decode([one["type"]], topic)[0]
        return Event(address, entry["name"], values)


def error_of(data: bytes, contracts: Iterable[Contract]) -> ContractError:
    """The error that a contract gave up with. An error that none of `contracts` has is shown as its first bytes."""
    for contract in contracts:
        entry = contract.errors.get(data[:4])
        if entry is not None:
            try:
                return ContractError(entry["name"], tuple(decode(_types(entry["inputs"]), data[4:])))
            except DecodingError:
                # Cut off, by the router for example: the name is whole all the same.
                return ContractError(entry["name"])
    return ContractError("0x" + data[:4].hex() if data else "")


def signature(entry: Mapping[str, Any]) -> str:
    """Such as `executeMulti(bytes)`: what selectors and event topics are hashes of."""
    return f"{entry['name']}({','.join(_types(entry['inputs']))})"


def selector(entry: Mapping[str, Any]) -> bytes:
    """The four bytes that name a function or an error on the wire."""
    return keccak(signature(entry).encode())[:4]


@cache
def load(name: str) -> Contract:
    """A contract by its name, as committed in contracts/evm/build."""
    built = json.loads((BUILD / f"{name}.json").read_text())
    return Contract(built["abi"], bytes.fromhex(built["bytecode"][2:]))


def _types(inputs: Sequence[Mapping[str, Any]]) -> list[str]:
    return [_type(one) for one in inputs]


def _type(one: Mapping[str, Any]) -> str:
    kind: str = one["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_types(one['components']))}){kind.removeprefix('tuple')}"


def _shown(value: Any) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
