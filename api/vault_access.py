"""Who may ask what of a vault: its manager, those who have shares of it, and operators."""

import time
from typing import Annotated, NamedTuple

from fastapi import Depends, Path
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.access import EdgeGiven, allowance, holder
from api.allowance import CALL_COST
from api.collaborators import Edge
from api.errors import ApiError
from api.vault_books import answered
from ledger.vaults import Role, Vault

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="session or operator",
    description="Token from POST /api/v1/agents, or the operator's.",
)
VAULT_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
AFTER_PATTERN = r"^[a-z0-9_-]{0,64}$"
VaultId = Annotated[str, Path(pattern=VAULT_PATTERN)]
PERSON_ERRORS = (
    "not_authenticated",
    "session_expired",
    "session_revoked",
    "account_unknown",
    "vaults_unavailable",
)


class Person(NamedTuple):
    """An operator by the name of its credential, or an account."""

    operator: str
    account: int

    @property
    def name(self) -> str:
        """As the ledger has it: an operator's name, or ``account/16``."""
        return self.operator or f"account/{self.account}"

    @property
    def role(self) -> Role:
        return "operator" if self.operator else "manager"


async def _person(
    edge: EdgeGiven, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Person:
    if credentials is None:
        raise ApiError("not_authenticated")
    token = credentials.credentials
    if edge.sessions.is_operator(b"Bearer " + token.encode()):
        return Person(edge.sessions.verify_operator(token), 0)
    session, now = holder(edge, token), time.monotonic_ns()
    if not allowance(edge, session.account, now).take(now, CALL_COST):
        raise ApiError("rate_limited")
    return Person("", session.account)


Caller = Annotated[Person, Depends(_person)]


async def found(edge: Edge, id: str, person: Person) -> Vault:
    """A vault that the caller may see. Raises `ApiError` vault_unknown, for one that it may not see as well."""
    vault = await answered(edge.vaults.vaults.get(id))
    if vault is None:
        raise ApiError("vault_unknown")
    if (
        not person.operator
        and person.account != vault.manager
        and not await answered(edge.vaults.transfers.shares_of(id, person.account))
    ):
        raise ApiError("vault_unknown")
    return vault


async def concerned(edge: Edge, id: str, person: Person) -> Vault:
    """A vault that the caller may see, or has a transfer of, if only one of before. Raises `ApiError` vault_unknown."""
    vault = await answered(edge.vaults.vaults.get(id))
    own = await answered(edge.vaults.transfers.transfers(id, 1, person.account))
    return vault if vault is not None and own else await found(edge, id, person)


async def managed(edge: Edge, id: str, person: Person) -> Vault:
    """A vault that the caller decides about. Raises `ApiError` vault_unknown, and vault_not_yours where it only has shares."""
    vault = await found(edge, id, person)
    if not person.operator and person.account != vault.manager:
        raise ApiError("vault_not_yours")
    return vault
