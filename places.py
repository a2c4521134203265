"""Where the parts of the network are and the secrets they know each other by: as set, or as found in the data directory."""

import secrets
from pathlib import Path

from chain.keys import KeyFileRefused, create_secret, read_secret
from core.hosts import only_hosts
from endings import NotReachable
from settings import Settings


def secret(path: Path) -> str:
    """The secret in a file of one's own, made when there is none. Raises `KeyFileRefused`, also of a file that others can read."""
    create_secret(path, lambda: secrets.token_hex(32))
    text = read_secret(path).decode().strip()
    if not text:
        raise KeyFileRefused(f"{path} is empty: delete it, and a new secret is made")
    return text


def operator_token(settings: Settings) -> str:
    return settings.operator_token or secret(settings.perpdex_data / "keys" / "operator.token")


def rpc_url(settings: Settings) -> str:
    return settings.solana_rpc_url or f"http://127.0.0.1:{settings.rpc_port}"


def public_rpc_url(settings: Settings) -> str:
    """The node that agents are told of, which anybody may read; empty for none.

    The exchange's own is told only where it is nobody's secret: on a chain of one's own, and at an address that is a host and no more.
    """
    if settings.public_rpc_url:
        return settings.public_rpc_url
    url = rpc_url(settings)
    return "" if settings.solana_cluster or only_hosts(url) != url.rstrip("/") else url


def database_url(settings: Settings) -> str:
    """The configured database, or the one the supervisor started and wrote down. Raises `NotReachable` when there is neither."""
    if settings.database_url:
        return settings.database_url
    try:
        return (settings.perpdex_data / "postgres.url").read_text().strip()
    except FileNotFoundError as error:
        raise NotReachable(
            f"No database is known: set DATABASE_URL, or start everything with `perpdex up`, which writes {error.filename}"
        ) from None
