"""The virtual machine, with what it leaves out of a cluster's behaviour: priority fees, and a fault that stops the process."""

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import base58
from solders.account import Account
from solders.clock import Clock
from solders.hash import Hash
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata

from chain.localnet.wire import WireTransaction


class MachineBroken(Exception):
    """The virtual machine aborted: its state is not known any more, so the process must end."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What running a transaction did. `error` in a node's JSON form; `charged` when it landed and paid its fee."""

    error: Any
    charged: bool
    logs: list[str]
    units: int
    return_data: dict[str, Any] | None
    inner: list[list[dict[str, Any]]]
    before: dict[Pubkey, Account | None]
    after: dict[Pubkey, Account | None]
    """Both of every account of the transaction, None where there is none."""

    @property
    def written(self) -> dict[Pubkey, Account | None]:
        return {key: account for key, account in self.after.items() if account != self.before[key]}


class Machine:
    """LiteSVM. Blockhashes and repeated signatures are checked by the bank, which knows more than one blockhash."""

    def __init__(self, program_id: Pubkey, program: Path) -> None:
        self._vm = LiteSVM().with_blockhash_check(False).with_transaction_history(0)
        self._vm.add_program(program_id, program.read_bytes())

    def account(self, key: Pubkey) -> Account | None:
        """The account, or None; one without lamports does not exist."""
        account = self._vm.get_account(key)
        return account if account is not None and account.lamports else None

    def table(self, key: Pubkey) -> bytes | None:
        account = self.account(key)
        return account.data if account else None

    def restore(self, accounts: Iterable[tuple[Pubkey, Account]]) -> None:
        """Put stored accounts in place, programs last: they are loaded from accounts that must be there before."""
        for key, account in sorted(accounts, key=lambda pair: pair[1].executable):
            self._vm.set_account(key, account)

    def put(self, key: Pubkey, account: Account | None) -> None:
        """Have the account as it is given, None: not at all."""
        self._vm.set_account(key, account if account is not None else Account(0, b"", Pubkey.default()))

    def rent_exempt(self, size: int) -> int:
        return self._vm.minimum_balance_for_rent_exemption(size)

    def move_clock(self, slot: int, unix_seconds: int, recent: list[tuple[int, Hash]]) -> None:
        schedule = self._vm.get_epoch_schedule()
        epoch = schedule.get_epoch(slot)
        self._vm.set_clock(Clock(slot, 0, epoch, epoch + 1, unix_seconds))
        self._vm.set_slot_hashes(recent)

    def run(self, wire: WireTransaction) -> Execution:
        """Execute and keep what it wrote."""
        before = {key: self.account(key) for key in wire.keys}
        payer = before[wire.payer]
        if payer is None or payer.lamports < wire.fee:
            error = "AccountNotFound" if payer is None else "InsufficientFundsForFee"
            return Execution(error, False, [], 0, None, [], before, before)
        self._pay_ahead(wire, payer)
        outcome = self._send(wire)
        after = {key: self.account(key) for key in wire.keys}
        failed = isinstance(outcome, FailedTransactionMetadata)
        charged = not failed or _lamports(after[wire.payer]) == payer.lamports - wire.fee
        if not charged:
            self._vm.set_account(wire.payer, payer)
            after = before
        return _execution(outcome, charged, before, after)

    def simulate(self, wire: WireTransaction, *, verify: bool) -> tuple[Execution, dict[Pubkey, Account]]:
        """Execute and forget, also giving the accounts as they would be."""
        before = {key: self.account(key) for key in wire.keys}
        payer = before[wire.payer]
        if payer is None or payer.lamports < wire.fee:
            error = "AccountNotFound" if payer is None else "InsufficientFundsForFee"
            return Execution(error, False, [], 0, None, [], before, before), {}
        self._pay_ahead(wire, payer)
        try:
            self._vm.with_sigverify(verify)
            outcome = self._guarded(self._vm.simulate_transaction, wire)
        finally:
            self._vm.with_sigverify(True)
            self._vm.set_account(wire.payer, payer)
        accounts = {} if isinstance(outcome, FailedTransactionMetadata) else dict(outcome.post_accounts())
        meta = outcome if isinstance(outcome, FailedTransactionMetadata) else outcome.meta()
        return _execution(meta, False, before, before), accounts

    def _pay_ahead(self, wire: WireTransaction, payer: Account) -> None:
        """Take the priority fee before the run, as a cluster does: the transaction must not spend it."""
        if wire.priority_fee:
            rest = payer.lamports - wire.priority_fee
            self._vm.set_account(
                wire.payer, Account(rest, payer.data, payer.owner, payer.executable, payer.rent_epoch)
            )

    def _send(self, wire: WireTransaction) -> TransactionMetadata | FailedTransactionMetadata:
        outcome: TransactionMetadata | FailedTransactionMetadata = self._guarded(
            self._vm.send_transaction, wire
        )
        return outcome

    @staticmethod
    def _guarded(call: Any, wire: WireTransaction) -> Any:
        try:
            return call(wire.transaction)
        except BaseException as error:
            if type(error).__name__ == "PanicException":
                raise MachineBroken(str(error)) from error
            raise


def _lamports(account: Account | None) -> int:
    return account.lamports if account else 0


def _execution(
    outcome: TransactionMetadata | FailedTransactionMetadata,
    charged: bool,
    before: dict[Pubkey, Account | None],
    after: dict[Pubkey, Account | None],
) -> Execution:
    failed = isinstance(outcome, FailedTransactionMetadata)
    meta = outcome.meta() if isinstance(outcome, FailedTransactionMetadata) else outcome
    error = json.loads(outcome.to_json())["err"] if failed else None
    return Execution(
        error=error,
        charged=charged,
        logs=list(meta.logs()),
        units=meta.compute_units_consumed(),
        return_data=_return_data(meta),
        inner=[[_inner(call) for call in calls] for calls in meta.inner_instructions()],
        before=before,
        after=after,
    )


def _return_data(meta: Any) -> dict[str, Any] | None:
    returned = meta.return_data()
    data = returned.data
    if not data:
        return None
    return {"programId": str(returned.program_id), "data": [base64.b64encode(data).decode(), "base64"]}


def _inner(call: Any) -> dict[str, Any]:
    instruction = call.instruction()
    return {
        "programIdIndex": instruction.program_id_index,
        "accounts": list(instruction.accounts),
        "data": base58.b58encode(bytes(instruction.data)).decode(),
        "stackHeight": call.stack_height(),
    }
