"""Hermes as a source that answers when asked, for who wants a price now and then and no stream."""

from typing import Final

from oracles.hermes import Hermes
from oracles.polling import reading
from oracles.price import Price
from oracles.refusal import Refused
from oracles.route import Limits

EVERY_S: Final = 2.0


class PolledHermes:
    """One answer holds every feed, and one lie in it spoils them all."""

    def __init__(self, hermes: Hermes) -> None:
        self._hermes = hermes

    @property
    def label(self) -> str:
        return f"Pyth ({self._hermes.host})"

    @property
    def every_s(self) -> float:
        return EVERY_S

    def limits(self, symbol: str) -> Limits | None:
        return self._hermes.limits() if symbol in self._hermes.symbols else None

    async def latest(self) -> dict[str, Price | Refused]:
        """The newest proven price of every feed. Raises `SourceFailed`, under the reason's code also where something is not proven."""
        proven = await reading(self.label, self._hermes.latest())
        return {price.symbol: price for price in proven}
