"""The operator's door: commands of its side and the reads that settlement needs, for programs that hold its token."""

from bisect import bisect_right
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response

from activities.engine_door import PLACES_MAX
from api import books, cuts, views
from api.access import EdgeGiven, Operator, OperatorOnly, errors
from api.errors import RULES, ApiError, refused
from api.schemas_public import (
    BooksAnswer,
    CutAnswer,
    LimitsAnswer,
    OpenWithdrawalAnswer,
    OperatorStateAnswer,
    OutcomeAnswer,
    StandingExitAnswer,
    UnboundAnswer,
    UnboundPageAnswer,
)
from core.market import Market
from core.market_limits import unlistable
from core.operator_events import NETWORK
from core.quantities import MILLION
from matcher import commands as c
from matcher.image import state_hash
from matcher.limits import WHY_LENGTH_MAX
from matcher.rejections import Rejection, Repeated
from matcher.state import adds_up

router = APIRouter(prefix="/api/v1/operator", tags=["operator"], dependencies=[OperatorOnly])
OPERATOR_ERRORS: Final = ("not_authenticated", "operator_only")
INTEGER_MAX: Final = (1 << 62) - 1
"""Records and columns are signed 64-bit; a command with anything larger is refused before it reaches the rules."""
TEXT_MAX: Final = 256
UNBOUND_MAX: Final = 100

# No `UpdateIndex`: prices come from the feed, which runs beside the engine, and nobody with a token sets one.
OperatorCommand = (
    c.ListMarket
    | c.SetMarketStatus
    | c.SetLimits
    | c.DelistMarket
    | c.HoldWithdrawals
    | c.HoldSettlement
    | c.RetryBatch
    | c.AcceptChain
    | c.SeeExitDelay
    | c.SeeStray
    | c.RegisterAgent
    | c.SetTier
    | c.BindSlot
    | c.CreditDeposit
    | c.CreditDeposits
    | c.ReserveWithdrawal
    | c.FinishWithdrawal
    | c.RequestExit
    | c.ReleaseExit
    | c.ClaimExit
    | c.ReduceForExit
    | c.TakeUnapplied
    | c.SeeLossLimits
    | c.CutSettlement
    | c.AdvanceBatch
    | c.SettleFunding
    | c.SetInsuranceFloor
    | c.ShareDebt
    | c.SellInventory
    | c.ReviewAccount
)
decode: Final = msgspec.json.Decoder(OperatorCommand).decode
COMMAND_SCHEMAS: Final = msgspec.json.schema_components(
    (OperatorCommand,), ref_template="#/components/schemas/{name}"
)
ONLY_REDUCES: Final = Market.__struct_fields__.index("thin_only_reduces")
"""Where a listing says whether nobody opens anything at a price of which too little is known. At this door nothing said means so; a
record that does not say it is of a market from before there was the choice, so the rules' own default is another."""
COMMAND_SCHEMAS[1]["Market"]["prefixItems"][ONLY_REDUCES]["default"] = True


@router.post(
    "/commands",
    responses=errors(*OPERATOR_ERRORS, "network_only", "bad_message", *(code.value for code in RULES)),
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": COMMAND_SCHEMAS[0][0]}}}
    },
)
async def command(request: Request, edge: EdgeGiven, operator: Operator) -> OutcomeAnswer:
    """Run one command; answers when what it led to is on disk.

    Commands that have `why` need one, and `who` is always the caller's credential: both stay in the audit trail. What the sweep, too,
    asks for every minute needs none from the network's own processes, and is in the trail only with one. All other commands leave no
    name, deposits and payments among them: only the credential of the network's own processes may give them, and so it is with
    withdrawals that were found on chain.
    """
    given = read_command(await request.body())
    if isinstance(given, c.AcceptChain) and given.withdrawn and operator != NETWORK:
        raise ApiError("network_only")
    if isinstance(given, c.ByOperator):
        if given.why or operator != NETWORK or not isinstance(given, c.OrBySweep):
            check_reason(given.why)
        given = msgspec.structs.replace(given, who=operator)
    elif operator != NETWORK:
        raise ApiError("network_only")
    outcome = await edge.engine.ask(given)
    if isinstance(outcome, Rejection):
        raise refused(outcome)
    repeated = isinstance(outcome, Repeated)
    events = outcome.events if isinstance(outcome, Repeated) else outcome
    return OutcomeAnswer(seq=edge.engine.synced, repeated=repeated, events=views.event_fields(events))


