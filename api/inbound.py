"""Messages of agents as commands of the exchange: symbols to ids, decimals to ticks and lots, durations to instants."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NoReturn

from api import wire
from api.errors import ApiError
from api.units import SIDES, Markets, MarketUnits, billionths
from core.quantities import MILLISECOND
from matcher import commands as c
from matcher.state import Exchange

MICROSECOND: Final = 1_000
Translation = Callable[[int, Any], c.Command]


class Inbound:
    """Translates against the exchange's markets and open requests; reads them, changes nothing."""

    def __init__(self, state: Exchange, markets: Markets, clock: Callable[[], int]) -> None:
        self._state = state
        self._markets = markets
        self._clock = clock
        self.translations: Final[dict[type[wire.Op], Translation]] = {
            kind: partial(translated, self) for kind, translated in TRANSLATIONS.items()
        }
        """By kind of message: what gives the command that it means for an account. Each raises `ApiError` for what cannot be one."""

    def request(self, account: int, op: wire.Request) -> c.OpenRequest:
        units = self._markets.named(op.market)
        return c.OpenRequest(
            account,
            op.id,
            units.id,
            SIDES[op.side],
            units.lots(op.size),
            units.ticks(op.limit),
            op.ttl_ms * MILLISECOND,
            op.auto,
            op.all_or_none,
            op.reduce_only,
            op.show_side,
            op.expires_after * MICROSECOND,
        )

    def _accept(self, account: int, op: wire.Accept) -> c.Command:
        return c.AcceptQuote(account, op.request, op.quote, op.expires_after * MICROSECOND)

    def _cancel(self, account: int, op: wire.Cancel) -> c.Command:
        if op.key is None:
            return c.CancelRequest(account, op.request)
        # A key whose request is closed already is looked up too: the answer to the cancel is then that final answer.
        open_id = self._state.book.open_keys.get(account, {}).get(op.key)
        return c.CancelRequest(account, open_id or self._state.accounts[account].keys.get(op.key, 0))

    def _cancel_all(self, account: int, op: wire.CancelAll) -> c.Command:
        return c.CancelAll(account)

    def _cancel_after(self, account: int, op: wire.CancelAfter) -> c.Command:
        return c.CancelAfter(account, self._clock() + op.in_ms * MILLISECOND if op.in_ms else 0)

    def _subscribe(self, account: int, op: wire.Subscribe) -> c.Command:
        return c.Subscribe(account, tuple(sorted({self._markets.named(symbol).id for symbol in op.markets})))

    def _quote(self, account: int, op: wire.Quote) -> c.Command:
        request = self._state.book.requests.get(op.request)
        if request is None:
            # Its market is unknown with it, but nonsense is called that whatever it answers.
            for text in (op.bid, op.ask, op.size, op.min_fill):
                if text is not None:
                    billionths(text, "quote")
            raise ApiError("request_unknown")
        units = self._markets[request.opened.market]
        return c.AnswerRequest(
            account,
            op.request,
            0 if op.bid is None else units.ticks(op.bid) or no_price("bid"),
            0 if op.ask is None else units.ticks(op.ask) or no_price("ask"),
            units.lots(op.size),
            1 if op.min_fill is None else units.lots(op.min_fill),
            self._clock() + op.life_ms * MILLISECOND,
            op.expires_after * MICROSECOND,
        )

    def _withdraw(self, account: int, op: wire.Withdraw) -> c.Command:
        return c.CancelQuote(account, op.request)

    def _pass(self, account: int, op: wire.Pass) -> c.Command:
        return c.PassRequest(account, op.request)

    def _quotes(self, account: int, op: wire.Quotes) -> c.Command:
        units = self._markets.named(op.market)
        return c.SetQuotes(
            account,
            units.id,
            bids=levels(units, op.bids),
            asks=levels(units, op.asks),
            expires=self._clock() + op.life_ms * MILLISECOND,
            expires_after=op.expires_after * MICROSECOND,
        )

    def _protect(self, account: int, op: wire.Protect) -> c.Command:
        units = self._markets.named(op.market)
        return c.SetProtection(
            account,
            units.id,
            window=op.window_ms * MILLISECOND,
            size=units.lots(op.size),
            net=units.lots(op.net),
            freeze=op.freeze_ms * MILLISECOND,
        )


def levels(units: MarketUnits, given: tuple[tuple[str, str], ...]) -> tuple[tuple[int, int], ...]:
    return tuple((units.ticks(price), units.lots(size)) for price, size in given)


def no_price(what: str) -> NoReturn:
    """A price that was given must be one: zero would mean "no quote on that side" to the rules."""
    raise ApiError("bad_value", f"{what}: a price is positive; leave it out to quote one side only.")


TRANSLATIONS: Final[dict[type[wire.Op], Callable[[Inbound, int, Any], c.Command]]] = {
    wire.Request: Inbound.request,
    wire.Accept: Inbound._accept,
    wire.Cancel: Inbound._cancel,
    wire.CancelAll: Inbound._cancel_all,
    wire.CancelAfter: Inbound._cancel_after,
    wire.Subscribe: Inbound._subscribe,
    wire.Quote: Inbound._quote,
    wire.Withdraw: Inbound._withdraw,
    wire.Pass: Inbound._pass,
    wire.Quotes: Inbound._quotes,
    wire.Protect: Inbound._protect,
}
