"""An account's statement of a period, as JSON a page at a time or as one CSV file."""

import re
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from api.access import SESSION_ERRORS, EdgeGiven, ProofCaller, errors
from api.errors import ApiError
from api.schemas_statements import SettledAnswer, StatementAnswer, StatementLine
from api.streams import HistoryUnavailable
from ledger.statement_text import Units, as_csv, told, told_batch, told_period

router = APIRouter(prefix="/api/v1/account", tags=["account"])
MICROSECOND: Final = 1_000
NEWEST: Final = (1 << 52) - 1
CURSOR: Final = re.compile(r"^([0-9]{1,18})\.([0-9]{1,18})$")


@router.get(
    "/statement",
    responses={
        **errors(*SESSION_ERRORS, "bad_value", "history_unavailable"),
        200: {
            "model": StatementAnswer,
            "content": {"text/csv": {"schema": {"type": "string"}}},
            "description": "The statement in the `format` that was asked for.",
        },
    },
    response_class=Response,
)
async def statement(
    caller: ProofCaller,
    edge: EdgeGiven,
    start: Annotated[int, Query(ge=0, le=NEWEST, alias="from", description="Microseconds; inclusive.")] = 0,
    end: Annotated[int, Query(ge=0, le=NEWEST, alias="to", description="Microseconds; exclusive.")] = NEWEST,
    format: Literal["json", "csv"] = "json",
    cursor: Annotated[str | None, Query(max_length=40, description="`next` of the page before.")] = None,
    limit: Annotated[
        int, Query(ge=1, le=500, description="About so many lines a page; records stay whole.")
    ] = 200,
) -> Response:
    """Opening balance, every fill and movement of money, closing balance: exact, with batch and transaction of each line.

    From the read side: it lags by moments. A CSV file comes whole, as it is read.
    """
    after, through = _read(cursor)
    try:
        of = await edge.reads.period(caller, start * MICROSECOND, end * MICROSECOND, through)
        if of is None:
            raise ApiError("history_unavailable")
        markets = edge.engine.state.markets.values()
        units = {int(one.id): Units(one.symbol, Decimal(one.tick), Decimal(one.lot)) for one in markets}
        if format == "csv":
            return StreamingResponse(
                _bytes(as_csv(edge.reads, of, units)),
                media_type="text/csv; charset=utf-8",
                headers={"Content-Disposition": f'attachment; filename="statement-{caller}.csv"'},
            )
        balance = await edge.reads.balance_after(of, after) if after else of.opening
        lines, last, batches = await edge.reads.statement_lines(of, after, balance, limit)
        settled = await edge.reads.last_settled(of)
    except HistoryUnavailable:
        raise ApiError("history_unavailable") from None
    answer = StatementAnswer(
        **told_period(of),
        settled=SettledAnswer(**told_batch(settled)) if settled is not None else None,
        lines=[StatementLine(**told(line, batches, units)) for line in lines],
        batches=[SettledAnswer(**told_batch(one)) for one in batches],
        next=f"{last}.{of.through_seq}" if last else None,
    )
    return Response(answer.model_dump_json(), media_type="application/json")


def _read(cursor: str | None) -> tuple[int, int | None]:
    """Record to go on after, and the statement's last one. Raises `ApiError` bad_value."""
    if cursor is None:
        return 0, None
    found = CURSOR.match(cursor)
    if found is None:
        raise ApiError("bad_value", "cursor: give `next` of the page before.")
    return int(found[1]), int(found[2])


async def _bytes(text: AsyncIterator[str]) -> AsyncIterator[bytes]:
    async for piece in text:
        yield piece.encode()
