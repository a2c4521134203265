"""Keys of vaults' quants: which were made, by whom, and which were revoked. The keys themselves are signed, and nowhere here."""

from typing import Final, NamedTuple

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from ledger.tables_vaults import vault_keys, vaults
from ledger.vaults import changed

MOST_KEYS: Final = 100
"""Of one vault that count at one time: each has a rate of its own at every venue."""


class VaultKey(NamedTuple):
    """`account` made it, a manager's. `revoked_at` is 0 of one that was not revoked; instants are in nanoseconds."""

    id: str
    vault: str
    name: str
    scopes: list[str]
    account: int
    at: int
    expires_at: int
    revoked_at: int = 0
    revoked_by: str = ""
    why: str = ""


_COLUMNS = [vault_keys.c[name] for name in VaultKey._fields]


class VaultKeys:
    """Over a pool. Every change is one transaction, with its line among the vault's changes."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def make(self, key: VaultKey, who: str) -> bool:
        """Record a key; before that it is none. False when its vault has `MOST_KEYS` that count."""
        mine = (vault_keys.c.vault == key.vault) & (vault_keys.c.revoked_at == 0)
        async with self._engine.begin() as connection:
            # One after the other: two that are made at once must not be one too many.
            await connection.execute(select(vaults.c.id).where(vaults.c.id == key.vault).with_for_update())
            counting = select(func.count()).where(mine, vault_keys.c.expires_at > key.at)
            if (await connection.execute(counting)).scalar_one() >= MOST_KEYS:
                return False
            await connection.execute(insert(vault_keys).values(**key._asdict()))
            await changed(connection, key.vault, "key made", who, _called(key), key.at)
            return True

    async def counts(self, id: str) -> bool:
        """Whether there is a key of that id that nobody has revoked."""
        wanted = select(vault_keys.c.id).where(vault_keys.c.id == id, vault_keys.c.revoked_at == 0)
        async with self._engine.connect() as connection:
            return (await connection.execute(wanted)).first() is not None

    async def revoke(self, vault: str, id: str, who: str, why: str, at: int) -> VaultKey | None:
        """The key, which counts no more; one that was revoked stays as it is. None when the vault has no such key."""
        async with self._engine.begin() as connection:
            mine = (vault_keys.c.id == id) & (vault_keys.c.vault == vault)
            done = update(vault_keys).where(mine, vault_keys.c.revoked_at == 0)
            done = done.values(revoked_at=at, revoked_by=who, why=why)
            row = (await connection.execute(done.returning(*_COLUMNS))).first()
            if row is not None:
                key = VaultKey(*row)
                await changed(connection, vault, "key revoked", who, f"{_called(key)}: {why}", at)
                return key
            row = (await connection.execute(select(*_COLUMNS).where(mine))).first()
            return None if row is None else VaultKey(*row)

    async def of(self, vault: str, before: str, limit: int) -> list[VaultKey]:
        """Up to `limit` keys of a vault, newest first: those after the key of the id `before`, where one is given."""
        c = vault_keys.c
        wanted = select(*_COLUMNS).where(c.vault == vault)
        if before:
            at = select(c.at).where(c.vault == vault, c.id == before).scalar_subquery()
            wanted = wanted.where((c.at < at) | ((c.at == at) & (c.id > before)))
        wanted = wanted.order_by(c.at.desc(), c.id).limit(limit)
        async with self._engine.connect() as connection:
            return [VaultKey(*row) for row in await connection.execute(wanted)]


def _called(key: VaultKey) -> str:
    return f"{key.name} ({key.id})"
