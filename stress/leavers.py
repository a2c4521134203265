"""Owners that act on chain alone while prices fall: some bound what batches may take of them, some ask to leave, some do both."""

from collections.abc import Sequence
from random import Random
from typing import Final

from core.batches import BatchStatus
from core.quantities import MONEY_MAX, SECOND
from matcher import commands as c
from stress.driver import Driver
from stress.population import Trader
from stress.slots import Slots
from stress.tape import HOUR, Tape

RELEASED: Final = 5
"""One of so many requests is taken back instead of claimed."""
LOWERED: Final = 2
"""One of so many limits is lowered later on, by then perhaps below what has been lost."""


class Leavers:
    """`percent` of the traders. A request may be claimed between a twentieth and a quarter of the tape after it."""

    def __init__(
        self, driver: Driver, tape: Tape, seed: int, percent: int, traders: Sequence[Trader], opening: int
    ) -> None:
        self.slots: Final = Slots()
        self._driver = driver
        self._accounts: Sequence[int] = ()
        self._standing: dict[int, tuple[int, int, bool]] = {}
        self._window = 0
        self._limits: dict[int, list[tuple[int, int]]] = {}
        self._exits: dict[int, list[tuple[int, int, int, bool]]] = {}
        rng, steps = Random(f"leavers {seed}"), len(tape)
        for number, trader in enumerate(traders):
            if rng.randrange(100) >= percent:
                continue
            bounds, leaves = rng.choice(((True, False), (False, True), (True, True)))
            if bounds:
                self._bounds(rng, number, trader.deposit, steps)
            if leaves:
                step = rng.randrange(opening, steps)
                amount = rng.choice((MONEY_MAX, trader.deposit // 2, trader.deposit // 5))
                delay = rng.randrange(steps // 20, steps // 4) * tape.step
                self._exits.setdefault(step, []).append((number, amount, delay, not rng.randrange(RELEASED)))

    def _bounds(self, rng: Random, number: int, deposit: int, steps: int) -> None:
        step, limit = rng.randrange(steps), deposit * rng.randrange(20, 100) // 100
        self._limits.setdefault(step, []).append((number, limit))
        if not rng.randrange(LOWERED):
            later = rng.randrange(step, steps)
            self._limits.setdefault(later, []).append((number, limit * rng.randrange(60) // 100))

    def opens(self, accounts: Sequence[int]) -> None:
        """Traders have their accounts, in their order."""
        self._accounts = accounts

    def step(self, number: int) -> None:
        """What owners do at a step."""
        for trader, limit in self._limits.get(number, ()):
            self.slots.bound(self._accounts[trader], limit)
        if number in self._limits:
            self.look()
        for trader, amount, delay, released in self._exits.get(number, ()):
            account, exit_at = self._accounts[trader], (self._driver.now + delay) // SECOND
            if self._driver.do(c.RequestExit(account, amount, exit_at)):
                self._standing[account] = amount, exit_at, released

    def beat(self) -> None:
        """What the chain shows of requests is acted upon: positions are closed for them, and they end."""
        driver = self._driver
        if driver.now // HOUR != self._window:
            self._window = driver.now // HOUR
            self.slots.turn()
            self.look()
        for account, (amount, exit_at, released) in list(self._standing.items()):
            if driver.now >= exit_at * SECOND and not self.in_flight:
                self._end(account, amount, released)
            else:
                driver.do(c.ReduceForExit(account, driver.state.claimed))
                driver.pass_to(driver.now)

    def _end(self, account: int, amount: int, released: bool) -> None:
        """Claim what the slot holds of it, which a debtor may not yet; or take it back."""
        state, do = self._driver.state, self._driver.do
        paid = min(amount, state.accounts[account].settled)
        if released or paid <= 0:
            do(c.ReleaseExit(account, state.claimed))
        elif self.slots.unapplied[account] < 0:
            return
        else:
            do(c.ClaimExit(account, paid, f"claim:{account}:{state.seq}"))
        del self._standing[account]

    @property
    def in_flight(self) -> bool:
        """Whether a batch is cut and has not landed."""
        state = self._driver.state
        return state.cut is not None and state.batches.get(state.cut.batch) != BatchStatus.FINAL

    def look(self) -> None:
        """The exchange hears what the slots show of limits."""
        cut, seen = self._driver.state.cut, self.slots.seen()
        if seen:
            self._driver.do(c.SeeLossLimits(cut.batch if cut is not None else 0, not self.in_flight, seen))
