"""A small exchange to play commands on, checking after each that money and positions add up."""

from collections.abc import Callable

import base58
import msgspec
import pytest

from core.accounts import INSURANCE, TREASURY
from core.batches import BatchStatus
from core.deleveraging import Holder
from core.events import DURABLE, Event, RequestClosed, RequestOpened
from core.loss_limit_events import NO_LIMIT
from core.margin_terms import MarginTerms, Tier
from core.market import market
from core.operator_events import DelistingAnnounced
from core.quantities import SECOND
from core.settlement_price import WINDOW
from core.validity import Validity
from matcher import commands as c
from matcher.apply import apply
from matcher.book import PREMIUM_DEADLINE, Deadline
from matcher.decide import decide
from matcher.opposite import opposite
from matcher.rejections import Outcome, Rejection, Repeated
from matcher.state import Exchange, adds_up
from matcher.sums import summed

START = 1_700_000_000 * SECOND
BTC = market(
    1, "BTC-PERP", "0.1", "0.0001", max_leverage=50, position_cap="500", open_interest_cap="1000", feed=""
)
ETH = market(
    2,
    "ETH-PERP",
    "0.01",
    "0.001",
    max_leverage=20,
    position_cap="5000",
    open_interest_cap="9000",
    feed="",
    margin=MarginTerms((Tier(0, 50_000), Tier(10**11, 100_000), Tier(10**12, 300_000)), 10**10, 10**13),
)


def owner_key(number: int) -> str:
    return base58.b58encode(number.to_bytes(32, "big")).decode()


class World:
    """Plays commands at a clock of its own; keeps the journal of durable events."""

    def __init__(self) -> None:
        self.state = Exchange()
        self.now = START
        self.journal: list[Event] = []
        self.ends: list[int] = []
        """How much of the journal there was after each command: a crash leaves no other."""
        self.do(c.StartEpoch())
        for listed in (BTC, ETH):
            self.do(c.ListMarket(listed))
        self.index(1, 600_000)
        self.index(2, 300_000)

    def do(self, command: c.Command) -> Outcome:
        """Decide and apply; raises on anything that makes or loses money or positions."""
        if not isinstance(command, c.Advance):
            self.end_hours()
        outcome = decide(self.state, command, self.now)
        if isinstance(outcome, Rejection | Repeated):
            return outcome
        self.record(*outcome)
        return outcome

    def end_hours(self) -> None:
        """Have hours of funding end that are over, as comes before any other command."""
        while 0 < self.state.hour_due <= self.now:
            self.do(c.Advance())

    def record(self, *events: Event) -> None:
        """Have this happened, whoever decided it."""
        for event in events:
            apply(self.state, event)
            if isinstance(event, DURABLE):
                self.journal.append(event)
                assert self.state.seq == len(self.journal)
        self.ends.append(len(self.journal))
        sums, kept = summed(self.state.accounts.values()), self.state.sums
        assert adds_up(self.state, sums)
        assert sums.zero
        assert kept.zero
        assert (kept.balances, kept.costs) == (sums.balances, sums.costs)
        for id in self.state.markets:
            held = [one for one in self.state.accounts.values() if id in one.positions]
            assert self.state.holders_of(id) == held
            assert self.state.longs.get(id, {}) == {
                one.id: one.positions[id] for one in held if one.positions[id].size > 0
            }
            assert self.state.shorts.get(id, {}) == {
                one.id: one.positions[id] for one in held if one.positions[id].size < 0
            }

    def play(self, command: c.Command) -> list[Event]:
        outcome = self.do(command)
        assert isinstance(outcome, list), outcome
        return outcome

    def refuse(self, command: c.Command) -> str:
        before = self.state.seq
        outcome = self.do(command)
        assert isinstance(outcome, Rejection), outcome
        assert self.state.seq == before
        return outcome.code.value

    def index(
        self, market: int, price: int, confidence: int = 0, validity: Validity = Validity.VALID
    ) -> None:
        self.do(c.UpdateIndex(market, price, confidence, self.now, "test", validity))

    def agent(self, owner: int, deposit: int = 100_000_000_000, name: str = "a") -> int:
        """A funded agent with a slot; deposit in micro-USDC."""
        account = self.play(c.RegisterAgent(owner_key(owner), name))[0].account  # type: ignore[attr-defined]
        self.play(c.BindSlot(account, *divmod(account - 14, 256)))
        if deposit:
            self.play(c.CreditDeposit(account, deposit, f"deposit-{account}"))
        return int(account)

    def pass_time(self, nanos: int) -> list[Event]:
        """Advance the clock and deal with everything that falls due."""
        self.now += nanos
        events: list[Event] = []
        while 0 < self.state.next_deadline() <= self.now:
            events += self.play(c.Advance())
        return events

    def finalize(self, batch: int) -> None:
        """Publish every status that the last cut goes through."""
        cut = self.state.cut
        landing = (BatchStatus.SUBMITTED, BatchStatus.CONFIRMED) if cut is not None and cut.deltas else ()
        for status in (*landing, BatchStatus.FINAL):
            self.play(c.AdvanceBatch(batch, status, ("signature",)))

    def expiring(self) -> list[Deadline]:
        """Deadlines of requests and standing quotes; those of premiums are always there."""
        return [due for due in self.state.book.deadlines if due[1] != PREMIUM_DEADLINE]

    def quotes(
        self, account: int, bids: list[tuple[int, int]], asks: list[tuple[int, int]], market: int = 1
    ) -> None:
        self.play(c.SetQuotes(account, market, tuple(bids), tuple(asks), self.now + 60 * SECOND))

    def request(self, account: int, key: str, side: int, size: int, limit: int, **more: object) -> Outcome:
        fields = {"market": 1, "ttl": SECOND, **more}
        return self.do(c.OpenRequest(account=account, key=key, side=side, size=size, limit=limit, **fields))  # type: ignore[arg-type]

    @staticmethod
    def closed(outcome: object) -> RequestClosed:
        """The final answer among what a command led to."""
        assert isinstance(outcome, list), outcome
        return next(event for event in outcome if isinstance(event, RequestClosed))

    @staticmethod
    def opened(outcome: object) -> RequestOpened:
        """The request that a command opened."""
        assert isinstance(outcome, list), outcome
        assert isinstance(outcome[0], RequestOpened), outcome
        return outcome[0]

    def held(self, account: int, market: int = 1) -> tuple[int, int]:
        position = self.state.accounts[account].positions.get(market)
        return (position.size, position.cost) if position else (0, 0)

    def balance(self, account: int) -> int:
        return self.state.accounts[account].balance

    @property
    def treasury(self) -> int:
        return self.state.accounts[TREASURY].balance


