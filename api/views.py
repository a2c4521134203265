"""State of the exchange as answers: pure reads."""

from collections.abc import Iterable
from itertools import groupby, islice
from typing import get_args

import msgspec

from api import schemas as s
from api import schemas_public as p
from api.collaborators import WithdrawalView
from api.fill_marks import FillMarks
from api.outbound import micros
from api.statistics import Maker
from api.units import MARKET_STATUSES, SIDE_NAMES, Markets, MarketUnits, usdc
from api.views_breakers import (
    alarm,
    delisting,
    funding_terms,
    jumped,
    liquidation_terms,
    mark_terms,
    not_open_since,
)
from api.views_funding import in_short
from api.views_margin import margin_terms, tiers
from api.views_prices import VALIDITIES, allows
from core import events as e
from core.batches import BatchStatus
from core.debt_events import DebtCovered, without_shares
from core.funding_events import headline
from core.operator_events import MarketSettled, without_ends
from core.quantities import MILLISECOND
from ledger.queries import BatchView, FillView
from matcher.book import Ladder
from matcher.marking import only_reduces
from matcher.state import Exchange
from matcher.trust import validity

STATUS_NAMES: dict[int, s.FillStatus] = dict(enumerate(get_args(s.FillStatus)))


def fill(row: FillView, markets: Markets, account: int) -> s.FillAnswer:
    units, taker = markets[row.market], account == row.taker
    return s.FillAnswer(
        fill=row.fill,
        seq=row.seq,
        at=micros(row.at),
        market=units.symbol,
        role="taker" if taker else "maker",
        side=SIDE_NAMES[row.side if taker else -row.side],
        size=units.size(row.size),
        price=units.price(row.price),
        fee=usdc(row.fee if taker else 0),
        realized=usdc(row.taker_realized if taker else row.maker_realized),
        batch=row.batch or None,
        status=STATUS_NAMES[row.status],
    )


def at_least(row: FillView, marks: FillMarks) -> FillView:
    """A fill as the read side has it, which may lag, with the status that was told already."""
    status = max(row.status, marks.status(row.seq))
    return row._replace(status=int(status), batch=row.batch or marks.batch_of(row.seq))


def fill_status(row: FillView, markets: Markets) -> s.FillStatusAnswer:
    units = markets[row.market]
    return s.FillStatusAnswer(
        fill=row.fill,
        seq=row.seq,
        at=micros(row.at),
        market=units.symbol,
        size=units.size(row.size),
        price=units.price(row.price),
        batch=row.batch or None,
        status=STATUS_NAMES[row.status],
    )


def recent_fill(state: Exchange, seq: int, event: e.Filled) -> FillView | None:
    """A fill in memory with its status, or None when it is in a batch before the last cut: the ledger knows that one."""
    cut = state.cut
    if cut is None or seq > cut.seq:
        batch, status = 0, int(BatchStatus.MATCHED)
    elif seq > cut.previous_seq:
        batch, status = cut.batch, state.batches[cut.batch]
    else:
        return None
    return FillView(
        fill=event.fill,
        seq=seq,
        at=event.at,
        market=event.market,
        taker=event.taker,
        maker=event.maker,
        side=event.side,
        size=event.size,
        price=event.price,
        fee=event.fee,
        taker_realized=event.taker_realized,
        maker_realized=event.maker_realized,
        batch=batch,
        status=status,
    )


def market(state: Exchange, units: MarketUnits, now: int) -> p.MarketAnswer:
    listed, index, mark = units.market, state.indexes.get(units.id), state.marks.get(units.id)
    record, found = state.mark_records.get(units.id), validity(state, units.id, now)
    open_interest = state.open_interest[units.id]
    return p.MarketAnswer(
        id=units.id,
        symbol=units.symbol,
        status=MARKET_STATUSES[state.statuses[units.id]],
        tick=listed.tick,
        lot=listed.lot,
        max_leverage=listed.max_leverage,
        tiers=tiers(state, units),
        margin_terms=margin_terms(listed),
        taker_fee_ppm=listed.taker_fee,
        oracle_band_ppm=listed.oracle_band,
        price_band_ppm=listed.price_band,
        thin_only_reduces=listed.thin_only_reduces,
        position_cap=units.size(listed.position_cap),
        open_interest_cap=units.size(listed.open_interest_cap),
        open_interest=units.size(open_interest),
        open_interest_value=usdc(open_interest * mark.value_per_lot) if mark else None,
        only_reduces=only_reduces(state, units.id),
        mark=units.price(state.mark_price(units.id)) if index else None,
        mark_inputs=p.MarkInputsAnswer(
            index_with_basis=units.price(record.with_basis) if record and record.with_basis else None,
            quotes=units.price(record.of_quotes) if record and record.of_quotes else None,
            outside=units.price(record.outside) if record and record.outside else None,
        )
        if index
        else None,
        funding=in_short(state, units, now),
        index=units.price(index.price) if index else None,
        confidence=units.price(index.confidence) if index else None,
        published=micros(index.published) if index else None,
        source=index.source if index else None,
        validity=VALIDITIES[found],
        allows=allows(found),
        index_max_age_ms=listed.index_max_age // MILLISECOND,
        fill_max_age_ms=listed.fill_max_age // MILLISECOND,
        mark_terms=mark_terms(listed),
        liquidation=liquidation_terms(listed),
        greedy_deleveraging=listed.greedy_deleveraging,
        funding_terms=funding_terms(listed),
        alarm=alarm(listed),
        jumped=jumped(state, units),
        not_open_since=not_open_since(state, units.id),
        delisting=delisting(state, units.id, now),
    )


