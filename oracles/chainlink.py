"""Chainlink's price feeds on an EVM chain, read with web3: the rounds of one block, checked before any is a price.

An aggregator publishes when the price has moved by its threshold and at the latest once per heartbeat, so a good round may be old.
A node that stands still would go unnoticed for that long: its newest block is looked at first.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
from eth_utils.address import to_checksum_address
from web3 import AsyncWeb3
from web3.contract import AsyncContract
from web3.exceptions import BadFunctionCallOutput, ContractLogicError, Web3Exception

from core.quantities import SECOND, Nanos, Ppm
from oracles.evm import HttpxProvider
from oracles.index import AHEAD_MAX
from oracles.polling import SourceFailed
from oracles.price import EXPONENT_LIMIT, Price
from oracles.refusal import Reason, Refused
from oracles.route import MINUTE, Ages, Limits

SOURCE: Final = "chainlink"
EVERY_S: Final = 10.0
"""About a block of Ethereum: nothing new can be there sooner."""
HEAD_AGE_MAX: Final = Nanos(3 * MINUTE)
LATE_MAX: Final = Nanos(5 * MINUTE)
"""How much later than its heartbeat a round may land on a congested chain."""


def _view(name: str, *returned: str) -> dict[str, Any]:
    outputs = [{"name": "", "type": kind} for kind in returned]
    return {"name": name, "type": "function", "stateMutability": "view", "inputs": [], "outputs": outputs}


AGGREGATOR: Final = (
    _view("decimals", "uint8"),
    _view("description", "string"),
    _view("latestRoundData", "uint80", "int256", "uint256", "uint256", "uint80"),
)
"""What is called of AggregatorV3Interface."""


@dataclass(frozen=True, slots=True)
class Aggregator:
    """Where a market's feed is, what it says it prices (such as ``"BTC / USD"``), and its heartbeat in seconds."""

    address: str
    description: str
    heartbeat_s: int


MAINNET: Final = {
    "BTC-PERP": Aggregator("0xF4030086522a5bEEa4988F8cA5B36dbC97BeE88c", "BTC / USD", 3_600),
    "ETH-PERP": Aggregator("0x5f4eC3Df9cbd43714FE2740f5E3616155c5b8419", "ETH / USD", 3_600),
    "SOL-PERP": Aggregator("0x4ffC43a60e009B551865A93d232E33Fce9f01507", "SOL / USD", 86_400),
}
"""Chainlink's feeds on Ethereum. Each is asked what it prices before it is believed."""
XAU_USD: Final = Aggregator("0x214eD9Da11D2fbe465a6fc601a91E62EbEc1a0D6", "XAU / USD", 86_400)
"""Gold's there, which is no market of this exchange's."""


@dataclass(frozen=True, slots=True)
class Round:
    """The answer of `latestRoundData`; times are seconds since the epoch."""

    number: int
    answer: int
    started_at: int
    updated_at: int
    answered_in: int


def checked(before: Round | None, now: Round, heartbeat_s: int) -> Round:
    """`now`, if it is a whole round that may follow `before`, the last one that was checked. Raises `Refused`.

    Neither time nor number goes back, but a number that a node made up once must not make every honest round after it look old for
    ever: it counts for a heartbeat, in which the feed would have gone on.
    """
    if now.updated_at <= 0 or now.started_at <= 0:
        raise Refused(Reason.ROUND_INCOMPLETE, f"round {now.number} has no answer yet")
    if now.updated_at < now.started_at:
        raise Refused(Reason.OUT_OF_RANGE, f"round {now.number} ended before it began")
    if now.answered_in < now.number:
        raise Refused(
            Reason.CARRIED_OVER, f"round {now.number} repeats the answer of round {now.answered_in}"
        )
    if now.answer <= 0:
        raise Refused(Reason.OUT_OF_RANGE, f"round {now.number} answers {now.answer}")
    if before is None:
        return now
    follows = now.number >= before.number or now.updated_at > before.updated_at + heartbeat_s
    if not follows or now.updated_at < before.updated_at:
        raise Refused(Reason.WENT_BACK, f"round {now.number} at {now.updated_at} after {before.number}")
    if now.number == before.number and now != before:
        raise Refused(Reason.CONTRADICTS, f"round {now.number} was {before.answer} and is {now.answer}")
    return now


