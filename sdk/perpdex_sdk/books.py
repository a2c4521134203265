"""The agent's own books, kept from the private stream alone and checked against the exchange's hash."""

from decimal import Decimal
from hashlib import sha256

from perpdex_sdk import messages as m
from perpdex_sdk.answers import Account, Place
from perpdex_sdk.errors import ExchangeError
from perpdex_sdk.markets import Market

MILLION = 1_000_000


class CannotTake(ExchangeError):
    """The books do not know what an event is about; they and the markets have to be read again."""


class Held:
    """Signed lots and their signed cost in micro-USDC."""

    __slots__ = ("cost", "lots")

    def __init__(self, lots: int, cost: int) -> None:
        self.lots = lots
        self.cost = cost


class Books:
    """Balance (micro-USDC) and positions as of event `head`; integers, so they equal the exchange's to the unit.

    `place` is the slot in the escrow, None before there is one.
    """

    def __init__(self, markets: dict[str, Market], snapshot: Account) -> None:
        """Raises `CannotTake` when `markets` are older than a position."""
        self._lots = {symbol: Decimal(market.lot) for symbol, market in markets.items()}
        self.account = snapshot.account
        self.place = snapshot.escrow
        self.head = snapshot.head
        self.balance = micro(snapshot.balance)
        self.held = {
            position.market: Held(self._in_lots(position.market, position.size), micro(position.cost))
            for position in snapshot.positions
        }

    def take(self, event: m.Numbered) -> None:
        """Apply an event, unless it is not above `head`. Raises `CannotTake`, and then `head` stays where it was."""
        if event.n <= self.head:
            return
        if event.n != self.head + 1:
            raise CannotTake(f"event {event.n} does not follow {self.head}")
        self._apply(event)
        self.head = event.n

    def _apply(self, event: m.Numbered) -> None:
        if isinstance(event, m.Fill):
            self._change(event)
            self.balance -= micro(event.fee)
        elif isinstance(event, m.LiquidationSliced):
            self.balance -= micro(event.fee)
        elif isinstance(event, m.TakenOver | m.Deleveraged):
            for moved in event.moved:
                self._change(moved)
        elif isinstance(event, m.Deposit | m.Funding | m.DebtCovered):
            self.balance += micro(event.amount)
        elif isinstance(event, m.Slot):
            self.place = Place(event.page, event.slot)
        elif isinstance(event, m.Exit):
            self.balance -= micro(event.taken)
        elif isinstance(event, m.Transfer):
            self.balance += micro(event.amount) * (1 if event.receiver == self.account else -1)
        elif isinstance(event, m.Withdrawal) and event.status != "paid":
            self.balance += micro(event.amount) * (-1 if event.status == "reserved" else 1)
        elif isinstance(event, m.MarketSettled):
            self._close(event.market)
            self.balance += micro(event.realized) + micro(event.shared)

    def hash(self) -> str:
        """As the exchange computes it: see its `heartbeat`."""
        positions = ",".join(
            f"{symbol}={held.lots}/{held.cost}" for symbol, held in sorted(self.held.items())
        )
        return sha256(f"{self.head}:{self.balance}:{positions}".encode()).hexdigest()[:16]

    def position(self, market: str) -> Decimal:
        """Signed size; zero when there is none."""
        held = self.held.get(market)
        return held.lots * self._lots[market] if held is not None else Decimal(0)

    def _change(self, change: m.Fill | m.Moved) -> None:
        lots = self._in_lots(change.market, change.size) * (1 if change.side == "buy" else -1)
        before = self.held.get(change.market)
        after = lots + (before.lots if before is not None else 0)
        if after:
            self.held[change.market] = Held(after, micro(change.cost))
        else:
            self._close(change.market)
        self.balance += micro(change.realized)

    def _close(self, market: str) -> None:
        if self.held.pop(market, None) is None:
            raise CannotTake(f"nothing is held in {market}")

    def _in_lots(self, market: str, size: str) -> int:
        lot = self._lots.get(market)
        if lot is None:
            raise CannotTake(f"{market} was listed later than the markets were read")
        lots, rest = divmod(Decimal(size), lot)
        if rest:
            raise CannotTake(f"{size} {market} is no whole number of lots of {lot}")
        return int(lots)


def micro(text: str) -> int:
    """Exact micro-USDC of a decimal string from the exchange."""
    return int(Decimal(text) * MILLION)
