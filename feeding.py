"""Builds the price feed that the settings ask for, and tells the engine what it says."""

import re
from collections.abc import Collection, Mapping
from typing import Final

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
from oracles.perp_mids import HyperliquidMids
from oracles.polling import Polled
from oracles.price import micro_usd
from oracles.pyth_account import PythAccounts
from oracles.signers import named_signers
from oracles.sources import LIVE, Clock, Source
from settings import Settings

_FEED: Final = re.compile("[0-9a-f]{64}")
_NAMES: Final = {market.feed: market.symbol for market in DEFAULT_MARKETS}
"""What the other publishers' feeds are found by, of Pyth's feed."""
NOT_FOLLOWED: Final = "not_followed"
"""Code of the trouble of a listed market of which no source of this process has prices."""


async def price_feed(settings: Settings, engine: Engine, http: httpx.AsyncClient) -> PriceFeed:
    """The feed of every market's index, live where Pyth can be reached.

    Raises `OnlyLive`, `RecordingFailed`, and `Refused` and `OSError` for signers that cannot be believed.
    """
    # A source that is gone with its market, or was never there, must not keep the others from being live.
    markets = {symbol: one for symbol, one in _by_symbol(engine).items() if _FEED.fullmatch(_feed_id(one))}
    others = _other_prices(
        settings, http, {symbol: _feed_id(one) for symbol, one in markets.items()}, engine.clock
    )
    if others and not (settings.pyth_url or settings.pyth_rpc_url):
        # Others know the network's own markets only. Without any index at all it is the setting that is wrong.
        markets = {symbol: one for symbol, one in markets.items() if _indexed(symbol, others)} or markets
    feeds = {symbol: _feed_id(market) for symbol, market in markets.items()}
    source = await pick(
        feeds,
        clock=engine.clock,
        hermes=Hermes(
            http,
            feeds,
            [named_signers(settings.pyth_guardians, settings.pyth_hand_overs)],
            settings.pyth_url,
            settings.pyth_api_key,
        )
        if settings.pyth_url and feeds
        else None,
        accounts=PythAccounts.of(http, settings.pyth_rpc_url, feeds, settings.older_price_accounts)
        if settings.pyth_rpc_url and feeds
        else None,
        others=others,
        path=settings.price_recording,
        seed=settings.price_seed,
        last={
            symbol: micro_usd(index.price, market.tick)
            for symbol, market in markets.items()
            if (index := engine.state.indexes.get(market.id)) is not None
        },
        only_live=bool(settings.solana_cluster)
        or any(index.source in LIVE for index in engine.state.indexes.values()),
    )
    return feed_into(engine, source)


def _indexed(symbol: str, others: Collection[Polled]) -> bool:
    """Whether one of them has what may be the market's index."""
    found = [limits for one in others if (limits := one.limits(symbol)) is not None]
    return not all(limits.witness for limits in found)


def feed_into(engine: Engine, source: Source) -> PriceFeed:
    """The feed of `source` that tells `engine` every judgement of a market that has not ended, in the ticks of its listing.

    Sources begin with the markets that are listed by then. A market without one, or that is listed later or with another feed, gets no
    price, and that is logged and among the troubles: its source is known to the next start only.
    """
    listed, routed = engine.state.markets, {route.symbol for route in source.routes()}
    followed = {symbol: one for symbol, one in _by_symbol(engine).items() if symbol in routed}

    def followed_as(market: Market) -> bool:
        as_ = followed.get(market.symbol)
        return as_ is not None and (as_.id, as_.feed) == (market.id, market.feed)

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
        if isinstance(event, MarketListed):
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
    settings: Settings, http: httpx.AsyncClient, feeds: Mapping[str, str], clock: Clock
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

        rounds = {symbol: MAINNET[name] for symbol, name in names.items() if name in MAINNET}
        others.append(Chainlink(http, settings.chainlink_rpc_url, rounds, clock))
    if settings.hyperliquid_url:
        coins = {symbol: name.removesuffix("-PERP") for symbol, name in names.items()}
        others.append(HyperliquidMids(http, coins, clock, settings.hyperliquid_url))
    return others
