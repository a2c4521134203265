"""Opens the venues that the settings allow, one account a vault, and prices what is traded there.

A vault's key at a venue is in ``keys/venues/VENUE/VAULT.key``, made where the vault never had one; where the venue calls the
account something else than the key's own address, ``VAULT.account`` beside it says what.
"""

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx
import structlog

from chain.keys import KeyFileRefused, create_secret, read_secret
from core.market import DEFAULT_MARKETS
from core.quantities import Nanos
from core.risk_template import Lifecycle
from core.tickets import Leg, PriceE8, price_from
from oracles.polling import Polled
from oracles.price import Price, to_ticks
from settings import Settings
from venues.dead import SYNTHETIX_V3, SYNTHETIX_V3_END, DeadVenue
from venues.driver import Driver, Mid
from venues.errors import OTHER_ACCOUNT, AccountMissing
from venues.prices import UNIT, LegPrice, NoPrice, Standing, VenuePriceRouter
from venues.registry import Opening, Registry, VenueUnknown

if TYPE_CHECKING:
    from venues.mock_gold_evm import Batches

_log = structlog.get_logger("trading")
GOLD: Final = Leg("mock_gold", "XAU")
GOLD_EVM: Final = "mock_gold_evm"
GOLD_RECORDED: Final = "XAU-PERP"
"""What gold would be as a market, as recordings are named."""
PLAYED: Final = "played"
"""Of EXEC_DEMO_GOLD: recorded or generated."""
READER: Final = ""
"""The vault whose drivers only read prices: its keys are nobody's, and are never written down."""
WALLETS: Final = {"proxy": 1, "safe": 2, "contract": 3}
"""Kinds of Polymarket wallets that are not a key's own address, as an account's file calls them, and the venue's numbers for them
(`SignatureTypeV2` of its SDK): the proxy of who came by mail, the Gnosis safe of who came with a wallet, and any contract that checks
signatures itself (EIP-1271)."""
MARKETS: Final = {"BTC": "BTC-PERP", "ETH": "ETH-PERP", "SOL": "SOL-PERP"}
"""The market here of each asset that oracles price, by which their feeds are known; gold has none."""
PYTH_GOLD: Final = "765d2ba906dbc32ca17cc11f5310a89e9ee1f6420508c63861f2f8ba4ee34bb2"
"""Pyth's feed Metal.XAU/USD."""


@dataclass(frozen=True)
class Trading:
    """Drivers of all vaults, and prices of what they hold."""

    drivers: Registry
    prices: VenuePriceRouter

    async def index(self, vault: str, leg: Leg) -> PriceE8 | None:
        """What an order is valued at, None when nobody knows."""
        found = await self.priced(vault, leg)
        return None if found is None else found.price

    async def priced(self, vault: str, leg: Leg) -> LegPrice | None:
        """What a position is worth, and whose word that is; None when nobody knows."""
        found = (await self.prices.get_index_prices([str(leg)]))[str(leg)]
        return None if isinstance(found, NoPrice) else found


Known = Callable[[str, str], Awaitable[str | None]]
"""The account that a vault has at a venue, as its driver says it; empty: nobody wrote it down, or an operator gave it up, None: it
never had one."""


async def _none_known(vault: str, venue: str) -> str | None:
    return None


