"""The makers at work: they quote, answer what they are asked, leave in the worst beats of the tape and come back after them."""

from collections.abc import Sequence

from matcher import commands as c
from stress.driver import Driver
from stress.makers import Maker, Pace
from stress.tape import Tape

RENEWED_EVERY = 2
"""Steps between two renewals of a maker's standing quotes; makers take turns."""


class Desk:
    """All makers. A maker that is away quotes nothing, is asked nothing, and has pulled what stood."""

    def __init__(self, driver: Driver, tape: Tape, makers: Sequence[Maker]) -> None:
        self._driver = driver
        self._tape = tape
        self._makers = makers
        self._accounts: dict[int, Maker] = {}
        self._away: set[int] = set()
        self._paces: dict[int, Pace] = {market.id: Pace() for market in tape.markets}
        ranges = tape.ranges()
        worst = sorted(range(len(ranges)), key=lambda beat: -ranges[beat])
        self._sits_out = [set(worst[: len(ranges) * maker.sits_out // 1_000_000]) for maker in makers]

    def opens(self, accounts: Sequence[int]) -> None:
        """Makers have their accounts, in the order of makers, and ask to be asked."""
        self._accounts = dict(zip(accounts, self._makers, strict=True))
        for account in accounts:
            self._subscribe(account, True)

    @property
    def accounts(self) -> Sequence[int]:
        return tuple(self._accounts)

    @property
    def quoting(self) -> int:
        """Makers that are not away."""
        return len(self._accounts) - len(self._away)

    def see(self, market: int, index: int) -> None:
        """A new index price."""
        self._paces[market].see(index)

    def step(self, number: int) -> None:
        """Leave or come back where a beat begins, and renew standing quotes in turn; after the tape's end everybody is there."""
        if number % self._tape.beat == 0:
            self._come_and_go(number // self._tape.beat)
        for account, maker in self._accounts.items():
            if (number + maker.turn) % RENEWED_EVERY == 0 and account not in self._away:
                self._renew(account, maker)

    def answer(self) -> None:
        """Answer every open request that waits for a maker."""
        book = self._driver.state.book
        if not book.requests:
            return
        for id, request in list(book.requests.items()):
            for account in sorted(request.waiting):
                if id in book.requests and account in self._accounts:
                    self._answer(account, id, request.opened.market, request.opened.size)

    def _answer(self, account: int, request: int, market: int, size: int) -> None:
        state, maker = self._driver.state, self._accounts[account]
        listed, index = state.markets[market], state.indexes[market].price
        answer = maker.answer(
            account,
            request,
            listed,
            index,
            self._paces[market].ppm,
            self._held(account, market),
            size,
            self._driver.now,
        )
        if not self._driver.do(answer):
            self._driver.do(c.PassRequest(account, request))

    def _renew(self, account: int, maker: Maker) -> None:
        state, now = self._driver.state, self._driver.now
        for market in self._tape.markets:
            index, pace = state.indexes[market.id].price, self._paces[market.id].ppm
            quotes = maker.quotes(account, market, index, pace, self._held(account, market.id), now)
            self._driver.do(quotes)

    def _come_and_go(self, beat: int) -> None:
        for account, maker in self._accounts.items():
            leaves = beat in self._sits_out[maker.turn]
            if leaves == (account in self._away):
                continue
            if leaves:
                self._away.add(account)
                self._driver.do(c.CancelAll(account))
            else:
                self._away.remove(account)
            self._subscribe(account, not leaves)

    def _subscribe(self, account: int, asked: bool) -> None:
        markets = tuple(market.id for market in self._tape.markets) if asked else ()
        self._driver.do(c.Subscribe(account, markets))

    def _held(self, account: int, market: int) -> int:
        position = self._driver.state.accounts[account].positions.get(market)
        return position.size if position is not None else 0