def read_command(body: bytes) -> c.Command:
    """Raises `ApiError` bad_message or bad_value."""
    try:
        given: c.Command = decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError("bad_message", str(error)[:300]) from None
    check_ranges(given)
    if isinstance(given, c.ListMarket):
        check_market(given.market)
        if len(msgspec.json.decode(body)["market"]) <= ONLY_REDUCES:
            return msgspec.structs.replace(
                given, market=msgspec.structs.replace(given.market, thin_only_reduces=True)
            )
    return given


def check_reason(why: str) -> None:
    """Raises `ApiError` bad_value for a reason that the audit trail could not show."""
    if not 0 < len(why) <= WHY_LENGTH_MAX or not why.isprintable():
        raise ApiError("bad_value", f"why: a reason of 1 to {WHY_LENGTH_MAX} printable characters is needed.")


def check_ranges(value: Any) -> None:
    """Raises `ApiError` bad_value for integers and texts that no record could hold, and for texts that nobody could read.

    A record is for good: PostgreSQL takes no NUL, so one in a record would end the ledger there.
    """
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            check_ranges(getattr(value, name))
    elif isinstance(value, tuple):
        for part in value:
            check_ranges(part)
    elif isinstance(value, int):
        if abs(value) > INTEGER_MAX:
            raise ApiError("bad_value", "An integer is larger than 62 bits.")
    elif isinstance(value, str) and (len(value) > TEXT_MAX or not value.isprintable()):
        raise ApiError("bad_value", f"A text has at most {TEXT_MAX} characters, all of them printable.")


def check_market(market: Market) -> None:
    """Raises `ApiError` bad_value for parameters with which the rules could not compute."""
    wrong = unlistable(market)
    if wrong:
        raise ApiError("bad_value", wrong)
    if not 0 < len(market.symbol) <= 32 or not market.symbol.isprintable():
        raise ApiError("bad_value", "A market's symbol has 1 to 32 printable characters.")
    if not units_fit(market):
        raise ApiError(
            "bad_value", "One tick of one lot must be worth exactly value_per_tick_lot micro-USDC."
        )


def units_fit(market: Market) -> bool:
    """Whether tick and lot are decimals whose product is the market's exact value of one tick of one lot."""
    try:
        tick, lot = Decimal(market.tick), Decimal(market.lot)
    except InvalidOperation:
        return False
    sensible = all(unit.is_finite() and unit > 0 and -12 <= unit.adjusted() <= 6 for unit in (tick, lot))
    return sensible and tick * lot * MILLION == market.value_per_tick_lot


@router.get(
    "/settlement/cuts/{batch}",
    responses={200: {"model": CutAnswer}, **errors(*OPERATOR_ERRORS, "batch_unknown")},
    response_class=Response,
)
async def cut(batch: Annotated[int, Path(ge=1, le=INTEGER_MAX)], edge: EdgeGiven) -> Response:
    """The cut of the last batch, with every account that has a slot."""
    last = edge.engine.state.cut
    if last is None or last.batch != batch:
        raise ApiError("batch_unknown")
    await edge.hub.on_disk()
    return Response(await cuts.encoded(edge.engine.state, last), media_type="application/json")


@router.get(
    "/settlement/accounts",
    responses={200: {"model": BooksAnswer}, **errors(*OPERATOR_ERRORS)},
    response_class=Response,
)
async def settlement_accounts(edge: EdgeGiven) -> Response:
    """What the books say of every account that has a slot, and the withdrawals that are reserved, of one moment."""
    answer = await books.encoded(edge.engine.state)
    await edge.hub.on_disk()
    return Response(answer, media_type="application/json")


