"""What the gold market on chain says: its price, a vault's position and fills, and which orders it has carried out.

Everything about money is read at a depth that stays; only the price is the newest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from eth_abi.exceptions import DecodingError
from eth_hash.auto import keccak

from chain.evm.abi import Event, load
from chain.evm.batch import MOCK_GOLD, id32
from chain.evm.cover import Held
from chain.evm.node import LATEST, Block, Node
from chain.evm.sending import CONFIRMATIONS
from chain.rpc import ChainUnavailable
from core.quantities import MicroUsdc, divide_up
from core.tickets import PriceE8, SizeE8

PRICE_DECIMALS: Final = 8
_FILLS: Final = (
    b"OrderFilled(address,bytes32,int256,uint256,uint256,uint256,int256,int256)",
    b"Exited(address,int256,uint256,uint256)",
    b"Liquidated(address,int256,uint256,int256)",
)
_LOSSES: Final = (b"LossBorne(address,uint256)",)


@dataclass(frozen=True, slots=True)
class Quote:
    """The feed's price in the newest block, rounded up to 1e-8, and whether the market would trade at it. `at` in seconds."""

    price: PriceE8
    usable: bool
    at: int


@dataclass(frozen=True, slots=True)
class Filled:
    """An order that was carried out: its signed size and price."""

    size: SizeE8
    price: PriceE8


@dataclass(frozen=True, slots=True)
class GoldFill:
    """A change of a vault's position. `order` in hex, empty where its owner left or somebody closed a short. `at` in seconds."""

    id: str
    order: str
    size: SizeE8
    price: PriceE8
    at: int


@dataclass(frozen=True, slots=True)
class LossBorne:
    """What a vault's short lost beyond the cash that it had at the market, which others have paid for it. `at` in seconds."""

    id: str
    amount: MicroUsdc
    at: int


class GoldMarket:
    """The market that a router has under the name of gold. Every call raises `ChainUnavailable`."""

    def __init__(self, node: Node, router: str, confirmations: int = CONFIRMATIONS) -> None:
        self._node = node
        self._router = router
        self._confirmations = confirmations

    async def depth(self) -> int:
        """The newest block that counts as staying."""
        return max(0, (await self._node.block()).number - self._confirmations + 1)

    async def quote(self) -> Quote:
        head = await self._node.block()
        market = await self._market()
        feed, age = str(await self._ask(market, "feed")), int(await self._ask(market, "maxAge"))
        number, answer, started, updated, answered = await self._feed(feed, "latestRoundData")
        decimals = int(await self._feed(feed, "decimals"))
        whole = (decimals == int(await self._ask(market, "feedDecimals"))) and started and updated
        usable = bool(whole and answered >= number and head.time - age <= updated <= head.time)
        price = PriceE8(divide_up(int(answer) * 10**PRICE_DECIMALS, 10**decimals))
        return Quote(price, usable and price > 0, head.time)

    async def held(self, vault: str, at: int) -> Held:
        """What a vault has at the market in a block."""
        size, cash = await self._ask(await self._market(), "positions", vault, at=at)
        return Held(SizeE8(size), MicroUsdc(cash))

    async def filled(self, vault: str, order: str, at: int) -> Filled | None:
        """How an order was carried out by a block; None when it was not."""
        size, price, when = await self._ask(await self._market(), "fills", vault, bytes.fromhex(order), at=at)
        return Filled(SizeE8(size), PriceE8(price)) if when else None

    async def fills(self, vault: str, first: int, last: int) -> list[GoldFill]:
        """Everything that changed a vault's position in some blocks, in order."""
        found = []
        for name, event, at in await self._events(vault, _FILLS, first, last):
            if change := _change(event):
                order = event.args["id"].hex() if event.name == "OrderFilled" else ""
                found.append(GoldFill(name, order, change, event.args["price"], at))
        return found

    async def losses_borne(self, vault: str, first: int, last: int) -> list[LossBorne]:
        """What others have paid for a vault in some blocks, in order. A fill that closes a position tells its whole loss."""
        told = await self._events(vault, _LOSSES, first, last)
        return [LossBorne(name, MicroUsdc(event.args["amount"]), at) for name, event, at in told]

    async def _events(
        self, vault: str, kinds: Sequence[bytes], first: int, last: int
    ) -> list[tuple[str, Event, int]]:
        """The market's events about a vault, each with its id and the time of its block in seconds."""
        market = await self._market()
        topics = [["0x" + keccak(one).hex() for one in kinds], "0x" + vault[2:].lower().rjust(64, "0")]
        blocks: dict[int, Block] = {}
        found = []
        for log in await self._node.logs(market, topics, first, last):
            number = int(log["blockNumber"], 16)
            if number not in blocks:
                blocks[number] = await self._node.block(number)
            event = load("AdapterMockGold").event(market, *_words(log))
            assert event is not None
            name = f"{log['transactionHash']}-{int(log['logIndex'], 16)}"
            found.append((name, event, blocks[number].time))
        return found

    async def _market(self) -> str:
        """The newest: who asks for what is long past may have a node that has forgotten what was called how then."""
        venue, _, _, _ = await self._call(self._router, "Router", "adapters", id32(MOCK_GOLD), at=LATEST)
        if not int(venue, 16):
            raise ChainUnavailable("the router has no gold market")
        return str(venue)

    async def _ask(self, market: str, function: str, *args: Any, at: int | str = LATEST) -> Any:
        return await self._call(market, "AdapterMockGold", function, *args, at=at)

    async def _feed(self, feed: str, function: str) -> Any:
        return await self._call(feed, "TestFeed", function, at=LATEST)

    async def _call(self, to: str, contract: str, function: str, *args: Any, at: int | str) -> Any:
        """What a view answers. That there is no contract, or another one, is no answer."""
        interface = load(contract)
        data = await self._node.call(to, interface.call(function, *args), at=at)
        try:
            return interface.answer(function, data)
        except DecodingError as error:
            raise ChainUnavailable(f"{to} does not answer as {contract} does") from error


def _words(log: Any) -> tuple[list[bytes], bytes]:
    return [bytes.fromhex(topic[2:]) for topic in log["topics"]], bytes.fromhex(log["data"][2:])


def _change(event: Event) -> SizeE8:
    """By how much a position moved; what was left or closed is told as it was before."""
    return SizeE8(event.args["size"] if event.name == "OrderFilled" else -event.args["size"])
