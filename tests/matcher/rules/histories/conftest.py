"""A crowd to play histories with, and what must hold after each command whatever that was."""

from typing import Any

import pytest
from msgspec.structs import replace

from core import events as e
from core.accounts import FIRST_AGENT
from core.market import MarketStatus
from matcher import commands as c
from matcher.account import sides_of_owner
from matcher.conditions import conditions
from matcher.exposure import exposure, refused_at_mark
from matcher.rejections import Outcome
from matcher.state import Exchange


class Crowd:
    """Eight agents and two sub-accounts in a world, and looks at it around commands."""

    def __init__(self, world: Any, further: int, position_cap: int) -> None:
        """`further` is what an owner's accounts beside its first begin with, in micro-USDC; the cap is market 1's, in lots."""
        self.world = world
        for owner in range(1, 7):
            world.agent(owner, deposit=10**11)
        for name in ("b", "c"):
            world.agent(1, deposit=further, name=name)
        # One in each market, with something in them: what the other agents do they do as well.
        for market, parent in ((1, 17), (2, 16)):
            sub = world.play(c.OpenSubAccount(parent, market))[0].account
            world.play(c.Transfer(parent, parent, sub, 5 * 10**10, "stake"))
        world.play(c.ListMarket(replace(world.state.markets[1], position_cap=position_cap)))

    def do(self, command: c.Command) -> Outcome:
        """Play a command, and compare what it left with what was before it."""
        state: Exchange = self.world.state
        held, closing, sides = _sizes(state), _only_shrink(state), _sides_of_owners(state)
        outcome: Outcome = self.world.do(command)
        _check_openings(state, held, outcome)
        _check_closing(state, held, closing, outcome)
        _check_growth_beyond_caps(state, sides)
        return outcome


@pytest.fixture
def crowd() -> type[Crowd]:
    return Crowd


@pytest.fixture
def check_caches(check_opposite: Any) -> Any:
    def check(world: Any) -> None:
        _check_caches(world)
        # In turns: it has accounts valued, and what is kept of one from an earlier mark must do no harm either.
        if world.state.seq % 3 == 0:
            check_opposite(world.state)

    return check


@pytest.fixture
def check_position_caps() -> Any:
    return _check_position_caps


def _sides_of_owners(state: Exchange) -> dict[tuple[str, int, int], int]:
    """Lots by owner, market and side (1 long, -1 short)."""
    return {
        (owner, market, side): lots
        for owner, owned in state.owners.items()
        for market in state.markets
        for side, lots in zip((1, -1), sides_of_owner(owned[0], market), strict=True)
    }


def _check_position_caps(world: Any) -> None:
    """Of no market an owner's accounts together hold more than its cap on either side, whatever is closed by force."""
    for (_, market, _), lots in _sides_of_owners(world.state).items():
        assert lots <= world.state.markets[market].position_cap


def _check_growth_beyond_caps(state: Exchange, before: dict[tuple[str, int, int], int]) -> None:
    """Beyond a cap, which may have been lowered under what is held, an owner's side only shrinks."""
    for where, lots in _sides_of_owners(state).items():
        assert lots <= max(state.markets[where[1]].position_cap, before.get(where, 0))


def _sizes(state: Exchange) -> dict[tuple[int, int], int]:
    """Lots by account and market."""
    return {
        (account.id, market): position.size
        for account in state.accounts.values()
        for market, position in account.positions.items()
    }


def _fills(outcome: Outcome) -> list[e.Filled]:
    return [event for event in outcome if isinstance(event, e.Filled)] if isinstance(outcome, list) else []


def _check_openings(state: Exchange, before: dict[tuple[int, int], int], outcome: Outcome) -> None:
    """What was just allowed to grow or to turn around cannot be liquidated at the same mark."""
    after = _sizes(state)
    for event in _fills(outcome):
        for where in ((event.taker, event.market), (event.maker, event.market)):
            was, now = before.get(where, 0), after.get(where, 0)
            if abs(now) > abs(was) or was * now < 0:
                assert not state.margin_of(state.accounts[where[0]]).liquidatable


def _only_shrink(state: Exchange) -> set[int]:
    """Markets in which nothing may be opened."""
    return {market for market, status in state.statuses.items() if status != MarketStatus.OPEN}


def _check_closing(
    state: Exchange, before: dict[tuple[int, int], int], closing: set[int], outcome: Outcome
) -> None:
    """In a market that does not take what opens, a taker's position only shrinks, and in one that stands still nobody trades."""
    for event in _fills(outcome):
        if event.market in closing:
            where = (event.taker, event.market)
            was, now = before.get(where, 0), _sizes(state).get(where, 0)
            assert abs(now) < abs(was)
            assert was * now >= 0
            assert state.statuses[event.market] == MarketStatus.REDUCE_ONLY
    for market, status in state.statuses.items():
        if status >= MarketStatus.PAUSED:
            assert len(state.book.bids[market]) + len(state.book.asks[market]) == 0
            assert all(request.opened.market != market for request in state.book.requests.values())
        if status == MarketStatus.SETTLED:
            assert state.open_interest[market] == 0
            assert all(market not in account.positions for account in state.accounts.values())


def _check_caches(world: Any) -> None:
    """What the state keeps for speed equals what it is derived from."""
    state: Exchange = world.state
    _check_values(state)
    _check_shortcuts(state, world.now)
    _check_book(state)
    assert (
        sum(account.settled for account in state.accounts.values()) + state.custody.left_over
        == state.deposited - state.paid_out - state.reserved
    )
    assert all(account.settled >= 0 for account in state.accounts.values())
    if state.cut is not None:
        assert sum(state.cut.deltas.values()) == state.cut.left_over


def _check_values(state: Exchange) -> None:
    for market in state.markets:
        held = [
            account.positions[market].size
            for account in state.accounts.values()
            if market in account.positions
        ]
        assert state.open_interest[market] == sum(size for size in held if size > 0)
        mark = state.marks[market]
        assert mark == state.mark_at(market, state.open_interest[market])
        assert state.conditions[market] == conditions(
            state.markets[market], state.indexes[market].price, mark
        )
    for account in state.accounts.values():
        if account.valued == state.marked:
            margin = state.worth_of(account)
            assert (account.balance + account.gain, account.required) == (margin.equity, margin.initial)


def _check_shortcuts(state: Exchange, at: int) -> None:
    """Who need not be asked rule by rule is allowed by every rule: of one account and market, in turns."""
    account = state.accounts[FIRST_AGENT + state.seq % (state.next_account - FIRST_AGENT)]
    market = 1 + state.seq % 2
    if account.valued == state.marked:
        listed, mark = state.markets[market], state.marks[market]
        for change in (7, -20_000, 60_000):
            exposed = exposure(state, account, market, {}, at)
            refused = exposed.refusal(change, mark.value_per_lot, 0, listed, mark)
            assert refused_at_mark(state, account, market, change, at) == refused


def _check_book(state: Exchange) -> None:
    book = state.book
    assert [(due, account) for due, _, account, _ in book.switch_deadlines] == sorted(
        (due, account) for account, due in book.switches.items()
    )
    assert set(book.standing_expires) <= set(book.standing_due)
    assert all(book.standing_due[of] <= until for of, until in book.standing_expires.items())
    for sign, ladders in ((1, book.asks), (-1, book.bids)):
        for ladder in ladders.values():
            ranks = [level.price * sign for level in ladder]
            assert ranks == sorted(ranks)
            assert all(level.size > 0 for level in ladder)
    assert {request.opened.request for request in book.requests.values()} == {
        id for keys in book.open_keys.values() for id in keys.values()
    }
