"""What a Solana node tells of accounts and transactions. An answer that does not have their form counts as none: `Unreachable`.

Only what is needed is read, so that a node of a later version may say more.
"""

import base64
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated, Any, Final, NamedTuple, TypeVar

import msgspec
from solders.transaction import VersionedTransaction

from perpdex_sdk.errors import Unreachable
from perpdex_sdk.rpc import Rpc, of_kind

FINAL: Final = {"commitment": "finalized"}
CLOCK: Final = "SysvarC1ock11111111111111111111111111111111"
_SECOND_AT: Final = 32
LISTED: Final = 1_000
"""Signatures in one answer: the most that nodes give."""
T = TypeVar("T")


class Account(NamedTuple):
    """`program` (base58) owns it."""

    program: str
    data: bytes


class Call(NamedTuple):
    """An instruction of a landed transaction."""

    program: str
    accounts: tuple[str, ...]
    data: bytes


class Transaction(NamedTuple):
    """One that landed. `gained` is what each token account has more after it, in its smallest unit, below 0 for less."""

    failed: bool
    calls: tuple[Call, ...]
    logs: tuple[str, ...]
    gained: dict[str, int]


class _Context(msgspec.Struct):
    slot: int


class _Account(msgspec.Struct):
    owner: str
    data: tuple[str, str]


class _One(msgspec.Struct):
    context: _Context
    value: _Account | None


class _Several(msgspec.Struct):
    value: list[_Account | None]


class _Amount(msgspec.Struct):
    amount: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,20}$")]


class _Tokens(msgspec.Struct, rename="camel"):
    account_index: Annotated[int, msgspec.Meta(ge=0)]
    ui_token_amount: _Amount


class _Loaded(msgspec.Struct):
    writable: list[str] = []
    readonly: list[str] = []


class _Meta(msgspec.Struct, rename="camel"):
    err: Any
    log_messages: list[str] | None = None
    pre_token_balances: list[_Tokens] | None = None
    post_token_balances: list[_Tokens] | None = None
    loaded_addresses: _Loaded | None = None


class _Transaction(msgspec.Struct):
    transaction: tuple[str, str]
    meta: _Meta


class _Signature(msgspec.Struct):
    signature: str
    slot: int
    err: Any


async def account(rpc: Rpc, address: str) -> tuple[int, Account | None]:
    """An account, finally, and the slot as of which it is so; None where there is none. Raises `Unreachable`, `ChainRefused`."""
    method = "getAccountInfo"
    found = await rpc.asked(_One, method, address, {"encoding": "base64", **FINAL})
    return found.context.slot, _account(method, found.value)


async def clock(rpc: Rpc) -> int:
    """Second of the cluster's clock, confirmed, which the escrow goes by. Raises what `account` raises."""
    method, options = "getAccountInfo", {"encoding": "base64", "commitment": "confirmed"}
    found = _account(method, (await rpc.asked(_One, method, CLOCK, options)).value)
    if found is None or len(found.data) < _SECOND_AT + 8:
        raise Unreachable(f"{method}: the node does not show the cluster's clock")
    return int.from_bytes(found.data[_SECOND_AT : _SECOND_AT + 8], "little", signed=True)


async def accounts(rpc: Rpc, addresses: Sequence[str]) -> list[Account | None]:
    """Some accounts as of one slot. Raises what `account` raises."""
    method = "getMultipleAccounts"
    found = await rpc.asked(_Several, method, list(addresses), {"encoding": "base64", **FINAL})
    if len(found.value) != len(addresses):
        raise Unreachable(f"{method}: {len(found.value)} accounts instead of {len(addresses)}")
    return [_account(method, one) for one in found.value]


async def transaction(rpc: Rpc, signature: str, commitment: str = "finalized") -> Transaction | None:
    """A transaction that landed, None where the node has none at the commitment. Raises `Unreachable`, `ChainRefused`."""
    method = "getTransaction"
    options = {"encoding": "base64", "maxSupportedTransactionVersion": 0, "commitment": commitment}
    told = await rpc.call(method, signature, options)
    return None if told is None else _parsed(method, _transaction, of_kind(_Transaction, method, told))


async def signatures(rpc: Rpc, address: str, after: str = "", after_slot: int = 0) -> AsyncIterator[str]:
    """Transactions that name the address, without those that failed, finally: the newest first, down to the one `after` or the slot
    `after_slot`, both left out.

    A node that no longer has `after` tells of all that it has. Raises `Unreachable`, `ChainRefused`.
    """
    method, where = "getSignaturesForAddress", {"until": after} if after else {}
    while True:
        found = await rpc.asked(list[_Signature], method, address, {"limit": LISTED, **where, **FINAL})
        for one in found:
            if one.slot <= after_slot:
                return
            if one.err is None:
                yield one.signature
        if len(found) < LISTED:
            return
        where = {**where, "before": found[-1].signature}


def _account(method: str, found: _Account | None) -> Account | None:
    if found is None:
        return None
    return Account(found.owner, _parsed(method, base64.b64decode, found.data[0]))


def _transaction(found: _Transaction) -> Transaction:
    message = VersionedTransaction.from_bytes(base64.b64decode(found.transaction[0])).message
    meta, loaded = found.meta, found.meta.loaded_addresses or _Loaded()
    keys = [*map(str, message.account_keys), *loaded.writable, *loaded.readonly]
    calls = (
        Call(keys[one.program_id_index], tuple(keys[index] for index in one.accounts), bytes(one.data))
        for one in message.instructions
    )
    gained: dict[str, int] = {}
    for side, sign in ((meta.pre_token_balances, -1), (meta.post_token_balances, 1)):
        for one in side or ():
            key = keys[one.account_index]
            gained[key] = gained.get(key, 0) + sign * int(one.ui_token_amount.amount)
    return Transaction(meta.err is not None, tuple(calls), tuple(meta.log_messages or ()), gained)


def _parsed(method: str, parse: Callable[[Any], T], given: Any) -> T:
    try:
        return parse(given)
    except (ValueError, IndexError) as error:
        raise Unreachable(f"{method}: {error}") from error
