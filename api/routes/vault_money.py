"""What goes into vaults and out of them, whose they are, and what they are worth."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api import views_vaults
from api.access import EdgeGiven, Operator, errors
from api.collaborators import Edge
from api.errors import ApiError
from api.routes.vaults import NEWEST, Before, Limit
from api.schemas_vaults import (
    CancelBody,
    DepositBody,
    HolderAnswer,
    HoldersAnswer,
    NavAlertsAnswer,
    NavsAnswer,
    ShareBody,
    TransferStatus,
    VaultTransferAnswer,
    VaultTransfersAnswer,
)
from api.units import micro_usdc
from api.vault_access import (
    AFTER_PATTERN,
    PERSON_ERRORS,
    VAULT_PATTERN,
    Caller,
    Person,
    VaultId,
    concerned,
    found,
)
from api.vault_books import answered
from core.nav_snapshot import TransferKind
from core.quantities import MONEY_MAX
from ledger.vault_transfers import Transfer

router = APIRouter(prefix="/api/v1", tags=["vaults"])
WAITING = "waiting"
TRANSFER_ERRORS = ("vaults_unavailable", "vault_unknown", "bad_value", "key_conflict")
OneVault = Annotated[str, Query(pattern=VAULT_PATTERN)]
# In microseconds, as instants are.
BeforeInstant = Annotated[int, Query(ge=1, le=NEWEST // 1_000)]


@router.post(
    "/vaults/{id}/deposits",
    responses=errors("not_authenticated", "operator_only", "account_unknown", *TRANSFER_ERRORS),
)
async def deposit(id: VaultId, body: DepositBody, operator: Operator, edge: EdgeGiven) -> VaultTransferAnswer:
    """Book money that has come in. It becomes shares at the value of the next snapshot; the same key again is the same deposit."""
    if body.holder not in edge.engine.state.owned:
        raise ApiError("account_unknown")
    amount = _positive(body.amount)
    return await _ask(
        edge,
        id,
        Transfer(
            body.key, body.holder, TransferKind.DEPOSIT, amount, 0, WAITING, "", operator, edge.clock(), 0
        ),
    )


@router.post(
    "/vaults/{id}/withdrawals",
    responses=errors(
        *PERSON_ERRORS,
        *TRANSFER_ERRORS,
        "shares_short",
        "too_few_shares",
        "too_many_transfers",
        "vault_not_yours",
    ),
)
async def withdraw(id: VaultId, body: ShareBody, caller: Caller, edge: EdgeGiven) -> VaultTransferAnswer:
    """Give shares back, for money at the value of the next snapshot. An account gives back its own, an operator anybody's."""
    # Who has given all of it back may ask again what became of that.
    await concerned(edge, id, caller)
    holder = body.holder or caller.account
    if not caller.operator and holder != caller.account:
        raise ApiError("vault_not_yours")
    shares = _positive(body.shares)
    return await _ask(
        edge,
        id,
        Transfer(
            body.key,
            holder,
            TransferKind.WITHDRAWAL,
            0,
            shares,
            WAITING,
            "",
            caller.name,
            edge.clock(),
            0,
        ),
    )


@router.get("/vaults/{id}/transfers", responses=errors(*PERSON_ERRORS, "vault_unknown"))
async def transfers(
    id: VaultId,
    caller: Caller,
    edge: EdgeGiven,
    before: Annotated[Before, Query(description="Number of the last transfer of the page before.")] = NEWEST,
    status: TransferStatus | None = None,
    limit: Limit = 100,
) -> VaultTransfersAnswer:
    """Deposits and withdrawals of a vault, newest first; who has, or had, shares of it sees its own."""
    vault = await concerned(edge, id, caller)
    mine = None if caller.operator or caller.account == vault.manager else caller.account
    rows = await answered(edge.vaults.transfers.transfers(id, limit, mine, before, status))
    return VaultTransfersAnswer(transfers=[views_vaults.transfer(one) for one in rows])


