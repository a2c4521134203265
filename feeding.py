"""Builds the price feed that the settings ask for, and tells the engine what it says."""

import asyncio
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import httpx

from core.events import Event, MarketListed
from core.market import DEFAULT_MARKETS, Market, MarketStatus
from matcher import commands as c
from matcher.engine import Engine
from matcher.rejections import Outcome, Rejection
from oracles.feed import PriceFeed, pick
from oracles.hermes import Hermes
from oracles.index import Routed
from oracles.judgement import judgement
from oracles.live import Live
from oracles.perp_mids import HyperliquidMids
from oracles.polling import Polled
from oracles.price import micro_usd
from oracles.pyth_account import PythAccounts
from oracles.signers import named_signers
from oracles.sources import LIVE, Clock, Source
from oracles.vaa import SignerSet
from settings import Settings

if TYPE_CHECKING:
    from oracles.chainlink import Round

_FEED: Final = re.compile("[0-9a-f]{64}")
_NAMES: Final = {market.feed: market.symbol for market in DEFAULT_MARKETS}
"""What the other publishers' feeds are found by, of Pyth's feed."""
NOT_FOLLOWED: Final = "not_followed"
"""Code of the trouble of a listed market of which no source of this process has prices."""


class _Configured(NamedTuple):
    """What the settings say of live prices, for the markets that are listed now."""

    feeds: dict[str, str]
    """Pyth's feed of each symbol that has a source, as its messages name it."""
    hermes: Hermes | None
    accounts: PythAccounts | None
    others: list[Polled]

    def live(self, clock: Clock) -> Live:
        """Raises `ValueError` for a market without a source that could be its index."""
        polled = ([self.accounts] if self.accounts else []) + self.others
        return Live(self.feeds, self.hermes, polled, clock, asyncio.sleep)


async def price_feed(settings: Settings, engine: Engine, http: httpx.AsyncClient) -> PriceFeed:
    """The feed of every market's index, live where Pyth can be reached; live sources take up what is listed while they run.

    Raises `OnlyLive`, `RecordingFailed`, and `Refused` and `OSError` for signers that cannot be believed.
    """
    trusted = [named_signers(settings.pyth_guardians, settings.pyth_hand_overs)]
    rounds: dict[str, Round] = {}
    found = _configured(settings, engine, http, trusted, rounds)
    source = await pick(
        # Without any index at all it is the setting that is wrong.
        found.feeds or _feeds(engine),
        clock=engine.clock,
        hermes=found.hermes,
        accounts=found.accounts,
        others=found.others,
        path=settings.price_recording,
        seed=settings.price_seed,
        last={
            symbol: micro_usd(index.price, market.tick)
            for symbol, market in _by_symbol(engine).items()
            if (index := engine.state.indexes.get(market.id)) is not None
        },
        only_live=bool(settings.solana_cluster)
        or any(index.source in LIVE for index in engine.state.indexes.values()),
    )
    if not isinstance(source, Live):
        return feed_into(engine, source)
    return feed_into(
        engine, source, lambda: _configured(settings, engine, http, trusted, rounds).live(engine.clock)
    )


def _configured(
    settings: Settings,
    engine: Engine,
    http: httpx.AsyncClient,
    trusted: Sequence[SignerSet],
    rounds: dict[str, "Round"],
) -> _Configured:
    """`rounds` of Chainlink are kept from one to the next: a feed goes back for no listing."""
    feeds = _feeds(engine)
    others = _other_prices(settings, http, feeds, engine.clock, rounds)
    if others and not (settings.pyth_url or settings.pyth_rpc_url):
        # Others know the network's own markets only.
        feeds = {symbol: feed for symbol, feed in feeds.items() if _indexed(symbol, others)}
    hermes, accounts = None, None
    if settings.pyth_url and feeds:
        hermes = Hermes(http, feeds, trusted, settings.pyth_url, settings.pyth_api_key)
    if settings.pyth_rpc_url and feeds:
        accounts = PythAccounts.of(http, settings.pyth_rpc_url, feeds, settings.older_price_accounts)
    return _Configured(feeds, hermes, accounts, others)


def _feeds(engine: Engine) -> dict[str, str]:
    """Pyth's feed of each market that has one: a source that was never there must not keep the others from being live."""
    return {
        symbol: feed for symbol, one in _by_symbol(engine).items() if _FEED.fullmatch(feed := _feed_id(one))
    }


