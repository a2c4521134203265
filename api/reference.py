"""Reference pages made from the code that they describe: ``python -m api.reference`` writes them, a test compares them."""

from pathlib import Path
from typing import Any, Final, get_args

import msgspec

from api import outgoing, wire
from api.allowance import CALL_COST, LIMITS, PROOF_COST, WITHDRAWAL_COST
from api.closing import WHY, CloseCode
from api.errors import CATALOGUE
from api.http_door import PATIENCE
from api.outgoing_private import Numbered
from api.streams import KEPT_IN_ALL, KEPT_PER_ACCOUNT
from api.withdrawal_starts import ALL, PER_OWNER
from core.quantities import SECOND
from matcher.limits import (
    FILLED_KEPT,
    KEYS_SURE,
    UNFILLED_KEPT,
    UNFILLED_KEPT_BEYOND,
    UNFILLED_KEPT_IN_ALL,
    UNFILLED_KEPT_LONG,
)

FOLDER: Final = Path(__file__).parent.parent / "docs" / "reference"
MADE: Final = "<!-- Made by `python -m api.reference`; change the code and run it. -->"


def errors_page() -> str:
    """The catalogue of error codes."""
    lines = [
        "# Errors",
        "",
        MADE,
        "",
        'Over HTTP every answer of status 400 and above is `{"error": {"code", "message", "retryable"}}`; over the WebSocket the same '
        "three come in an `error` event with the `id` of the message. Codes are stable, sentences may improve. *Retryable* means that "
        "the same call may succeed later unchanged. Of an order at a venue an error has its `client_id`, too.",
        "",
        "| Code | HTTP | Retryable | Meaning |",
        "|---|---|---|---|",
    ]
    for code, entry in sorted(CATALOGUE.items()):
        lines.append(
            f"| `{code}` | {entry.status} | {'yes' if entry.retryable else 'no'} | {entry.sentence} |"
        )
    return "\n".join(lines) + "\n"


def websocket_page() -> str:
    """Every message of the WebSocket, and why it is closed."""
    lines = [
        "# WebSocket",
        "",
        MADE,
        "",
        "One JSON object a text frame, at most 64 KiB. The address is `websocket` in `GET /api/v1/status` and in the answer to "
        "`POST /api/v1/agents`. The handshake must be whole within five seconds of connecting, and the first "
        "message must be `auth`, within five more. From then on pings come with the heartbeats, which every WebSocket library answers "
        "by itself; from whom nothing comes for half a minute is hung up on. Prices, sizes and USDC are plain decimal strings; "
        "instants are microseconds since the Unix epoch; unknown fields are refused.",
        "",
        "Every message is answered by `error`, or by `ack`, both with its `id`; instead of `ack`, `auth` is answered by `ready` and "
        "`ping` by `pong`. A `request` is answered by `closed`, by `request_opened` and later `closed`, or by "
        "`error`; its `id` is the idempotency key, so it may be repeated after a break.",
        "",
        "What happened is told once it is on disk, and an account's answers do not overtake it: after the `ack` of a cancel comes "
        "no fill from before the cancel. So an `ack` waits as long as a fill of the same account does, for one sync or two; nobody "
        "else's does, and no `error`.",
        "",
        *_limits(),
        "",
        *_kept(),
        "",
        "## From the agent",
        "",
    ]
    for op in wire.Op.__subclasses__():
        lines += _message("op", op)
    lines += ["## From the exchange", ""]
    unnumbered = [kind for kind in outgoing.Ev.__subclasses__() if kind is not Numbered]
    for event in (*unnumbered, *Numbered.__subclasses__()):
        lines += _message("ev", event)
    lines += ["## Close codes", "", "| Code | Name | Why |", "|---|---|---|"]
    lines += [f"| {int(code)} | {code.name} | {WHY[code]} |" for code in CloseCode]
    return "\n".join(lines) + "\n"


