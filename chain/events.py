"""Events of the escrow program, read from the logs of a transaction that succeeded."""

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from anchorpy.coder.event import EventCoder
from solders.pubkey import Pubkey

from chain.idl import escrow_idl

_KEY: Final = "[1-9A-HJ-NP-Za-km-z]{32,44}"
"""A program's key in base58: a program can log any words after `Program log: `, and must not look like the end of another."""
_INVOKE: Final = re.compile(rf"Program ({_KEY}) invoke \[\d+\]")
_END: Final = re.compile(rf"Program {_KEY} (success|failed: .*)", re.DOTALL)
_DATA: Final = "Program data: "
_TRUNCATED: Final = "Log truncated"


@dataclass(frozen=True, slots=True)
class AccountOpened:
    page: int
    slot: int
    owner: Pubkey
    account: int


@dataclass(frozen=True, slots=True)
class Deposited:
    """`amount` in micro-USDC came into a slot; `number` counts the escrow's deposits, without gaps, from 1."""

    page: int
    slot: int
    owner: Pubkey
    account: int
    amount: int
    number: int


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """`amount` in micro-USDC left a slot; `number` is the engine's number of the withdrawal."""

    page: int
    slot: int
    owner: Pubkey
    account: int
    amount: int
    number: int


@dataclass(frozen=True, slots=True)
class BatchOpened:
    id: int
    root: bytes
    pages: int


@dataclass(frozen=True, slots=True)
class PageSettled:
    """`debits` and `credits` are the sums of the page's deltas of either sign, in micro-USDC."""

    id: int
    page: int
    debits: int
    credits: int


@dataclass(frozen=True, slots=True)
class BatchSealed:
    id: int
    root: bytes
    pages: int
    gross: int


Event = AccountOpened | Deposited | Withdrawn | BatchOpened | PageSettled | BatchSealed
_KINDS: Final[dict[str, type[Any]]] = {
    kind.__name__: kind
    for kind in (AccountOpened, Deposited, Withdrawn, BatchOpened, PageSettled, BatchSealed)
}


class LogsTruncated(Exception):
    """The cluster cut the logs, so events may be missing. Nothing may be concluded from what is left."""

    code = "logs_truncated"


@cache
def _coder() -> EventCoder:
    return EventCoder(escrow_idl())


def parse_events(logs: Iterable[str], program_id: Pubkey) -> Iterator[Event]:
    """The events that this very program logged, in order. What other programs log in the same words is not listened to."""
    running: list[str] = []
    ours = str(program_id)
    for line in logs:
        if line == _TRUNCATED:
            raise LogsTruncated("the logs were cut")
        if invoked := _INVOKE.fullmatch(line):
            running.append(invoked[1])
        elif _END.fullmatch(line) and running:
            running.pop()
        elif line.startswith(_DATA) and running and running[-1] == ours:
            event = _coder().parse(base64.b64decode(line[len(_DATA) :]))
            if event is not None and event.name in _KINDS:
                yield _event(event.name, event.data)


def _event(name: str, data: Any) -> Event:
    kind = _KINDS[name]
    fields = {field: getattr(data, field) for field in kind.__dataclass_fields__}
    if "root" in fields:
        fields["root"] = bytes(fields["root"])
    event: Event = kind(**fields)
    return event
