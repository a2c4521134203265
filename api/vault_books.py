"""The ledger's books about vaults as the API asks them: with their absence as an expected error."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine

from api.errors import ApiError
from core.risk_template import RiskTemplate
from ledger.named_prices import NamedPrices
from ledger.nav_reads import NavReads
from ledger.vault_keys import VaultKeys
from ledger.vault_transfers import VaultTransfers
from ledger.vaults import Vaults
from ledger.venue_fills import VenueFills

T = TypeVar("T")


class VaultBooks:
    """Over a pool that is opened for the first question. `common` is the operator's template for all vaults."""

    def __init__(self, pool: Callable[[], AsyncEngine], set_up: frozenset[str], common: RiskTemplate) -> None:
        self.set_up = set_up
        self.common = common
        self._pool = pool
        self._opened: tuple[Vaults, VaultTransfers, NavReads, VaultKeys, VenueFills, NamedPrices] | None = (
            None
        )

    @property
    def vaults(self) -> Vaults:
        return self._books()[0]

    @property
    def transfers(self) -> VaultTransfers:
        return self._books()[1]

    @property
    def nav(self) -> NavReads:
        return self._books()[2]

    @property
    def keys(self) -> VaultKeys:
        return self._books()[3]

    @property
    def fills(self) -> VenueFills:
        return self._books()[4]

    @property
    def named_prices(self) -> NamedPrices:
        return self._books()[5]

    def _books(self) -> tuple[Vaults, VaultTransfers, NavReads, VaultKeys, VenueFills, NamedPrices]:
        if self._opened is None:
            pool = self._pool()
            vaults = Vaults(pool, self.set_up, self.common)
            money = VaultTransfers(pool), NavReads(pool)
            self._opened = vaults, *money, VaultKeys(pool), VenueFills(pool), NamedPrices(pool)
        return self._opened


async def answered(asked: Awaitable[T]) -> T:
    """What the ledger answers. Raises `ApiError` vaults_unavailable when it cannot be reached: then nothing was done, or it was
    and says so when it is asked again."""
    try:
        return await asked
    except (OperationalError, InterfaceError, PoolTimeout, OSError):
        raise ApiError("vaults_unavailable") from None
