"""Vaults: who manages each, what it may trade, and every change of that with who and when."""

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.risk_template import RiskTemplate
from core.vault_risk import SILENT, Rules, VaultRisk, rules_document, rules_from
from ledger.tables_vaults import vault_changes, vault_risk_versions, vault_shares, vaults

Role = Literal["operator", "manager"]
NUMBER_MAX: Final = (1 << 63) - 1


class Vault(NamedTuple):
    """`manager` is an account of the engine, `risk` what applies to it now."""

    id: str
    manager: int
    default_venue: str
    paused: bool
    fee_ppm: int
    shares: int
    at: int
    risk: VaultRisk

    @property
    def template(self) -> RiskTemplate:
        """What tickets are judged by."""
        return self.risk.effective


class RiskVersion(NamedTuple):
    """What `role` said of a vault: `rules` in the words of `core.vault_risk`."""

    version: int
    role: Role
    rules: dict[str, Any]
    who: str
    why: str
    at: int


class VaultChange(NamedTuple):
    """What else was done to a vault; `number` is the order of recording, over all vaults."""

    what: str
    who: str
    why: str
    at: int
    number: int


class Vaults:
    """Over a pool. `set_up` are the venues that orders may go to at all, `common` is the operator's template for all vaults."""

    def __init__(self, engine: AsyncEngine, set_up: frozenset[str], common: RiskTemplate) -> None:
        self._engine = engine
        self.set_up = set_up
        self.common = common

    async def get(self, id: str) -> Vault | None:
        """One vault with its effective rules; None when there is none of that name."""
        found = await self._read(select(vaults).where(vaults.c.id == id))
        return found[0] if found else None

    async def all(self, after: str, limit: int, account: int | None = None) -> list[Vault]:
        """Up to `limit` vaults with names after `after`, in the order of names; only those that `account` manages or has shares of,
        where one is given."""
        wanted = select(vaults).where(vaults.c.id > after).order_by(vaults.c.id).limit(limit)
        if account is not None:
            s = vault_shares.c
            held = select(s.vault).where(s.holder == account, s.shares > 0)
            wanted = wanted.where((vaults.c.manager == account) | vaults.c.id.in_(held))
        return await self._read(wanted)

    async def make(self, vault: Vault, who: str) -> bool:
        """Record a new vault, with no rules of its own; False when there is one of that name already."""
        row = {
            "id": vault.id,
            "manager": vault.manager,
            "default_venue": vault.default_venue,
            "paused": int(vault.paused),
            "fee_ppm": vault.fee_ppm,
            "shares": 0,
            "mark_nav": 0,
            "mark_shares": 0,
            "at": vault.at,
            "made_by": who,
        }
        async with self._engine.begin() as connection:
            wanted = upsert(vaults).values(row).on_conflict_do_nothing().returning(vaults.c.id)
            made = (await connection.execute(wanted)).first() is not None
            if made:
                await changed(connection, vault.id, "made", who, "", vault.at)
        return made

    async def pause(self, id: str, paused: bool, who: str, why: str, at: int) -> bool:
        """Whether orders of the vault are taken from now on; False when it was so already, or there is no such vault."""
        wanted = update(vaults).where(vaults.c.id == id, vaults.c.paused != int(paused))
        async with self._engine.begin() as connection:
            done = await connection.execute(wanted.values(paused=int(paused)))
            if done.rowcount:
                await changed(connection, id, "paused" if paused else "resumed", who, why, at)
        return bool(done.rowcount)

    async def set_risk(
        self, id: str, role: Role, rules: Rules, who: str, why: str, at: int
    ) -> RiskVersion | list[str] | None:
        """Record what `role` says from now on in place of what it said.

        Sentences about what is wider than it may be: then nothing was recorded. None when there is no such vault.
        """
        async with self._engine.begin() as connection:
            # One at a time for a vault: what is judged here is what the new version will be held against.
            held = await connection.execute(select(vaults).where(vaults.c.id == id).with_for_update())
            if held.first() is None:
                return None
            risk = (await self._risks(connection, [id]))[id]
            beyond = risk.beyond(rules) if role == "manager" else risk.impossible(rules)
            if beyond:
                return beyond
            newest = select(func.coalesce(func.max(vault_risk_versions.c.version), 0)).where(
                vault_risk_versions.c.vault == id
            )
            version = RiskVersion(
                int((await connection.execute(newest)).scalar_one()) + 1,
                role,
                rules_document(rules),
                who,
                why,
                at,
            )
            await connection.execute(insert(vault_risk_versions).values(vault=id, **version._asdict()))
            return version

    async def risk_versions(self, id: str, before: int, limit: int) -> list[RiskVersion]:
        """Up to `limit` versions below `before`, newest first."""
        table = vault_risk_versions.c
        wanted = (
            select(*(table[name] for name in RiskVersion._fields))
            .where(table.vault == id, table.version < before)
            .order_by(table.version.desc())
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            return [RiskVersion(*row) for row in await connection.execute(wanted)]

    async def note(self, id: str, what: str, who: str, why: str, at: int) -> None:
        """Write among a vault's changes what somebody has done elsewhere for it."""
        async with self._engine.begin() as connection:
            await changed(connection, id, what, who, why, at)

    async def changes(
        self, id: str, limit: int, before: int = NUMBER_MAX, sees: int | None = None
    ) -> list[VaultChange]:
        """Up to `limit` changes of a vault, but those of its rules, with numbers below `before`, newest first.

        `sees` is whose transfers alone the caller knows of: those that others took back are left out. None: it knows of all.
        """
        table = vault_changes.c
        wanted = (
            select(*(table[name] for name in VaultChange._fields))
            .where(table.vault == id, table.number < before)
            .order_by(table.number.desc())
            .limit(limit)
        )
        if sees is not None:
            own = table.what.regexp_match(f"^[a-z]+ [0-9]+ of account/{sees} taken back$")
            wanted = wanted.where(
                own | ~table.what.regexp_match("^[a-z]+ [0-9]+ of account/[0-9]+ taken back$")
            )
        async with self._engine.connect() as connection:
            return [VaultChange(*row) for row in await connection.execute(wanted)]

    async def _read(self, wanted: Any) -> list[Vault]:
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            rows = list(await connection.execute(wanted))
            risks = await self._risks(connection, [row.id for row in rows])
        return [
            Vault(
                row.id,
                row.manager,
                row.default_venue,
                bool(row.paused),
                row.fee_ppm,
                row.shares,
                row.at,
                risks[row.id],
            )
            for row in rows
        ]

    async def _risks(self, connection: AsyncConnection, ids: Sequence[str]) -> dict[str, VaultRisk]:
        """The newest rules of each role."""
        table = vault_risk_versions.c
        newest = (
            select(table.vault, table.role, table.rules)
            .distinct(table.vault, table.role)
            .where(table.vault.in_(ids))
            .order_by(table.vault, table.role, table.version.desc())
        )
        said = {(row.vault, row.role): rules_from(row.rules) for row in await connection.execute(newest)}
        return {
            id: VaultRisk(
                self.set_up,
                self.common,
                said.get((id, "operator"), SILENT),
                said.get((id, "manager"), SILENT),
            )
            for id in ids
        }


async def changed(connection: AsyncConnection, vault: str, what: str, who: str, why: str, at: int) -> None:
    """Write what was done to a vault among its changes, in the caller's transaction."""
    await connection.execute(insert(vault_changes).values(vault=vault, what=what, who=who, why=why, at=at))