def _indexed(symbol: str, others: Collection[Polled]) -> bool:
    """Whether one of them has what may be the market's index."""
    found = [limits for one in others if (limits := one.limits(symbol)) is not None]
    return not all(limits.witness for limits in found)


def feed_into(engine: Engine, source: Source, anew: Callable[[], Source] | None = None) -> PriceFeed:
    """The feed of `source` that tells `engine` every judgement of a market that has not ended, in the ticks of its listing.

    Sources know the markets that were listed when they were made. For one that is listed later, or with another feed, `anew` makes
    sources that know it, too; a market of which none has prices is logged and among the troubles.
    """
    listed, followed = engine.state.markets, _followed(engine, source)

    def followed_as(market: Market) -> bool:
        return _same(followed.get(market.symbol), market)

    def check(market: Market) -> None:
        if not followed_as(market) and not _ended(engine, market.id):
            feed.answered(market.symbol, NOT_FOLLOWED)

    def on_routed(found: Routed) -> None:
        market = listed[followed[found.symbol].id]
        if not followed_as(market):
            return

        def on_outcome(outcome: Outcome) -> None:
            feed.answered(market.symbol, outcome.code.value if isinstance(outcome, Rejection) else "")

        engine.submit(c.UpdateIndex(market.id, *judgement(found, market.tick)), on_outcome)

    def ended(symbol: str) -> bool:
        if symbol in followed:
            return _ended(engine, followed[symbol].id)
        return any(one.symbol == symbol and _ended(engine, one.id) for one in listed.values())

    def on_event(sequence: int, event: Event) -> None:
        nonlocal followed
        if not isinstance(event, MarketListed):
            return
        if anew is not None and not followed_as(event.market):
            newer = anew()
            before, found = followed, _followed(engine, newer)
            if event.market.symbol in found:
                followed = found
                feed.follow(newer, {one for one in found if not _same(before.get(one), found[one])})
        check(event.market)

    feed = PriceFeed(
        source,
        on_routed,
        clock=engine.clock,
        ended=ended,
    )
    for market in listed.values():
        check(market)
    engine.listen(on_event)
    return feed


def _same(one: Market | None, other: Market) -> bool:
    """Whether a price of the one is a price of the other."""
    return one is not None and (one.id, one.feed) == (other.id, other.feed)


def _followed(engine: Engine, source: Source) -> dict[str, Market]:
    routed = {route.symbol for route in source.routes()}
    return {symbol: one for symbol, one in _by_symbol(engine).items() if symbol in routed}


def _feed_id(market: Market) -> str:
    """The market's feed as Pyth's messages name it: Hermes takes capitals and a leading 0x, too, so a listing may have them."""
    return market.feed.lower().removeprefix("0x")


def _by_symbol(engine: Engine) -> dict[str, Market]:
    """The markets that have not ended. Of two with one symbol, which older journals may have, the first that was listed: the other one
    must not take its price away."""
    found: dict[str, Market] = {}
    for market in engine.state.markets.values():
        if not _ended(engine, market.id):
            found.setdefault(market.symbol, market)
    return found


def _ended(engine: Engine, market: int) -> bool:
    return engine.state.statuses.get(market) == MarketStatus.SETTLED


def _other_prices(
    settings: Settings,
    http: httpx.AsyncClient,
    feeds: Mapping[str, str],
    clock: Clock,
    rounds: dict[str, "Round"],
) -> list[Polled]:
    """Publishers besides Pyth, where they are configured, of those of the markets (symbol to Pyth's feed) that they know.

    What they call a market goes by its feed, not by its symbol: a market that replaces another one has its feed under a symbol of its
    own, and a symbol says nothing of what another feed prices. A source that never answers would keep a market from trading.
    """
    names = {symbol: _NAMES[feed] for symbol, feed in feeds.items() if feed in _NAMES}
    others: list[Polled] = []
    if settings.chainlink_rpc_url:
        # Here, because web3 takes most of a second to import, and few need it.
        from oracles.chainlink import MAINNET, Chainlink

        asked = {symbol: MAINNET[name] for symbol, name in names.items() if name in MAINNET}
        others.append(Chainlink(http, settings.chainlink_rpc_url, asked, clock, rounds))
    if settings.hyperliquid_url:
        coins = {symbol: name.removesuffix("-PERP") for symbol, name in names.items()}
        others.append(HyperliquidMids(http, coins, clock, settings.hyperliquid_url))
    return others
