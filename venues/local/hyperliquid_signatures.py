"""Who signed an action for Hyperliquid, and nonces that are good once. Written from the venue's documents, not with its SDK."""

from typing import Any, Final

import msgpack
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak

NONCES: Final = 100
"""So many of the highest nonces of a signer are remembered; a new one must be above the lowest of them."""
EARLY_MS: Final = 2 * 86_400_000
LATE_MS: Final = 86_400_000
NOWHERE: Final = "0x" + "0" * 40
_DOMAIN_FIELDS: Final = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]
USER_SIGNED: Final[dict[str, tuple[str, list[tuple[str, str]]]]] = {
    "usdSend": (
        "HyperliquidTransaction:UsdSend",
        [
            ("hyperliquidChain", "string"),
            ("destination", "string"),
            ("amount", "string"),
            ("time", "uint64"),
        ],
    ),
    "approveAgent": (
        "HyperliquidTransaction:ApproveAgent",
        [
            ("hyperliquidChain", "string"),
            ("agentAddress", "address"),
            ("agentName", "string"),
            ("nonce", "uint64"),
        ],
    ),
}
"""Actions that move money or give rights are signed in words that a wallet can show: primary type and fields."""


class NotSigned(ValueError):
    """Nothing that could be a signature."""


def action_hash(action: Any, nonce: int, vault: str | None, expires_after: int | None) -> bytes:
    """What an order's signature is over: the action in MessagePack and what it is bound to."""
    data = msgpack.packb(action) + nonce.to_bytes(8, "big")
    data += b"\0" if vault is None else b"\1" + bytes.fromhex(vault.removeprefix("0x"))
    if expires_after is not None:
        data += b"\0" + expires_after.to_bytes(8, "big")
    return bytes(keccak(data))


def signer(
    action: dict[str, Any],
    nonce: int,
    signature: dict[str, Any],
    vault: str | None,
    expires_after: int | None,
    mainnet: bool,
) -> str:
    """The address, in lower case, whose key made the signature. Raises `NotSigned`."""
    try:
        if action.get("type") in USER_SIGNED:
            message = _words(action, mainnet)
        else:
            message = _phantom_agent(action_hash(action, nonce, vault, expires_after), mainnet)
        vrs = (signature["v"], signature["r"], signature["s"])
        return str(Account.recover_message(encode_typed_data(full_message=message), vrs=vrs)).lower()
    except Exception as error:
        # Whatever the libraries say about bytes that somebody made up, they are no signature.
        raise NotSigned(str(error)) from error


def _phantom_agent(connection: bytes, mainnet: bool) -> dict[str, Any]:
    return {
        "domain": {"name": "Exchange", "version": "1", "chainId": 1337, "verifyingContract": NOWHERE},
        "primaryType": "Agent",
        "types": {
            "EIP712Domain": _DOMAIN_FIELDS,
            "Agent": [{"name": "source", "type": "string"}, {"name": "connectionId", "type": "bytes32"}],
        },
        "message": {"source": "a" if mainnet else "b", "connectionId": connection},
    }


def _words(action: dict[str, Any], mainnet: bool) -> dict[str, Any]:
    primary, fields = USER_SIGNED[action["type"]]
    return {
        "domain": {
            "name": "HyperliquidSignTransaction",
            "version": "1",
            "chainId": int(action["signatureChainId"], 16),
            "verifyingContract": NOWHERE,
        },
        "primaryType": primary,
        "types": {
            "EIP712Domain": _DOMAIN_FIELDS,
            primary: [{"name": name, "type": kind} for name, kind in fields],
        },
        # The chain's name is the venue's own, whatever the request says: or a testnet's signature would do elsewhere.
        "message": {
            **{name: action.get(name, "") for name, _ in fields},
            "hyperliquidChain": "Mainnet" if mainnet else "Testnet",
        },
    }


class Nonces:
    """Of all signers."""

    def __init__(self) -> None:
        self._used: dict[str, list[int]] = {}

    def take(self, signer: str, nonce: int, now_ms: int) -> str | None:
        """Use a nonce up, or say why it is refused."""
        if not now_ms - EARLY_MS < nonce < now_ms + LATE_MS:
            return f"Invalid nonce: {nonce} is too far from the time {now_ms}"
        used = self._used.setdefault(signer, [])
        if nonce in used:
            return f"Invalid nonce: duplicate nonce {nonce}"
        if len(used) == NONCES and nonce < used[0]:
            return f"Invalid nonce: {nonce} is below the lowest that is remembered"
        used.append(nonce)
        used.sort()
        del used[:-NONCES]
        return None
