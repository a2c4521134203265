"""Vaults: making them, pausing them, and what they may trade."""

from typing import Annotated

from fastapi import APIRouter, Query

from api import views_vaults
from api.access import EdgeGiven, Operator, errors
from api.collaborators import Edge
from api.errors import ApiError
from api.outbound import micros
from api.schemas_vaults import (
    PauseBody,
    PriceBody,
    PricedAnswer,
    PriceWithdrawnAnswer,
    RiskBody,
    RiskVersionsAnswer,
    VaultAnswer,
    VaultBody,
    VaultChangeAnswer,
    VaultChangesAnswer,
    VaultRiskAnswer,
    VaultsAnswer,
    WithdrawPriceBody,
)
from api.units import micro_usdc
from api.vault_access import AFTER_PATTERN, PERSON_ERRORS, Caller, VaultId, found, managed
from api.vault_books import answered
from core.quantities import MONEY_MAX, NotAQuantity
from core.tickets import (
    PRICE_MAX,
    SIZE_MAX,
    Leg,
    NotATicket,
    PriceE8,
    SizeE8,
    e8_text,
    leg_said,
    price_from,
    size_from,
)
from core.vault_risk import NotRules, VaultRisk, rules_from
from ledger.named_prices import NAMED_AGE_MAX, NamedPrice
from ledger.vaults import Vault

router = APIRouter(prefix="/api/v1/vaults", tags=["vaults"])
NEWEST = (1 << 62) - 1
Before = Annotated[int, Query(ge=1, le=NEWEST)]
Limit = Annotated[int, Query(ge=1, le=500)]


@router.get("", responses=errors(*PERSON_ERRORS))
async def vaults(
    caller: Caller,
    edge: EdgeGiven,
    after: Annotated[str, Query(pattern=AFTER_PATTERN, description="Last name of the page before.")] = "",
    limit: Limit = 100,
) -> VaultsAnswer:
    """Vaults that the caller manages or has shares of; an operator sees all."""
    mine = None if caller.operator else caller.account
    rows = await answered(edge.vaults.vaults.all(after, limit, mine))
    return VaultsAnswer(vaults=[views_vaults.vault(one) for one in rows])


@router.post(
    "",
    responses=errors(
        "not_authenticated",
        "operator_only",
        "vaults_unavailable",
        "account_unknown",
        "vault_exists",
        "vault_not_empty",
        "bad_value",
    ),
)
async def make(body: VaultBody, operator: Operator, edge: EdgeGiven) -> VaultAnswer:
    """Make a vault, or give one that holds nothing what it held elsewhere. The same again changes nothing."""
    for account in (body.manager, body.holder or body.manager):
        if account not in edge.engine.state.owned:
            raise ApiError("account_unknown")
    cash, positions = _held_elsewhere(body)
    default_venue = _named(body.default_venue)
    books = edge.vaults.vaults
    wanted = Vault(
        body.id,
        body.manager,
        default_venue,
        False,
        body.performance_fee_ppm,
        0,
        edge.clock(),
        VaultRisk(books.set_up, books.common),
    )
    if not await answered(books.make(wanted, operator)):
        there = await answered(books.get(body.id))
        if there is None or _terms(there) != _terms(wanted):
            raise ApiError("vault_exists")
    if body.cash is not None or positions:
        holder = body.holder or body.manager
        begin = edge.vaults.transfers.begin_with(body.id, holder, cash, positions, operator, edge.clock())
        if not await answered(begin):
            raise ApiError("vault_not_empty")
    return views_vaults.vault(await _again(edge, body.id))


@router.get("/{id}", responses=errors(*PERSON_ERRORS, "vault_unknown"))
async def vault(id: VaultId, caller: Caller, edge: EdgeGiven) -> VaultAnswer:
    """One vault, for its manager, for who has shares of it, and for operators."""
    return views_vaults.vault(await found(edge, id, caller))


@router.post("/{id}/pause", responses=errors(*PERSON_ERRORS, "vault_unknown", "vault_not_yours"))
async def pause(id: VaultId, body: PauseBody, caller: Caller, edge: EdgeGiven) -> VaultAnswer:
    """Whether the vault's orders are taken, and sent, from now on: those that only reduce a position always are. What waits at venues
    goes on until `POST /api/v1/vaults/{id}/orders/cancel`."""
    await managed(edge, id, caller)
    await answered(edge.vaults.vaults.pause(id, body.paused, caller.name, body.why, edge.clock()))
    return views_vaults.vault(await _again(edge, id))


@router.post(
    "/{id}/price",
    responses=errors(
        "not_authenticated",
        "operator_only",
        "vaults_unavailable",
        "vault_unknown",
        "bad_value",
        "nothing_unpriced",
    ),
)
async def price(id: VaultId, body: PriceBody, operator: Operator, edge: EdgeGiven) -> PricedAnswer:
    """Name the price of a position that nobody knows one of, so that nobody deals with the vault. Who and why stay among its changes.

    With `position` one that differs from the vault's fills is taken over from its venue at it. Without, the leg counts at it in the
    snapshots of all vaults, from the next one on: until there is a price again, for a day, or until it is withdrawn.
    """
    try:
        leg, named = leg_said(body.leg, ""), price_from(body.price)
        theirs = None if body.position is None else size_from(body.position)
    except (NotATicket, NotAQuantity) as error:
        raise ApiError("bad_value", str(error)) from None
    if named > PRICE_MAX:
        raise ApiError("bad_value", "a price is at most a billion dollars")
    await _again(edge, id)
    now = edge.clock()
    told = {"vault": id, "leg": str(leg), "price": e8_text(named), "who": operator}
    if theirs is None:
        wanted = NamedPrice(named, operator, body.why, now)
        size = await answered(edge.vaults.named_prices.name(id, leg, wanted))
        if size is None:
            raise ApiError("nothing_unpriced")
        held = e8_text(SizeE8(size))
        return PricedAnswer(**told, before=held, position=held, until=micros(now + NAMED_AGE_MAX))
    done = await answered(edge.vaults.fills.price(id, *leg, theirs, named, operator, body.why, now))
    if done is None:
        raise ApiError("nothing_unpriced")
    return PricedAnswer(**told, before=e8_text(SizeE8(done.ours)), position=e8_text(theirs), until=None)


