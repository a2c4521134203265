"""RPC methods that read accounts."""

from collections.abc import Callable
from typing import Any, Final

from solders.pubkey import Pubkey

from chain.localnet.bank import Bank
from chain.localnet.errors import invalid_params
from chain.localnet.params import Options, Params, binary, pubkey
from chain.localnet.records import (
    TOKEN_ACCOUNT_BYTES,
    TOKEN_PROGRAM,
    account_json,
    mint_decimals,
    token_amount,
)

MULTIPLE_ACCOUNTS_MAX: Final = 100
FILTERS_MAX: Final = 4


def with_context(slot: int, value: Any) -> dict[str, Any]:
    return {"context": {"slot": slot, "apiVersion": "2.2.0"}, "value": value}


def _cut(options: Options) -> tuple[int, int] | None:
    piece = options.optional("dataSlice", dict)
    if piece is None:
        return None
    offset, length = piece.get("offset"), piece.get("length")
    if not isinstance(offset, int) or not isinstance(length, int) or offset < 0 or length < 0:
        raise invalid_params("Invalid params: `dataSlice` needs an offset and a length")
    return offset, length


def _encoding(options: Options) -> str:
    return options.get("encoding", str, "binary")


def get_account_info(bank: Bank, params: Params) -> Any:
    options = params.options(1)
    slot = options.slot(bank)
    account = bank.account(params.pubkey(0), slot)
    return with_context(slot, account_json(account, _encoding(options), _cut(options)))


def get_multiple_accounts(bank: Bank, params: Params) -> Any:
    keys = params.get(0, list, "pubkeys")
    if len(keys) > MULTIPLE_ACCOUNTS_MAX:
        raise invalid_params(f"Too many inputs provided; max {MULTIPLE_ACCOUNTS_MAX}")
    options = params.options(1)
    slot = options.slot(bank)
    encoding, cut = options.get("encoding", str, "base64"), _cut(options)
    accounts = [bank.account(pubkey(key), slot) for key in keys]
    return with_context(slot, [account_json(account, encoding, cut) for account in accounts])


def get_balance(bank: Bank, params: Params) -> Any:
    slot = params.options(1).slot(bank)
    account = bank.account(params.pubkey(0), slot)
    return with_context(slot, account.lamports if account else 0)


def get_minimum_balance_for_rent_exemption(bank: Bank, params: Params) -> Any:
    size = params.unsigned(0, "dataSize")
    if size > 10 * 1024 * 1024:
        raise invalid_params("Invalid params: an account has at most 10 MiB")
    return bank.machine.rent_exempt(size)


def get_program_accounts(bank: Bank, params: Params) -> Any:
    program, options = params.pubkey(0), params.options(1)
    filters = options.get("filters", list, [])
    if len(filters) > FILTERS_MAX:
        raise invalid_params(f"Too many filters provided; max {FILTERS_MAX}")
    conditions = [_condition(each) for each in filters]
    slot = options.slot(bank)
    encoding, cut = _encoding(options), _cut(options)
    found = [
        {"pubkey": str(key), "account": account_json(account, encoding, cut)}
        for key, account in bank.owned_by(program, slot)
        if all(holds(account.data) for holds in conditions)
    ]
    return with_context(slot, found) if options.get("withContext", bool, False) else found


def _condition(given: Any) -> Callable[[bytes], bool]:
    """A filter, read once: it is refused also where there is no account to try it on."""
    if isinstance(given, dict) and isinstance(given.get("dataSize"), int):
        size = given["dataSize"]
        return lambda data: len(data) == size
    memcmp = given.get("memcmp") if isinstance(given, dict) else None
    if not isinstance(memcmp, dict) or not isinstance(memcmp.get("offset"), int):
        raise invalid_params("Invalid params: a filter is a `dataSize` or a `memcmp`")
    wanted = memcmp.get("bytes")
    if isinstance(wanted, list):
        if not all(isinstance(byte, int) and 0 <= byte < 256 for byte in wanted):
            raise invalid_params("Invalid params: `memcmp` needs bytes of 0 to 255")
        expected = bytes(wanted)
    elif isinstance(wanted, str):
        expected = binary(wanted, memcmp.get("encoding") or "base58")
    else:
        raise invalid_params("Invalid params: `memcmp` needs bytes")
    offset = memcmp["offset"]
    return lambda data: data[offset : offset + len(expected)] == expected


def get_token_accounts_by_owner(bank: Bank, params: Params) -> Any:
    owner, options = params.pubkey(0), params.options(2)
    wanted = params.get(1, dict, "filter")
    slot = options.slot(bank)
    mint = pubkey(wanted["mint"]) if "mint" in wanted else None
    if mint is None and "programId" not in wanted:
        raise invalid_params("Invalid params: a filter is a `mint` or a `programId`")
    program = TOKEN_PROGRAM if mint is not None else pubkey(wanted["programId"])
    found = [
        {"pubkey": str(key), "account": account_json(account, _encoding(options), _cut(options))}
        for key, account in bank.owned_by(program, slot)
        if len(account.data) == TOKEN_ACCOUNT_BYTES
        and account.data[32:64] == bytes(owner)
        and (mint is None or account.data[:32] == bytes(mint))
    ]
    return with_context(slot, found)


def get_token_account_balance(bank: Bank, params: Params) -> Any:
    slot = params.options(1).slot(bank)
    account = bank.account(params.pubkey(0), slot)
    if account is None:
        raise invalid_params("Invalid param: could not find account")
    if account.owner != TOKEN_PROGRAM or len(account.data) != TOKEN_ACCOUNT_BYTES:
        raise invalid_params("Invalid param: not a Token account")
    decimals = mint_decimals(bank.account(Pubkey(account.data[:32]), slot))
    if decimals is None:
        raise invalid_params("Invalid param: mint could not be unpacked")
    return with_context(slot, token_amount(int.from_bytes(account.data[64:72], "little"), decimals))


def get_token_supply(bank: Bank, params: Params) -> Any:
    slot = params.options(1).slot(bank)
    mint = bank.account(params.pubkey(0), slot)
    decimals = mint_decimals(mint)
    if mint is None or decimals is None:
        raise invalid_params("Invalid param: could not find mint")
    return with_context(slot, token_amount(int.from_bytes(mint.data[36:44], "little"), decimals))


ACCOUNT_METHODS: Final = {
    "getAccountInfo": get_account_info,
    "getMultipleAccounts": get_multiple_accounts,
    "getBalance": get_balance,
    "getMinimumBalanceForRentExemption": get_minimum_balance_for_rent_exemption,
    "getProgramAccounts": get_program_accounts,
    "getTokenAccountsByOwner": get_token_accounts_by_owner,
    "getTokenAccountBalance": get_token_account_balance,
    "getTokenSupply": get_token_supply,
}