def to_price(symbol: str, round_: Round, decimals: int) -> Price:
    """A checked round as a price. Raises `Refused` for a scale that no price has."""
    if decimals > EXPONENT_LIMIT:
        raise Refused(Reason.OUT_OF_RANGE, f"{decimals} decimals")
    return Price(symbol, round_.answer, -decimals, 0, Nanos(round_.updated_at * SECOND), SOURCE)


class Chainlink:
    """Prices of `aggregators` (by symbol) from the node at `url`. The client is the caller's; `clock` is nanoseconds."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        aggregators: Mapping[str, Aggregator],
        clock: Callable[[], int],
        rounds: dict[str, Round] | None = None,
    ) -> None:
        """`rounds` are the last ones that were checked, by address: whoever follows another client goes on from them."""
        self._host = httpx.URL(url).host
        self._web3 = AsyncWeb3(HttpxProvider(client, url), middleware=[])
        self._aggregators = dict(aggregators)
        self._contracts = {
            symbol: self._web3.eth.contract(to_checksum_address(one.address), abi=list(AGGREGATOR))
            for symbol, one in aggregators.items()
        }
        self._clock = clock
        self._decimals: dict[str, int] = {}
        self._rounds = {} if rounds is None else rounds

    @property
    def label(self) -> str:
        return f"Chainlink ({self._host})"

    @property
    def every_s(self) -> float:
        return EVERY_S

    def limits(self, symbol: str) -> Limits | None:
        """A price is believed for its heartbeat and a little; a heartbeat more, and the feed is dead."""
        if symbol not in self._aggregators:
            return None
        beat = self._aggregators[symbol].heartbeat_s * SECOND
        ages = Ages(Nanos(beat + LATE_MAX), Nanos(beat + LATE_MAX), Nanos(2 * beat + LATE_MAX))
        return Limits(SOURCE, "chainlink", ages, Ppm(0))

    async def latest(self) -> dict[str, Price | Refused]:
        """The price of every feed as of one block, or the reason against it. Raises `SourceFailed`."""
        try:
            head = await self._head()
            return {symbol: await self._price(symbol, *head) for symbol in self._contracts}
        except (Web3Exception, ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
            # web3 decodes what a node says with whatever error its shape leads to.
            raise SourceFailed("nonsense", f"The node's answer is no answer: {error!r}") from error

    async def _head(self) -> tuple[int, int]:
        """Number and second of the newest block, if it is of now."""
        head = await self._web3.eth.get_block("latest")
        now, second = self._clock(), int(head["timestamp"])
        at = second * SECOND
        if now - at > HEAD_AGE_MAX:
            raise SourceFailed("behind", f"The node stands at a block {(now - at) // SECOND} s old.")
        if at - now > AHEAD_MAX:
            raise SourceFailed("ahead", f"The node's block is {(at - now) // SECOND} s in the future.")
        return int(head["number"]), second

    async def _price(self, symbol: str, block: int, block_at: int) -> Price | Refused:
        contract = self._contracts[symbol]
        try:
            if symbol not in self._decimals:
                self._decimals[symbol] = await self._scale(symbol, contract, block)
            answer = await _call(contract, "latestRoundData", block)
            now = Round(*answer)
            if now.updated_at > block_at:
                # Remembered, it would make every honest round after it look old.
                raise Refused(Reason.OUT_OF_RANGE, f"round {now.number} ended after the block it is in")
            feed = self._aggregators[symbol]
            believed = checked(self._rounds.get(feed.address), now, feed.heartbeat_s)
            self._rounds[feed.address] = believed
            return to_price(symbol, believed, self._decimals[symbol])
        except Refused as error:
            return error
        except (ContractLogicError, BadFunctionCallOutput) as error:
            # The node answered: it is this address that is no aggregator, and the other feeds may be good.
            return Refused(Reason.WRONG_ACCOUNT, f"{contract.address}: {error}")

    async def _scale(self, symbol: str, contract: AsyncContract, block: int) -> int:
        """The feed's decimals, once it has said that it is the feed meant."""
        described = await _call(contract, "description", block)
        expected = self._aggregators[symbol].description
        if described != expected:
            raise Refused(Reason.WRONG_FEED, f"{contract.address} prices {described!r}, not {expected!r}")
        return int(await _call(contract, "decimals", block))


async def _call(contract: AsyncContract, name: str, block: int) -> Any:
    """A view at a block. Never follows a node to a third address: EIP-3668 look-ups stay off."""
    return await contract.functions[name]().call(block_identifier=block, ccip_read_enabled=False)
