"""A transaction as it came over the wire: decoded, held to the cluster's limits, its accounts resolved."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from solders.address_lookup_table_account import AddressLookupTable
from solders.compute_budget import ID as COMPUTE_BUDGET
from solders.hash import Hash
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from chain.localnet.errors import SIGNATURE_FAILURE, RpcError, invalid_params

TRANSACTION_BYTES_MAX: Final = 1232
ACCOUNT_LOCKS_MAX: Final = 64
LAMPORTS_PER_SIGNATURE: Final = 5_000
_DEFAULT_UNITS: Final = 200_000
_UNITS_MAX: Final = 1_400_000

TableReader = Callable[[Pubkey], bytes | None]


@dataclass(frozen=True, slots=True)
class WireTransaction:
    """A transaction that passed every check which needs no state but lookup tables."""

    raw: bytes
    transaction: VersionedTransaction
    keys: tuple[Pubkey, ...]
    """Static keys, then writable and read-only ones from lookup tables: the order that indexes refer to."""
    looked_up: tuple[tuple[Pubkey, ...], tuple[Pubkey, ...]]
    writable: frozenset[Pubkey]
    priority_fee: int
    refusal: str | None
    """Name of the transaction error that a node gives before running it, or None."""

    @property
    def signature(self) -> str:
        return str(self.transaction.signatures[0])

    @property
    def payer(self) -> Pubkey:
        return self.keys[0]

    @property
    def blockhash(self) -> Hash:
        return self.transaction.message.recent_blockhash

    @property
    def base_fee(self) -> int:
        return LAMPORTS_PER_SIGNATURE * self.transaction.message.header.num_required_signatures

    @property
    def fee(self) -> int:
        """Lamports that landing costs."""
        return self.base_fee + self.priority_fee


def parse(raw: bytes, tables: TableReader, *, verify: bool = True) -> WireTransaction:
    """Decode and check. Raises `RpcError` as a node does for what is not a transaction, is too large, or is not signed."""
    if len(raw) > TRANSACTION_BYTES_MAX:
        raise invalid_params(
            f"decoded solana_transaction::versioned::VersionedTransaction too large: {len(raw)} bytes "
            f"(max: {TRANSACTION_BYTES_MAX} bytes)"
        )
    try:
        transaction = VersionedTransaction.from_bytes(raw)
        transaction.sanitize()
    except Exception as error:  # solders raises its own type for each layer of decoding
        raise invalid_params(f"failed to deserialize solana_transaction: {error}") from error
    _check_indexes(transaction)
    if verify and not all(transaction.verify_with_results()):
        raise RpcError(SIGNATURE_FAILURE, "Transaction signature verification failure")
    writable_tables, readonly_tables, refusal = _look_up(transaction, tables)
    keys = (*transaction.message.account_keys, *writable_tables, *readonly_tables)
    if refusal is None and len(set(keys)) != len(keys):
        refusal = "AccountLoadedTwice"
    if refusal is None and len(keys) > ACCOUNT_LOCKS_MAX:
        refusal = "TooManyAccountLocks"
    return WireTransaction(
        raw=raw,
        transaction=transaction,
        keys=keys,
        looked_up=(writable_tables, readonly_tables),
        writable=frozenset((*_static_writable(transaction), *writable_tables)),
        priority_fee=priority_fee(transaction),
        refusal=refusal,
    )


def _check_indexes(transaction: VersionedTransaction) -> None:
    """The virtual machine aborts the process on a program index out of bounds: such a transaction must never reach it."""
    message = transaction.message
    if not message.account_keys or message.header.num_required_signatures == 0:
        raise invalid_params("invalid transaction: Transaction failed to sanitize accounts offsets correctly")
    total = len(message.account_keys)
    if isinstance(message, MessageV0):
        total += sum(
            len(table.writable_indexes) + len(table.readonly_indexes)
            for table in message.address_table_lookups
        )
    for instruction in message.instructions:
        if not 0 < instruction.program_id_index < len(message.account_keys):
            raise invalid_params("invalid transaction: Transaction contains an invalid program index")
        if any(index >= total for index in instruction.accounts):
            raise invalid_params("invalid transaction: Transaction contains an invalid account index")


def _static_writable(transaction: VersionedTransaction) -> list[Pubkey]:
    message, header = transaction.message, transaction.message.header
    signed, total = header.num_required_signatures, len(message.account_keys)
    return [
        key
        for index, key in enumerate(message.account_keys)
        if index < signed - header.num_readonly_signed_accounts
        or signed <= index < total - header.num_readonly_unsigned_accounts
    ]


def _look_up(
    transaction: VersionedTransaction, tables: TableReader
) -> tuple[tuple[Pubkey, ...], tuple[Pubkey, ...], str | None]:
    message = transaction.message
    writable: list[Pubkey] = []
    readonly: list[Pubkey] = []
    if isinstance(message, MessageV0):
        for lookup in message.address_table_lookups:
            data = tables(lookup.account_key)
            if data is None:
                return (), (), "AddressLookupTableNotFound"
            addresses = AddressLookupTable.deserialize(data).addresses
            indexes = (*lookup.writable_indexes, *lookup.readonly_indexes)
            if any(index >= len(addresses) for index in indexes):
                return (), (), "InvalidAddressLookupTableIndex"
            writable.extend(addresses[index] for index in lookup.writable_indexes)
            readonly.extend(addresses[index] for index in lookup.readonly_indexes)
    return tuple(writable), tuple(readonly), None


def priority_fee(transaction: VersionedTransaction) -> int:
    """Lamports offered on top of the base fee: price times limit, rounded up. The virtual machine does not charge them."""
    message = transaction.message
    price, limit, others = 0, None, 0
    for instruction in message.instructions:
        if message.account_keys[instruction.program_id_index] != COMPUTE_BUDGET:
            others += 1
        elif instruction.data[:1] == b"\x02" and len(instruction.data) == 5:
            limit = int.from_bytes(instruction.data[1:], "little")
        elif instruction.data[:1] == b"\x03" and len(instruction.data) == 9:
            price = int.from_bytes(instruction.data[1:], "little")
    units = min(_UNITS_MAX, others * _DEFAULT_UNITS if limit is None else limit)
    return -(-units * price // 1_000_000)