@router.get(
    "/settlement/exits",
    responses={200: {"model": list[StandingExitAnswer]}, **errors(*OPERATOR_ERRORS)},
    response_class=Response,
)
async def settlement_exits(edge: EdgeGiven) -> Response:
    """The requests to leave that stand, and whether anything is to be done about each."""
    answer = await books.exits(edge.engine.state, edge.clock())
    await edge.hub.on_disk()
    return Response(answer, media_type="application/json")


@router.get("/settlement/loss-limits", responses=errors(*OPERATOR_ERRORS))
async def settlement_loss_limits(
    edge: EdgeGiven, account: Annotated[tuple[int, ...], Query(max_length=PLACES_MAX)] = ()
) -> LimitsAnswer:
    """Whose loss limits the engine knows, and where the slots of the accounts are that are asked about."""
    exchange = edge.engine.state
    batch, status = books.last_cut(exchange)
    there = (exchange.accounts.get(id) for id in account)
    answer = LimitsAnswer(
        batch=batch,
        status=status,
        limited=list(exchange.loss_limits),
        places=[
            (one.id, one.owner, one.page, one.slot) for one in there if one is not None and one.page >= 0
        ],
    )
    await edge.hub.on_disk()
    return answer


@router.get("/accounts/unbound", responses=errors(*OPERATOR_ERRORS))
async def unbound(edge: EdgeGiven, after: Annotated[int, Query(ge=0)] = 0) -> UnboundPageAnswer:
    """Agents that have no slot on chain yet, in the order of their registration: the newest hundred, and a hundred from `after` on.

    Some of them never get one, because they have nothing to put into it: whoever asks again and again with `next` sees all.
    """
    state = edge.engine.state
    agents = list(state.unbound)
    begin = bisect_right(agents, after)
    older = agents[begin : begin + UNBOUND_MAX]
    end = begin + len(older) == len(agents)
    await edge.hub.on_disk()
    return UnboundPageAnswer(
        accounts=[
            UnboundAnswer(account=id, owner=state.accounts[id].owner)
            for id in sorted({*older, *agents[-UNBOUND_MAX:]})
        ],
        next=0 if end else older[-1],
    )


@router.get("/withdrawals/open", responses=errors(*OPERATOR_ERRORS))
async def open_withdrawals(edge: EdgeGiven) -> list[OpenWithdrawalAnswer]:
    """Withdrawals that are reserved and neither paid nor given back, oldest first."""
    state = edge.engine.state
    answer = [
        OpenWithdrawalAnswer(
            account=one.account,
            owner=state.accounts[one.account].owner,
            amount=one.amount,
            key=one.key,
            destination=one.destination,
            at=one.at,
        )
        for one in state.withdrawals.values()
    ]
    await edge.hub.on_disk()
    return answer


@router.get("/state", responses=errors(*OPERATOR_ERRORS))
async def state(
    edge: EdgeGiven, with_hash: Annotated[bool, Query(alias="hash")] = False
) -> OperatorStateAnswer:
    """Totals, and the state hash when asked for: it holds up the exchange for a time in proportion to its whole state."""
    exchange = edge.engine.state
    held = exchange.breakers.settlement
    answer = OperatorStateAnswer(
        seq=exchange.seq,
        state_hash=state_hash(exchange) if with_hash else None,
        balances_total=exchange.sums.balances,
        deposits=exchange.deposited,
        withdrawals=exchange.paid_out,
        reserved=exchange.reserved,
        conserved=adds_up(exchange, exchange.sums),
        positions_zero_sum=exchange.sums.zero,
        vault_expected=exchange.deposited - exchange.paid_out,
        claimed=exchange.claimed,
        claimed_astray=exchange.custody.claimed_astray,
        exits=len(exchange.exits),
        loss_limits=len(exchange.loss_limits),
        settlement_held=held.why or "by an operator" if held is not None else "",
        astray=exchange.custody.astray,
        exit_delay=exchange.custody.exit_delay,
        limit_delay=exchange.custody.limit_delay,
    )
    await edge.hub.on_disk()
    return answer
