"""`perpdex quant-order` and `perpdex quant-positions`: what a vault's key may do at outside venues, at a terminal."""

import json
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn
from urllib.parse import quote

import httpx
import typer

from cli.tables import plain
from cli.vault_answers import table
from settings import Settings

quant_order = typer.Typer(
    no_args_is_help=True, help="Send a vault's orders to any venue, with its key in QUANT_KEY or a file."
)
Symbol = Annotated[str, typer.Argument(help="ETH, or with its venue hyper::ETH")]
Side = Annotated[str, typer.Argument(help="buy or sell")]
Size = Annotated[str, typer.Argument(help="in units of the symbol")]
Venue = Annotated[str | None, typer.Option(help="where; the vault's default venue when left out")]
ClientId = Annotated[
    str | None,
    typer.Option(
        help="your own: the same one again is the same order; without one it is made up and said first"
    ),
]
Key = Annotated[
    Path | None, typer.Option("--key", help="file of the key; else it is in the variable QUANT_KEY")
]
KeyText = Annotated[str, typer.Option(envvar="QUANT_KEY", hidden=True)]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table")]
Within = Annotated[
    int | None,
    typer.Option(min=1, max=600, help="seconds from now in which it may be sent; by its type when left out"),
]
ASK: Final = (
    "`quant-order show` asks what became of it, and the same again with --client-id is the same order."
)
TIMEOUT_S: Final = 30.0
"""Longer than the exchange waits for a venue."""


@quant_order.command("open")
def open_order(
    symbol: Symbol,
    side: Side,
    size: Size,
    venue: Venue = None,
    limit: Annotated[
        str | None, typer.Option(help="worst price; makes it a limit order unless --market is given")
    ] = None,
    market: Annotated[bool, typer.Option("--market", help="an order at the market, to the limit")] = False,
    time_in_force: Annotated[str, typer.Option(help="gtc, ioc, fok or post_only")] = "gtc",
    leverage: Annotated[int | None, typer.Option(help="whole times")] = None,
    reduce_only: Annotated[bool, typer.Option("--reduce-only")] = False,
    client_id: ClientId = None,
    within: Within = None,
    key: Key = None,
    key_text: KeyText = "",
    as_json: AsJson = False,
) -> None:
    """Send a ticket."""
    body = {
        "symbol": symbol,
        "side": side,
        "size": size,
        "venue": venue,
        "order_type": "limit" if limit is not None and not market else "market",
        "limit_price": limit,
        "time_in_force": time_in_force,
        "leverage": leverage,
        "reduce_only": reduce_only,
        "client_id": client_id,
        "not_after": _not_after(within),
    }
    _sent("/orders/open", body, key, key_text, as_json)


@quant_order.command()
def close(
    symbol: Symbol,
    size: Annotated[str | None, typer.Option(help="all of it when left out")] = None,
    venue: Venue = None,
    client_id: ClientId = None,
    within: Within = None,
    key: Key = None,
    key_text: KeyText = "",
    as_json: AsJson = False,
) -> None:
    """Close a position, or a part of it, at the market."""
    terms = {"symbol": symbol, "venue": venue, "size": size}
    body = {**terms, "client_id": client_id, "not_after": _not_after(within)}
    _sent("/orders/close", body, key, key_text, as_json)


@quant_order.command()
def cancel(client_id: str, key: Key = None, key_text: KeyText = "", as_json: AsJson = False) -> None:
    """Take an order back."""
    _sent("/orders/cancel", {"client_id": client_id}, key, key_text, as_json)


@quant_order.command()
def show(client_id: str, key: Key = None, key_text: KeyText = "", as_json: AsJson = False) -> None:
    """What became of one order, also where the answer to it was lost."""
    with _asking(key, key_text, as_json) as ask:
        found = ask("GET", f"/orders/{quote(client_id, safe='')}", None)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        table([_line(found)])


@quant_order.command("list")
def list_orders(
    limit: Annotated[int, typer.Option(help="how many at most")] = 20,
    key: Key = None,
    key_text: KeyText = "",
    as_json: AsJson = False,
) -> None:
    """The vault's orders, the newest first."""
    with _asking(key, key_text, as_json) as ask:
        found = ask("GET", f"/orders?limit={limit}", None)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        table([_line(one) for one in found["orders"]])


def quant_positions(key: Key = None, key_text: KeyText = "", as_json: AsJson = False) -> None:
    """A vault's positions at all venues."""
    with _asking(key, key_text, as_json) as ask:
        found = ask("GET", "/positions", None)
    if as_json:
        print(json.dumps(found["positions"], indent=2))
        return
    held = found["positions"]
    table(
        [
            {"venue": venue, "symbol": symbol, "size": size}
            for venue, symbols in held.items()
            for symbol, size in symbols.items()
        ]
    )


def _not_after(within: int | None) -> int | None:
    """Microseconds since the Unix epoch."""
    return None if within is None else time.time_ns() // 1_000 + within * 1_000_000


def _sent(path: str, body: dict[str, Any], key: Path | None, key_text: str, as_json: bool) -> None:
    """Send what is about one order. Its client id is told before anything is sent, so that nothing which ends this can leave an order
    that nobody can ask for."""
    # What is set wrong is said first, as by every command.
    Settings()
    if body["client_id"] is None:
        body["client_id"] = uuid.uuid4().hex
        print(f"client id {body['client_id']}", file=sys.stderr, flush=True)
    with _asking(key, key_text, as_json, body["client_id"]) as ask:
        found = ask("POST", path, body)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        table([_line(found)])
    if found["code"]:
        raise typer.Exit(1)


def _line(order: dict[str, Any]) -> dict[str, Any]:
    shown = ("client_id", "venue", "symbol", "side", "size", "filled", "status", "code")
    return {name: order[name] for name in shown}


@contextmanager
def _asking(key: Path | None, key_text: str, as_json: bool, client_id: str = "") -> Iterator[Any]:
    """Asks with the key. What the exchange refuses is a sentence, or JSON with its code, and exit code 1."""
    settings = Settings()
    try:
        token = key.read_text().strip() if key is not None else key_text
        if not token:
            raise _Refused("no_key", "there is no key: set QUANT_KEY, or name its file with --key")
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=settings.api_url, headers=headers, timeout=TIMEOUT_S) as http:
            yield lambda method, path, body: _answer(http, method, path, body)
    except OSError as error:
        _tell(_Refused("key_unreadable", f"{key} cannot be read ({error.strerror})"), as_json, client_id)
    except _Refused as refused:
        _tell(refused, as_json, client_id)


class _Refused(Exception):
    """An answer that is none of the order: its stable code and the sentence."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code


def _tell(refused: _Refused, as_json: bool, client_id: str) -> NoReturn:
    if as_json:
        named = {"client_id": client_id} if client_id else {}
        print(json.dumps({"error": {"code": refused.code, "message": str(refused)}, **named}, indent=2))
    else:
        print(f"{refused.code}: {plain(str(refused))}", file=sys.stderr)
        if client_id:
            print(f"client id {client_id}: {ASK}", file=sys.stderr)
    raise typer.Exit(1) from None


def _answer(http: httpx.Client, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
    try:
        answer = http.request(method, f"/api/v1/quant{path}", json=body)
        found: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise _Refused("no_answer", f"{http.base_url} does not answer ({type(error).__name__}).") from None
    if answer.is_error:
        raise _Refused(found["error"]["code"], found["error"]["message"])
    return found