@router.post(
    "/{id}/price/withdraw",
    responses=errors(
        "not_authenticated",
        "operator_only",
        "vaults_unavailable",
        "vault_unknown",
        "bad_value",
        "nothing_unpriced",
    ),
)
async def withdraw_price(
    id: VaultId, body: WithdrawPriceBody, operator: Operator, edge: EdgeGiven
) -> PriceWithdrawnAnswer:
    """Have the price that an operator named for snapshots not count any more, in all vaults."""
    try:
        leg = leg_said(body.leg, "")
    except NotATicket as error:
        raise ApiError("bad_value", str(error)) from None
    await _again(edge, id)
    done = await answered(edge.vaults.named_prices.withdraw(id, leg, operator, body.why, edge.clock()))
    if done is None:
        raise ApiError("nothing_unpriced")
    return PriceWithdrawnAnswer(vault=id, leg=str(leg), price=e8_text(PriceE8(done.price)), who=done.who)


@router.get("/{id}/changes", responses=errors(*PERSON_ERRORS, "vault_unknown"))
async def changes(
    id: VaultId, caller: Caller, edge: EdgeGiven, before: Before = NEWEST, limit: Limit = 100
) -> VaultChangesAnswer:
    """Who made, paused and resumed the vault, made and revoked its keys, took its orders and transfers back, and why, newest first:
    those with numbers below `before`. Who is neither manager nor operator sees no transfers of others."""
    vault = await found(edge, id, caller)
    sees = None if caller.operator or caller.account == vault.manager else caller.account
    rows = await answered(edge.vaults.vaults.changes(id, limit, before, sees))
    return VaultChangesAnswer(
        changes=[VaultChangeAnswer(**{**one._asdict(), "at": micros(one.at)}) for one in rows]
    )


@router.get("/{id}/risk", responses=errors(*PERSON_ERRORS, "vault_unknown"))
async def risk(id: VaultId, caller: Caller, edge: EdgeGiven) -> VaultRiskAnswer:
    """What the vault may trade, and whose word that is."""
    await found(edge, id, caller)
    return await _risk(edge, id)


@router.put(
    "/{id}/risk",
    responses=errors(*PERSON_ERRORS, "vault_unknown", "vault_not_yours", "risk_not_tighter", "bad_value"),
)
async def set_risk(id: VaultId, body: RiskBody, caller: Caller, edge: EdgeGiven) -> VaultRiskAnswer:
    """Replace what the caller's role says about the vault. A manager may only narrow what an operator set."""
    await managed(edge, id, caller)
    try:
        rules = rules_from(body.model_dump(exclude={"why"}, exclude_none=True))
    except NotRules as error:
        raise ApiError("bad_value", str(error)) from None
    books = edge.vaults.vaults
    done = await answered(books.set_risk(id, caller.role, rules, caller.name, body.why, edge.clock()))
    if isinstance(done, list):
        raise ApiError("risk_not_tighter", f"Wider than it may be: {'; '.join(done)}.")
    return await _risk(edge, id)


@router.get("/{id}/risk/versions", responses=errors(*PERSON_ERRORS, "vault_unknown"))
async def risk_versions(
    id: VaultId, caller: Caller, edge: EdgeGiven, before: Before = NEWEST, limit: Limit = 100
) -> RiskVersionsAnswer:
    """Every version of the vault's rules, with who set it and when."""
    await found(edge, id, caller)
    rows = await answered(edge.vaults.vaults.risk_versions(id, before, limit))
    return RiskVersionsAnswer(versions=[views_vaults.risk_version(one) for one in rows])


async def _again(edge: Edge, id: str) -> Vault:
    vault = await answered(edge.vaults.vaults.get(id))
    if vault is None:
        raise ApiError("vault_unknown")
    return vault


async def _risk(edge: Edge, id: str) -> VaultRiskAnswer:
    versions = await answered(edge.vaults.vaults.risk_versions(id, NEWEST, 1))
    return views_vaults.risk(await _again(edge, id), versions[0].version if versions else 0)


def _terms(of: Vault) -> tuple[int, str, int]:
    return of.manager, of.default_venue, of.fee_ppm


def _named(venue: str) -> str:
    """Raises `ApiError` bad_value for what no venue can be called."""
    try:
        return leg_said("X", venue).venue
    except NotATicket as error:
        raise ApiError("bad_value", str(error)) from None


def _held_elsewhere(body: VaultBody) -> tuple[int, dict[Leg, int]]:
    """Micro-USDC, and sizes in 1e-8. Raises `ApiError` bad_value."""
    found: dict[Leg, int] = {}
    try:
        for name, size in (body.positions or {}).items():
            leg = leg_said(name, body.default_venue)
            if leg in found:
                raise ApiError("bad_value", f"{leg} is there twice")
            found[leg] = size_from(size)
            if abs(found[leg]) > SIZE_MAX:
                raise ApiError("bad_value", f"{leg} is larger than can be counted")
    except (NotATicket, NotAQuantity) as error:
        raise ApiError("bad_value", str(error)) from None
    cash = micro_usdc(body.cash or "0")
    if abs(cash) > MONEY_MAX:
        raise ApiError("bad_value", "cash is more than can be counted")
    return cash, found
