"""What each part is told by its environment: what it needs, nothing else of the operator's. Agents are strangers to the network."""

import os
from collections.abc import Mapping
from typing import Final, NamedTuple

from core.child_environment import EVERYBODY, passed_on
from settings import Settings

REACHES_OUT: Final = (
    *("SSL_CERT_*", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *(
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
    ),
)
LEDGER: Final = ("PG*", "SSL_CERT_*")
SIGNS: Final = ("AWS_*", "VAULT_*")
DURABLE: Final = ("TEMPORAL_*", "XDG_CONFIG_HOME")
"""Temporal's own: TEMPORAL_API_KEY, TEMPORAL_TLS_* and the like, and where its configuration file is."""

STORED: Final = frozenset({"perpdex_data", "database_url"})
SHARED: Final = STORED | {
    *("temporal_address", "temporal_namespace", "temporal_port", "payload_keys", "task_queue"),
    *("solana_rpc_url", "solana_cluster", "rpc_port", "escrow_program", "escrow_mint", "escrow_admin"),
    *("operator_token", "operator_key", "withdrawal_minimum"),
}
"""What API and worker must agree on."""


class Role(NamedTuple):
    """`settings` are names of fields of `Settings`, `own` other variables as `passed_on` has them."""

    settings: frozenset[str] = frozenset()
    own: tuple[str, ...] = ()


STRANGER: Final = Role()
"""Told by its command line all there is to know."""
ROLES: Final = {
    "temporal": STRANGER,
    "localnet": STRANGER,
    "makers": STRANGER,
    "traders": STRANGER,
    "strategy": STRANGER,
    "api": Role(
        SHARED
        | {
            *(
                "disk_floor_mb",
                "api_host",
                "api_port",
                "public_host",
                "public_websocket_url",
                "public_rpc_url",
                "websocket_port",
            ),
            *("trusted_proxies", "connections_per_address", "price_recording", "price_seed"),
            *(
                "pyth_url",
                "pyth_api_key",
                "pyth_rpc_url",
                "pyth_price_accounts",
                "pyth_guardians",
                "pyth_hand_overs",
                "chainlink_rpc_url",
                "hyperliquid_url",
                "exec_allowed_venues",
                "exec_risk_template",
                "exec_market_within_s",
                "exec_limit_within_s",
                "nav_interval_s",
            ),
        },
        (*REACHES_OUT, *LEDGER, *SIGNS, *DURABLE),
    ),
    "projector": Role(STORED | {"requests_kept_days"}, LEDGER),
    "worker": Role(
        SHARED
        | {
            *("api_url", "settlement_interval_s", "priority_fee", "worker_metrics_address"),
            *("evm_rpc_url", "evm_chain_id", "evm_router", "evm_fee_cap_gwei", "evm_from_block"),
            *("chainlink_rpc_url", "price_recording", "price_seed", "exec_allowed_venues", "exec_demo_gold"),
            *("exec_pyth_url", "pyth_api_key", "pyth_rpc_url", "pyth_price_accounts"),
            *("pyth_guardians", "pyth_hand_overs"),
            *("exec_risk_template", "exec_close_only_venues", "nav_interval_s"),
            *("nav_stale_leg_s", "nav_jump_ppm", "nav_drawdown_ppm"),
            *("exec_hyper_url", "exec_synthetix_url", "exec_synthetix_dry_run"),
            *("exec_polymarket_url", "exec_polymarket_data_url", "exec_polymarket_stream_url"),
        },
        (*REACHES_OUT, *LEDGER, *SIGNS, *DURABLE),
    ),
}
"""By the name of the part."""


def environment_of(
    part: str, settings: Settings, inherited: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The whole environment of a part of that name. Raises `KeyError` for one that is not in `ROLES`."""
    role = ROLES[part]
    of_settings = {field.upper() for field in Settings.model_fields}
    passed = passed_on(inherited, (*EVERYBODY, *role.own))
    kept = {name: value for name, value in passed.items() if name not in of_settings}
    given = settings.model_dump(mode="json", exclude_none=True, include=set(role.settings))
    return kept | {field.upper(): str(value) for field, value in given.items()}
