"""One run: a crowd opens positions, the tape falls, and when it is over everything is looked at."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from core.accounts import INSURANCE, TREASURY
from core.quantities import MILLION
from matcher import commands as c
from matcher.image import state_hash
from matcher.limits import TTL_CLASSES
from stress.audit import Audit, equities
from stress.checks import CHECKED_EVERY, checks
from stress.desk import Desk
from stress.driver import Driver
from stress.feed import Feed
from stress.leavers import Leavers
from stress.makers import makers
from stress.population import Deed, Doing, populated
from stress.publishers import Publishers
from stress.report import Report, Sample, Scenario
from stress.settling import Settling
from stress.spoilers import Spoilers
from stress.tape import MINUTE, Tape, made_up, recorded

CALM: Final = 5 * MINUTE
"""How long prices stand still at the end, with all makers back, so that what goes on can come to its end."""
OPENING: Final = 4
"""Positions are opened within the first of so many parts of the time."""
SLOTS: Final = 100
"""Accounts that one page of the chain is filled with."""
ROUNDS: Final = 100
"""Auctions in each market after which the rest of what the insurance fund holds waits for the next beat."""
SLIPPAGE: Final = 10_000
"""Parts per million beyond the index at which a trader's limit lies."""


def tape_of(scenario: Scenario) -> Tape:
    """The prices of a scenario. Raises `RecordingFailed`."""
    if scenario.prices:
        return recorded([Path(name) for name in scenario.prices], scenario.hours)
    return made_up(scenario.seed, scenario.hours * 60, scenario.fall)


