"""JSON forms of accounts, transactions and their results, as a node writes them."""

import base64
import json
from collections.abc import Callable
from typing import Any, Final

import base58
from solders.account import Account
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from chain.localnet.errors import INVALID_REQUEST, RpcError, invalid_params
from chain.localnet.machine import Execution
from chain.localnet.wire import WireTransaction

TOKEN_PROGRAM: Final = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
TOKEN_ACCOUNT_BYTES: Final = 165
MINT_BYTES: Final = 82


def encode_data(data: bytes, encoding: str) -> Any:
    """Bytes as the client asked. Without a parser for the account, `jsonParsed` means base64, as on a node."""
    if encoding in ("base64", "jsonParsed"):
        return [base64.b64encode(data).decode(), "base64"]
    if encoding in ("base58", "binary"):
        if len(data) > 128:
            hint = "Encoded binary (base 58) data should be less than 128 bytes, please use Base64 encoding."
            raise RpcError(INVALID_REQUEST, hint)
        text = base58.b58encode(data).decode()
        return text if encoding == "binary" else [text, "base58"]
    raise invalid_params(f"the encoding {encoding} is not supported")


def account_json(
    account: Account | None, encoding: str, cut: tuple[int, int] | None = None
) -> dict[str, Any] | None:
    """An account, or null. `cut` is (offset, length) of the data to return."""
    if account is None:
        return None
    data = account.data if cut is None else account.data[cut[0] : cut[0] + cut[1]]
    return {
        "lamports": account.lamports,
        "owner": str(account.owner),
        "executable": account.executable,
        "rentEpoch": account.rent_epoch,
        "space": len(account.data),
        "data": encode_data(data, encoding),
    }


def token_amount(raw: int, decimals: int) -> dict[str, Any]:
    text = (
        f"{raw // 10**decimals}.{raw % 10**decimals:0{decimals}d}".rstrip("0").rstrip(".")
        if decimals
        else str(raw)
    )
    return {"amount": str(raw), "decimals": decimals, "uiAmount": float(text), "uiAmountString": text}


def mint_decimals(mint: Account | None) -> int | None:
    """Decimals of a token mint, None when the account is not one."""
    if mint is None or mint.owner != TOKEN_PROGRAM or len(mint.data) != MINT_BYTES:
        return None
    return mint.data[44]


def meta_of(
    wire: WireTransaction, execution: Execution, account_of: Callable[[Pubkey], Account | None]
) -> dict[str, Any]:
    """The result of a landed transaction. `account_of` finds the mints of the token accounts in it."""
    before, after = execution.before, execution.after
    error = execution.error
    meta: dict[str, Any] = {
        "err": error,
        "status": {"Ok": None} if error is None else {"Err": error},
        "fee": wire.fee,
        "preBalances": [_lamports(before[key]) for key in wire.keys],
        "postBalances": [_lamports(after[key]) for key in wire.keys],
        "preTokenBalances": _token_balances(wire.keys, before, account_of),
        "postTokenBalances": _token_balances(wire.keys, after, account_of),
        "innerInstructions": [
            {"index": index, "instructions": calls} for index, calls in enumerate(execution.inner) if calls
        ],
        "logMessages": execution.logs,
        "rewards": [],
        "computeUnitsConsumed": execution.units,
        "loadedAddresses": {
            "writable": [str(key) for key in wire.looked_up[0]],
            "readonly": [str(key) for key in wire.looked_up[1]],
        },
    }
    if execution.return_data is not None:
        meta["returnData"] = execution.return_data
    return meta


def _lamports(account: Account | None) -> int:
    return account.lamports if account else 0


def _token_balances(
    keys: tuple[Pubkey, ...],
    accounts: dict[Pubkey, Account | None],
    account_of: Callable[[Pubkey], Account | None],
) -> list[dict[str, Any]]:
    balances = []
    for index, key in enumerate(keys):
        account = accounts[key]
        if account is None or account.owner != TOKEN_PROGRAM or len(account.data) != TOKEN_ACCOUNT_BYTES:
            continue
        mint = Pubkey(account.data[:32])
        amount = int.from_bytes(account.data[64:72], "little")
        balances.append(
            {
                "accountIndex": index,
                "mint": str(mint),
                "owner": str(Pubkey(account.data[32:64])),
                "programId": str(TOKEN_PROGRAM),
                "uiTokenAmount": token_amount(amount, mint_decimals(account_of(mint)) or 0),
            }
        )
    return balances


def transaction_json(raw: bytes, encoding: str) -> Any:
    """A stored transaction in the encoding asked for."""
    if encoding == "base64":
        return [base64.b64encode(raw).decode(), "base64"]
    if encoding == "base58":
        return [base58.b58encode(raw).decode(), "base58"]
    if encoding != "json":
        raise invalid_params(f"the encoding {encoding} is not supported for transactions")
    transaction = VersionedTransaction.from_bytes(raw)
    message, header = transaction.message, transaction.message.header
    body: dict[str, Any] = {
        "header": {
            "numRequiredSignatures": header.num_required_signatures,
            "numReadonlySignedAccounts": header.num_readonly_signed_accounts,
            "numReadonlyUnsignedAccounts": header.num_readonly_unsigned_accounts,
        },
        "accountKeys": [str(key) for key in message.account_keys],
        "recentBlockhash": str(message.recent_blockhash),
        "instructions": [
            {
                "programIdIndex": instruction.program_id_index,
                "accounts": list(instruction.accounts),
                "data": base58.b58encode(bytes(instruction.data)).decode(),
                "stackHeight": None,
            }
            for instruction in message.instructions
        ],
    }
    if isinstance(message, MessageV0):
        body["addressTableLookups"] = [
            json.loads(lookup.to_json()) for lookup in message.address_table_lookups
        ]
    return {"signatures": [str(signature) for signature in transaction.signatures], "message": body}


def version_of(raw: bytes) -> int | str:
    return 0 if isinstance(VersionedTransaction.from_bytes(raw).message, MessageV0) else "legacy"
