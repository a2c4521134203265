"""What the exchange answers to who decides about a vault. Instants are microseconds since the epoch."""

from typing import Literal

import msgspec


class VaultKey(msgspec.Struct, frozen=True):
    """A key that was made for a vault's desk, not the key itself. The last three are None while nobody has revoked it."""

    id: str
    name: str
    scopes: list[str]
    account: int
    at: int
    expires_at: int
    revoked_at: int | None
    revoked_by: str | None
    why: str | None


class VaultKeys(msgspec.Struct, frozen=True):
    """Newest first."""

    keys: list[VaultKey]


class VenueLimits(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Bounds at one venue: of leverage in whole times, and of an order's value in whole dollars. None leaves a side open."""

    min_leverage: int | None = None
    max_leverage: int | None = None
    min_notional_usd: int | None = None
    max_notional_usd: int | None = None


class RiskRules(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What one side says; None says nothing about it. Names are separated by commas, `*` is every symbol."""

    allowed_symbols: str | None = None
    allowed_venues: str | None = None
    per_venue: dict[str, VenueLimits] | None = None


class VaultRisk(msgspec.Struct, frozen=True):
    """`effective` is what tickets are judged by, `ceiling` the most that the manager may allow; without rules `version` is 0."""

    vault: str
    version: int
    effective: RiskRules
    ceiling: RiskRules
    operator: RiskRules
    manager: RiskRules


class RiskVersion(msgspec.Struct, frozen=True):
    version: int
    role: Literal["operator", "manager"]
    rules: RiskRules
    who: str
    why: str
    at: int


class RiskVersions(msgspec.Struct, frozen=True):
    """Newest first."""

    versions: list[RiskVersion]
