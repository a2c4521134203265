"""What the records of liquidations and of the insurance fund add to their tables."""

from collections.abc import Iterator
from typing import Any, Final

from core import events as e
from core import liquidation_events as le
from core.accounts import INSURANCE
from core.custody_events import ChainAccepted
from core.debt_events import DebtCovered
from core.exit_events import ExitClaimed
from core.operator_events import MarketSettled
from core.postings import postings

Step = tuple[int, int, int, int, str, int, int, int, int, int, int, int, int, int, int, int, int]

WHYS: Final[dict[type[e.Event], str]] = {
    e.DepositCredited: "deposit",
    ExitClaimed: "exit",
    e.FundingSettled: "funding",
    e.Filled: "sale",
    le.LiquidationSliced: "fee",
    le.TakenOver: "takeover",
    le.Deleveraged: "deleveraging",
    le.InsuranceFloorSet: "floor",
    MarketSettled: "delisting",
    DebtCovered: "debt",
    ChainAccepted: "astray",
}
"""Records that change the insurance fund, and the reason that its history gives."""


def steps(seq: int, event: e.Event) -> Iterator[Step]:
    """Rows of `liquidation_steps`, all columns in order."""
    match event:
        case le.LiquidationSliced() as s:
            yield (
                *(
                    seq,
                    0,
                    s.liquidation,
                    s.at,
                    "auction",
                    s.market,
                    s.mark,
                    s.asked,
                    s.limit,
                    s.size,
                    s.value,
                ),
                *(s.bound, s.fee, s.equity, s.maintenance, 0, len(s.fills)),
            )
        case le.TakenOver() as t:
            for line, part in enumerate(t.parts):
                yield (
                    *(seq, line, t.liquidation, t.at, "takeover", part.market, part.mark, part.size, 0),
                    *(part.size, part.value, part.value, 0, t.equity, t.maintenance, 0, 1),
                )
        case le.Deleveraged() as d:
            size, value = sum(part.size for part in d.parts), sum(part.value for part in d.parts)
            yield (
                *(seq, 0, d.liquidation, d.at, "deleveraging", d.market, d.mark, d.size, 0, size, value),
                *(d.value, 0, d.equity, d.maintenance, d.left, len(d.parts)),
            )


def insurance_change(seq: int, event: e.Event) -> dict[str, Any] | None:
    """What a record does to the insurance fund, as the statement of `insurance_history` takes it; None when nothing."""
    why = WHYS.get(type(event))
    if why is None:
        return None
    moved = [posting for posting in postings(event) if INSURANCE in (posting.debit, posting.credit)]
    amount = sum(posting.amount if posting.credit == INSURANCE else -posting.amount for posting in moved)
    if not amount and not _touches(event):
        return None
    return {
        "seq": seq,
        "at": event.at,
        "why": why,
        "liquidation": getattr(event, "liquidation", 0),
        "amount": amount,
        "floor": event.floor if isinstance(event, le.InsuranceFloorSet) else None,
    }


def _touches(event: e.Event) -> bool:
    """Whether the fund's positions or its floor change, whatever happens to its balance."""
    match event:
        case e.Filled(taker=taker, maker=maker):
            return INSURANCE in (taker, maker)
        case le.TakenOver(account=account, parts=parts) | le.Deleveraged(account=account, parts=parts):
            return account == INSURANCE or any(part.other == INSURANCE for part in parts)
        case MarketSettled(positions=positions):
            return any(position.account == INSURANCE for position in positions)
        case _:
            return isinstance(event, le.InsuranceFloorSet)
