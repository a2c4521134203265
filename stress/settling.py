"""What workflows and chain would do: cuts become final, hours of funding are paid, withdrawals too or some given back."""

from typing import Final

from core.batches import BatchStatus
from core.funding import HOUR
from matcher import commands as c
from matcher.state import Cut
from stress.driver import Driver
from stress.leavers import Leavers
from stress.tape import Tape

CUT_EVERY: Final = 15
"""Beats between two settlement cuts; each is final a beat later."""
LANDING: Final = (BatchStatus.SUBMITTED, BatchStatus.CONFIRMED)


class Settling:
    """Hours of funding are paid `late` nanoseconds after they end, or at the first beat after that. The limits of `leavers` keep from
    a batch what they may."""

    def __init__(self, driver: Driver, tape: Tape, late: int, leavers: Leavers) -> None:
        self._driver = driver
        self._leavers = leavers
        self._tape = tape
        self._late = late

    def beat(self, number: int) -> None:
        """Everything that is to be done at a beat."""
        do, state = self._driver.do, self._driver.state
        cut = state.cut
        if number % CUT_EVERY == 0:
            do(c.CutSettlement(1 if cut is None else cut.batch + 1))
            self._leavers.look()
        elif number % CUT_EVERY == 1 and cut is not None and self._leavers.in_flight:
            self._land(cut)
        self.pay_funding(self._late)
        for withdrawal in list(state.withdrawals):
            do(c.FinishWithdrawal(withdrawal, withdrawal % 10 != 0, f"s{withdrawal}"))

    def _land(self, cut: Cut) -> None:
        do = self._driver.do
        for status in LANDING if cut.deltas else ():
            do(c.AdvanceBatch(cut.batch, status))
        for told in self._leavers.slots.land(self._driver.state):
            do(told)
        do(c.AdvanceBatch(cut.batch, BatchStatus.FINAL))
        self._leavers.look()

    def pay_funding(self, late: int) -> None:
        """Pay the hours that ended at least `late` nanoseconds ago."""
        driver = self._driver
        for market in self._tape.markets:
            for hour in driver.state.funding[market.id].owed(driver.now):
                if driver.now - hour.number * HOUR >= late:
                    driver.do(c.SettleFunding(market.id, hour.number))
