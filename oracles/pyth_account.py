"""Pyth prices as they lie in Solana accounts: updates that Pyth's receiver program verified, and the older price accounts.

Who owns an account decides who can have written it, so the owner is checked before a byte is read.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct
from struct import error as StructError
from typing import Final

import httpx
import msgspec
from solders.pubkey import Pubkey

from oracles.accumulator import PriceMessage, to_price
from oracles.asking import posted
from oracles.polling import SourceFailed
from oracles.price import EXPONENT_LIMIT, Price
from oracles.refusal import Reason, Refused
from oracles.route import LIVE_AGES, LIVE_CONFIDENCE_MAX, Limits
from oracles.signers import PUBLISHER

SOURCE: Final = "pyth account"
LEGACY_SOURCE: Final = "pyth price account"
EVERY_S: Final = 2.0
RECEIVER: Final = Pubkey.from_string("rec5EKMGg6MxZYaMdyBfgwp4d5rB9T1VQH5pJv5LtFJ")
"""Pyth's receiver program: checks signatures and proofs, then writes the update."""
PUSH_ORACLE: Final = Pubkey.from_string("pythWSnswVUd12oZpeFP8e9CVaEqJg25g1Vtc2biRsT")
LEGACY_ORACLE: Final = Pubkey.from_string("FsJ3A3u2vn5cTVofAjvy6y5kwABJAqYWpe4975bi2epH")
DISCRIMINATOR: Final = sha256(b"account:PriceUpdateV2").digest()[:8]
_FULL: Final = 1
_MESSAGE: Final = Struct("<32sqQiqqqQQ")
_LEGACY_HEADER: Final = Struct("<IIII")
_LEGACY_MAGIC: Final = 0xA1B2C3D4
_LEGACY_VERSION: Final = 2
_LEGACY_PRICE: Final = 3
_LEGACY_EXPONENT: Final = slice(20, 24)


@dataclass(frozen=True, slots=True)
class PriceUpdate:
    """A `PriceUpdateV2` account: the signed message, and the slot in which it was posted."""

    message: PriceMessage
    posted_slot: int


@dataclass(frozen=True, slots=True)
class UpdateAt:
    """Where a feed's updates are posted."""

    address: Pubkey
    feed: str
    owner: Pubkey = RECEIVER


@dataclass(frozen=True, slots=True)
class PriceAccountAt:
    """An older price account. It does not name its feed, so the address stands for it."""

    address: Pubkey
    owner: Pubkey = LEGACY_ORACLE


def sponsored_address(feed: str, shard: int = 0, program: Pubkey = PUSH_ORACLE) -> Pubkey:
    """The address where sponsors keep a feed (hexadecimal id) up to date."""
    return Pubkey.find_program_address([shard.to_bytes(2, "little"), bytes.fromhex(feed)], program)[0]


def parse_price_update(data: bytes) -> PriceUpdate:
    """Read a `PriceUpdateV2` account. Raises `Refused`, also when fewer than a quorum of signatures had been checked."""
    if data[:8] != DISCRIMINATOR:
        raise Refused(Reason.WRONG_ACCOUNT, f"discriminator {data[:8].hex()}")
    if len(data) < 41:
        raise Refused(Reason.TRUNCATED, f"{len(data)} bytes")
    if data[40] != _FULL:
        raise Refused(Reason.NOT_FULLY_VERIFIED, f"verification level {data[40]}")
    try:
        feed, *numbers, slot = _MESSAGE.unpack_from(data, 41)
    except StructError as error:
        raise Refused(Reason.TRUNCATED, str(error)) from None
    price, confidence, exponent, published, previous, ema, ema_confidence = numbers
    message = PriceMessage(feed.hex(), price, confidence, exponent, published, previous, ema, ema_confidence)
    return PriceUpdate(message, slot)


def parse_price_account(symbol: str, data: bytes, slot: int) -> Price:
    """Read an older price account as of `slot`. Raises `Refused`, also when its price is not trading or too many slots old."""
    if len(data) < _LEGACY_HEADER.size:
        raise Refused(Reason.TRUNCATED, f"{len(data)} bytes")
    magic, version, kind, size = _LEGACY_HEADER.unpack_from(data)
    if (magic, version, kind) != (_LEGACY_MAGIC, _LEGACY_VERSION, _LEGACY_PRICE):
        raise Refused(Reason.WRONG_ACCOUNT, f"magic {magic:08x}, version {version}, type {kind}")
    if not _LEGACY_HEADER.size + 8 <= size <= len(data):
        raise Refused(Reason.TRUNCATED, f"{len(data)} of {size} bytes")
    exponent = int.from_bytes(data[_LEGACY_EXPONENT], "little", signed=True)
    if abs(exponent) > EXPONENT_LIMIT:  # before the parser computes powers of it
        raise Refused(Reason.OUT_OF_RANGE, f"exponent {exponent}")
    # Here, because it brings an HTTP client and a logger of its own, and only who reads such accounts needs it.
    from pythclient.pythaccounts import PythPriceAccount, PythPriceStatus
    from pythclient.solana import SolanaPublicKey

    account = PythPriceAccount(SolanaPublicKey(str(Pubkey.default())), None)
    try:
        account.update_from(data[:size], version=version, offset=_LEGACY_HEADER.size)
    except (StructError, ValueError, OverflowError) as error:
        raise Refused(Reason.WRONG_ACCOUNT, str(error)) from None
    status = account.get_aggregate_price_status_with_slot(slot)
    if status is not PythPriceStatus.TRADING:
        raise Refused(Reason.NOT_TRADING, f"status {status} at slot {slot}")
    info = account.aggregate_price_info
    return to_price(
        symbol,
        PriceMessage(
            feed="",
            price=info.raw_price,
            confidence=info.raw_confidence_interval,
            exponent=account.exponent,
            publish_time=account.timestamp,
            previous_publish_time=account.prev_timestamp,
            ema_price=0,
            ema_confidence=0,
        ),
        LEGACY_SOURCE,
    )


