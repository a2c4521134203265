"""Builds the price feed that the settings ask for, and tells the engine what it says."""

from collections.abc import Collection

import httpx

from core.market import DEFAULT_MARKETS, MarketStatus
from matcher import commands as c
from matcher.engine import Engine
from oracles.feed import PriceFeed, pick
from oracles.hermes import Hermes
from oracles.index import Routed
from oracles.judgement import judgement
from oracles.perp_mids import HyperliquidMids
from oracles.polling import Polled
from oracles.price import micro_usd
from oracles.pyth_account import PythAccounts
from oracles.refusal import Reason, Refused
from oracles.signers import ROUTERS, anchored, read_hand_overs, trusted_now
from oracles.sources import LIVE, Clock, Source
from oracles.vaa import SignerSet
from settings import Settings


async def price_feed(settings: Settings, engine: Engine, http: httpx.AsyncClient) -> PriceFeed:
    """The feed of every market's index, live where Pyth can be reached. Raises `OnlyLive`, `RecordingFailed`."""
    # A source that is gone with its market must not keep the others from being live.
    markets = {one.symbol: one for one in DEFAULT_MARKETS if not _ended(engine, one.id)}
    feeds = {symbol: market.feed for symbol, market in markets.items()}
    source = await pick(
        feeds,
        clock=engine.clock,
        hermes=Hermes(http, feeds, [pyth_signers(settings)], settings.pyth_url, settings.pyth_api_key)
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
        engine.submit(c.UpdateIndex(market.id, *judgement(routed, market.tick)), None)

    return PriceFeed(
        source,
        on_routed,
        clock=engine.clock,
        ended=lambda symbol: _ended(engine, markets[symbol].id),
    )


def _ended(engine: Engine, market: int) -> bool:
    return engine.state.statuses.get(market) == MarketStatus.SETTLED


def pyth_signers(settings: Settings) -> SignerSet:
    """Whose signatures prices are believed from. Raises `Refused` for hand-overs that the set before did not sign, and `OSError`.

    The first of `pyth_guardians` is believed as it stands, because the operator names it; all others must be signed.
    """
    anchor, path = ROUTERS, settings.pyth_hand_overs
    if settings.pyth_guardians is not None:
        given = read_hand_overs(settings.pyth_guardians.read_text())
        if not given:
            raise Refused(Reason.WRONG_PAYLOAD, f"{settings.pyth_guardians} holds no hand-over")
        anchor = trusted_now(given[1:], anchored("guardians", given[0]))
    return trusted_now(read_hand_overs(path.read_text()), anchor) if path is not None else anchor


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
