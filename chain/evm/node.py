"""JSON-RPC of an EVM node: what is asked of it, and one error for every way of not getting an answer.

httpx and not web3's client: few methods are needed, and time-outs, connections and nonsense are treated as everywhere else here.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import httpx

from chain.rpc import ChainUnavailable

LATEST: Final = "latest"
_ids = count(1)


class NodeRefused(ChainUnavailable):
    """The node answered with an error of its own. Except where a caller knows better, that is no answer about the chain."""

    def __init__(self, code: int, message: str, data: bytes) -> None:
        super().__init__(f"the node answered: {message} ({code})")
        self.message = message
        self.data = data


@dataclass(frozen=True, slots=True)
class Block:
    """A block's place. `base_fee` in wei a unit of gas; `time` in seconds since 1970; `gas_limit` for all its transactions."""

    number: int
    hash: str
    time: int
    base_fee: int
    gas_limit: int


@dataclass(frozen=True, slots=True)
class Log:
    """What a contract told in a transaction."""

    address: str
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """What came of a transaction in a block. `fee` is what it cost, in wei."""

    hash: str
    block: int
    block_hash: str
    succeeded: bool
    gas_used: int
    fee: int
    logs: tuple[Log, ...]


class Node:
    """The node at `url`. Every call raises `ChainUnavailable` when there is no usable answer; asking again is safe."""

    def __init__(self, client: httpx.AsyncClient, url: str, timeout_s: float = 10.0) -> None:
        self._client = client
        self._url = url
        self._timeout_s = timeout_s

    async def ask(self, method: str, *params: Any) -> Any:
        """The result of one call, as JSON."""
        request = {"jsonrpc": "2.0", "id": next(_ids), "method": method, "params": params}
        try:
            response = await self._client.post(self._url, json=request, timeout=self._timeout_s)
            answer = json.loads(response.content)
        except httpx.HTTPError as error:
            # Not the whole error: it may show the URL, which often has a key in it.
            raise ChainUnavailable(f"no answer from the node: {type(error).__name__}") from None
        except ValueError:
            raise ChainUnavailable(f"the node answered no JSON (HTTP {response.status_code})") from None
        if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
            raise ChainUnavailable(f"the node answered nonsense (HTTP {response.status_code})")
        if answer.get("error") is not None:
            raise _refused(answer["error"])
        return answer["result"]

    async def chain_id(self) -> int:
        return _number(await self.ask("eth_chainId"))

    async def block(self, at: int | str = LATEST) -> Block:
        """The block of a number, or the newest. One that the node has not got is no answer: it may be behind."""
        found = await self.ask("eth_getBlockByNumber", hex(at) if isinstance(at, int) else at, False)
        if not isinstance(found, dict):
            raise ChainUnavailable(f"the node does not have block {at}")
        return Block(
            _number(found.get("number")),
            str(found.get("hash")),
            _number(found.get("timestamp")),
            _number(found.get("baseFeePerGas")),
            _number(found.get("gasLimit")),
        )

    async def transaction_count(self, address: str, at: int | str) -> int:
        """How many transactions of `address` lie in the blocks up to `at`: the first nonce that is free there."""
        where = hex(at) if isinstance(at, int) else at
        return _number(await self.ask("eth_getTransactionCount", address, where))

    async def sent_by(self, address: str, nonce: int, block: int) -> str | None:
        """The hash of the transaction of `address` with this nonce in a block, if it lies there."""
        found = await self.ask("eth_getBlockByNumber", hex(block), True)
        if not isinstance(found, dict):
            raise ChainUnavailable(f"the node does not have block {block}")
        for transaction in found["transactions"]:
            if transaction["from"].lower() == address.lower() and int(transaction["nonce"], 16) == nonce:
                return str(transaction["hash"])
        return None

    async def receipt(self, transaction: str) -> Receipt | None:
        """What came of a transaction; None: this node knows of no block with it."""
        found = await self.ask("eth_getTransactionReceipt", transaction)
        # Some nodes show transactions that wait as receipts without a block.
        if found is None or found.get("blockNumber") is None:
            return None
        gas = _number(found["gasUsed"])
        return Receipt(
            transaction,
            _number(found["blockNumber"]),
            str(found["blockHash"]),
            _number(found["status"]) == 1,
            gas,
            gas * _number(found.get("effectiveGasPrice", "0x0")),
            tuple(map(_log, found["logs"])),
        )

    async def logs(
        self, address: str, topics: Sequence[str | Sequence[str]], first: int, last: int
    ) -> list[Mapping[str, Any]]:
        """The logs of a contract in some blocks, as the node has them; a list in place of a topic means any of these."""
        where = {"address": address, "topics": topics, "fromBlock": hex(first), "toBlock": hex(last)}
        found: list[Mapping[str, Any]] = await self.ask("eth_getLogs", where)
        return found

    async def call(self, to: str, data: bytes, *, sender: str | None = None, at: int | str = LATEST) -> bytes:
        """What a call answers, at no cost. A call that reverts raises `NodeRefused` with the contract's error as data."""
        request = {"to": to, "data": "0x" + data.hex()} | ({"from": sender} if sender else {})
        answer = await self.ask("eth_call", request, hex(at) if isinstance(at, int) else at)
        return bytes.fromhex(str(answer)[2:])

    async def priority_fee(self) -> int:
        """What others pay block makers now, in wei a unit of gas, as the node sees it."""
        return _number(await self.ask("eth_maxPriorityFeePerGas"))

    async def submit(self, raw: bytes) -> None:
        """Hand a signed transaction to the node. When this raises anything but `NodeRefused`, the node may have it."""
        await self.ask("eth_sendRawTransaction", "0x" + raw.hex())


def _refused(error: Any) -> NodeRefused:
    if not isinstance(error, dict):
        return NodeRefused(0, str(error)[:200], b"")
    data = error.get("data")
    try:
        found = bytes.fromhex(data[2:]) if isinstance(data, str) and data.startswith("0x") else b""
    except ValueError:
        found = b""
    code = error.get("code")
    return NodeRefused(code if isinstance(code, int) else 0, str(error.get("message"))[:500], found)


def _number(quantity: Any) -> int:
    try:
        return int(quantity, 16)
    except (TypeError, ValueError):
        raise ChainUnavailable(
            f"the node answered {str(quantity)[:100]} where a number was asked for"
        ) from None


def _log(log: Mapping[str, Any]) -> Log:
    topics = tuple(bytes.fromhex(topic[2:]) for topic in log["topics"])
    return Log(str(log["address"]), topics, bytes.fromhex(log["data"][2:]))
