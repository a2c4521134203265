"""A batch of orders as the router takes it, and what came of each order as its events tell it.

Sizes are 1e-8 ounces (positive: bought), prices 1e-8 US dollars, cash is micro-USDC. The bytes are those of `abi.encode(Batch)`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from eth_abi.abi import decode, encode

from chain.evm.abi import ContractError, Event, error_of, load
from core.quantities import MicroUsdc
from core.tickets import PriceE8, SizeE8

_BATCH: Final = "(bytes32,uint64,bool,(bytes32,address,uint128,bytes)[])"
_GOLD_ORDER: Final = "(bytes32,int128,uint64,uint128)"
NO_CASH: Final = MicroUsdc(0)
ANY_PRICE_TO_BUY: Final = PriceE8(2**64 - 1)
ANY_PRICE_TO_SELL: Final = PriceE8(0)
EVERYTHING: Final = MicroUsdc(2**128 - 1)
"""As `cash_out`: whatever need not stay with the position."""
MOCK_GOLD: Final = "mock_gold"


@dataclass(frozen=True, slots=True)
class GoldOrder:
    """An order at the gold market. `limit_price` is the worst price; a size of zero moves cash only."""

    id: bytes
    size: SizeE8
    limit_price: PriceE8
    cash_out: MicroUsdc = NO_CASH

    def encoded(self) -> bytes:
        return encode([_GOLD_ORDER], [(self.id, self.size, self.limit_price, self.cash_out)])


@dataclass(frozen=True, slots=True)
class Leg:
    """One order of one vault. `cash_in` goes from the vault's account to the adapter first."""

    adapter: str
    vault: str
    cash_in: MicroUsdc
    order: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction carries out: all legs or none if `atomic`, else each for itself; at most once, and not after `deadline`
    (seconds since 1970)."""

    id: bytes
    deadline: int
    atomic: bool
    legs: tuple[Leg, ...]

    def encoded(self) -> bytes:
        legs = [(id32(leg.adapter), leg.vault, leg.cash_in, leg.order) for leg in self.legs]
        return encode([_BATCH], [(self.id, self.deadline, self.atomic, legs)])

    def call_data(self) -> bytes:
        """What the transaction to the router carries."""
        return load("Router").call("executeMulti", self.encoded())


@dataclass(frozen=True, slots=True)
class LegDone:
    """The order was carried out. `price` is the adapter's, zero when only cash was moved."""

    index: int
    vault: str
    cash_in: MicroUsdc
    cash_out: MicroUsdc
    price: PriceE8


@dataclass(frozen=True, slots=True)
class LegRefused:
    """Nothing of the order happened, and why."""

    index: int
    vault: str
    reason: ContractError


LegOutcome = LegDone | LegRefused


def decoded(data: bytes) -> Batch:
    """The batch that `data` encodes. Raises eth_abi's `DecodingError`."""
    ((batch_id, deadline, atomic, legs),) = decode([_BATCH], data)
    return Batch(
        batch_id,
        deadline,
        atomic,
        tuple(
            Leg(adapter.rstrip(b"\0").decode(), vault, MicroUsdc(cash), order)
            for adapter, vault, cash, order in legs
        ),
    )


def outcomes(batch: Batch, events: Iterable[Event]) -> list[LegOutcome]:
    """What came of each leg, in order, from the events of the transaction that carried `batch` out.

    Raises `ValueError` when the events are not those of this batch: a leg without an outcome must never be taken for one.
    """
    found: dict[int, LegOutcome] = {}
    for event in events:
        if event.name in ("LegExecuted", "LegFailed") and event.args["batch"] == batch.id:
            outcome = _outcome(event)
            found[outcome.index] = outcome
    if sorted(found) != list(range(len(batch.legs))):
        raise ValueError(f"the events tell of legs {sorted(found)}, the batch has {len(batch.legs)}")
    return [found[index] for index in range(len(batch.legs))]


def reason(data: bytes) -> ContractError:
    """Why a leg or a batch was undone; of an atomic batch, the error names the leg and carries its own."""
    contracts = [load(name) for name in ("Router", "VaultAccount", "AdapterMockGold", "TestUsd")]
    error = error_of(data, contracts)
    if error.name != "LegReverted" or not error.args:
        return error
    index, inner = error.args
    return ContractError(error.name, (index, error_of(inner, contracts)))


def gas_for(legs: Sequence[Leg], leg_gas: int) -> int:
    """Gas that is enough for the router to give each leg the `leg_gas` that its adapter is registered with.

    What is not used is not paid. Too little would undo the whole batch, not single legs.
    """
    return _BATCH_GAS + sum(_gas_of(leg, leg_gas) for leg in legs)


def most_legs(leg: Leg, leg_gas: int, block_gas: int) -> int:
    """How many legs like this one fit one transaction by `gas_for`, in blocks of `block_gas`; rounded down."""
    return max(0, min(MOST_GAS, block_gas - block_gas // 8) - _BATCH_GAS) // _gas_of(leg, leg_gas)


def _gas_of(leg: Leg, leg_gas: int) -> int:
    return leg_gas + leg_gas // 63 + _LEG_GAS + (len(leg.order) + 160) * _BYTE_GAS


MOST_GAS: Final = 2**24
"""What a transaction may be given on Ethereum (EIP-7825); nodes take none that is given more. Of a block that is smaller an eighth is
left: until a batch's deadline, 75 blocks later, its limit can fall by 75/1024."""
_BATCH_GAS: Final = 150_000
_LEG_GAS: Final = 25_000
_BYTE_GAS: Final = 40
"""The dearest that a byte of calldata is on any chain's rules today."""


def _outcome(event: Event) -> LegOutcome:
    args: Any = event.args
    if event.name == "LegFailed":
        return LegRefused(args["index"], args["vault"], reason(args["reason"]))
    price = int.from_bytes(args["result"][:32])
    return LegDone(
        args["index"],
        args["vault"],
        MicroUsdc(args["cashIn"]),
        MicroUsdc(args["cashOut"]),
        PriceE8(price),
    )


def id32(name: str) -> bytes:
    """The word under which an adapter is registered."""
    return name.encode("ascii").ljust(32, b"\0")
