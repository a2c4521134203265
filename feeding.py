"""Builds the price feed that the settings ask for, and tells the engine what it says."""

from collections.abc import Collection

import httpx

from core.market import DEFAULT_MARKETS, MarketStatus
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


async def price_feed(settings: Settings, engine: Engine, http: httpx.AsyncClient) -> PriceFeed:
    """The feed of every market's index, live where Pyth can be reached.

    Raises `OnlyLive`, `RecordingFailed`, and `Refused` and `OSError` for signers that cannot be believed.
    """
    # A source that is gone with its market must not keep the others from being live.
    markets = {one.symbol: one for one in DEFAULT_MARKETS if not _ended(engine, one.id)}
    feeds = {symbol: market.feed for symbol, market in markets.items()}
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
        others=_other_prices(settings, http, markets, engine.clock),
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


def feed_into(engine: Engine, source: Source) -> PriceFeed:
    """The feed of `source` that tells `engine` every judgement of a market that has not ended."""
    markets = {market.symbol: market for market in DEFAULT_MARKETS}

    def on_routed(routed: Routed) -> None:
        market = markets[routed.symbol]

        def on_outcome(outcome: Outcome) -> None:
            feed.answered(market.symbol, outcome.code.value if isinstance(outcome, Rejection) else "")

        engine.submit(c.UpdateIndex(market.id, *judgement(routed, market.tick)), on_outcome)

    feed = PriceFeed(
        source,
        on_routed,
        clock=engine.clock,
        ended=lambda symbol: _ended(engine, markets[symbol].id),
    )
    return feed


def _ended(engine: Engine, market: int) -> bool:
    return engine.state.statuses.get(market) == MarketStatus.SETTLED


def _other_prices(
    settings: Settings, http: httpx.AsyncClient, symbols: Collection[str], clock: Clock
) -> list[Polled]:
    """Publishers besides Pyth, where they are configured."""
    others: list[Polled] = []
    if settings.chainlink_rpc_url:
        # Here, because web3 takes most of a second to import, and few need it.
        from oracles.chainlink import MAINNET, Chainlink

        feeds = {symbol: MAINNET[symbol] for symbol in symbols if symbol in MAINNET}
        others.append(Chainlink(http, settings.chainlink_rpc_url, feeds, clock))
    if settings.hyperliquid_url:
        coins = {symbol: symbol.removesuffix("-PERP") for symbol in symbols}
        others.append(HyperliquidMids(http, coins, clock, settings.hyperliquid_url))
    return others