class Run:
    """Everybody who takes part in one run, on one engine."""

    def __init__(
        self, scenario: Scenario, tape: Tape, directory: Path, on_sample: Callable[[Sample], None]
    ) -> None:
        """The journal goes into `directory`, which must be empty; must be called on a running event loop."""
        self._scenario = scenario
        self._tape = tape
        self._directory = directory
        self._on_sample = on_sample
        self._started = time.monotonic()
        self._audit = Audit()
        self._driver = Driver(directory, tape.start)
        self._driver.engine.listen(self._audit.hear)
        self._makers = makers(scenario.seed, scenario.accounts, len(tape.markets))
        self._desk = Desk(self._driver, tape, self._makers)
        self._driver.react_with(self._desk.answer)
        leverages = [market.max_leverage for market in tape.markets]
        # Whoever the worst moment meets has opened before it.
        opening = max(1, min(len(tape) // OPENING, tape.worst * 2 // 3))
        self._crowd = populated(scenario.seed, scenario.accounts, leverages, opening, len(tape))
        self._spoilers = Spoilers(self._driver, tape, scenario.seed, scenario.spoilers)
        self._opening, self._gap = opening, 0
        self._leavers = Leavers(
            self._driver, tape, scenario.seed, scenario.leaving, self._crowd.traders, opening
        )
        self._settling = Settling(self._driver, tape, scenario.funding_late, self._leavers)
        publishers = Publishers(tape, scenario.seed) if scenario.routed else None
        self._feed = Feed(self._driver, tape, publishers)
        self._accounts: list[int] = []
        self._samples: list[Sample] = []
        self._keys = 0

    async def play(self) -> Report:
        """Live through the whole tape; the journal is closed and read back at the end."""
        driver, deeds = self._driver, iter(self._crowd.deeds)
        await self._open()
        deed = next(deeds, None)
        for number in range(len(self._tape) + CALM // self._tape.step):
            if number == self._opening and self._scenario.leaving:
                self._announce()
            self._prices(number)
            self._spoilers.pull()
            self._desk.step(number)
            while deed is not None and deed.step <= number:
                self._act(deed)
                deed = next(deeds, None)
            self._leavers.step(number)
            await self._end_of_step(number)
            if number < len(self._tape):
                self._spoilers.quote()
        self._settling.pay_funding(late=0)
        await driver.written()
        self._look()
        driver.engine.close()
        return self._report()

    async def _open(self) -> None:
        """List markets, register everybody, pay in what they deposit."""
        do = self._driver.do
        for market in self._tape.markets:
            do(c.ListMarket(market))
        if self._scenario.insurance:
            do(c.CreditDeposit(INSURANCE, self._scenario.insurance, "insurance fund"))
        do(c.SetInsuranceFloor(self._scenario.floor))
        makers = [self._register(maker.owner, maker.name, maker.deposit) for maker in self._makers]
        self._accounts = [self._register(*trader) for trader in self._crowd.traders]
        self._leavers.opens(self._accounts)
        self._spoilers.opens([self._register(*trader) for trader in self._spoilers.traders])
        self._prices(0)
        self._desk.opens(makers)
        await self._driver.written()

    def _register(self, owner: str, name: str, deposit: int) -> int:
        driver = self._driver
        driver.do(c.RegisterAgent(owner, name))
        account = driver.state.names[owner, name]
        driver.do(c.BindSlot(account, 1 + account // SLOTS, account % SLOTS))
        driver.do(c.CreditDeposit(account, deposit, f"deposit {account}"))
        return account

    def _prices(self, number: int) -> None:
        """Time passes to this step; every market gets its index, and all that follows from it is done before anybody else acts."""
        driver, tape = self._driver, self._tape
        driver.pass_to(tape.start + number * tape.step + self._gap)
        for market, series in zip(tape.markets, tape.prices, strict=True):
            self._desk.see(market.id, series[min(number, len(series) - 1)])
        self._feed.step(number)
        driver.pass_to(driver.now)

    def _announce(self) -> None:
        """The last market is to end with the tape: the rest of it comes a day later, so that its end has been announced by then."""
        driver, last = self._driver, self._tape.markets[-1].id
        driver.do(c.DelistMarket(last, who="stress", why="it ends with the tape"))
        ends = driver.state.breakers.announced[last].settles_at
        self._gap = ends - self._tape.start - len(self._tape) * self._tape.step

    def _act(self, deed: Deed) -> None:
        driver, account = self._driver, self._accounts[deed.trader]
        market = self._tape.markets[deed.market]
        held = driver.state.accounts[account].positions.get(market.id)
        index = driver.state.indexes[market.id].price
        self._keys += 1
        if deed.doing is Doing.WITHDRAW:
            driver.do(c.ReserveWithdrawal(account, max(1, deed.notional // 10), f"w{self._keys}"))
            return
        if deed.doing is Doing.OPEN:
            side, size = deed.side, deed.notional // market.notional(index, 1)
        elif held is None:
            return
        else:
            side = -1 if held.size > 0 else 1
            size = abs(held.size) if deed.doing is Doing.CLOSE else (abs(held.size) + 1) // 2
        if size:
            limit = index + side * (index * SLIPPAGE // MILLION)
            driver.do(
                c.OpenRequest(
                    account,
                    f"r{self._keys}",
                    market.id,
                    side,
                    size,
                    limit,
                    TTL_CLASSES[1],
                    reduce_only=deed.doing is not Doing.OPEN,
                )
            )
            driver.pass_to(driver.now)

    async def _end_of_step(self, number: int) -> None:
        if number % CHECKED_EVERY == 0:
            self._audit.check(self._driver.state, f"at step {number}")
        if number % self._tape.beat:
            await self._driver.rest()
            return
        self._settling.beat(number // self._tape.beat)
        self._leavers.beat()
        self._sell_inventory()
        # The audit has heard of everything only then, however slow the disk is.
        await self._driver.written()
        self._look()

    def _sell_inventory(self) -> None:
        """Offer what the insurance fund holds market by market, once the auction before has ended, and again as long as somebody buys:
        as the sweep does it every minute."""
        driver, held = self._driver, self._held_by_fund()
        for _ in range(ROUNDS):
            for market in self._tape.markets:
                driver.do(c.SellInventory(market.id))
                driver.pass_to(driver.now)
            before, held = held, self._held_by_fund()
            if held >= before:
                return

    def _held_by_fund(self) -> int:
        """Lots, of whichever market."""
        return sum(abs(held.size) for held in self._driver.state.accounts[INSURANCE].positions.values())

    def _look(self) -> None:
        state = self._driver.state
        worth = equities(state)
        sample = Sample(
            at=self._driver.now,
            index=tuple(state.indexes[market.id].price for market in self._tape.markets),
            traders=sum(worth[account] for account in self._accounts),
            makers=sum(worth[account] for account in self._desk.accounts),
            insurance=worth[INSURANCE],
            treasury=worth[TREASURY],
            open_interest=sum(
                lots * state.marks[market].value_per_lot for market, lots in state.open_interest.items()
            ),
            holders=sum(1 for account in state.accounts.values() if account.positions),
            below_zero=sum(worth[account] < 0 for account in (*self._accounts, *self._desk.accounts)),
            quoting=self._desk.quoting,
            fills=state.last_fill,
            liquidations=self._audit.counts["LiquidationStarted"],
            auctions=self._audit.sold,
            takeovers=self._audit.counts["TakenOver"],
            deleveragings=self._audit.counts["Deleveraged"],
        )
        self._samples.append(sample)
        self._on_sample(sample)

    def _report(self) -> Report:
        state, audit = self._driver.state, self._audit
        return Report(
            scenario=self._scenario,
            source=self._tape.source,
            markets=tuple(market.symbol for market in self._tape.markets),
            steps=len(self._tape),
            step_ms=self._tape.step // MILLION,
            seconds=round(time.monotonic() - self._started, 1),
            commands=self._driver.commands,
            records=state.seq,
            events=dict(sorted(audit.counts.items())),
            refused=dict(sorted(self._driver.refused.items())),
            insurance=dict(sorted(audit.insurance.items())),
            losses=audit.losses.split(state),
            furthest_mark=self._feed.furthest,
            unbelieved=self._feed.unbelieved,
            checks=tuple(
                checks(
                    self._scenario,
                    self._tape,
                    state,
                    audit,
                    self._samples,
                    self._leavers.slots,
                    self._directory,
                )
            ),
            state_hash=state_hash(state),
            samples=tuple(self._samples),
        )


def play(
    scenario: Scenario, tape: Tape, directory: Path, on_sample: Callable[[Sample], None] = lambda _: None
) -> Report:
    """One run from beginning to end, its journal in `directory`; calls `on_sample` as it goes."""

    async def run() -> Report:
        return await Run(scenario, tape, directory, on_sample).play()

    return asyncio.run(run())