def _limits() -> list[str]:
    account, owner, flood = LIMITS.account, LIMITS.owner, LIMITS.flood
    return [
        f"An account may send {account.per_second:,} messages a second ({account.burst:,} at once after a pause) over all its "
        f"connections, the accounts of one owner {owner.per_second:,} together. A call over HTTP counts as {CALL_COST}, one for a "
        f"proof as {PROOF_COST}, one that starts a withdrawal as {WITHDRAWAL_COST}, and an address may make "
        f"{LIMITS.address.per_second:,} calls a second. An owner may start {PER_OWNER.burst} withdrawals at once and "
        f"{PER_OWNER.per_second} a second, all owners together {ALL.burst} and {ALL.per_second}. Beyond that comes "
        "`rate_limited`. Free are a maker's first answer to a request, and whatever takes risk off: cancels, `withdraw`, `pass`, "
        f"`quotes` without levels, and `cancel_after` with 0. More than {flood.per_second:,} messages a second of refused and free "
        "ones close the connection. While the exchange is busier than it can be, `request`, `quote` and `quotes` with "
        "levels are refused with "
        "`overloaded`.",
        "",
        "Both codes say that a message was not looked at. Over the WebSocket neither meets a `request` whose `id` the exchange "
        "knows, nor an `accept` of a request that is closed: these get their first answer. So such a refusal is the fate of a "
        "message that was sent once. Of one that was sent before, over a connection that broke or over HTTP, it says nothing: the "
        "first copy may have filled, or be on its way still. Send it again, under the same `id`, until another answer comes; with "
        "`expires_after` the last that can come is `expired_command`, and then no copy has led, or will lead, to anything.",
        "",
        f"A connection to the HTTP door is closed when nothing comes for {PATIENCE.idle} seconds after an answer, when a call's head "
        f"is not whole {PATIENCE.head:.0f} seconds after connecting or after the answer before, when its body is not whole "
        f"{PATIENCE.body:.0f} seconds after the head, and when an answer is not taken for {PATIENCE.answer:.0f} seconds. An "
        f"operator's command has a second more for every {PATIENCE.command_rate // 1024} KiB that its head announces.",
    ]


def _kept() -> list[str]:
    sure = f"{KEYS_SURE // (60 * SECOND)} minutes"
    return [
        f"The newest {KEPT_PER_ACCOUNT:,} events of each private stream, {KEPT_IN_ALL:,} over all, are in memory: whoever was quiet "
        "longest gives up its oldest first. The ledger has all, for ever, so whoever resumes gets every event; while it cannot be "
        "read, a resume that needs it is closed with HISTORY_UNAVAILABLE. A repeated `id` of a request gets its first answer for "
        f"{sure} after it was closed; later than that it may trade anew. Longer, up to a day, the newest {FILLED_KEPT:,} answers "
        f"with fills of an account are kept, and {UNFILLED_KEPT_LONG:,} without, fewer where there are more than "
        f"{UNFILLED_KEPT_IN_ALL // UNFILLED_KEPT_LONG:,} accounts. So that they fit, new requests are refused with "
        f"`too_many_answers_kept` while the last {sure} have {FILLED_KEPT:,} answers of the account with fills, or "
        f"{UNFILLED_KEPT:,} without, or its share of {UNFILLED_KEPT_IN_ALL:,} without over all accounts while there are so many. "
        f"Requests that only shrink a position have room for {UNFILLED_KEPT_BEYOND:,} more answers without fills, of each account's "
        "own, so nobody else's can keep it in one. A request with `expires_after` never trades after that instant, whatever is "
        "forgotten.",
    ]


def _message(tag: str, kind: type[Any]) -> list[str]:
    lines = [
        f"### `{kind.__struct_config__.tag}`",
        "",
        *(kind.__doc__ or "").replace("\n    ", "\n").strip().split("\n"),
        "",
    ]
    rows = [
        f"| `{field.encode_name}` | {_type(field.type)} | {_default(field)} |"
        for field in msgspec.structs.fields(kind)
    ]
    if rows:
        lines += ["| Field | Type | Default |", "|---|---|---|", *rows, ""]
    return lines


def _default(field: Any) -> str:
    if field.default is msgspec.NODEFAULT:
        return ""
    return f"`{msgspec.json.encode(field.default).decode()}`"


def _type(kind: Any) -> str:
    """A type as a reader of JSON knows it."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        fields = (f"{field.encode_name}: {_type(field.type)}" for field in msgspec.structs.fields(kind))
        return f"object ({', '.join(fields)})"
    if isinstance(kind, type):
        return {int: "integer", str: "string", bool: "boolean", type(None): "null"}[kind]
    name = _NAMES.get(str(kind))
    if name is not None:
        return name
    parts = [part for part in get_args(kind) if part is not Ellipsis and not isinstance(part, msgspec.Meta)]
    if str(kind).startswith("typing.Literal"):
        return ", ".join(f"`{part}`" for part in parts)
    if getattr(kind, "__origin__", None) is tuple:
        return "list of " + _type(parts[0])
    if getattr(kind, "__origin__", None) is dict:
        return "object"
    return " or ".join(_type(part) for part in parts)


_NAMES: Final = {
    str(wire.Decimals): "decimal string",
    str(wire.Id): "id: 1 to 64 printable ASCII characters without spaces",
    str(wire.Key): "id: 1 to 64 printable ASCII characters without spaces",
    str(wire.Levels): "list of at most 20 [price, size]",
    str(wire.LifeMs): "integer, 1 to 60000",
}


def pages() -> dict[str, str]:
    """Contents by file name."""
    return {"errors.md": errors_page(), "websocket.md": websocket_page()}


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text)
