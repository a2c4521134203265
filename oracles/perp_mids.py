"""Mids of the same perps at an outside venue: Hyperliquid's `allMids`, asked again and again.

The answer states no time, so each mid is dated by when it last changed: one that is stuck ages like one that is missing, whatever the
others do. The mid of a market that trades moves several times in the ten seconds for which it counts in full.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Final

import httpx
import msgspec

from core.quantities import Nanos, Ppm
from oracles.asking import posted
from oracles.polling import SourceFailed
from oracles.price import EXPONENT_LIMIT, Price
from oracles.refusal import Reason, Refused
from oracles.route import LIVE_AGES, Limits

SOURCE: Final = "hyperliquid mid"
PUBLIC_URL: Final = "https://api.hyperliquid.xyz"
PUBLISHER: Final = "hyperliquid"
EVERY_S: Final = 2.0
_DIGITS_MAX: Final = 40


class HyperliquidMids:
    """Mids of `coins` (symbol to the venue's name of the coin). The client is the caller's; `clock` dates the answers."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        coins: Mapping[str, str],
        clock: Callable[[], int],
        url: str = PUBLIC_URL,
    ) -> None:
        self._client = client
        self._coins = dict(coins)
        self._clock = clock
        self._url = url.rstrip("/")
        self._seen: dict[str, tuple[str | None, Nanos]] = {}

    @property
    def label(self) -> str:
        return f"Hyperliquid mids ({httpx.URL(self._url).host})"

    @property
    def every_s(self) -> float:
        return EVERY_S

    def limits(self, symbol: str) -> Limits | None:
        if symbol not in self._coins:
            return None
        return Limits(SOURCE, PUBLISHER, LIVE_AGES, Ppm(0), witness=True)

    async def latest(self, timeout_s: float = 5.0) -> dict[str, Price | Refused]:
        """The mid of every coin, or the reason against it. Raises `SourceFailed`."""
        asked = Nanos(self._clock())  # the answer is of later: a mid is never dated newer than it is
        mids = await self._ask(timeout_s)
        for coin in self._coins.values():
            mid = mids.get(coin)
            if coin not in self._seen or self._seen[coin][0] != mid:
                self._seen[coin] = mid, asked
        return {symbol: _price(symbol, coin, *self._seen[coin]) for symbol, coin in self._coins.items()}

    async def _ask(self, timeout_s: float) -> dict[str, str]:
        body = await posted(
            self._client, f"{self._url}/info", "Hyperliquid", timeout_s, json={"type": "allMids"}
        )
        try:
            return msgspec.json.decode(body, type=dict[str, str])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise SourceFailed("wrong_encoding", f"Hyperliquid answered no mids: {error}") from error


def _price(symbol: str, coin: str, text: str | None, at: Nanos) -> Price | Refused:
    if text is None:
        return Refused(Reason.WRONG_FEED, f"no mid of {coin}")
    try:
        value, exponent = _parsed(text)
    except (InvalidOperation, ValueError):
        return Refused(Reason.WRONG_ENCODING, f"the mid of {coin} is {text[:50]!r}")
    if value <= 0:
        return Refused(Reason.OUT_OF_RANGE, f"the mid of {coin} is {text}")
    return Price(symbol, value, exponent, 0, at, SOURCE)


def _parsed(text: str) -> tuple[int, int]:
    """A decimal string, exactly, as an integer and the power of ten it counts."""
    number = Decimal(text) if len(text) <= _DIGITS_MAX else Decimal("NaN")
    _, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int) or abs(exponent) > EXPONENT_LIMIT:
        raise ValueError(text)
    value = int("".join(map(str, digits)))
    return (-value if number.is_signed() else value), exponent
