"""Histories for the projector: any sequence of events whose money adds up, numbered as in a journal."""

import random
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from core import events as e
from core import liquidation_events as le
from core.accounts import INSURANCE
from core.custody_events import AcceptedSlot, ChainAccepted, ExitDelaySeen, SettlementLate, StrayClaimed
from core.exit_events import DeltasUnapplied, ExitClaimed, ExitReleased, ExitRequested
from core.liquidation import DEFAULT_TERMS
from core.loss_limit_events import LossLimitsSeen
from core.market import DEFAULT_MARKETS
from core.market_limits import limits_of
from core.operator_events import (
    LimitsSet,
    MarketSettled,
    OpenInterestJumped,
    RetryOrdered,
    ReviewOrdered,
    SaleOrdered,
    SettledPosition,
    SettlementHeld,
    SharingOrdered,
    WithdrawalsHeld,
)
from core.quantities import SECOND
from core.subaccount_events import SubAccountOpened, Transferred

History = list[tuple[int, e.Event]]
AGENTS = range(16, 24)


def _setup() -> list[e.Event]:
    listed: list[e.Event] = [e.MarketListed(0, market) for market in DEFAULT_MARKETS[:2]]
    registered = [e.AgentRegistered(n, 16 + n, f"owner{n // 2}", f"agent{n}") for n in range(8)]
    bound = [e.SlotBound(n, 16 + n, 0, 2 + n) for n in range(8)]
    opened = [SubAccountOpened(9, 24, 16, 1, "agent0/1"), SubAccountOpened(9, 25, 17, 2, "agent1/2")]
    return [*listed, *registered, *bound, *opened]


def _filled(rng: random.Random, at: int, fill: int, positions: dict[tuple[int, int], int]) -> list[e.Event]:
    """A fill and the end of its request. Costs are whatever keeps the clearing account equal to minus their sum."""
    taker, maker = rng.sample(AGENTS, 2)
    market, side, gains = (
        rng.randrange(1, 3),
        rng.choice((1, -1)),
        (rng.randrange(-99, 99), rng.randrange(-99, 99)),
    )
    costs = []
    for account, gain in zip((taker, maker), gains, strict=True):
        positions[account, market] = positions.get((account, market), 0) + gain
        costs.append(positions[account, market])
    size = rng.randrange(1, 9)
    return [
        e.Filled(at, fill, fill, fill, market, taker, maker, side, size, 600_000, rng.randrange(50), *gains, *costs, 600_001),
        e.RequestClosed(at, fill, taker, f"key{fill}", 5, market, side, size, size, 10**9, "filled", (fill,)),
    ]  # fmt: skip


def _withdrawn(rng: random.Random, at: int, number: int) -> list[e.Event]:
    account, amount, paid = rng.choice(AGENTS), rng.randrange(1, 10**6), rng.random() < 0.5
    return [
        e.WithdrawalReserved(at, number, account, amount, f"withdrawal{number}"),
        e.WithdrawalFinished(at, number, account, amount, paid, "signature" if paid else ""),
    ]


def _settled(at: int, batch: int) -> list[e.Event]:
    return [
        e.SettlementCut(at, batch, ((1, 600_000), (2, 300_000))),
        *(e.BatchAdvanced(at + status, batch, status, ()) for status in (2, 3, 4)),
    ]


def _funded(rng: random.Random, at: int, hour: int, market: int) -> list[e.Event]:
    """A premium and a paid hour: what some pay others receive, but for the shares of treasury and insurance fund."""
    payers, receivers = rng.sample(AGENTS[1:], 2), (INSURANCE, AGENTS[0])
    payments = dict.fromkeys(payers, 500) | dict.fromkeys(receivers, -450)
    rates = (1, 720, 10**8 + hour, 3, -40, 1_000, 10**8, 12_500_000, 10**8, 600_000)
    return [
        e.PremiumSampled(at, market, hour, 10**8, 600_000, 600_000_000_000, 0, 2, (16, 17)),
        e.FundingSettled(at, market, hour, *rates, 4, 1_000, 99, 1, tuple(sorted(payments.items()))),
    ]


def _limited(at: int, market: int, cap: int) -> LimitsSet:
    return LimitsSet(
        at, market, replace(limits_of(DEFAULT_MARKETS[0]), position_cap=cap + 1), False, "ada", "caps"
    )


def _delisted(
    at: int, market: int, positions: dict[tuple[int, int], int], sizes: dict[tuple[int, int], int]
) -> e.Event:
    """The end of a market: everybody's cost comes back, and one account's debt is shared by another and the insurance fund."""
    held = sorted(account for account, where in sizes if where == market)
    shares, fund = (dict(zip(held, (70, -50), strict=False)), 20) if len(held) > 1 else ({}, 0)
    ends = [
        SettledPosition(
            account, sizes[account, market], -positions.pop((account, market)), shares.get(account, 0)
        )
        for account in held
    ]
    return MarketSettled(at, market, 600_123, tuple(ends), fund, 5, True, "ada", "nobody quotes it")


