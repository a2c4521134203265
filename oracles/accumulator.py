"""Pyth's price updates: messages, a Merkle proof for each, and one signed root for all.

Bytes (big-endian): ``PNAU``, major 1, minor, extra header, kind 0, the signed root as a length-prefixed message, then a count of
(message, proof) pairs. What follows the last pair is not read: nothing vouches for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from core.quantities import SECOND, Nanos
from oracles.price import EXPONENT_LIMIT, Price
from oracles.reader import Reader
from oracles.refusal import Reason, Refused
from oracles.vaa import SignerSet, Vaa, check_signatures, keccak256, parse_vaa

MAGIC: Final = b"PNAU"
_MAJOR: Final = 1
_MERKLE: Final = 0
_ROOT_MAGIC: Final = b"AUWV"
_NODE_BYTES: Final = 20
_PRICE_FEED: Final = 0
_SECONDS_MAX: Final = 1 << 33
"""Far beyond any clock, and still a small number of nanoseconds."""


@dataclass(frozen=True, slots=True)
class PriceMessage:
    """A feed's price as signed: `price` and `confidence` times ``10**exponent``, times in seconds since the epoch."""

    feed: str
    price: int
    confidence: int
    exponent: int
    publish_time: int
    previous_publish_time: int
    ema_price: int
    ema_confidence: int


@dataclass(frozen=True, slots=True)
class Update:
    """A verified update. `others` counts proven messages that are no prices (time-weighted averages, stake caps)."""

    slot: int
    sequence: int
    prices: tuple[PriceMessage, ...]
    others: int


@dataclass(frozen=True, slots=True)
class _Parts:
    vaa: Vaa
    leaves: tuple[tuple[bytes, tuple[bytes, ...]], ...]


def verify(data: bytes, trusted: Sequence[SignerSet]) -> Update:
    """Everything an update proves. Raises `Refused` when any part of it is not proven by a trusted signer set."""
    parts = _parse(data)
    check_signatures(parts.vaa, _signers_of(parts.vaa, trusted))
    slot, root = _root(parts.vaa.payload)
    prices = []
    for message, proof in parts.leaves:
        if not _is_leaf(root, message, proof):
            raise Refused(Reason.WRONG_PROOF, f"message {message[:33].hex()}")
        if message[:1] == bytes([_PRICE_FEED]):
            prices.append(_price_message(message))
    return Update(slot, parts.vaa.sequence, tuple(prices), len(parts.leaves) - len(prices))


def _parse(data: bytes) -> _Parts:
    reader = Reader(data)
    if reader.take(4) != MAGIC:
        raise Refused(Reason.WRONG_MAGIC, f"{data[:4].hex()} is no price update")
    major = reader.unsigned(1)
    reader.take(1)  # minor versions only add what an older reader may ignore
    if major != _MAJOR:
        raise Refused(Reason.UNSUPPORTED_VERSION, f"update version {major}")
    reader.take(reader.unsigned(1))
    kind = reader.unsigned(1)
    if kind != _MERKLE:
        raise Refused(Reason.UNSUPPORTED_VERSION, f"update kind {kind}")
    vaa = parse_vaa(reader.take(reader.unsigned(2)))
    leaves = []
    for _ in range(reader.unsigned(1)):
        message = reader.take(reader.unsigned(2))
        leaves.append((message, tuple(reader.take(_NODE_BYTES) for _ in range(reader.unsigned(1)))))
    return _Parts(vaa, tuple(leaves))


def _signers_of(vaa: Vaa, trusted: Sequence[SignerSet]) -> SignerSet:
    of_emitter = [
        one
        for one in trusted
        if (one.emitter_chain, one.emitter_address) == (vaa.emitter_chain, vaa.emitter_address)
    ]
    if not of_emitter:
        raise Refused(Reason.UNKNOWN_EMITTER, f"{vaa.emitter_chain}/{vaa.emitter_address.hex()}")
    for one in of_emitter:
        if one.index == vaa.signer_set:
            return one
    known = ", ".join(str(one.index) for one in of_emitter)
    raise Refused(Reason.UNKNOWN_SIGNER_SET, f"signed by set {vaa.signer_set}, trusted: {known}")


def _root(payload: bytes) -> tuple[int, bytes]:
    reader = Reader(payload)
    if reader.take(4) != _ROOT_MAGIC or reader.unsigned(1) != _MERKLE:
        raise Refused(Reason.WRONG_PAYLOAD, f"{payload[:5].hex()} is no root of prices")
    slot = reader.unsigned(8)
    reader.take(4)  # ring size: how long Pythnet keeps the tree
    return slot, reader.take(_NODE_BYTES)


def _is_leaf(root: bytes, message: bytes, proof: tuple[bytes, ...]) -> bool:
    """Leaves and nodes are hashed with different prefixes, so neither passes for the other; siblings go in byte order."""
    node = keccak256(b"\0" + message)[:_NODE_BYTES]
    for sibling in proof:
        left, right = sorted((node, sibling))
        node = keccak256(b"\1" + left + right)[:_NODE_BYTES]
    return node == root


def _price_message(message: bytes) -> PriceMessage:
    reader = Reader(message)
    reader.take(1)
    return PriceMessage(
        feed=reader.take(32).hex(),
        price=reader.signed(8),
        confidence=reader.unsigned(8),
        exponent=reader.signed(4),
        publish_time=reader.signed(8),
        previous_publish_time=reader.signed(8),
        ema_price=reader.signed(8),
        ema_confidence=reader.unsigned(8),
    )


def to_price(symbol: str, message: PriceMessage, source: str) -> Price:
    """A message as a price of `symbol`. Raises `Refused` for a scale or a time that no price has."""
    if abs(message.exponent) > EXPONENT_LIMIT or not 0 < message.publish_time < _SECONDS_MAX:
        raise Refused(Reason.OUT_OF_RANGE, f"exponent {message.exponent}, published {message.publish_time}")
    published_at = Nanos(message.publish_time * SECOND)
    return Price(symbol, message.price, message.exponent, message.confidence, published_at, source)
