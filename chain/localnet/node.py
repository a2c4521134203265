"""The node: the SVM, slots that pass with time, and the cluster's limits that the VM itself does not enforce."""

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from solders.account import Account
from solders.hash import Hash
from solders.instruction import Instruction
from solders.litesvm import LiteSVM
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import Transaction, VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata
from spl.token import instructions as spl
from spl.token.constants import MINT_LEN
from spl.token.constants import TOKEN_PROGRAM_ID as TOKEN

from chain.localnet.genesis import DECIMALS, FAUCET, MINT, MINT_AUTHORITY, PROGRAM, PROGRAM_FILE
from chain.localnet.store import Landed, Store

TRANSACTION_BYTES: Final = 1_232
LOCKS_MAX: Final = 64
BLOCKHASH_LIFE: Final = 150
FAUCET_LAMPORTS: Final = 10**18


class Refused(NamedTuple):
    """A transaction that did not land: the RPC's error code, sentence, and for a failed simulation its error, logs and units."""

    code: int
    message: str
    data: dict[str, Any] | None = None


class Node:
    """One node's view of its own chain. `clock` gives seconds; a slot lasts `slot_seconds`; `finality` slots make it final."""

    def __init__(
        self,
        store: Store,
        *,
        slot_seconds: float = 0.4,
        finality: int = 32,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.finality = finality
        self._slot_seconds = slot_seconds
        self._clock = clock
        self._first_slot = store.slot() + 1
        self._started = clock()
        self.svm = LiteSVM().with_blockhash_check(False).with_transaction_history(0)
        self.svm.add_program_from_file(PROGRAM, PROGRAM_FILE)
        fresh = self._first_slot == 1
        for address, account in store.accounts():
            self.svm.set_account(address, account)
        if fresh:
            self._make_genesis()
        self._warped = 0
        self._grants = time.time_ns() & 0xFFFFFFFF
        self.slot()

    def slot(self) -> int:
        """The current slot; moves the VM's clock there."""
        slot = self._first_slot + int((self._clock() - self._started) / self._slot_seconds)
        if slot > self._warped:
            self.svm.warp_to_slot(slot)
            clock = self.svm.get_clock()
            clock.unix_timestamp = int(self._clock())
            self.svm.set_clock(clock)
            self.store.save_slot(slot, int(self._clock()))
            self._warped = slot
        return slot

    def blockhash(self) -> tuple[Hash, int]:
        """The newest blockhash and the last block height at which it is good."""
        slot = self.slot()
        return _hash_of(slot), slot + BLOCKHASH_LIFE

    def blockhash_valid(self, blockhash: Hash) -> bool:
        slot = self.slot()
        return any(_hash_of(one) == blockhash for one in range(slot, max(0, slot - BLOCKHASH_LIFE) - 1, -1))

    def confirmation(self, landed_slot: int) -> str:
        depth = self.slot() - landed_slot
        return "finalized" if depth >= self.finality else "confirmed" if depth >= 1 else "processed"

    def final_slot(self) -> int:
        """Transactions at this slot or earlier are final."""
        return self.slot() - self.finality

    def account(self, address: Pubkey) -> Account | None:
        return self.svm.get_account(address)

    def send(self, raw: bytes, skip_preflight: bool = False) -> str | Refused:
        """Land a transaction and return its signature. A signature that landed before is answered again, and not run again."""
        transaction = self._checked(raw)
        if isinstance(transaction, Refused):
            return transaction
        signature = str(transaction.signatures[0])
        if self.store.transaction(signature) is not None:
            return signature
        if not self.blockhash_valid(transaction.message.recent_blockhash):
            return Refused(
                -32002,
                "Transaction simulation failed: Blockhash not found",
                _failure("BlockhashNotFound", [], 0),
            )
        if not skip_preflight:
            failed = self.svm.simulate_transaction(transaction)
            if isinstance(failed, FailedTransactionMetadata):
                error, meta = _error(failed), failed.meta()
                data = _failure(error, meta.logs(), meta.compute_units_consumed())
                return Refused(-32002, f"Transaction simulation failed: {_sentence(error)}", data)
        self._land(transaction, raw, signature)
        return signature

    def simulate(self, raw: bytes) -> dict[str, Any] | Refused:
        transaction = self._checked(raw)
        if isinstance(transaction, Refused):
            return transaction
        if not self.blockhash_valid(transaction.message.recent_blockhash):
            return _failure("BlockhashNotFound", [], 0)
        result = self.svm.simulate_transaction(transaction)
        failed = isinstance(result, FailedTransactionMetadata)
        meta = result.meta()
        return _failure(_error(result) if failed else None, meta.logs(), meta.compute_units_consumed())

    def airdrop(self, address: Pubkey, lamports: int) -> str | Refused:
        blockhash, _ = self.blockhash()
        step = transfer(TransferParams(from_pubkey=FAUCET.pubkey(), to_pubkey=address, lamports=lamports))
        message = Message.new_with_blockhash([step, self._distinct()], FAUCET.pubkey(), blockhash)
        return self.send(bytes(Transaction([FAUCET], message, blockhash)))

    def mint_test_usdc(self, owner: Pubkey, amount: int) -> str | Refused:
        """Mint micro-USDC of test money into the owner's token account, made when there is none."""
        blockhash, _ = self.blockhash()
        steps = [self._distinct()]
        wallet = spl.get_associated_token_address(owner, MINT)
        if self.account(wallet) is None:
            steps.append(spl.create_associated_token_account(FAUCET.pubkey(), owner, MINT))
        steps.append(spl.mint_to(spl.MintToParams(TOKEN, MINT, wallet, MINT_AUTHORITY.pubkey(), amount)))
        message = Message.new_with_blockhash(steps, FAUCET.pubkey(), blockhash)
        return self.send(bytes(Transaction([FAUCET, MINT_AUTHORITY], message, blockhash)))

    def _distinct(self) -> Instruction:
        """A transfer that changes nothing, different each time: two equal grants within a slot are two transactions."""
        self._grants += 1
        return transfer(
            TransferParams(from_pubkey=FAUCET.pubkey(), to_pubkey=FAUCET.pubkey(), lamports=self._grants)
        )

    def _checked(self, raw: bytes) -> VersionedTransaction | Refused:
        if len(raw) > TRANSACTION_BYTES:
            return Refused(
                -32602,
                f"base64 encoded solana_transaction::versioned::VersionedTransaction too large: {len(raw)} bytes"
                f" (max: encoded/raw 1644/{TRANSACTION_BYTES})",
            )
        try:
            transaction = VersionedTransaction.from_bytes(raw)
        except ValueError as error:
            return Refused(
                -32602, f"failed to deserialize solana_transaction::versioned::VersionedTransaction: {error}"
            )
        keys = transaction.message.account_keys
        if len(keys) > LOCKS_MAX:
            return Refused(
                -32002,
                "Transaction simulation failed: Transaction locked too many accounts",
                _failure("TooManyAccountLocks", [], 0),
            )
        if any(one.program_id_index >= len(keys) for one in transaction.message.instructions):
            return Refused(-32602, "invalid transaction: index out of bounds")
        if not all(transaction.verify_with_results()):
            return Refused(-32003, "Transaction signature verification failure")
        return transaction

    def _land(self, transaction: VersionedTransaction, raw: bytes, signature: str) -> None:
        keys = list(transaction.message.account_keys)
        pre = [self.svm.get_balance(key) or 0 for key in keys]
        result = self.svm.send_transaction(transaction)
        failed = isinstance(result, FailedTransactionMetadata)
        meta = result.meta() if isinstance(result, FailedTransactionMetadata) else result
        post = [self.svm.get_balance(key) or 0 for key in keys]
        landed = Landed(
            0,
            signature,
            self.slot(),
            int(self._clock()),
            _error(result) if failed else None,
            meta.logs(),
            5_000 * len(transaction.signatures) + _priority_fee(transaction),
            meta.compute_units_consumed(),
            raw,
            pre,
            post,
        )
        self.store.save(landed, keys, [(key, self.svm.get_account(key)) for key in keys])

    def _make_genesis(self) -> None:
        self.svm.set_account(FAUCET.pubkey(), Account(FAUCET_LAMPORTS, b"", Pubkey.default()))
        mint = (
            (1).to_bytes(4, "little")
            + bytes(MINT_AUTHORITY.pubkey())
            + bytes(8)
            + bytes([DECIMALS, 1])
            + bytes(36)
        )
        rent = self.svm.minimum_balance_for_rent_exemption(MINT_LEN)
        self.svm.set_account(MINT, Account(rent, mint, TOKEN))
        for key in (FAUCET.pubkey(), MINT):
            account = self.svm.get_account(key)
            assert account is not None
            self.store.save_account(key, account)


def _hash_of(slot: int) -> Hash:
    return Hash(hashlib.sha256(b"perpdex localnet block " + slot.to_bytes(8, "little")).digest())


def _priority_fee(transaction: VersionedTransaction) -> int:
    """Lamports of priority fee: price (micro-lamports) times the unit limit, rounded up."""
    keys, limit, price = transaction.message.account_keys, 200_000, 0
    for one in transaction.message.instructions:
        if str(keys[one.program_id_index]) == "ComputeBudget111111111111111111111111111111":
            if one.data[:1] == b"\x02":
                limit = int.from_bytes(one.data[1:5], "little")
            elif one.data[:1] == b"\x03":
                price = int.from_bytes(one.data[1:9], "little")
    return -(-price * limit // 1_000_000)


def _error(failed: Any) -> Any:
    return json.loads(failed.to_json())["err"]


def _sentence(error: Any) -> str:
    """The sentence a real node writes for the commonest errors."""
    if isinstance(error, dict) and "InstructionError" in error:
        index, inner = error["InstructionError"]
        custom = inner.get("Custom") if isinstance(inner, dict) else None
        what = f"custom program error: {custom:#x}" if custom is not None else str(inner)
        return f"Error processing Instruction {index}: {what}"
    return str(error)


def _failure(error: Any, logs: list[str], units: int) -> dict[str, Any]:
    return {
        "err": error,
        "logs": logs,
        "accounts": None,
        "unitsConsumed": units,
        "returnData": None,
        "innerInstructions": None,
    }