@asynccontextmanager
async def trading(
    settings: Settings,
    batches: Callable[[], "Batches"],
    clock: Callable[[], int] = time.time_ns,
    known: Known = _none_known,
    elapsed: Callable[[], int] = time.monotonic_ns,
) -> AsyncIterator[Trading]:
    """Everything that orders at venues need; connections are closed at the end. `batches` opens what takes orders for gold on chain.
    `known` says which accounts vaults have: no other is opened for them.

    Raises `VenueUnknown`; `Refused` and `OSError` for signers of prices that cannot be believed; `RecordingFailed` for a recording of
    gold that cannot be played.
    """
    async with httpx.AsyncClient() as http:
        accounts = _Accounts(settings, http, known)
        # A recording is read whole.
        demo = await asyncio.to_thread(_demo, settings, clock)
        openings: dict[str, Opening] = {
            "agents": accounts.agents,
            "hyper": accounts.hyper,
            "mock_gold": lambda vault: accounts.mock_gold(vault, gold),
            GOLD_EVM: lambda vault: accounts.mock_gold_evm(vault, batches()),
            "polymarket": accounts.polymarket,
            "synthetix": accounts.synthetix,
        }
        active = {
            name: (Lifecycle.ACTIVE, _set_up(name, opening, known)) for name, opening in openings.items()
        }
        accounts.look()
        drivers = Registry({**active, SYNTHETIX_V3: (Lifecycle.DEAD, _dead)}, settings.exec_close_only_venues)
        allowed = drivers.allowed(settings.exec_allowed_venues)
        if GOLD_EVM in allowed and not settings.evm_router:
            raise VenueUnknown(f"{GOLD_EVM} is a venue only where EVM_ROUTER says on which chain")
        mids = {venue: _mids(drivers, venue) for venue in sorted(allowed - {GOLD.venue})}
        router = VenuePriceRouter(
            # A venue that is not allowed any more is not asked, and what is still held there is what oracles say. Gold's own book is
            # made around this very price.
            {**dict.fromkeys(drivers.lifecycles), **mids, GOLD.venue: None},
            _oracles(settings, http, clock),
            lambda leg: leg.symbol.removesuffix("-PERP"),
            clock,
            demo,
            elapsed=elapsed,
        )

        async def gold() -> Mid | None:
            return await router.mid(GOLD)

        try:
            yield Trading(drivers, router)
        finally:
            await drivers.close()


