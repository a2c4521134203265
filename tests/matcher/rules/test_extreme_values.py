"""No command that the rules take, whatever integers it carries, makes a record that cannot be written: that would end the process, and
each start after it, since whoever sent it sends it again."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from core.accounts import INSURANCE
from core.batches import BatchStatus
from core.events import DURABLE_TYPES, Event
from core.funding import HOUR, FundingTerms
from core.liquidation import LiquidationTerms
from core.margin_terms import MarginTerms, Tier
from core.mark_price import MarkTerms
from core.market import DEFAULT_MARKETS, MarketStatus
from core.open_interest import WINDOW_MIN, JumpAlarm
from core.quantities import MONEY_MAX, SECOND
from core.validity import Validity
from matcher import commands as c
from matcher.apply import apply
from matcher.decide import DECIDERS, decide
from matcher.image import dump, load
from matcher.records import encode
from matcher.state import Exchange

NEVER_TAKEN: Final = {c.Advance, c.ReduceForExit, c.SellInventory, c.ShareDebt}
"""Of these nothing comes in such an exchange, and nothing but accounts and what the chain paid is in them."""
LATER: Final = (
    c.ListMarket
    | c.SetLimits
    | c.UpdateIndex
    | c.AcceptChain
    | c.SeeExitDelay
    | c.SeeStray
    | c.SetInsuranceFloor
    | c.RequestExit
    | c.SeeLossLimits
)
"""What other records are computed from later. None of them says anything of a request, which no image has."""
EXTREMES: Final = (
    *(
        sign * (2**bits + more)
        for bits in (31, 53, 62, 63, 64, 100)
        for sign in (1, -1)
        for more in (-1, 0, 1)
    ),
    10**12,
    10**12 + 1,
    0,
    1,
    -1,
)
TRADER, MAKER, LEAVING, SUB, WAITS = 16, 17, 18, 19, 20


def busy(world: Any) -> None:
    """Positions, an open request with a quote, a withdrawal, an exit, and a batch that is final."""
    for number in (1, 2, 3):
        world.agent(number, 10**12)
    assert world.play(c.OpenSubAccount(TRADER, 1))[0].account == SUB
    world.play(c.Transfer(TRADER, TRADER, SUB, 10**11, "stake"))
    world.play(c.CreditDeposit(INSURANCE, 10**10, "fund"))
    world.quotes(MAKER, [(599_900, 500)], [(600_100, 500)])
    assert world.closed(world.request(TRADER, "first", 1, 100, 600_100)).filled == 100
    world.play(c.CutSettlement(1))
    world.finalize(1)
    world.play(c.RequestExit(LEAVING, 10**9, world.now // SECOND + 86_400))
    world.play(c.ReserveWithdrawal(MAKER, 10**9, "out"))
    world.play(c.Subscribe(MAKER, (1,)))
    request = world.opened(world.request(TRADER, "second", 1, 50, 600_200, auto=False)).request
    world.play(c.AnswerRequest(MAKER, request, 599_900, 600_100, 50, 1, world.now + SECOND))
    world.play(c.RegisterAgent(world.state.accounts[TRADER].owner, "waits"))


def halted(world: Any) -> None:
    """The same with settlement held, while no batch is on its way."""
    busy(world)
    world.play(c.HoldSettlement(True, who="ada", why="the sides differ"))


def settling(world: Any) -> None:
    """The same with a batch on its way that moves something."""
    busy(world)
    world.quotes(MAKER, [], [(600_100, 100)])
    world.request(TRADER, "moves", 1, 100, 600_100)
    world.play(c.CutSettlement(2))
    world.play(c.HoldSettlement(True, who="ada", why="the sides differ"))


def commands(state: Exchange, at: int) -> list[c.Command]:
    """One or more of each kind that the exchange takes as it is."""
    request = max(state.book.requests)
    quote = max(one.quote for one in state.book.requests[request].answers.values())
    second = at // SECOND
    slot = c.HeldSlot(TRADER, state.accounts[TRADER].settled, state.accounts[TRADER].settled, 0, 0)
    lost = c.HeldSlot(TRADER, slot.settled, slot.settled - 5, 0, 0)
    found = c.ForeignWithdrawal(TRADER, 5, "signature")
    return [
        c.OpenRequest(TRADER, "third", 1, 1, 10, 600_200, SECOND),
        c.AnswerRequest(MAKER, request, 599_900, 600_100, 50, 1, at + SECOND),
        c.PassRequest(MAKER, request),
        c.AcceptQuote(TRADER, request, quote),
        c.CancelRequest(TRADER, request),
        c.CancelQuote(MAKER, request),
        c.SetQuotes(MAKER, 1, ((599_000, 5),), ((601_000, 5),), at + SECOND),
        c.CancelAll(MAKER),
        c.CancelAfter(MAKER, at + SECOND),
        c.Subscribe(MAKER, (1, 2)),
        c.SetProtection(MAKER, 1, SECOND, 100, 50, SECOND),
        c.Advance(),
        c.StartEpoch(),
        *(
            c.ListMarket(msgspec.structs.replace(one, id=one.id + 10, symbol=f"{one.symbol}-2"))
            for one in DEFAULT_MARKETS
        ),
        c.ListMarket(msgspec.structs.replace(DEFAULT_MARKETS[1], id=12, symbol="ETH-PERP-2", feed="other")),
        c.SetMarketStatus(1, MarketStatus.REDUCE_ONLY),
        c.SetLimits(
            1,
            max_leverage=20,
            taker_fee=400,
            oracle_band=9_000,
            position_cap=10**7,
            open_interest_cap=10**8,
            margin=MarginTerms((Tier(0, 50_000), Tier(10**12, 100_000)), 10**12, 10**14),
            price_band=40_000,
            alarm=JumpAlarm(100_000, WINDOW_MIN),
            liquidation=LiquidationTerms(),
            funding=FundingTerms(),
            index_max_age=30 * SECOND,
            mark=MarkTerms(),
            fill_max_age=5 * SECOND,
            force=True,
        ),
        c.SetLimits(1, index_max_age=30 * SECOND),
        c.DelistMarket(2, force=True),
        c.DelistMarket(2),
        c.HoldWithdrawals(True),
        c.HoldSettlement(True),
        c.RetryBatch(2),
        c.AcceptChain((slot,), 5, 0, -5),
        c.AcceptChain((lost,), 0, 0, 5),
        c.AcceptChain((lost,), 0, 0, 0, ((7, 7),), (found,)),
        c.SeeExitDelay(86_400),
        c.SeeExitDelay(86_400, 3_600),
        c.SeeStray("stray", 5),
        c.UpdateIndex(1, 600_001, 5, at, "t"),
        c.UpdateIndex(1, 600_001, 5, at, "t", outside=600_100),
        c.UpdateIndex(1, 0, 0, at, "", Validity.UNAVAILABLE),
        c.RegisterAgent(state.accounts[TRADER].owner, "b"),
        c.RevokeSessions(TRADER),
        c.SetTier(TRADER, 1),
        c.BindSlot(WAITS, 0, 200),
        c.CreditDeposit(TRADER, 5, "more"),
        c.CreditDeposits((c.CreditDeposit(TRADER, 5, "one"), c.CreditDeposit(MAKER, 6, "two"))),
        c.ReserveWithdrawal(TRADER, 5, "some"),
        c.FinishWithdrawal(1, True, "signature"),
        c.RequestExit(TRADER, 10**9, second + 86_400),
        c.ReleaseExit(LEAVING, state.claimed),
        c.ClaimExit(LEAVING, 10**8, "claim"),
        c.ReduceForExit(LEAVING, state.claimed),
        c.TakeUnapplied(2, 0, ((2, -5), (3, 5))),
        c.SeeLossLimits(1, True, (c.LimitedSlot(TRADER, 10**9, 10**9, 0),)),
        c.CutSettlement(2),
        c.AdvanceBatch(2, BatchStatus.SUBMITTED),
        c.SettleFunding(1, at // HOUR),
        c.SetInsuranceFloor(5),
        c.ShareDebt(TRADER),
        c.SellInventory(1),
        c.ReviewAccount(TRADER),
        c.OpenSubAccount(MAKER, 1),
        c.Transfer(TRADER, SUB, TRADER, 5, "back"),
    ]


def extreme(given: Any) -> Iterator[Any]:
    """`given` with one of the integers in it, however deep, at each extreme; no value that its type does not hold."""
    if isinstance(given, bool) or given is None:
        return
    if type(given) is int:
        yield from EXTREMES
    elif isinstance(given, msgspec.Struct):
        for name in given.__struct_fields__:
            for value in extreme(getattr(given, name)):
                try:
                    yield msgspec.structs.replace(given, **{name: value})
                except ValueError:
                    continue
    elif isinstance(given, tuple):
        for place, inner in enumerate(given):
            for value in extreme(inner):
                yield (*given[:place], value, *given[place + 1 :])


def check_written(outcome: Any) -> None:
    for event in outcome if isinstance(outcome, list) else ():
        if type(event) in DURABLE_TYPES:
            encode(1, 0, event)


def test_whatever_is_taken_can_be_written_and_so_can_what_follows(new_world: Any) -> None:
    taken: set[type[c.Command]] = set()
    for made in (busy, halted, settling):
        world = new_world()
        made(world)
        image = dump(world.state)
        for command in commands(world.state, world.now):
            outcome = decide(world.state, command, world.now)
            check_written(outcome)
            if isinstance(outcome, list) and outcome:
                taken.add(type(command))
            for changed in extreme(command):
                outcome = decide(world.state, changed, world.now)
                check_written(outcome)
                if isinstance(outcome, list) and outcome and isinstance(command, LATER):
                    check_followed(load(image), outcome, world.now + 5)
    # Else nothing above said anything of them.
    assert taken == set(DECIDERS) - NEVER_TAKEN


def check_followed(state: Exchange, events: list[Event], at: int) -> None:
    """What commands as they come every second lead to after `events` can be written, and so can an image."""
    for event in events:
        apply(state, event)
    for command in (
        c.UpdateIndex(1, 600_300, 0, at, "t"),
        c.Advance(),
        c.Advance(),
        c.CutSettlement(state.cut.batch + 1 if state.cut else 1),
        c.CreditDeposit(TRADER, 5, "later"),
    ):
        outcome = decide(state, command, at)
        check_written(outcome)
        for event in outcome if isinstance(outcome, list) else ():
            apply(state, event)
    dump(state)


def test_nothing_is_valued_beyond_what_a_record_holds(world: Any) -> None:
    """A price may be in range and what is held at it not."""
    cap = world.state.markets[1].position_cap
    assert cap * world.state.markets[1].value_per_tick_lot == 5 * 10**7
    maker, taker = world.agent(1, 10**13), world.agent(2, 10**13)
    world.quotes(maker, [], [(600_000, cap)])
    assert world.closed(world.request(taker, "all", 1, cap, 600_000)).filled == cap
    most = MONEY_MAX // (5 * 10**7)
    world.now += SECOND
    assert world.refuse(c.UpdateIndex(1, most + 1, 0, world.now, "t")) == "bad_value"
    check_written(world.play(c.UpdateIndex(1, most, 0, world.now, "t")))
    while world.state.watch.presses(world.state):
        check_written(world.play(c.Advance()))
    assert world.held(maker) == (0, 0)