class AccountsUnavailable(SourceFailed):
    """The node answered with nonsense: nothing is known."""

    def __init__(self, sentence: str) -> None:
        super().__init__("accounts_unavailable", sentence)


class _Account(msgspec.Struct, frozen=True):
    owner: str
    data: tuple[str, str]


class _Context(msgspec.Struct, frozen=True):
    slot: int


class _Result(msgspec.Struct, frozen=True):
    context: _Context
    value: list[_Account | None]


class _Answer(msgspec.Struct, frozen=True):
    result: _Result


class PythAccounts:
    """Prices of `places` (by symbol), all read in one call of one slot from the node at `url`."""

    def __init__(
        self, client: httpx.AsyncClient, url: str, places: Mapping[str, UpdateAt | PriceAccountAt]
    ) -> None:
        self._client = client
        self._url = url
        self._places = dict(places)

    @classmethod
    def of(
        cls, client: httpx.AsyncClient, url: str, feeds: Mapping[str, str], older: Mapping[str, str]
    ) -> "PythAccounts":
        """The accounts that sponsors keep for `feeds` (symbol to feed id), but price accounts of `older` (symbol to address) where it
        names one. Raises `ValueError` for what is no address.
        """
        places: dict[str, UpdateAt | PriceAccountAt] = {
            symbol: PriceAccountAt(Pubkey.from_string(older[symbol]))
            if symbol in older
            else UpdateAt(sponsored_address(feed), feed)
            for symbol, feed in feeds.items()
        }
        return cls(client, url, places)

    @property
    def label(self) -> str:
        return f"Pyth accounts ({httpx.URL(self._url).host})"

    @property
    def every_s(self) -> float:
        return EVERY_S

    def limits(self, symbol: str) -> Limits | None:
        place = self._places.get(symbol)
        if place is None:
            return None
        source = LEGACY_SOURCE if isinstance(place, PriceAccountAt) else SOURCE
        return Limits(source, PUBLISHER, LIVE_AGES, LIVE_CONFIDENCE_MAX)

    async def latest(self, timeout_s: float = 5.0) -> dict[str, Price | Refused]:
        """A price or the reason against it, for every symbol. Raises `SourceFailed`."""
        result = await self._ask(timeout_s)
        if len(result.value) != len(self._places):
            raise AccountsUnavailable(f"{len(result.value)} accounts for {len(self._places)} addresses")
        return {
            symbol: _read(symbol, place, account, result.context.slot)
            for (symbol, place), account in zip(self._places.items(), result.value, strict=True)
        }

    async def _ask(self, timeout_s: float) -> _Result:
        addresses = [str(place.address) for place in self._places.values()]
        options = {"encoding": "base64", "commitment": "confirmed"}
        request = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "getMultipleAccounts",
            "params": [addresses, options],
        }
        body = await posted(self._client, self._url, "The node", timeout_s, json=request)
        try:
            return msgspec.json.decode(body, type=_Answer).result
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise AccountsUnavailable(f"the node answered {body[:200]!r}: {error}") from error


def _read(
    symbol: str, place: UpdateAt | PriceAccountAt, account: _Account | None, slot: int
) -> Price | Refused:
    try:
        if account is None:
            raise Refused(Reason.WRONG_ACCOUNT, f"there is no account {place.address}")
        if account.owner != str(place.owner):
            raise Refused(Reason.WRONG_OWNER, f"{place.address} belongs to {account.owner}")
        data = _bytes_of(account)
        if isinstance(place, PriceAccountAt):
            return parse_price_account(symbol, data, slot)
        message = parse_price_update(data).message
        if message.feed != place.feed:
            raise Refused(Reason.WRONG_FEED, f"{place.address} holds feed {message.feed}")
        return to_price(symbol, message, SOURCE)
    except Refused as error:
        return error


def _bytes_of(account: _Account) -> bytes:
    text, encoding = account.data
    if encoding != "base64":
        raise Refused(Reason.WRONG_ENCODING, f"encoding {encoding!r}")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(Reason.WRONG_ENCODING, str(error)) from None
