"""JSON-RPC over HTTP: the methods of a real node that clients and ordinary tools use, answered by the development chain."""

import base64
import json
from collections.abc import Callable
from typing import Any, Final

import base58
from fastapi import FastAPI, Request, Response
from solders.account import Account
from solders.hash import Hash
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey

from chain.localnet.genesis import MINT, PROGRAM
from chain.localnet.node import Node, Refused
from chain.localnet.store import Landed

ACCOUNTS_MAX: Final = 100
SIGNATURES_MAX: Final = 256
HISTORY_MAX: Final = 1_000
Reply = dict[str, Any]


class RpcError(Exception):
    """An error answer: code, sentence, data."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


class Rpc:
    """The methods by name. Each takes the JSON parameters as they come."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.methods: dict[str, Callable[..., Any]] = {
            "getHealth": lambda: "ok",
            "getVersion": lambda: {"solana-core": "2.2.0", "feature-set": 0, "perpdexLocalnet": True},
            "getGenesisHash": lambda: str(Hash(bytes(PROGRAM))),
            "getSlot": self._slot,
            "getBlockHeight": self._slot,
            "getEpochInfo": self._epoch,
            "getLatestBlockhash": self._latest_blockhash,
            "isBlockhashValid": self._blockhash_valid,
            "getAccountInfo": self._account_info,
            "getMultipleAccounts": self._accounts,
            "getProgramAccounts": self._program_accounts,
            "getBalance": self._balance,
            "getMinimumBalanceForRentExemption": self._rent,
            "getFeeForMessage": self._fee,
            "getRecentPrioritizationFees": lambda *_: [{"slot": node.slot(), "prioritizationFee": 0}],
            "getTokenAccountBalance": self._token_balance,
            "getTokenSupply": self._token_supply,
            "requestAirdrop": self._airdrop,
            "perpdexMintTestUsdc": self._mint,
            "perpdexGenesis": lambda: {"program": str(PROGRAM), "mint": str(MINT)},
            "sendTransaction": self._send,
            "simulateTransaction": self._simulate,
            "getSignatureStatuses": self._statuses,
            "getSignaturesForAddress": self._signatures,
            "getTransaction": self._transaction,
        }

    def answer(self, call: Any) -> Reply | None:
        """The reply to one call object; None for a notification."""
        if not isinstance(call, dict) or not isinstance(call.get("method"), str):
            return _error(None, -32600, "Invalid request")
        id = call.get("id")
        try:
            result = self._run(call["method"], call.get("params") or [])
        except RpcError as error:
            return _error(id, error.code, error.message, error.data)
        return {"jsonrpc": "2.0", "id": id, "result": result} if "id" in call else None

    def _run(self, method: str, params: Any) -> Any:
        handler = self.methods.get(method)
        if handler is None:
            raise RpcError(-32601, "Method not found")
        if not isinstance(params, list):
            raise RpcError(-32602, "Invalid params: expected an array")
        try:
            return handler(*params)
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            raise RpcError(-32602, f"Invalid params: {error}") from error

    def _context(self, value: Any) -> Reply:
        return {"context": {"slot": self._node.slot(), "apiVersion": "2.2.0"}, "value": value}

    def _slot(self, options: Reply | None = None) -> int:
        slot = self._node.slot()
        commitment = (options or {}).get("commitment", "finalized")
        behind = {"processed": 0, "confirmed": 1}.get(commitment, self._node.finality)
        return max(0, slot - behind)

    def _epoch(self, options: Reply | None = None) -> Reply:
        slot = self._slot(options)
        return {
            "absoluteSlot": slot,
            "blockHeight": slot,
            "epoch": slot // 432_000,
            "slotIndex": slot % 432_000,
            "slotsInEpoch": 432_000,
            "transactionCount": None,
        }

    def _latest_blockhash(self, options: Reply | None = None) -> Reply:
        blockhash, height = self._node.blockhash()
        return self._context({"blockhash": str(blockhash), "lastValidBlockHeight": height})

    def _blockhash_valid(self, blockhash: str, options: Reply | None = None) -> Reply:
        return self._context(self._node.blockhash_valid(Hash.from_string(blockhash)))

    def _account_info(self, address: str, options: Reply | None = None) -> Reply:
        return self._context(_account(self._node.account(Pubkey.from_string(address)), options))

    def _accounts(self, addresses: list[str], options: Reply | None = None) -> Reply:
        if len(addresses) > ACCOUNTS_MAX:
            raise RpcError(-32602, f"Too many inputs provided; max {ACCOUNTS_MAX}")
        keys = [Pubkey.from_string(address) for address in addresses]
        return self._context([_account(self._node.account(key), options) for key in keys])

    def _program_accounts(self, program: str, options: Reply | None = None) -> Any:
        found = []
        for key in self._node.store.addresses_owned_by(Pubkey.from_string(program)):
            account = self._node.account(key)
            if account is not None and _passes(account, (options or {}).get("filters") or []):
                found.append({"pubkey": str(key), "account": _account(account, options)})
        return self._context(found) if (options or {}).get("withContext") else found

    def _balance(self, address: str, options: Reply | None = None) -> Reply:
        account = self._node.account(Pubkey.from_string(address))
        return self._context(account.lamports if account is not None else 0)

    def _rent(self, size: int, options: Reply | None = None) -> int:
        return self._node.svm.minimum_balance_for_rent_exemption(size)

    def _fee(self, message: str, options: Reply | None = None) -> Reply:
        raw = base64.b64decode(message)
        parsed = MessageV0.from_bytes(raw[1:]) if raw[:1] == b"\x80" else Message.from_bytes(raw)
        return self._context(5_000 * parsed.header.num_required_signatures)

    def _token_balance(self, address: str, options: Reply | None = None) -> Reply:
        account = self._node.account(Pubkey.from_string(address))
        if account is None or len(account.data) != 165:
            raise RpcError(-32602, "Invalid param: could not find account")
        return self._context(_token_amount(int.from_bytes(account.data[64:72], "little")))

    def _token_supply(self, address: str, options: Reply | None = None) -> Reply:
        account = self._node.account(Pubkey.from_string(address))
        if account is None or len(account.data) != 82:
            raise RpcError(-32602, "Invalid param: could not find mint")
        return self._context(_token_amount(int.from_bytes(account.data[36:44], "little")))

    def _airdrop(self, address: str, lamports: int, options: Reply | None = None) -> str:
        return _landed(self._node.airdrop(Pubkey.from_string(address), lamports))

    def _mint(self, owner: str, amount: int) -> str:
        return _landed(self._node.mint_test_usdc(Pubkey.from_string(owner), amount))

    def _send(self, data: str, options: Reply | None = None) -> str:
        return _landed(self._node.send(_bytes(data, options), bool((options or {}).get("skipPreflight"))))

    def _simulate(self, data: str, options: Reply | None = None) -> Reply:
        result = self._node.simulate(_bytes(data, options))
        if isinstance(result, Refused):
            raise RpcError(*result)
        return self._context(result)

    def _statuses(self, signatures: list[str], options: Reply | None = None) -> Reply:
        if len(signatures) > SIGNATURES_MAX:
            raise RpcError(-32602, f"Too many inputs provided; max {SIGNATURES_MAX}")
        return self._context([self._status(self._node.store.transaction(one)) for one in signatures])

    def _status(self, landed: Landed | None) -> Reply | None:
        if landed is None:
            return None
        confirmation = self._node.confirmation(landed.slot)
        return {
            "slot": landed.slot,
            "confirmations": None if confirmation == "finalized" else self._node.slot() - landed.slot,
            "err": landed.error,
            "status": {"Ok": None} if landed.error is None else {"Err": landed.error},
            "confirmationStatus": confirmation,
        }

    def _signatures(self, address: str, options: Reply | None = None) -> list[Reply]:
        options = options or {}
        limit = options.get("limit") or HISTORY_MAX
        if not 1 <= limit <= HISTORY_MAX:
            raise RpcError(-32602, f"Invalid limit; max {HISTORY_MAX}")
        node = self._node
        newest = node.slot() - 1 if options.get("commitment") == "confirmed" else node.final_slot()
        found = node.store.mentioning(
            Pubkey.from_string(address), options.get("before"), options.get("until"), newest, limit
        )
        return [
            {
                "signature": one.signature,
                "slot": one.slot,
                "err": one.error,
                "memo": None,
                "blockTime": one.time,
                "confirmationStatus": node.confirmation(one.slot),
            }
            for one in found
        ]

    def _transaction(self, signature: str, options: Reply | str | None = None) -> Reply | None:
        landed = self._node.store.transaction(signature)
        commitment = options.get("commitment", "finalized") if isinstance(options, dict) else "finalized"
        reached = {"processed": 0, "confirmed": 1}.get(commitment, self._node.finality)
        if landed is None or self._node.slot() - landed.slot < reached:
            return None
        return {
            "slot": landed.slot,
            "blockTime": landed.time,
            "version": "legacy",
            "transaction": [base64.b64encode(landed.raw).decode(), "base64"],
            "meta": {
                "err": landed.error,
                "status": {"Ok": None} if landed.error is None else {"Err": landed.error},
                "fee": landed.fee,
                "preBalances": landed.pre,
                "postBalances": landed.post,
                "innerInstructions": [],
                "logMessages": landed.logs,
                "preTokenBalances": [],
                "postTokenBalances": [],
                "rewards": [],
                "loadedAddresses": {"writable": [], "readonly": []},
                "computeUnitsConsumed": landed.units,
            },
        }


