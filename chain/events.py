"""Events of one escrow, read from the logs of a transaction that succeeded.

Anyone can have an escrow of the same program, with a mint of their own: what happens there looks the same but for the key that every
event begins with. No event of another escrow leaves this module.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, get_args

from solders.pubkey import Pubkey

from chain.addresses import EscrowAddresses
from chain.idl import escrow_idl
from chain.limits import Limits, Settings

if TYPE_CHECKING:
    from anchorpy.coder.event import EventCoder

_KEY: Final = "[1-9A-HJ-NP-Za-km-z]{32,44}"
"""A program's key in base58: a program can log any words after `Program log: `, and must not look like the end of another."""
_INVOKE: Final = re.compile(rf"Program ({_KEY}) invoke \[\d+\]")
_END: Final = re.compile(rf"Program {_KEY} (success|failed: .*)", re.DOTALL)
_DATA: Final = "Program data: "
_TRUNCATED: Final = "Log truncated"
_PAGE_SETTLED: Final = hashlib.sha256(b"event:PageSettled").digest()[:8]
_WITHOUT_MARKS: Final = 84
"""Bytes of a `PageSettled` that a program logged before the event had `short`: chains keep them for ever."""
_MARKS: Final = 14


@dataclass(frozen=True, slots=True)
class OfAccount:
    """What every event of one account has: whose it is, and its slot."""

    page: int
    slot: int
    owner: Pubkey
    account: int


@dataclass(frozen=True, slots=True)
class AccountOpened(OfAccount):
    """The slot is the account's from here on."""


@dataclass(frozen=True, slots=True)
class Deposited(OfAccount):
    """`amount` in micro-USDC came into a slot; `number` counts the escrow's deposits, without gaps, from 1."""

    amount: int
    number: int


@dataclass(frozen=True, slots=True)
class Withdrawn(OfAccount):
    """`amount` in micro-USDC left a slot; `number` is the engine's number of the withdrawal."""

    amount: int
    number: int


@dataclass(frozen=True, slots=True)
class Initialized:
    mint: Pubkey
    settings: Settings


@dataclass(frozen=True, slots=True)
class PageCreated:
    page: int
    payer: Pubkey


@dataclass(frozen=True, slots=True)
class PageClosed:
    """The page is gone; its rent went to `payer`."""

    page: int
    payer: Pubkey


@dataclass(frozen=True, slots=True)
class AccountClosed(OfAccount):
    """The account takes no deposits any more; its slot may be given away once batch `free_after` is sealed."""

    free_after: int


@dataclass(frozen=True, slots=True)
class WithdrawalRequested(OfAccount):
    """The owner may take up to `amount` micro-USDC from second `exit_at` on, whatever anybody does."""

    amount: int
    exit_at: int


@dataclass(frozen=True, slots=True)
class WithdrawalRequestCancelled(OfAccount):
    amount: int
    exit_at: int


@dataclass(frozen=True, slots=True)
class WithdrawalClaimed(OfAccount):
    """`amount` micro-USDC left the slot without the operator; `asked` was asked for, and nothing is asked for any more."""

    amount: int
    asked: int


@dataclass(frozen=True, slots=True)
class LossLimitSet(OfAccount):
    """Settlement may take `limit` whole USDC (`chain.limits.UNLIMITED`: anything) within a window from second `effective_at` on."""

    limit: int
    effective_at: int


@dataclass(frozen=True, slots=True)
class BatchOpened:
    id: int
    root: bytes
    pages: int


@dataclass(frozen=True, slots=True)
class PageSettled:
    """`debits` and `credits` in micro-USDC were applied. `shortfall` could not be taken from slots, `withheld` was held back.

    `short` are all slots of the page, ascending, that are marked as owing after it: whose loss limit keeps something from settlement;
    none in the event of an older program, which did not tell.
    """

    id: int
    page: int
    debits: int
    credits: int
    shortfall: int
    withheld: int
    short: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PageShort:
    """Who was short, after the page's `PageSettled`: (slot, micro-USDC), slots ascending; above 0 was held back from a credit, below 0
    could not be taken."""

    id: int
    page: int
    shorts: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class BatchSealed:
    """`gross` is what moved, `shortfall` what could not."""

    id: int
    root: bytes
    pages: int
    gross: int
    shortfall: int