class _Accounts:
    """Opens a vault's account at each venue. Raises `KeyFileRefused`.

    What a driver needs is imported when one is opened: some of it takes more than half a second to load.
    """

    def __init__(self, settings: Settings, http: httpx.AsyncClient, known: Known) -> None:
        self._settings = settings
        self._http = http
        self._known = known
        self._data = settings.perpdex_data / "venues"
        self._keys = settings.perpdex_data / "keys" / "venues"

    async def agents(self, vault: str) -> Driver:
        from solders.keypair import Keypair

        from venues.agents import Agents

        text = await self._key("agents", vault, lambda: Keypair().to_json())
        return Agents(self._settings.api_url, Keypair.from_json(text), vault, time.time_ns)

    async def hyper(self, vault: str) -> Driver:
        from eth_account import Account

        from venues.hyper import Hyper

        wallet = Account.from_key(await self._key("hyper", vault, _evm_key))
        address = self._account("hyper", vault)
        return Hyper(wallet, self._settings.exec_hyper_url, time.time_ns, address or None)

    async def mock_gold(self, vault: str, source: Callable[[], Awaitable[Mid | None]]) -> Driver:
        from venues.mock_gold import MockGold

        self._data.mkdir(parents=True, exist_ok=True)
        file = self._data / "mock_gold.db"
        return MockGold(file, vault, source, self._settings.price_seed, time.time_ns)

    async def mock_gold_evm(self, vault: str, batches: "Batches") -> Driver:
        from chain.evm.gold_market import GoldMarket
        from chain.evm.node import Node
        from venues.mock_gold_evm import MockGoldEvm

        account = self._account(GOLD_EVM, vault)
        if vault != READER and not re.fullmatch("0x[0-9a-fA-F]{40}", account):
            path = account_file(self._settings, GOLD_EVM, vault)
            raise KeyFileRefused(f"{path} does not say the address of the vault's contract")
        market = GoldMarket(Node(self._http, self._settings.evm_rpc_url), self._settings.evm_router)
        return MockGoldEvm(account, market, batches, self._settings.evm_from_block, time.time_ns)

    async def polymarket(self, vault: str) -> Driver:
        from venues.polymarket import Polymarket

        key = await self._key("polymarket", vault, _evm_key)
        wallet, kind = (
            wallet_named(account_file(self._settings, "polymarket", vault)) if vault != READER else ("", 0)
        )
        self._data.mkdir(parents=True, exist_ok=True)
        sent = self._data / f"polymarket-{vault}.db"
        at = self._settings
        urls = at.exec_polymarket_url, at.exec_polymarket_data_url, at.exec_polymarket_stream_url
        return Polymarket(key, *urls, sent, time.time_ns, wallet or None, kind)

    async def synthetix(self, vault: str) -> Driver:
        from venues.synthetix import Synthetix

        account = self._account("synthetix", vault) or "0"
        if not account.isdigit() or (account == "0" and vault != READER):
            path = account_file(self._settings, "synthetix", vault)
            raise KeyFileRefused(f"{path} does not say the number of the vault's account")
        return Synthetix(
            await self._key("synthetix", vault, _evm_key),
            int(account),
            self._settings.exec_synthetix_url,
            time.time_ns,
            self._settings.exec_synthetix_dry_run,
        )

    def look(self) -> None:
        """Say at the start, and not only with a vault's first ticket, which of Polymarket's accounts could not be opened."""
        for path in sorted((self._keys / "polymarket").glob("*.account")):
            try:
                wallet_named(path)
            except (KeyFileRefused, OSError, UnicodeDecodeError) as refused:
                _log.error("a vault's account cannot be opened", vault=path.stem, venue="polymarket", why=str(refused))  # fmt: skip

    async def _key(self, venue: str, vault: str, make: Callable[[], str]) -> str:
        """A vault's key; made only where the vault never had an account there, for a new one opens an account that has nothing."""
        if vault == READER:
            return make()
        path = self._keys / venue / f"{vault}.key"
        if not path.exists():
            account = await self._known(vault, venue)
            if account is not None:
                whose = f" ({account})" if account else ""
                raise KeyFileRefused(
                    f"{path} is missing, and the vault has had an account there{whose}: bring it back"
                )
        create_secret(path, make)
        return read_secret(path).decode().strip()

    def _account(self, venue: str, vault: str) -> str:
        path = account_file(self._settings, venue, vault)
        return path.read_text().strip() if vault != READER and path.exists() else ""


def account_file(settings: Settings, venue: str, vault: str) -> Path:
    """Says what holds a vault's money at a venue, where that is not the key's own address."""
    return settings.perpdex_data / "keys" / "venues" / venue / f"{vault}.account"


def wallet_named(path: Path) -> tuple[str, int]:
    """The Polymarket wallet that an account's file names, and the venue's number for its kind; no file is the key's own address.

    Raises `KeyFileRefused`: an order of a wallet that is signed as one of another kind is refused there, every time.
    """
    if not path.exists():
        return "", 0
    wallet, *kind = path.read_text().split()[:3] or [""]
    if not re.fullmatch("0x[0-9a-fA-F]{40}", wallet):
        raise KeyFileRefused(f"{path} does not say the address of the vault's wallet")
    if len(kind) != 1 or kind[0] not in WALLETS:
        known = ", ".join(WALLETS)
        raise KeyFileRefused(
            f"{path} does not say what kind of wallet {wallet} is: behind the address one of {known}"
        )
    return wallet, WALLETS[kind[0]]


def _set_up(venue: str, opening: Opening, known: Known) -> Opening:
    """Opens an account, or raises `AccountMissing`: where keys lie is for the operator's log, and for nobody who sends a ticket."""

    async def opened(vault: str) -> Driver:
        try:
            driver = await opening(vault)
        except (KeyFileRefused, OSError, ValueError) as refused:
            _log.error("a vault's account cannot be opened", vault=vault, venue=venue, why=str(refused))
            raise AccountMissing(venue, "the vault's account there is not set up") from None
        account = None if vault == READER else await known(vault, venue)
        if account and account != driver.account:
            await driver.close()
            _log.error(OTHER_ACCOUNT, vault=vault, venue=venue, account=driver.account, known=account)
            raise AccountMissing(venue, OTHER_ACCOUNT)
        return driver

    return opened