def create_app(node: Node) -> FastAPI:
    """One POST route, single calls and batches."""
    app = FastAPI(title="Development chain", openapi_url=None)
    rpc = Rpc(node)

    @app.post("/")
    async def call(request: Request) -> Response:
        try:
            body = json.loads(await request.body())
        except ValueError:
            return _json(_error(None, -32700, "Parse error"))
        if isinstance(body, list):
            return _json([reply for one in body if (reply := rpc.answer(one)) is not None])
        return _json(rpc.answer(body))

    @app.get("/health")
    async def health() -> str:
        return "ok"

    return app


def _json(content: Any) -> Response:
    return Response(json.dumps(content), media_type="application/json")


def _error(id: Any, code: int, message: str, data: Any = None) -> Reply:
    error = (
        {"code": code, "message": message}
        if data is None
        else {"code": code, "message": message, "data": data}
    )
    return {"jsonrpc": "2.0", "id": id, "error": error}


def _landed(result: str | Refused) -> str:
    if isinstance(result, Refused):
        raise RpcError(*result)
    return result


def _bytes(data: str, options: Reply | None) -> bytes:
    encoding = (options or {}).get("encoding", "base58")
    return base64.b64decode(data, validate=True) if encoding == "base64" else base58.b58decode(data)


def _account(account: Account | None, options: Reply | None) -> Reply | None:
    if account is None or account.lamports == 0:
        return None
    data, encoding = bytes(account.data), (options or {}).get("encoding", "base58")
    part = (options or {}).get("dataSlice")
    if part:
        data = data[part["offset"] : part["offset"] + part["length"]]
    if encoding == "base58":
        if len(data) > 128:
            raise RpcError(
                -32600,
                "Encoded binary (base 58) data should be less than 128 bytes, please use Base64 encoding.",
            )
        encoded = [base58.b58encode(data).decode(), "base58"]
    else:
        encoded = [base64.b64encode(data).decode(), "base64"]
    return {
        "lamports": account.lamports,
        "owner": str(account.owner),
        "executable": account.executable,
        "rentEpoch": 2**64 - 1,
        "space": len(account.data),
        "data": encoded,
    }


def _passes(account: Account, filters: list[Reply]) -> bool:
    for one in filters:
        if "dataSize" in one and len(account.data) != one["dataSize"]:
            return False
        if "memcmp" in one:
            wanted = one["memcmp"]
            plain = wanted.get("encoding", "base58") == "base58"
            data = base58.b58decode(wanted["bytes"]) if plain else base64.b64decode(wanted["bytes"])
            if account.data[wanted["offset"] : wanted["offset"] + len(data)] != data:
                return False
    return True


def _token_amount(amount: int) -> Reply:
    text = f"{amount // 10**6}.{amount % 10**6:06d}".rstrip("0").rstrip(".")
    return {"amount": str(amount), "decimals": 6, "uiAmount": amount / 10**6, "uiAmountString": text}
