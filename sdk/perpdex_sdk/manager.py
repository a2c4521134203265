"""What the manager of a vault decides: keys of its desks, and what it may trade."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from perpdex_sdk.answers import Session
from perpdex_sdk.custody import NAMES, custody
from perpdex_sdk.desk_answers import QuantKey
from perpdex_sdk.keys import folder_beside, key_at
from perpdex_sdk.manager_answers import (
    RiskRules,
    RiskVersion,
    RiskVersions,
    VaultKey,
    VaultKeys,
    VaultRisk,
)
from perpdex_sdk.rest import Rest


async def signed_in(url: str, key_file: Path, name: str, rpc_url: str | None = None) -> tuple[Rest, Session]:
    """A session of the agent `name` of the key in a file, which is made when it is missing.

    What the exchange names at the first connection is kept beside the file and must not change. Raises any `ExchangeError`, `OSError`.
    """
    rest = Rest(url)
    try:
        key = key_at(key_file)
        told = await rest.escrow()
        where = await custody(url, told, dict.fromkeys(NAMES), rpc_url, folder=folder_beside(key_file))
        return rest, await rest.sign_in(key, name, where.escrow.escrow)
    except BaseException:
        await rest.close()
        raise


class Manager:
    """Calls about vaults that the session's account manages, by the vaults' names. Another's is refused as `vault_unknown`."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    async def close(self) -> None:
        await self._rest.close()

    async def make_key(
        self, vault: str, name: str, scopes: Sequence[str] = ("read", "trade"), days: int = 30
    ) -> QuantKey:
        """A key for `Desk`, shown this once. Of a call that was lost there may be one that nobody has: `keys` lists it, too."""
        return await self._rest.quant_key(vault, name, scopes, days)

    async def keys(self, vault: str, limit: int = 100) -> list[VaultKey]:
        """Those that were made, newest first, the expired and revoked included."""
        path = f"/api/v1/vaults/{vault}/keys?limit={limit}"
        return (await self._rest.call("GET", path, VaultKeys)).keys

    async def revoke_key(self, vault: str, key: str, why: str = "") -> VaultKey:
        """End a key, by its id, at once. Orders that it placed go on. Again, it changes nothing."""
        path = f"/api/v1/vaults/{vault}/keys/{key}/revoke"
        return await self._rest.call("POST", path, VaultKey, {"why": why})

    async def risk(self, vault: str) -> VaultRisk:
        return await self._rest.call("GET", f"/api/v1/vaults/{vault}/risk", VaultRisk)

    async def set_risk(self, vault: str, rules: RiskRules, why: str = "") -> VaultRisk:
        """Replace all that the manager said. Raises `Refused` with `risk_not_tighter` for what is wider than the operator's."""
        body: dict[str, Any] = {**msgspec.to_builtins(rules), "why": why}
        return await self._rest.call("PUT", f"/api/v1/vaults/{vault}/risk", VaultRisk, body)

    async def risk_versions(self, vault: str, limit: int = 100) -> list[RiskVersion]:
        """Everything that was ever said, of both sides, newest first."""
        path = f"/api/v1/vaults/{vault}/risk/versions?limit={limit}"
        return (await self._rest.call("GET", path, RiskVersions)).versions