def _evm_key() -> str:
    return "0x" + secrets.token_bytes(32).hex()


async def _dead(vault: str) -> Driver:
    return DeadVenue(SYNTHETIX_V3, SYNTHETIX_V3_END)


def _mids(drivers: Registry, venue: str) -> Callable[[Collection[str]], Awaitable[Mapping[str, Mid]]]:
    async def mids(symbols: Collection[str]) -> Mapping[str, Mid]:
        return await (await drivers.driver(READER, venue)).mids(symbols)

    return mids


def _oracles(settings: Settings, http: httpx.AsyncClient, clock: Callable[[], int]) -> list[Polled]:
    """Those that are configured. Pyth first: it publishes by the second, Chainlink when a price has moved or an hour is over.

    Raises `Refused` and `OSError` for signers of Pyth's that cannot be believed.
    """
    found: list[Polled] = []
    of_markets = {market.symbol: market.feed for market in DEFAULT_MARKETS}
    feeds = {name: of_markets[market] for name, market in MARKETS.items()} | {GOLD.symbol: PYTH_GOLD}
    # Here and below, because each takes long to import, and few need all.
    if settings.exec_pyth_url:
        from oracles.hermes import Hermes
        from oracles.hermes_polled import PolledHermes
        from oracles.signers import named_signers

        signers = named_signers(settings.pyth_guardians, settings.pyth_hand_overs)
        found.append(
            PolledHermes(Hermes(http, feeds, [signers], settings.exec_pyth_url, settings.pyth_api_key))
        )
    if settings.pyth_rpc_url:
        from oracles.pyth_account import PythAccounts

        older = settings.older_price_accounts
        named = {name: older[market] for name, market in MARKETS.items() if market in older}
        found.append(PythAccounts.of(http, settings.pyth_rpc_url, feeds, named))
    if settings.chainlink_rpc_url:
        from oracles.chainlink import MAINNET, XAU_USD, Chainlink

        rounds = {name: MAINNET[market] for name, market in MARKETS.items()} | {GOLD.symbol: XAU_USD}
        found.append(Chainlink(http, settings.chainlink_rpc_url, rounds, clock))
    return found


def _demo(settings: Settings, clock: Callable[[], int]) -> Callable[[Leg], LegPrice | None] | None:
    """The price of gold that the settings allow though nobody says it. Raises `RecordingFailed`."""
    text = settings.exec_demo_gold
    if not text:
        return None
    price = _played_gold(settings) if text == PLAYED else _fixed(price_from(text))

    def demo(leg: Leg) -> LegPrice | None:
        if leg != GOLD:
            return None
        told = price(Nanos(clock()))
        return LegPrice(PriceE8(to_ticks(told, UNIT)), told.published_at, told.source, Standing.DEMO)

    return demo


def _fixed(price: PriceE8) -> Callable[[Nanos], Price]:
    return lambda now: Price(GOLD_RECORDED, price, -8, 0, now, "EXEC_DEMO_GOLD")


def _played_gold(settings: Settings) -> Callable[[Nanos], Price]:
    """Recorded where there is a recording of gold, else made up from the seed: at an instant the same for whoever asks."""
    # Here, because reading files brings what few need.
    from oracles.generator import EXPONENT, SOURCE, price_at
    from oracles.recording import Loop, file_of, read

    path, seed = settings.price_recording, settings.price_seed
    file = None if path is None else file_of(path, GOLD_RECORDED)
    if file is not None:
        return Loop(read(file, GOLD_RECORDED)).at
    source = f"{SOURCE}, seed {seed}"
    return lambda now: Price(GOLD_RECORDED, price_at(seed, GOLD.symbol, now), EXPONENT, 0, now, source)
