"""Who signed for Polymarket: consent to credentials, a request, an order. Written from the venue's documents, not with its SDK."""

import base64
import hashlib
import hmac
from typing import Any, Final

from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_utils.crypto import keccak

CONSENT: Final = "This message attests that I control the given wallet"
EXCHANGES: Final = {
    False: "0xE111180000d2663C0091e4f400237545B87B996B",
    True: "0xe2222d279d744050d28e00520010520000310F59",
}
"""The contract that settles a market's orders, by whether its outcomes exclude one another."""
ORDER: Final = (
    ("salt", "uint256"),
    ("maker", "address"),
    ("signer", "address"),
    ("tokenId", "uint256"),
    ("makerAmount", "uint256"),
    ("takerAmount", "uint256"),
    ("side", "uint8"),
    ("signatureType", "uint8"),
    ("timestamp", "uint256"),
    ("metadata", "bytes32"),
    ("builder", "bytes32"),
)
SIDES: Final = {"BUY": 0, "SELL": 1}
CONTRACT_WALLET: Final = 3
"""A signature type: the wallet is a contract, and its owner signs for it inside another message."""
_ORDER_TYPE: Final = "Order(" + ",".join(f"{kind} {name}" for name, kind in ORDER) + ")"
_WALLET_TYPE: Final = (
    "TypedDataSign(Order contents,string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
    + _ORDER_TYPE
)


class NotSigned(ValueError):
    """Nothing that could be a signature."""


def consenting(address: str, timestamp: str, nonce: int, chain_id: int, signature: str) -> str:
    """The address, in lower case, whose key asked for credentials. Raises `NotSigned`."""
    fields = (
        ("address", "address"),
        ("timestamp", "string"),
        ("nonce", "uint256"),
        ("message", "string"),
    )
    values = {"address": address, "timestamp": timestamp, "nonce": nonce, "message": CONSENT}
    domain = {"name": "ClobAuthDomain", "version": "1", "chainId": chain_id}
    return _recovered("ClobAuth", fields, values, domain, signature)


def request_code(secret: str, timestamp: str, method: str, path: str, body: str) -> str:
    """What a request carries to show that it is of whoever has the secret."""
    code = hmac.new(
        base64.urlsafe_b64decode(secret), (timestamp + method + path + body).encode(), hashlib.sha256
    )
    return base64.urlsafe_b64encode(code.digest()).decode()


def order_hash(order: dict[str, Any], chain_id: int, neg_risk: bool) -> str:
    """The order's id. Raises `NotSigned` for what is none."""
    try:
        return "0x" + _digest(_typed("Order", ORDER, _values(order), _domain(chain_id, neg_risk))).hex()
    except Exception as error:
        raise NotSigned(str(error)) from error


def signer(order: dict[str, Any], chain_id: int, neg_risk: bool) -> str:
    """The address, in lower case, whose key signed an order. Raises `NotSigned`."""
    signature = order["signature"]
    if order["signatureType"] != CONTRACT_WALLET:
        return _recovered("Order", ORDER, _values(order), _domain(chain_id, neg_risk), signature)
    return _behind(order, chain_id, neg_risk, signature)


def _behind(order: dict[str, Any], chain_id: int, neg_risk: bool, signature: str) -> str:
    """Who signed for a contract: 65 bytes of signature, then the exchange's domain, the order's hash, its type, its length."""
    try:
        message = _typed("Order", ORDER, _values(order), _domain(chain_id, neg_risk))
        kind = _ORDER_TYPE.encode()
        tail = message.header + message.body + kind + len(kind).to_bytes(2)
        given = bytes.fromhex(signature.removeprefix("0x"))
        if given[65:] != tail:
            raise NotSigned("the signature is of another order or exchange")
        words = [
            keccak(text=_WALLET_TYPE),
            message.body,
            keccak(text="DepositWallet"),
            keccak(text="1"),
            chain_id,
            order["signer"],
            bytes(32),
        ]
        kinds = ["bytes32", "bytes32", "bytes32", "bytes32", "uint256", "address", "bytes32"]
        inner = SignableMessage(b"\x01", message.header, keccak(encode(kinds, words)))
        return str(Account.recover_message(inner, signature=given[:65])).lower()
    except NotSigned:
        raise
    except Exception as error:
        raise NotSigned(str(error)) from error


def _values(order: dict[str, Any]) -> dict[str, Any]:
    values = {name: order[name] for name, _ in ORDER}
    for name, kind in ORDER:
        if kind == "uint256":
            values[name] = int(values[name])
        if kind == "bytes32":
            values[name] = bytes.fromhex(values[name].removeprefix("0x"))
    return {**values, "side": SIDES[order["side"]]}


def _domain(chain_id: int, neg_risk: bool) -> dict[str, Any]:
    return {
        "name": "Polymarket CTF Exchange",
        "version": "2",
        "chainId": chain_id,
        "verifyingContract": EXCHANGES[neg_risk],
    }


def _typed(
    name: str, fields: tuple[tuple[str, str], ...], values: dict[str, Any], domain: dict[str, Any]
) -> SignableMessage:
    types = {name: [{"name": field, "type": kind} for field, kind in fields]}
    return encode_typed_data(
        full_message={"domain": domain, "primaryType": name, "types": types, "message": values}
    )


def _digest(message: SignableMessage) -> bytes:
    return bytes(keccak(b"\x19" + message.version + message.header + message.body))


def _recovered(
    name: str,
    fields: tuple[tuple[str, str], ...],
    values: dict[str, Any],
    domain: dict[str, Any],
    signature: str,
) -> str:
    try:
        message = _typed(name, fields, values, domain)
        given = bytes.fromhex(signature.removeprefix("0x"))
        return str(Account.recover_message(message, signature=given)).lower()
    except Exception as error:
        # Whatever the libraries say about bytes that somebody made up, they are no signature.
        raise NotSigned(str(error)) from error


def same(one: str, other: str) -> bool:
    """Whether two codes are the same, in a time that tells nothing."""
    try:
        return hmac.compare_digest(one.encode("ascii"), other.encode("ascii"))
    except UnicodeEncodeError:
        return False


def of_kind(order: dict[str, Any], address: str) -> bool:
    """Whether maker and signer of an order of a key are as its signature type has them.

    0 is the key's own address, which holds what is traded itself; 1 and 2 are a proxy and a safe that the key has at the venue.
    """
    maker, named = str(order["maker"]).lower(), str(order["signer"]).lower()
    match order["signatureType"]:
        case 0:
            return maker == named == address
        case 1 | 2:
            return named == address != maker
        case kind if kind == CONTRACT_WALLET:
            return named == maker != address
    return False