@router.post(
    "/vaults/{id}/transfers/{number}/cancel",
    responses=errors(
        *PERSON_ERRORS, "vault_unknown", "transfer_unknown", "transfer_not_waiting", "vault_not_yours"
    ),
)
async def cancel(
    id: VaultId,
    number: Annotated[int, Path(ge=1, le=NEWEST, description="As the transfers are listed.")],
    body: CancelBody,
    caller: Caller,
    edge: EdgeGiven,
) -> VaultTransferAnswer:
    """Take back a transfer that waits: who asked for it, or an operator. It stays, as cancelled; again, it changes nothing.

    A snapshot whose instant came between asking and taking back still deals with it, and then it is done: before a deposit's money is
    sent back, see that it is cancelled after that snapshot, too."""
    vault = await concerned(edge, id, caller)
    sees = None if caller.operator or caller.account == vault.manager else caller.account
    asker = None if caller.operator else caller.name
    done = await answered(
        edge.vaults.transfers.cancel(id, number, sees, asker, caller.name, body.why, edge.clock())
    )
    if isinstance(done, str):
        raise ApiError(done)
    return views_vaults.transfer(done)


@router.get("/vaults/{id}/holders", responses=errors(*PERSON_ERRORS, "vault_unknown"))
async def holders(id: VaultId, caller: Caller, edge: EdgeGiven) -> HoldersAnswer:
    """Who has how many shares of a vault; who is neither manager nor operator sees its own."""
    vault = await found(edge, id, caller)
    all_of_it = caller.operator or caller.account == vault.manager
    rows = await answered(edge.vaults.transfers.holders(id))
    return HoldersAnswer(
        holders=[
            HolderAnswer(holder=holder, shares=views_vaults.shares(shares))
            for holder, shares in rows.items()
            if all_of_it or holder == caller.account
        ]
    )


@router.get("/nav", responses=errors(*PERSON_ERRORS, "vault_unknown"))
async def nav(
    caller: Caller,
    edge: EdgeGiven,
    vault: OneVault | None = None,
    after: Annotated[str, Query(pattern=AFTER_PATTERN, description="Last vault of the page before.")] = "",
    limit: Limit = 100,
) -> NavsAnswer:
    """The newest snapshot of a vault, by venue; without one named, of each vault that the caller sees."""
    ids = [vault] if vault is not None else await _ids(edge, caller, after, limit)
    if vault is not None:
        await found(edge, vault, caller)
    latest = await answered(edge.vaults.nav.latest(ids))
    return NavsAnswer(navs=[views_vaults.nav(latest[id]) for id in ids if id in latest])


@router.get("/nav/history", responses=errors(*PERSON_ERRORS, "vault_unknown"))
async def history(
    vault: OneVault,
    caller: Caller,
    edge: EdgeGiven,
    before: BeforeInstant = NEWEST // 1_000,
    limit: Limit = 100,
) -> NavsAnswer:
    """Snapshots of a vault of instants before `before`, newest first."""
    await found(edge, vault, caller)
    rows = await answered(edge.vaults.nav.history(vault, before * 1_000, limit))
    return NavsAnswer(navs=[views_vaults.nav(one) for one in rows])


@router.get("/nav/alerts", responses=errors(*PERSON_ERRORS, "vault_unknown"))
async def alerts(
    vault: OneVault,
    caller: Caller,
    edge: EdgeGiven,
    before: BeforeInstant = NEWEST // 1_000,
    limit: Limit = 100,
) -> NavAlertsAnswer:
    """What was said aloud of a vault's snapshots of instants before `before`, newest first."""
    await found(edge, vault, caller)
    rows = await answered(edge.vaults.nav.alerts(vault, before * 1_000, limit))
    return NavAlertsAnswer(alerts=[views_vaults.alert(one) for one in rows])


async def _ids(edge: Edge, caller: Person, after: str, limit: int) -> list[str]:
    mine = None if caller.operator else caller.account
    return [one.id for one in await answered(edge.vaults.vaults.all(after, limit, mine))]


async def _ask(edge: Edge, id: str, wanted: Transfer) -> VaultTransferAnswer:
    done = await answered(edge.vaults.transfers.ask(id, wanted))
    if isinstance(done, str):
        raise ApiError(done)
    return views_vaults.transfer(done)


def _positive(text: str) -> int:
    """Millionths. Raises `ApiError` bad_value."""
    found = micro_usdc(text)
    if not 0 < found <= MONEY_MAX:
        raise ApiError("bad_value", "it must be more than nothing, and no more than can be counted")
    return found
