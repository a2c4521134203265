"""What everybody owes for hours of funding that have ended, whether or not they are paid. Reads only."""

from collections.abc import Iterable
from typing import cast

from core.accounts import INSURANCE, TREASURY
from core.funding import FundingRun, funding_run
from core.funding_events import HourEnded
from core.quantities import AccountId, Ppm
from matcher.funding import Hour
from matcher.state import Exchange


def run_of(state: Exchange, hour: Hour, ended: HourEnded) -> FundingRun:
    """What everybody owes for an hour that has ended, in the order of the accounts."""
    positions = _held(state, ended.market, hour)
    return funding_run(positions, ended.charge, hour.makers, Ppm(ended.treasury_share))


def _held(state: Exchange, market: int, hour: Hour) -> Iterable[tuple[AccountId, int]]:
    """Positions (account, lots) at the end of an unpaid hour, ascending by account, as accounts are kept."""
    positions, moved = state.positions_in(market), state.funding[market].moved(hour.number)
    held: Iterable[tuple[int, int]]
    if moved:
        sizes = {id: position.size for id, position in positions.items()} | moved
        held = [(id, sizes[id]) for id in sorted(sizes) if sizes[id]]
    else:
        ids = sorted(positions)
        held = zip(
            ids, [positions[id].size for id in ids], strict=True
        )  # No pair is kept: they are very many.
    return cast(Iterable[tuple[AccountId, int]], held)


def kept_of_hours(state: Exchange) -> dict[int, int]:
    """What treasury and insurance fund are to receive of hours that have ended and are not paid: the rest of what all others owe."""
    kept = {TREASURY: 0, INSURANCE: 0}
    for funding in state.owing.values():
        for hour in funding.unpaid:
            if hour.ended is not None:
                run = run_of(state, hour, hour.ended)
                kept[TREASURY] += run.treasury
                kept[INSURANCE] += run.insurance
    return kept