class Slot:
    """A slot as the escrow program settles it, and as its owner bounds it."""

    def __init__(self, balance: int = 0) -> None:
        self.balance = balance
        self.used = self.unapplied = self.delay = 0
        self.limit: int | None = None
        self.coming: int | None = None

    def settle(self, delta: int) -> int:
        """Apply what may be applied; what is missing of a debit is returned, and told by the slot's sum."""
        if delta > 0:
            self.balance += delta
            self.used = max(0, self.used - delta) if self.limit is not None else self.used
            return 0
        most = self.balance if self.limit is None else min(self.balance, max(0, self.limit - self.used))
        taken = min(-delta, most)
        self.balance -= taken
        self.used += taken if self.limit is not None else 0
        self.unapplied += delta + taken
        return -delta - taken

    def bound(self, limit: int) -> None:
        """A lower limit comes only after every batch that is on its way, and one more."""
        if self.limit is None or limit < self.limit:
            self.coming, self.delay = limit, 2
        else:
            self.limit, self.coming = limit, None

    def landed(self) -> None:
        if self.coming is not None:
            self.delay -= 1
            if self.delay == 0:
                self.limit, self.coming = self.coming, None

    def seen(self, account: int) -> c.LimitedSlot:
        limits = [limit for limit in (self.limit, self.coming) if limit is not None]
        if not limits:
            return c.LimitedSlot(account, NO_LIMIT, 0, self.unapplied)
        return c.LimitedSlot(account, min(limits), max(0, min(limits) - self.used), self.unapplied)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def ending(world: World) -> Callable[..., None]:
    """Market 1 is to end: `until` so many nanoseconds before, the index having stood at `price` for all of the hour."""

    def begin(until: int, price: int = 600_000) -> None:
        announced = world.play(c.DelistMarket(1, who="ada", why="nobody quotes it"))
        at = next(one for one in announced if isinstance(one, DelistingAnnounced)).settles_at
        world.now = at - WINDOW
        while world.now < at - until:
            world.index(1, price)
            world.index(2, 300_000)
            world.pass_time(30 * SECOND)

    return begin


@pytest.fixture
def new_world() -> type[World]:
    return World


@pytest.fixture
def check_opposite() -> Callable[[Exchange], None]:
    """Who stands opposite to a deleveraging, as the state keeps it, is who does by looking at the margin of everybody."""
    return _check_opposite


def _check_opposite(state: Exchange) -> None:
    for id, mark in state.marks.items():
        for size in (1, -1):
            naive = []
            for account in state.accounts.values():
                held, risk = account.positions.get(id), state.margin_of(account)
                if held is not None and held.size * size < 0 and account.id != INSURANCE:
                    own = mark.initial_of(held.size)
                    naive.append(Holder(account.id, held.size, held.cost, risk.equity, risk.initial, own))
            assert sorted(opposite(state, id, size), key=lambda one: one.account) == naive


@pytest.fixture
def new_slot() -> type[Slot]:
    return Slot


@pytest.fixture
def replayed() -> object:
    """Plays a journal into a fresh exchange, through the journal's own encoding."""

    def replay(journal: list[Event]) -> Exchange:
        encoder, decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(DURABLE)
        state = Exchange()
        for event in journal:
            apply(state, decoder.decode(encoder.encode(event)))
        return state

    return replay
