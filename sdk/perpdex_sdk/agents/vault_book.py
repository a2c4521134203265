"""What a vault has and has asked for, as its numbered events say it."""

from collections import Counter
from decimal import Decimal

from perpdex_sdk.desk_answers import VaultEvent, VenuePositions

ENDED = frozenset({"filled", "cancelled", "rejected", "refused", "not_sent"})

Positions = dict[str, dict[str, Decimal]]


class VaultBook:
    """Begins with the positions as of an event and goes on by fills alone.

    Positions that the exchange tells besides are only compared: `mismatches` counts those that were others.
    """

    def __init__(self, begin: VenuePositions) -> None:
        self.head = begin.head
        self.mismatches = 0
        self._held = _sizes(begin.positions)
        self._under_way: dict[str, tuple[str, str]] = {}
        self._ended: Counter[tuple[str, str]] = Counter()

    def position(self, venue: str, symbol: str) -> Decimal:
        """Signed size."""
        return self._held.get(venue, {}).get(symbol, Decimal(0))

    @property
    def positions(self) -> dict[str, dict[str, str]]:
        """As the exchange writes them, without closed ones."""
        return {
            venue: {symbol: format(size.normalize(), "f") for symbol, size in symbols.items()}
            for venue, symbols in _open(self._held).items()
        }

    @property
    def orders(self) -> dict[str, dict[str, int]]:
        """How many stand how, by venue, of those that moved since the book began."""
        found: dict[str, dict[str, int]] = {}
        for (venue, status), count in sorted((self._ended + Counter(self._under_way.values())).items()):
            found.setdefault(venue, {})[status] = count
        return found

    def take(self, event: VaultEvent) -> None:
        """The event after the last one."""
        data = event.data
        match event.kind:
            case "order":
                self._under_way.pop(data["client_id"], None)
                if data["status"] in ENDED:
                    self._ended[data["venue"], data["status"]] += 1
                else:
                    self._under_way[data["client_id"]] = data["venue"], data["status"]
            case "fill":
                size = Decimal(data["size"])
                self._move(data["venue"], data["symbol"], size if data["side"] == "buy" else -size)
            case "difference":
                change = Decimal(data["theirs"]) - Decimal(data["ours"])
                self._move(data["venue"], data["symbol"], change)
            case "position":
                self.mismatches += _open(_sizes(data)) != _open(self._held)
        self.head = event.number

    def _move(self, venue: str, symbol: str, change: Decimal) -> None:
        held = self._held.setdefault(venue, {})
        held[symbol] = held.get(symbol, Decimal(0)) + change


def _sizes(told: dict[str, dict[str, str]]) -> Positions:
    return {
        venue: {symbol: Decimal(size) for symbol, size in symbols.items()} for venue, symbols in told.items()
    }


def _open(held: Positions) -> Positions:
    """Without what is closed."""
    left = {
        venue: {symbol: size for symbol, size in symbols.items() if size} for venue, symbols in held.items()
    }
    return {venue: symbols for venue, symbols in left.items() if symbols}
