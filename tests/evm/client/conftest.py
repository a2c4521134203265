"""A chain of blocks behind JSON-RPC that does what real ones do: lets transactions wait, replaces and drops them, gives up blocks."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from eth_account import Account
from eth_account.typed_transactions import TypedTransaction
from eth_hash.auto import keccak
from hexbytes import HexBytes

from chain.evm.key import EvmKey
from chain.evm.node import Node
from chain.evm.sending import Attempt, Call, Sender

CHAIN_ID = 31_337
GWEI = 10**9
CALL = Call("0x" + "c0" * 20, b"\x01\x02", 100_000)
OTHER_CALL = Call(CALL.to, b"\x03", 50_000)


@dataclass
class Sent:
    hash: str
    sender: str
    nonce: int
    most: int
    priority: int
    data: bytes


class RpcError(Exception):
    """`data` is what a contract gave up with."""

    def __init__(self, message: str, data: bytes = b"") -> None:
        super().__init__(message)
        self.data = data


@dataclass
class SimChain:
    """`base_fee` decides what fits, `purse` what may be offered, `reverts` are calls that are undone. Of the
    blocks that it `keeps` the node knows how things stood.

    Faults happen on request, or all the time by `weather`.
    """

    blocks: list[tuple[str, list[Sent]]] = field(default_factory=lambda: [("0x" + "00" * 32, [])])
    pool: dict[tuple[str, int], Sent] = field(default_factory=dict)
    base_fee: int = GWEI
    reverts: set[bytes] = field(default_factory=set)
    refuses: str = ""
    purse: int = 10**30
    gas_limit: int = 30_000_000
    keeps: int = 10**9
    behind: int = 0
    salt: int = 0
    lose_after: dict[str, int] = field(default_factory=dict)
    lose_before: dict[str, int] = field(default_factory=dict)
    submissions: list[Sent] = field(default_factory=list)
    weather: Callable[["SimChain"], None] = lambda chain: chain.mine()

    # What happens on the chain.

    def count(self, sender: str, blocks: int | None = None) -> int:
        taken = self.blocks[:blocks]
        return sum(one.sender == sender for _, sent in taken for one in sent)

    def mine(self) -> None:
        """One block with all that waits, pays enough and is next."""
        sent = []
        for key, one in sorted(self.pool.items()):
            following = self.count(one.sender) + sum(other.sender == one.sender for other in sent)
            if one.most >= self.base_fee and one.nonce == following:
                sent.append(one)
                del self.pool[key]
        self.salt += 1
        self.blocks.append(("0x" + keccak(f"{len(self.blocks)} {self.salt}".encode()).hex(), sent))

    def give_up(self, depth: int, *, forget: bool = False) -> None:
        """The last blocks never were; what was in them waits again, unless forgotten. Others take their place."""
        depth = min(depth, len(self.blocks) - 1)
        if depth == 0:
            return
        dropped = [one for _, sent in self.blocks[-depth:] for one in sent]
        del self.blocks[-depth:]
        for _ in range(depth):
            self.salt += 1
            self.blocks.append(("0x" + keccak(f"{len(self.blocks)} {self.salt}".encode()).hex(), []))
        if not forget:
            for one in dropped:
                self.pool.setdefault((one.sender, one.nonce), one)

    def take(self, raw: bytes) -> str:
        sender = Account.recover_transaction(raw)
        fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
        sent = Sent(
            "0x" + keccak(raw).hex(),
            sender,
            int(fields["nonce"]),
            int(fields["maxFeePerGas"]),
            int(fields["maxPriorityFeePerGas"]),
            bytes(fields["data"]),
        )
        assert fields["chainId"] == CHAIN_ID
        self.submissions.append(sent)
        if self.refuses:
            raise RpcError(self.refuses)
        if sent.most > self.purse:
            raise RpcError("insufficient funds for gas * price + value")
        if sent.nonce < self.count(sender):
            raise RpcError("nonce too low")
        waiting = self.pool.get((sender, sent.nonce))
        if waiting is not None and waiting.hash == sent.hash:
            raise RpcError("already known")
        if waiting is not None and (
            sent.most * 10 < waiting.most * 11 or sent.priority * 10 < waiting.priority * 11
        ):
            raise RpcError("replacement transaction underpriced")
        self.pool[sender, sent.nonce] = sent
        return sent.hash

    # What the node tells of it.

    def answer(self, method: str, params: list[Any]) -> Any:
        seen = len(self.blocks) - self.behind

        def at(block: Any) -> int:
            number = seen - 1 if block == "latest" else int(block, 16)
            if number >= seen:
                raise RpcError("header not found")
            return number

        match method:
            case "eth_chainId":
                return hex(CHAIN_ID)
            case "eth_maxPriorityFeePerGas":
                return hex(GWEI)
            case "eth_getTransactionCount":
                if at(params[1]) <= seen - 1 - self.keeps:
                    raise RpcError("missing trie node 5e0b (path ) state 0x5e0b is not available")
                return hex(self.count(params[0], at(params[1]) + 1))
            case "eth_getBlockByNumber":
                if params[0] == "latest":
                    self.weather(self)
                    seen = len(self.blocks) - self.behind
                elif int(params[0], 16) >= seen:
                    return None
                number = at(params[0])
                name, sent = self.blocks[number]
                shown = [{"from": one.sender, "nonce": hex(one.nonce), "hash": one.hash} for one in sent]
                return {
                    "number": hex(number),
                    "hash": name,
                    "timestamp": hex(12 * number),
                    "baseFeePerGas": hex(self.base_fee),
                    "gasLimit": hex(self.gas_limit),
                    "transactions": shown,
                }
            case "eth_getTransactionReceipt":
                for number, (name, sent) in enumerate(self.blocks[:seen]):
                    for one in sent:
                        if one.hash == params[0]:
                            return {
                                "blockNumber": hex(number),
                                "blockHash": name,
                                "status": "0x0" if one.data in self.reverts else "0x1",
                                "gasUsed": "0x5208",
                                "effectiveGasPrice": hex(self.base_fee),
                                "logs": [],
                            }
                return None
            case "eth_sendRawTransaction":
                return self.take(bytes.fromhex(params[0][2:]))
        raise RpcError(f"the method {method} does not exist")

    def respond(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        method = body["method"]
        if self.lose_before.get(method, 0) > 0:
            self.lose_before[method] -= 1
            raise httpx.ConnectTimeout("lost on the way")
        try:
            answer = {"result": self.answer(method, body["params"])}
        except RpcError as error:
            answer = {"error": {"code": -32_000, "message": str(error), "data": "0x" + error.data.hex()}}
        if self.lose_after.get(method, 0) > 0:
            self.lose_after[method] -= 1
            raise httpx.ReadTimeout("the answer is lost")
        return httpx.Response(200, json={"jsonrpc": "2.0", "id": body["id"], **answer})


class Stored(list[Attempt]):
    """What a caller keeps, in the order in which it was told."""

    def __init__(self, chain: SimChain) -> None:
        super().__init__()
        self._chain = chain

    async def __call__(self, attempt: Attempt) -> None:
        # Whoever is sent before it is stored is lost in a crash.
        assert attempt.hash not in [sent.hash for sent in self._chain.submissions]
        self.append(attempt)


@dataclass
class Desk:
    """One sender at one simulated chain."""

    chain: SimChain
    key: EvmKey
    sender: Sender
    stored: Stored
    call: Call = CALL
    other_call: Call = OTHER_CALL

    def executed(self, call: Call = CALL) -> int:
        """How many transactions with this call lie on the chain."""
        return sum(one.data == call.data for _, sent in self.chain.blocks for one in sent)

    def raw(self, nonce: int, data: bytes, most: int = 50 * GWEI) -> bytes:
        """Signed elsewhere with the same key."""
        fields = {
            "type": 2,
            "chainId": CHAIN_ID,
            "nonce": nonce,
            "to": bytes.fromhex(CALL.to[2:]),
            "data": data,
            "value": 0,
        }
        return self.key.sign({**fields, "gas": 21_000, "maxFeePerGas": most, "maxPriorityFeePerGas": most})[0]


@pytest.fixture
def new_desk() -> Callable[..., Desk]:
    def new(fee_cap: int = 100 * GWEI, confirmations: int = 3, patience: int = 3) -> Desk:
        chain, key = SimChain(), EvmKey("0x" + "11" * 32)
        client = httpx.AsyncClient(transport=httpx.MockTransport(chain.respond))
        node = Node(client, "http://node")
        sender = Sender(
            node, key, CHAIN_ID, fee_cap, confirmations=confirmations, poll_s=0, patience=patience
        )
        return Desk(chain, key, sender, Stored(chain))

    return new


@pytest.fixture
def desk(new_desk: Callable[..., Desk]) -> Desk:
    return new_desk()
