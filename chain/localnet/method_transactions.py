"""RPC methods that send, simulate and look up transactions."""

from typing import Any, Final

from solders.account import Account
from solders.pubkey import Pubkey

from chain.localnet.bank import BLOCKHASH_BLOCKS, STATUS_SLOTS, Bank, Refusal
from chain.localnet.errors import PREFLIGHT_FAILURE, UNSUPPORTED_VERSION, RpcError, describe, invalid_params
from chain.localnet.history import Landed
from chain.localnet.machine import Execution
from chain.localnet.method_accounts import with_context
from chain.localnet.params import Options, Params, binary, pubkey, signature
from chain.localnet.records import account_json, transaction_json, version_of

STATUSES_MAX: Final = 256
SIGNATURES_MAX: Final = 1000


def send_transaction(bank: Bank, params: Params) -> Any:
    """Land a transaction. With preflight what would fail is refused and costs nothing; without it a failure lands and pays, and what
    cannot land at all is dropped without a word: exactly as on a cluster."""
    options = params.options(1)
    wire = bank.parse(binary(params.get(0, str, "transaction"), options.get("encoding", str, "base58")))
    if options.get("skipPreflight", bool, False):
        bank.land(wire)
        return wire.signature
    refused = bank.refusal(wire)
    if refused is not None:
        raise _preflight_failure(refused, None)
    execution, _ = bank.machine.simulate(wire, verify=True)
    if execution.error is not None:
        raise _preflight_failure(execution.error, execution)
    outcome = bank.land(wire)
    if isinstance(outcome, Refusal):
        raise _preflight_failure(outcome.error, outcome.execution)
    return wire.signature


def _preflight_failure(error: Any, execution: Execution | None) -> RpcError:
    data = {
        "err": error,
        "logs": execution.logs if execution else [],
        "accounts": None,
        "unitsConsumed": execution.units if execution else 0,
        "returnData": execution.return_data if execution else None,
        "innerInstructions": None,
        "replacementBlockhash": None,
    }
    return RpcError(PREFLIGHT_FAILURE, f"Transaction simulation failed: {describe(error)}", data)


def simulate_transaction(bank: Bank, params: Params) -> Any:
    options = params.options(1)
    verify = options.get("sigVerify", bool, False)
    replace = options.get("replaceRecentBlockhash", bool, False)
    if verify and replace:
        raise invalid_params("sigVerify may not be used with replaceRecentBlockhash")
    raw = binary(params.get(0, str, "transaction"), options.get("encoding", str, "base58"))
    wire = bank.parse(raw, verify=verify)
    refused = bank.refusal(wire)
    if refused == "BlockhashNotFound" and replace:
        refused = None
    accounts: dict[Pubkey, Account] = {}
    if refused is not None:
        execution = Execution(refused, False, [], 0, None, [], {}, {})
    else:
        execution, accounts = bank.machine.simulate(wire, verify=verify)
    value = {
        "err": execution.error,
        "logs": execution.logs,
        "accounts": _simulated_accounts(bank, options, accounts),
        "unitsConsumed": execution.units,
        "returnData": execution.return_data,
        "innerInstructions": None,
    }
    if replace:
        value["replacementBlockhash"] = {
            "blockhash": str(bank.blockhash_at(bank.slot)),
            "lastValidBlockHeight": bank.slot + BLOCKHASH_BLOCKS,
        }
    return with_context(bank.slot, value)


def _simulated_accounts(bank: Bank, options: Options, accounts: dict[Pubkey, Account]) -> Any:
    wanted = options.optional("accounts", dict)
    if wanted is None:
        return None
    encoding = wanted.get("encoding") or "base64"
    keys = [pubkey(text) for text in wanted.get("addresses") or []]
    return [account_json(accounts.get(key) or bank.account(key, bank.slot), encoding) for key in keys]


def get_signature_statuses(bank: Bank, params: Params) -> Any:
    wanted = params.get(0, list, "signatures")
    if len(wanted) > STATUSES_MAX:
        raise invalid_params(f"Too many inputs provided; max {STATUSES_MAX}")
    search = params.options(1).get("searchTransactionHistory", bool, False)
    found = [bank.history.landed(signature(text)) for text in wanted]
    recent = bank.slot - STATUS_SLOTS
    return with_context(
        bank.slot,
        [_status(bank, each) if each and (search or each.slot >= recent) else None for each in found],
    )


def _status(bank: Bank, landed: Landed) -> dict[str, Any]:
    level = _level(bank, landed)
    return {
        "slot": landed.slot,
        "confirmations": None if level == "finalized" else bank.slot - landed.slot,
        "err": landed.error,
        "status": {"Ok": None} if landed.error is None else {"Err": landed.error},
        "confirmationStatus": level,
    }


def _level(bank: Bank, landed: Landed) -> str:
    if landed.slot <= bank.slot_at("finalized"):
        return "finalized"
    return "confirmed" if landed.slot <= bank.slot_at("confirmed") else "processed"


def _settled_slot(bank: Bank, options: Options) -> int:
    if options.commitment == "processed":
        raise invalid_params("Method does not support commitment below `confirmed`")
    return options.slot(bank)


def get_signatures_for_address(bank: Bank, params: Params) -> Any:
    """Newest first; `before` and `until` are left out, and one that is not in the history bounds nothing."""
    key, options = params.pubkey(0), params.options(1)
    slot = _settled_slot(bank, options)
    limit = options.get("limit", int, SIGNATURES_MAX)
    if not 0 < limit <= SIGNATURES_MAX:
        raise invalid_params(f"Invalid limit; max {SIGNATURES_MAX}")
    below, above = 1 << 62, 0
    before, until = options.optional("before", str), options.optional("until", str)
    if before is not None:
        found = bank.history.landed(signature(before))
        below = found.number if found else below
    if until is not None:
        found = bank.history.landed(signature(until))
        above = found.number if found else above
    return [
        {
            "signature": landed.signature,
            "slot": landed.slot,
            "err": landed.error,
            "memo": None,
            "blockTime": landed.seconds,
            "confirmationStatus": _level(bank, landed),
        }
        for landed in bank.history.mentioning(key, below, above, slot, limit)
    ]


def get_transaction(bank: Bank, params: Params) -> Any:
    options = params.options(1)
    slot = _settled_slot(bank, options)
    record = bank.history.record(signature(params.get(0, str, "signature")))
    if record is None or record.landed.slot > slot:
        return None
    version, newest = version_of(record.raw), options.optional("maxSupportedTransactionVersion", int)
    if version != "legacy" and newest is None:
        message = f"Transaction version ({version}) is not supported by the requesting client. "
        hint = 'Please try the request again with the following configuration parameter: "maxSupportedTransactionVersion": 0'
        raise RpcError(UNSUPPORTED_VERSION, message + hint)
    answer = {
        "slot": record.landed.slot,
        "blockTime": record.landed.seconds,
        "transaction": transaction_json(record.raw, options.get("encoding", str, "json")),
        "meta": record.meta,
    }
    return answer if newest is None else {**answer, "version": version}


TRANSACTION_METHODS: Final = {
    "sendTransaction": send_transaction,
    "simulateTransaction": simulate_transaction,
    "getSignatureStatuses": get_signature_statuses,
    "getSignaturesForAddress": get_signatures_for_address,
    "getTransaction": get_transaction,
}