def _liquidated(
    rng: random.Random, at: int, number: int, positions: dict[tuple[int, int], int]
) -> list[e.Event]:
    """A liquidation with an auction, and a takeover or a deleveraging; costs as in fills."""
    account, other = rng.sample(AGENTS, 2)
    market, size, fee = rng.randrange(1, 3), rng.choice((-7, 7)), rng.randrange(9)
    fund, taken = le.FundStanding(500, 40, 30), rng.random() < 0.5
    takes = INSURANCE if taken else other
    costs = []
    for one, gain in ((account, -4), (takes, 3)):
        positions[one, market] = positions.get((one, market), 0) + gain
        costs.append(positions[one, market])
    parts = (le.Handover(takes, market, 600_000, size, size * 10, costs[0], -4, costs[1], 3),)
    moved: e.Event = (
        le.TakenOver(at, number, account, 50, 90, fund, parts)
        if taken
        else le.Deleveraged(
            at, number, account, 50, 90, fund, market, 600_000, size, size * 10, False, 0, parts
        )
    )
    sliced = (size, 500, size, 700, 650, fee, (), DEFAULT_TERMS)
    return [
        le.LiquidationStarted(at, number, account, 80, 90, ((market, size, 600_000),)),
        le.LiquidationSliced(at, number, account, 1, market, 600_000, 2 * size, 80, 90, 1, *sliced),
        moved,
        le.LiquidationEnded(at, number, account, "taken_over" if taken else "deleveraged", 0, 0),
        le.MarginWarned(at, other, 500_000, 100, 50),
        le.InsuranceFloorSet(at, number, *(("ada", f"floor {number}") if taken else ())),
    ]


def history(seed: int, length: int) -> History:
    """Deposits, fills, withdrawals, prices, settled batches and more among eight agents, numbered from 1; market 2 is delisted at the
    end."""
    rng = random.Random(seed)
    events = _setup()
    positions: dict[tuple[int, int], int] = {}
    fills = withdrawals = batches = hours = liquidations = 0
    for step in range(length):
        at = step * SECOND // 3
        match rng.randrange(15):
            case 0 | 1:
                account, amount = rng.choice(AGENTS), rng.randrange(1, 10**9)
                events.append(e.DepositCredited(at, account, amount, f"signature:{step}"))
            case 2:
                withdrawals += 1
                events += _withdrawn(rng, at, withdrawals)
            case 3 | 4:
                market, price, held = rng.randrange(1, 3), 600_000 + step, rng.random() < 0.3
                events.append(e.IndexUpdated(at, market, price, 5, at, "test", held=held))
            case 5:
                batches += 1
                events += _settled(at, batches)
            case 6:
                events.append(e.TierSet(at, rng.choice(AGENTS), rng.randrange(2)))
                events.append(
                    e.MarketStatusSet(at, rng.randrange(1, 3), rng.randrange(1, 4), "ada", f"why {step}")
                )
                events.append(_limited(at, rng.randrange(1, 3), step))
                events.append(WithdrawalsHeld(at, rng.random() < 0.5, "bob", f"why {step}"))
                events.append(SettlementHeld(at, rng.random() < 0.5, "bob", f"why {step}"))
                events.append(OpenInterestJumped(at, 1, step, 3 * step + 1))
                events.append(SaleOrdered(at, rng.randrange(1, 3), "ada", f"why {step}"))
                events.append(ReviewOrdered(at, rng.choice(AGENTS), "bob", f"why {step}"))
                events.append(RetryOrdered(at, batches, "ada", f"why {step}"))
                events.append(SharingOrdered(at, rng.choice(AGENTS), "bob", f"why {step}"))
            case 7:
                hours += 1
                events += _funded(rng, at, 470_000 + hours, rng.randrange(1, 3))
            case 8:
                liquidations += 1
                events += _liquidated(rng, at, liquidations, positions)
            case 9:
                pair = rng.choice(((16, 24), (17, 25)))[:: rng.choice((1, -1))]
                events.append(Transferred(at, f"transfer{step}", *pair, rng.randrange(1, 10**6)))
            case 10:
                events.append(ExitRequested(at, 16, 10**6, 10**9 + step))
                given = ((24, rng.randrange(1, 10**3)),)
                events.append(ExitClaimed(at, 16, rng.randrange(10**3, 10**6), f"claim:s{step}:0", given))
                short = rng.randrange(1, 10**6)
                events.append(DeltasUnapplied(at, 1, 0, ((16, -short, -short), (17, short, short))))
                lost, places = rng.randrange(10**3), ((0, step),)
                slots = (AcceptedSlot(16, -short, 0), AcceptedSlot(17, short - lost, 5, step))
                events.append(ChainAccepted(at, slots, 0, lost, lost, places, "ada", f"why {step}"))
                events.append(ExitDelaySeen(at, step + 1, step))
                events.append(StrayClaimed(at, step + 1, f"claim:stray{step}:0"))
                events.append(SettlementLate(at, rng.random() < 0.5, step, 60))
                events.append(ExitReleased(at, 17, 10**6, 10**9 + step))
                events.append(LossLimitsSeen(at, ((16, 10**6, rng.randrange(10**6)),)))
            case _:
                fills += 1
                events += _filled(rng, at, fills, positions)
    sizes: dict[tuple[int, int], int] = {}
    for event in events:
        if isinstance(event, e.Filled):
            for account, sign in ((event.taker, 1), (event.maker, -1)):
                where = (account, event.market)
                sizes[where] = sizes.get(where, 0) + sign * event.side * event.size
        for part in event.parts if isinstance(event, le.TakenOver | le.Deleveraged) else ():
            for account, change in ((event.account, -part.size), (part.other, part.size)):
                where = (account, part.market)
                sizes[where] = sizes.get(where, 0) + change
    events.append(_delisted(length * SECOND // 3, 2, positions, sizes))
    return list(enumerate(events, 1))


@pytest.fixture
def history_of() -> Callable[[int, int], History]:
    return history
