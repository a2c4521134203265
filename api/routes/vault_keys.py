"""Keys of a vault's quants, for those who decide about the vault: which there are, and revoking one."""

from typing import Annotated, Any, Final, cast

import structlog
from fastapi import APIRouter, Path, Query

from api.access import EdgeGiven, errors
from api.errors import ApiError
from api.outbound import micros
from api.schemas_quant import RevokeBody, VaultKeyAnswer, VaultKeysAnswer
from api.vault_access import PERSON_ERRORS, Caller, VaultId, managed
from api.vault_books import answered
from ledger.vault_keys import VaultKey

router = APIRouter(prefix="/api/v1/vaults", tags=["vaults"])
KeyId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$", description="As the keys are listed.")]
Limit = Annotated[int, Query(ge=1, le=500)]
_ERRORS: Final = (*PERSON_ERRORS, "vault_unknown", "vault_not_yours")
_log: Final = structlog.get_logger("vaults")


@router.get("/{id}/keys", responses=errors(*_ERRORS))
async def keys(
    id: VaultId,
    caller: Caller,
    edge: EdgeGiven,
    before: Annotated[
        str, Query(pattern=r"^([0-9a-f]{16})?$", description="Last id of the page before.")
    ] = "",
    limit: Limit = 100,
) -> VaultKeysAnswer:
    """Keys that were made for the vault, newest first, those included that expired or were revoked."""
    await managed(edge, id, caller)
    rows = await answered(edge.vaults.keys.of(id, before, limit))
    return VaultKeysAnswer(keys=[_shown(one) for one in rows])


@router.post("/{id}/keys/{key}/revoke", responses=errors(*_ERRORS, "key_unknown"))
async def revoke(
    id: VaultId, key: KeyId, body: RevokeBody, caller: Caller, edge: EdgeGiven
) -> VaultKeyAnswer:
    """End one key at once: no call with it is answered any more, and who follows the vault with it is told no more.

    Orders that it placed go on. Again, it changes nothing.
    """
    await managed(edge, id, caller)
    found = await answered(edge.vaults.keys.revoke(id, key, caller.name, body.why, edge.clock()))
    if found is None:
        raise ApiError("key_unknown")
    edge.vault_streams.doubt(id)
    _log.warning("a vault's key was revoked", vault=id, key=key, who=caller.name, why=body.why)
    return _shown(found)


def _shown(key: VaultKey) -> VaultKeyAnswer:
    return VaultKeyAnswer(
        id=key.id,
        name=key.name,
        scopes=cast(Any, key.scopes),
        account=key.account,
        at=micros(key.at),
        expires_at=micros(key.expires_at),
        revoked_at=micros(key.revoked_at) if key.revoked_at else None,
        revoked_by=key.revoked_by or None,
        why=key.why or None,
    )
