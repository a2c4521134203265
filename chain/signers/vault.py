"""Signing by an Ed25519 key of HashiCorp Vault's transit engine, which never leaves it.

Address, token, namespace and certificates are the environment's (VAULT_ADDR, VAULT_TOKEN or ~/.vault-token, VAULT_NAMESPACE,
VAULT_CACERT), as for every Vault tool.
"""

import asyncio
import base64
import os
from typing import Any, Final

import hvac
import requests
from hvac.exceptions import (
    Forbidden,
    InvalidPath,
    InvalidRequest,
    RateLimitExceeded,
    Unauthorized,
    VaultError,
)
from solders.pubkey import Pubkey
from solders.signature import Signature

from chain.keys import KeyFileRefused
from chain.signers.interface import SIGN_S, NotSigned, SigningFailed, Why

KEY_TYPE: Final = "ed25519"
ANSWER_S: Final = SIGN_S * 0.8
"""Shorter than whoever waits, so that no thread stays behind."""
_NO_KEY: Final = "Vault answered with something that is not a key"
_ERRORS: Final = (VaultError, requests.RequestException, OSError)
"""Also what the system says of a file: certificates that are not there, a token that this user may not read."""
_NONSENSE: Final = (LookupError, TypeError, ValueError)


class VaultSigner:
    """One version of a transit key. A version of its own is a key of its own: rotating it in Vault changes nothing here."""

    def __init__(self, mount: str, key: str, version: int, pubkey: Pubkey) -> None:
        self._mount = mount
        self._key = key
        self._version = version
        self.pubkey = pubkey

    def __repr__(self) -> str:
        return f"VaultSigner({self._mount}/{self._key}, version {self._version}, {self.pubkey})"

    @staticmethod
    async def open(place: str) -> "VaultSigner":
        """The signer at ``MOUNT/KEY`` or ``MOUNT/KEY?version=N``, version 1 unless said.

        Raises `KeyFileRefused` for another form, `SigningFailed` when Vault does not tell the public key.
        """
        mount, key, version = _parts(place)
        found = await asyncio.to_thread(_public_key, mount, key, version)
        if isinstance(found, NotSigned):
            raise SigningFailed(found)
        return VaultSigner(mount, key, version, found)

    async def sign(self, message: bytes) -> Signature | NotSigned:
        return await asyncio.to_thread(self._asked, base64.b64encode(message).decode())

    def _asked(self, message: str) -> Signature | NotSigned:
        try:
            answer = _ask(
                "sign_data",
                mount_point=self._mount,
                name=self._key,
                hash_input=message,
                key_version=self._version,
            )
            vault, version, signature = answer["data"]["signature"].split(":")
            if (vault, version) != ("vault", f"v{self._version}"):
                return NotSigned(Why.WRONG, "Vault signed with another version of the key")
            return Signature.from_bytes(base64.b64decode(signature, validate=True))
        except _ERRORS as error:
            return _reason(error)
        except _NONSENSE:
            return NotSigned(Why.WRONG, "Vault answered with something that is not a signature")


def _ask(method: str, **arguments: Any) -> Any:
    """One call of the transit engine, with a client of its own: they are not for several threads, and each reads the token anew,
    which Vault's agent replaces from time to time."""
    client = hvac.Client(timeout=ANSWER_S, namespace=os.environ.get("VAULT_NAMESPACE"))
    try:
        return getattr(client.secrets.transit, method)(**arguments)
    finally:
        client.adapter.close()


def _public_key(mount: str, key: str, version: int) -> Pubkey | NotSigned:
    try:
        data = _ask("read_key", mount_point=mount, name=key)["data"]
        if data["type"] != KEY_TYPE or data.get("derived"):
            kind = f"derived {data['type']}" if data.get("derived") else data["type"]
            return NotSigned(Why.UNUSABLE, f"Vault's key {mount}/{key} is {kind}, not plain {KEY_TYPE}")
        if str(version) not in data["keys"]:
            return NotSigned(Why.UNUSABLE, f"Vault's key {mount}/{key} has no version {version}")
        raw = base64.b64decode(data["keys"][str(version)]["public_key"], validate=True)
        # Not left to the library, which panics instead of raising.
        return Pubkey.from_bytes(raw) if len(raw) == Pubkey.LENGTH else NotSigned(Why.WRONG, _NO_KEY)
    except _ERRORS as error:
        return _reason(error)
    except _NONSENSE:
        return NotSigned(Why.WRONG, _NO_KEY)


def _parts(place: str) -> tuple[str, str, int]:
    path, _, query = place.partition("?")
    mount, _, key = path.strip("/").rpartition("/")
    version = query.removeprefix("version=") if query else "1"
    if not mount or not key or not version.isdecimal():
        raise KeyFileRefused("a key in Vault is written vault:MOUNT/KEY or vault:MOUNT/KEY?version=N")
    return mount, key, int(version)


def _reason(error: Exception) -> NotSigned:
    match error:
        case RateLimitExceeded():
            return NotSigned(Why.THROTTLED, f"Vault asks for fewer calls: {error}")
        case Forbidden() | Unauthorized():
            return NotSigned(Why.DENIED, f"Vault refuses: {error}")
        case InvalidPath() | InvalidRequest():
            return NotSigned(Why.UNUSABLE, f"Vault has no such key to sign with: {error}")
        case OSError(filename=str()):
            # Of the files the system names only the token's: the library looks for certificates itself.
            return NotSigned(Why.DENIED, f"the token for Vault cannot be read: {error}")
    return NotSigned(Why.UNREACHABLE, f"Vault does not answer: {error}")
