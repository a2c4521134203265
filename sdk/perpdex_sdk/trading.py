"""What an agent says as a trader and as a maker."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from perpdex_sdk import messages as m
from perpdex_sdk.conversation import Conversation
from perpdex_sdk.orders import OpenRequest

Level = tuple[Decimal | str, Decimal | str]


class Trading:
    """Part of an `Agent`. Prices and sizes are decimal strings or `Decimal`s, never floats."""

    def __init__(self, talk: Conversation) -> None:
        self._talk = talk

    # --- trader ---

    async def request(
        self, market: str, side: str, size: Decimal | str, limit: Decimal | str, **terms: Any
    ) -> m.RequestClosed:
        """Ask, fill at the best firm price, and return the final answer once it is durable.

        `terms` are those of `ask`. Raises `Refused`, or `AnswerUnknown` (then repeat with the same `key`).
        """
        opened = self.ask(market, side, size, limit, **terms)
        return await self.answer_to(opened)

    def ask(
        self,
        market: str,
        side: str,
        size: Decimal | str,
        limit: Decimal | str,
        *,
        key: str | None = None,
        ttl_ms: int = 1000,
        auto: bool = True,
        all_or_none: bool = False,
        reduce_only: bool = False,
        show_side: bool = False,
    ) -> OpenRequest:
        """Open a request. With ``auto=False`` choose among its `quotes()`, else the best one fills.

        One that reaches the exchange later than `ttl_ms`, or a second, is refused as `expired_command`: also after an outage. With a
        `key`, which may have been sent before, an exchange that is too busy to look at it is asked again, as after a break, until the
        answer is known. Without one it is `Refused`, and nothing has come of the request.
        """
        return self._talk.open(
            key,
            ttl_ms,
            market=market,
            side=side,
            size=text(size),
            limit=text(limit),
            auto=auto,
            all_or_none=all_or_none,
            reduce_only=reduce_only,
            show_side=show_side,
        )

    async def answer_to(self, opened: OpenRequest) -> m.RequestClosed:
        """Wait for a request's final answer."""
        return await self._talk.answer_to(opened)

    async def cancel(self, opened: OpenRequest) -> None:
        await self._talk.tell("cancel", key=opened.key)

    async def cancel_all(self) -> None:
        """Pull every request, answer and standing quote."""
        await self._talk.tell("cancel_all")

    async def cancel_after(self, in_ms: int) -> None:
        """Dead-man switch: everything is pulled in `in_ms` unless this is called again; 0 switches it off."""
        await self._talk.tell("cancel_after", in_ms=in_ms)

    # --- maker ---

    async def subscribe(self, markets: Sequence[str]) -> None:
        """Be asked for quotes in these markets; holds over reconnections. One that refuses it is in the log."""
        await self._talk.arrange("subscribe", "subscribe", markets=list(markets))

    async def protect(
        self, market: str, window_ms: int, size: Decimal | str, freeze_ms: int, net: Decimal | str = "0"
    ) -> None:
        """Maker protection, see the exchange's documentation; holds over reconnections and restarts of the exchange.

        Until it is accepted again nothing is quoted in the market: `quotes` and `answer` raise `NotSent`, or why it was refused.
        """
        fields = {
            "market": market,
            "window_ms": window_ms,
            "size": text(size),
            "net": text(net),
            "freeze_ms": freeze_ms,
        }
        await self._talk.arrange(_protection(market), "protect", **fields)

    async def quotes(
        self, market: str, bids: Sequence[Level], asks: Sequence[Level], life_ms: int = 10_000
    ) -> None:
        """Replace the standing quotes of a market; they live `life_ms` and end with the connection. Raises `Refused`, `NotSent`.

        Without levels they are taken back, also while what protects them is not known to hold.
        """
        needs = _protection(market) if bids or asks else None
        await self._talk.quote(
            "quotes", life_ms, needs, market=market, bids=_levels(bids), asks=_levels(asks)
        )

    async def answer(
        self,
        rfq: m.Rfq,
        *,
        bid: Decimal | str | None = None,
        ask: Decimal | str | None = None,
        size: Decimal | str | None = None,
        min_fill: Decimal | str | None = None,
        life_ms: int = 5_000,
    ) -> None:
        """A firm answer; `size` is by default what was asked for. Raises `Refused`, `NotSent`."""
        given = {"bid": bid, "ask": ask, "size": rfq.size if size is None else size, "min_fill": min_fill}
        fields = {name: text(value) for name, value in given.items() if value is not None}
        await self._talk.quote("quote", life_ms, _protection(rfq.market), request=rfq.request, **fields)

    async def withdraw_answer(self, request: int) -> None:
        await self._talk.tell("withdraw", request=request)

    async def pass_on(self, rfq: m.Rfq) -> None:
        """No quote from here: the request need not wait."""
        await self._talk.tell("pass", request=rfq.request)


def text(value: Decimal | str) -> str:
    """A plain decimal, without the exponent that `str` may give a `Decimal`."""
    return format(value, "f") if isinstance(value, Decimal) else value


def _protection(market: str) -> str:
    """Under what name the protection of a market is arranged."""
    return f"protect {market}"


def _levels(levels: Sequence[Level]) -> list[list[str]]:
    return [[text(price), text(size)] for price, size in levels]
