"""How many connections may be open, whose each is, and how many of one address: one machine must not take every place there is."""

from collections import Counter
from typing import Final, NamedTuple

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.addresses import network

PER_ADDRESS: Final = 500
"""Connections of one address at each door: agents share an address behind a NAT, and eight such still fit."""


class Room(NamedTuple):
    """Connections of all addresses that the doors hold open at most; each is an open file."""

    http: int = 4_000
    sockets: int = 4_000
    """Over all accounts, those that have not said who they are included."""
    waiting: int = 1_000
    """Those that have not asked for a WebSocket yet."""
    backlog: int = 1_024
    """Connections that the system may have accepted for each of the two doors before it can refuse one."""

    @property
    def files(self) -> int:
        return self.http + self.sockets + self.waiting + 2 * self.backlog


ROOM: Final = Room()


class Places:
    """The places of one door. Addresses are counted as `api.addresses.network` tells them apart."""

    def __init__(self, per_address: int = PER_ADDRESS, trusted_proxies: str = "") -> None:
        self.per_address = per_address
        # The same rules by which HTTP believes a proxy; where none is trusted nobody is asked.
        self._proxies = (
            ProxyHeadersMiddleware(_nowhere, trusted_proxies).trusted_hosts if trusted_proxies else None
        )
        self._held: Counter[str] = Counter()

    def caller(self, peer: str, forwarded_for: str = "") -> str:
        """The address behind `peer`: what a trusted proxy says, or nothing where it says nothing, else `peer` itself."""
        if self._proxies is None or peer not in self._proxies:
            return peer
        return self._proxies.get_trusted_client_address(forwarded_for)[0] if forwarded_for else ""

    def take(self, address: str) -> bool:
        """Whether `address` may have one more connection, which then counts. A proxy's own are not counted."""
        key = network(address)
        if key and self._held[key] >= self.per_address:
            return False
        self._held[key] += 1
        return True

    def give_back(self, address: str) -> None:
        """A connection that was taken has ended."""
        key = network(address)
        self._held[key] -= 1
        if not self._held[key]:
            del self._held[key]


async def _nowhere(*_: object) -> None:
    """The middleware is asked about addresses only."""