@dataclass(frozen=True, slots=True)
class BatchCarried:
    """The batch was sealed with `clearing` micro-USDC left over, which the next batch can give."""

    id: int
    clearing: int


@dataclass(frozen=True, slots=True)
class BatchAborted:
    """The batch was given up before its first page; the next one has the same number."""

    id: int


@dataclass(frozen=True, slots=True)
class PauseSet:
    paused: bool


@dataclass(frozen=True, slots=True)
class Proposed:
    """Anyone may put `settings` into effect from second `ready_at` on."""

    number: int
    ready_at: int
    settings: Settings


@dataclass(frozen=True, slots=True)
class ProposalCancelled:
    number: int


@dataclass(frozen=True, slots=True)
class ProposalExecuted:
    number: int
    settings: Settings


Event = (
    Initialized
    | PageCreated
    | PageClosed
    | AccountOpened
    | AccountClosed
    | Deposited
    | Withdrawn
    | WithdrawalRequested
    | WithdrawalRequestCancelled
    | WithdrawalClaimed
    | LossLimitSet
    | BatchOpened
    | PageSettled
    | PageShort
    | BatchSealed
    | BatchCarried
    | BatchAborted
    | PauseSet
    | Proposed
    | ProposalCancelled
    | ProposalExecuted
)
_KINDS: Final[dict[str, type[Any]]] = {kind.__name__: kind for kind in get_args(Event)}


class LogsTruncated(Exception):
    """The cluster cut the logs, so events may be missing. Nothing may be concluded from what is left."""

    code = "logs_truncated"


@cache
def _coder() -> "EventCoder":
    from anchorpy.coder.event import EventCoder  # as in `chain.idl`

    return EventCoder(escrow_idl())


def parse_events(logs: Iterable[str], at: EscrowAddresses) -> Iterator[Event]:
    """The events of this very escrow that its program logged, in order. Nobody else's are listened to, in whatever words they come."""
    running: list[str] = []
    ours = str(at.program_id)
    for line in logs:
        if line == _TRUNCATED:
            raise LogsTruncated("the logs were cut")
        if invoked := _INVOKE.fullmatch(line):
            running.append(invoked[1])
        elif _END.fullmatch(line) and running:
            running.pop()
        elif line.startswith(_DATA) and running and running[-1] == ours:
            event = _coder().parse(_as_of_now(base64.b64decode(line[len(_DATA) :])))
            if event is not None and event.name in _KINDS and event.data.escrow == at.escrow:
                yield _event(event.name, event.data)


def _as_of_now(data: bytes) -> bytes:
    """An event as today's program logs it: an older page is told without marks."""
    older = data.startswith(_PAGE_SETTLED) and len(data) == _WITHOUT_MARKS
    return data + bytes(_MARKS) if older else data


def _event(name: str, data: Any) -> Event:
    kind = _KINDS[name]
    fields = {field: getattr(data, field) for field in kind.__dataclass_fields__}
    if "root" in fields:
        fields["root"] = bytes(fields["root"])
    if "short" in fields:
        marks = int.from_bytes(bytes(fields["short"]), "little")
        fields["short"] = tuple(slot for slot in range(marks.bit_length()) if marks >> slot & 1)
    if "shorts" in fields:
        fields["shorts"] = tuple((short.slot, short.amount) for short in fields["shorts"])
    if "settings" in fields:
        fields["settings"] = _settings(fields["settings"])
    event: Event = kind(**fields)
    return event


def _settings(data: Any) -> Settings:
    limits = Limits(**{field: getattr(data.limits, field) for field in Limits.__dataclass_fields__})
    return Settings(data.admin, data.operator, data.guardian, limits)
