"""The operator door as commands at a terminal use it."""

from collections.abc import Mapping
from decimal import Decimal
from types import TracebackType
from typing import Any, Final

import httpx
import msgspec

from chain.keys import KeyFileRefused, read_secret
from core.operator_events import NETWORK
from core.quantities import units_from_decimal
from matcher.commands import Command
from settings import Settings

TIMEOUT_S: Final = 30.0


class NotDone(Exception):
    """The door refused, or did not answer; the sentence says which."""


def token_of(settings: Settings, name: str) -> str:
    """The token of a credential, as `serving.operators` knows it. Raises `NotDone`, also for a file that others can read.

    Root reads it whosever it is.
    """
    if name == NETWORK and settings.operator_token:
        return settings.operator_token
    keys = settings.perpdex_data / "keys"
    path = keys / "operator.token" if name == NETWORK else keys / "operators" / f"{name}.token"
    try:
        path.stat()
        # In an emergency root asks, by files that are the network's user's and have to stay so.
        return read_secret(path, root_may=True).decode().strip()
    except KeyFileRefused as error:
        raise NotDone(str(error)) from None
    except OSError as error:
        raise NotDone(f"{path} cannot be read ({error.strerror}): is PERPDEX_DATA the network's?") from None


class Door:
    """Asks the API at `url` with an operator's token. Every method raises `NotDone`."""

    def __init__(self, url: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_S)

    def __enter__(self) -> "Door":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def markets(self) -> list[dict[str, Any]]:
        return list(self._ask("GET", "/api/v1/markets")["markets"])

    def market(self, symbol: str) -> dict[str, Any]:
        return self._ask("GET", f"/api/v1/markets/{symbol}")

    def insurance(self) -> dict[str, Any]:
        return self._ask("GET", "/api/v1/insurance")

    def audit(self, limit: int, before: int | None) -> list[dict[str, Any]]:
        older = "" if before is None else f"&before={before}"
        return list(self._ask("GET", f"/api/v1/operator/audit?limit={limit}{older}")["actions"])

    def gate(self) -> dict[str, Any]:
        return self._ask("GET", "/api/v1/operator/withdrawals/gate")

    def command(self, command: Command) -> list[dict[str, Any]]:
        """What the command led to."""
        body = msgspec.json.encode(command)
        return list(self._ask("POST", "/api/v1/operator/commands", body)["events"])

    def get(self, path: str) -> dict[str, Any]:
        """The answer at a path under ``/api/v1``."""
        return self._ask("GET", f"/api/v1{path}")

    def send(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a JSON body; what is None is left out of it."""
        said = {name: value for name, value in body.items() if value is not None}
        return self._ask(method, f"/api/v1{path}", msgspec.json.encode(said))

    def _ask(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"} if body else None
        try:
            answer = self._http.request(method, path, content=body, headers=headers)
            found: dict[str, Any] = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise NotDone(f"{self._http.base_url} does not answer ({type(error).__name__}).") from None
        if answer.is_error:
            raise NotDone(f"{found['error']['code']}: {found['error']['message']}")
        return found


def lots(size: str, market: dict[str, Any]) -> int:
    """Lots of a size in units of the underlying. Raises `core.quantities.NotAQuantity`."""
    return units_from_decimal(size, Decimal(market["lot"]))