def quotes(state: Exchange, units: MarketUnits, depth: int) -> p.QuotesAnswer:
    index = state.indexes.get(units.id)
    return p.QuotesAnswer(
        market=units.symbol,
        bids=_levels(state.book.bids[units.id], units, depth),
        asks=_levels(state.book.asks[units.id], units, depth),
        index=units.price(index.price) if index else None,
    )


def _levels(ladder: Ladder, units: MarketUnits, depth: int) -> list[p.LevelAnswer]:
    by_price = groupby(ladder, key=lambda level: level.price)
    return [
        p.LevelAnswer(price=units.price(price), size=units.size(sum(level.size for level in levels)))
        for price, levels in islice(by_price, depth)
    ]


def maker(state: Exchange, account: int, made: Maker) -> p.MakerAnswer:
    micros_to_answer = made.answer_time // made.answered // 1_000 if made.answered else None
    return p.MakerAnswer(
        account=account,
        name=state.accounts[account].name,
        asked=made.asked,
        answered=made.answered,
        passed=made.passed,
        answer_ms=None
        if micros_to_answer is None
        else f"{micros_to_answer // 1000}.{micros_to_answer % 1000:03d}",
        fills=made.fills,
        volume=usdc(made.volume),
        rejected=made.rejected,
        frozen=made.frozen,
        markout_ppm=made.markout // made.markouts if made.markouts else None,
    )


def batch(row: BatchView, marks: FillMarks) -> p.BatchAnswer:
    status = max(row.status, marks.of_batch(row.batch))
    return p.BatchAnswer(
        batch=row.batch,
        after_seq=row.after_seq,
        seq=row.seq,
        at=micros(row.at),
        status=STATUS_NAMES[status],
        root=row.root,
        pages=row.pages,
        deltas=row.deltas,
        fills=row.fills,
        lamports=row.lamports,
        signatures=list(row.signatures),
    )


def closed(event: e.RequestClosed, markets: Markets, fee: str | None, repeated: bool) -> s.ClosedAnswer:
    units = markets[event.market]
    return s.ClosedAnswer(
        id=event.key,
        request=event.request,
        market=units.symbol,
        side=SIDE_NAMES[event.side],
        size=units.size(event.size),
        filled=units.size(event.filled),
        average_price=units.average(event.value, event.filled),
        value=usdc(event.value),
        fee=fee,
        outcome=event.outcome,
        fills=list(event.fills),
        repeated=repeated,
    )


def open_request(opened: e.RequestOpened, markets: Markets) -> s.OpenRequestAnswer:
    units = markets[opened.market]
    return s.OpenRequestAnswer(
        id=opened.key,
        request=opened.request,
        market=units.symbol,
        side=SIDE_NAMES[opened.side],
        size=units.size(opened.size),
        limit=units.price(opened.limit),
        expires=micros(opened.expires),
    )


def withdrawal(view: WithdrawalView) -> s.WithdrawalAnswer:
    return s.WithdrawalAnswer(
        id=view.id,
        amount=usdc(view.amount),
        status=view.status,
        message=view.message,
        signature=view.signature,
        code=view.code,
    )


def event_fields(events: Iterable[e.Event]) -> list[dict[str, object]]:
    """Events with their fields by name, in the engine's units, for the operator's programs.

    Of funding without the payments, of a market's end without everybody's own, of a debt without who shared it: there may be a hundred
    thousand, and the ledger has them.
    """
    return [
        {
            "type": type(event).__name__,
            **{name: msgspec.to_builtins(getattr(event, name)) for name in event.__struct_fields__},
        }
        for event in map(_short, events)
    ]


def _short(event: e.Event) -> e.Event:
    if isinstance(event, e.FundingSettled):
        return headline(event)
    if isinstance(event, DebtCovered):
        return without_shares(event)
    return without_ends(event) if isinstance(event, MarketSettled) else event
