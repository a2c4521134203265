"""Everything that can be set from outside, with the values `make run` uses. Read by `cli` and the modules beside this one only.

Each field is an environment variable of the same name in capitals (`PERPDEX_DATA`, `DATABASE_URL`, ...).
"""

from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses that mean every one of the machine, and where each is reached from the machine itself."""


class Settings(BaseSettings):
    """Settings of every process. Empty addresses mean "start the part yourself" to the supervisor."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    perpdex_data: Path = Field(Path(".perpdex"), description="Directory of the journal, keys and databases.")
    disk_floor_mb: int = Field(
        1_000,
        ge=0,
        description="Free megabytes on the journal's disk below which requests that may add risk are refused.",
    )
    database_url: str = Field("", repr=False, description="PostgreSQL, as a SQLAlchemy or libpq URL.")
    requests_kept_days: int = Field(
        30, ge=1, description="Days after which the ledger forgets requests that ended without a fill."
    )
    temporal_address: str = Field("", description="host:port of the Temporal frontend.")
    temporal_namespace: str = Field("default", description="Temporal namespace of all workflows.")
    solana_rpc_url: str = Field("", repr=False, description="JSON-RPC of the Solana cluster.")
    public_rpc_url: str = Field(
        "",
        description="JSON-RPC that agents are told of, for everybody to read: no key in it; empty: the local chain's, else none.",
    )
    solana_cluster: Literal["", "devnet", "mainnet"] = Field(
        "",
        description="Public cluster that SOLANA_RPC_URL must lead to, devnet or mainnet; empty for any other chain.",
    )
    api_url: str = Field("http://127.0.0.1:8080", description="Base address of the API, for the worker.")
    operator_token: str = Field(
        "", repr=False, description="Bearer token of the operator door; made at first start."
    )
    operator_key: str = Field(
        "",
        description="Where the operator's key is: file:PATH, awskms:KEY or vault:MOUNT/KEY; keys/operator.json when empty.",
    )
    escrow_admin: str = Field(
        "", description="Public key in base58 that the escrow was created by; the operator's when empty."
    )
    payload_keys: Path | None = Field(
        None,
        description="File of the keys that encrypt what Temporal keeps, ID:KEY a line, the first encrypts; none: in the clear.",
    )
    codec_port: int = Field(
        8234, ge=1, le=65_535, description="Port of `perpdex codec`, on this machine only."
    )
    temporal_ui_origin: str = Field(
        "",
        description="Origin of the Temporal UI that `perpdex codec` answers; that of TEMPORAL_UI_PORT here when empty.",
    )
    task_queue: str = Field("perpdex", description="Temporal task queue of the worker.")
    settlement_interval_s: int = Field(10, ge=1, description="Seconds between two settlement cuts.")
    priority_fee: int = Field(
        0,
        ge=0,
        description="Least micro-lamports per compute unit that a step begins at; doubled after each that expired, to 1,000 at least.",
    )
    withdrawal_minimum: int = Field(
        1_000_000,
        ge=0,
        description="Smallest withdrawal in micro-USDC; less only by an account that takes all it has.",
    )
    api_host: str = Field(
        "127.0.0.1", description="Address on which HTTP and WebSocket listen; 0.0.0.0 or :: for all."
    )
    public_host: str = Field(
        "", description="Name or address under which agents reach API_HOST, which it is when empty."
    )
    public_websocket_url: str = Field(
        "",
        pattern=r"^(wss?://[^/?#\s]+(/[^?#\s]*)?)?$",
        description="Address of the WebSocket for agents behind a proxy, such as wss://exchange.example/ws; the port here when empty.",
    )
    api_port: int = Field(8080, ge=1, le=65_535, description="Port of the HTTP interface.")
    websocket_port: int = Field(8081, ge=1, le=65_535, description="Port of the WebSocket.")
    trusted_proxies: str = Field(
        "", description="Addresses or networks, separated by commas, whose X-Forwarded-For is believed."
    )
    connections_per_address: int = Field(
        500,
        ge=1,
        description="Connections that one address may hold open at each door, but for trusted proxies.",
    )
    temporal_port: int = Field(7233, ge=1, le=65_535, description="Port of the embedded Temporal server.")
    temporal_ui_port: int = Field(8233, ge=1, le=65_535, description="Port of its Web UI.")
    rpc_port: int = Field(8899, ge=1, le=65_535, description="Port of the local chain.")
    localnet_slot_ms: int = Field(
        400, ge=10, description="Length of a slot of the local chain in milliseconds."
    )
    localnet_finality_slots: int = Field(
        4, ge=1, description="Slots until a block of the local chain is final."
    )
    escrow_program: str = Field("", description="Program id in base58; the local chain's when empty.")
    escrow_mint: str = Field("", description="USDC mint in base58; the local chain's when empty.")
    pyth_url: str = Field(
        "https://hermes.pyth.network", description="Pyth's Hermes for live prices; empty for none."
    )
    pyth_api_key: str = Field(
        "", repr=False, description="Bearer token for Hermes; the public service asks for one."
    )
    pyth_rpc_url: str = Field(
        "",
        repr=False,
        description="Solana RPC where Pyth's accounts are read for live prices and vaults' positions, beside Hermes or alone.",
    )
    pyth_price_accounts: str = Field(
        "",
        description="Pyth's older price accounts, MARKET=ADDRESS separated by commas, read at PYTH_RPC_URL in place of the newer.",
    )
    pyth_guardians: Path | None = Field(
        None,
        description="File with the hand-over that installed the guardians to believe; none: the routers' set of this version.",
    )
    pyth_hand_overs: Path | None = Field(
        None,
        description="File of hand-overs to newer Pyth signers, one a line; none: those known to this version.",
    )
    chainlink_rpc_url: str = Field(
        "",
        repr=False,
        description="Ethereum RPC where Chainlink's prices are read, for vaults too; empty for none. Live sources must then agree.",
    )
    hyperliquid_url: str = Field(
        "",
        description="Hyperliquid's API, whose perp mids confirm an index or contradict it; empty for none.",
    )
    price_recording: Path | None = Field(
        None, description="File or directory of recorded prices, played when live ones cannot be had."
    )
    price_seed: int = Field(1, description="Seed of generated prices, used when there are no others.")
    evm_rpc_url: str = Field(
        "", repr=False, description="JSON-RPC of the EVM chain that gold orders are carried out on."
    )
    evm_chain_id: int = Field(0, ge=0, description="Chain id that the chain of EVM_RPC_URL must have.")
    evm_router: str = Field(
        "",
        pattern=r"^(0x[0-9a-fA-F]{40})?$",
        description="Address of the router there; empty: gold orders are not carried out on a chain.",
    )
    evm_fee_cap_gwei: int = Field(
        100, ge=1, description="Most that is offered for a unit of gas there, in gwei."
    )
    evm_from_block: int = Field(
        0,
        ge=0,
        description="Block from which fills of gold orders are read there: that of the market's deployment.",
    )
    exec_allowed_venues: str = Field(
        "agents,mock_gold", description="Venues that vaults may trade at, separated by commas."
    )
    exec_close_only_venues: str = Field(
        "", description="Venues at which vaults may only reduce positions, separated by commas."
    )
    exec_market_within_s: int = Field(
        30,
        ge=1,
        le=600,
        description="Seconds after it was asked for in which an order at the market may be sent, where its ticket does not say.",
    )
    exec_limit_within_s: int = Field(
        60,
        ge=1,
        le=600,
        description="The same for an order with a limit; it may wait at the venue for longer.",
    )
    exec_hyper_url: str = Field(
        "https://api.hyperliquid.xyz", description="Hyperliquid's API, where vaults' orders go."
    )
    exec_synthetix_url: str = Field(
        "https://papi.synthetix.io/v1", description="Synthetix's API, where vaults' orders go."
    )
    exec_synthetix_dry_run: bool = Field(
        False, description="Orders for Synthetix are made, checked and signed, and not sent."
    )
    exec_polymarket_url: str = Field(
        "https://clob.polymarket.com", description="Polymarket's order book, where vaults' orders go."
    )
    exec_polymarket_data_url: str = Field(
        "https://data-api.polymarket.com", description="Where Polymarket tells what an account holds."
    )
    exec_polymarket_stream_url: str = Field(
        "wss://ws-subscriptions-clob.polymarket.com/ws",
        description="Polymarket's WebSocket, which says that something happened to an account.",
    )
    exec_pyth_url: str = Field(
        "",
        description="Pyth's Hermes, asked with PYTH_API_KEY, where venues do not say what vaults hold is worth; empty for none.",
    )
    exec_demo_gold: str = Field(
        "",
        pattern=r"^(played|[1-9]\d{0,8}(\.\d{1,8})?)?$",
        description="What gold is worth at mock_gold while no oracle says, marked as a demo price: dollars, or played, which is as "
        "in a recording of gold at PRICE_RECORDING, else generated by PRICE_SEED; empty: then it has none.",
    )
    exec_risk_template: Path | None = Field(
        None,
        description="JSON file of what all vaults may do, as in docs/venues/vaults.md; none: everything at those venues.",
    )
    nav_interval_s: int = Field(
        3_600, ge=10, le=86_400, description="Seconds between two snapshots of what vaults are worth."
    )
    nav_stale_leg_s: int = Field(
        120,
        ge=1,
        le=86_400,
        description="Seconds by which a leg's price may be older or newer than its snapshot; beyond, nobody deals at it.",
    )
    nav_jump_ppm: int = Field(
        100_000,
        ge=1,
        le=1_000_000,
        description="Parts per million by which a share's value may differ from the snapshot before; beyond, nobody deals at it.",
    )
    nav_drawdown_ppm: int = Field(
        200_000,
        ge=1,
        le=1_000_000,
        description="Parts per million by which a share's value may fall below its mark before an alert is said.",
    )
    worker_metrics_address: str = Field("", description="host:port for Prometheus; empty for none.")

    @field_validator("public_websocket_url")
    @classmethod
    def _leads_somewhere(cls, url: str) -> str:
        # The pattern says nothing of the port, and reading a wrong one raises.
        if url and urlsplit(url).port == 0:
            raise ValueError("Port out of range 1-65535")
        return url

    @field_validator("pyth_price_accounts")
    @classmethod
    def _are_accounts(cls, text: str) -> str:
        # Here, because every process loads this module and few have such accounts.
        from solders.pubkey import Pubkey

        from core.market import DEFAULT_MARKETS

        for symbol, address in _named(text).items():
            if symbol not in {market.symbol for market in DEFAULT_MARKETS}:
                raise ValueError(f"there is no market {symbol!r}")
            try:
                Pubkey.from_string(address)
            except ValueError as error:
                raise ValueError(f"{address!r} is no address: {error}") from None
        return text

    @model_validator(mode="after")
    def _is_whole(self) -> "Settings":
        if self.api_host in EVERYWHERE and not self.public_host:
            raise ValueError("PUBLIC_HOST must say where agents connect to when API_HOST is every address")
        if self.public_rpc_url and self.public_rpc_url == self.solana_rpc_url:
            raise ValueError(
                "PUBLIC_RPC_URL is published to everybody and must not be SOLANA_RPC_URL, which may have a key in it"
            )
        if self.evm_router and not (self.evm_rpc_url and self.evm_chain_id):
            raise ValueError("EVM_ROUTER needs EVM_RPC_URL and EVM_CHAIN_ID, which say where it is")
        return self

    @property
    def older_price_accounts(self) -> dict[str, str]:
        """Addresses of `pyth_price_accounts` by market."""
        return _named(self.pyth_price_accounts)

    @property
    def announced_host(self) -> str:
        """Where agents are told to connect to, as it stands in a URL."""
        host = self.public_host or self.api_host
        return f"[{host}]" if ":" in host else host

    @property
    def nearby_url(self) -> str:
        """The API as this very machine reaches it."""
        host = EVERYWHERE.get(self.api_host, self.api_host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.api_port}"


def _named(text: str) -> dict[str, str]:
    pairs = (one.partition("=") for one in text.split(",") if one.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}
