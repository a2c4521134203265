"""Signing by a key of AWS KMS, which never leaves it.

The key's spec is ECC_NIST_EDWARDS25519 and it signs by ED25519_SHA_512, which is what Solana verifies; KMS takes it with unhashed
messages only, of at most 4,096 bytes. Region, credentials and address are the environment's (AWS_DEFAULT_REGION, AWS_PROFILE,
AWS_ENDPOINT_URL_KMS and the others), as for every AWS tool.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
)
from solders.pubkey import Pubkey
from solders.signature import Signature

from chain.signers.interface import SIGN_S, NotSigned, SigningFailed, Why

KEY_SPEC: Final = "ECC_NIST_EDWARDS25519"
ALGORITHM: Final = "ED25519_SHA_512"
_DER_HEAD: Final = bytes.fromhex("302a300506032b6570032100")
"""What stands before the 32 bytes of an Ed25519 public key in the form that KMS hands out (RFC 8410)."""
_THROTTLED: Final = frozenset({"ThrottlingException", "Throttling", "LimitExceededException"})
_UNUSABLE: Final = frozenset(
    {
        "DisabledException",
        "InvalidArnException",
        "InvalidKeyUsageException",
        "KMSInvalidStateException",
        "NotFoundException",
        "UnsupportedOperationException",
        "ValidationException",
    }
)
_SERVER_SIDE: Final = 500
_ERRORS: Final = (BotoCoreError, ClientError, aiohttp.ClientError)


class AwsKmsSigner:
    """One key of KMS, by its id, ARN or alias. The public key is read once: what the alias means later does not verify."""

    def __init__(self, client: Any, key: str, pubkey: Pubkey) -> None:
        self._client = client
        self._key = key
        self.pubkey = pubkey

    def __repr__(self) -> str:
        return f"AwsKmsSigner({self._key}, {self.pubkey})"

    async def sign(self, message: bytes) -> Signature | NotSigned:
        try:
            answer = await self._client.sign(
                KeyId=self._key, Message=message, MessageType="RAW", SigningAlgorithm=ALGORITHM
            )
            return Signature.from_bytes(answer["Signature"])
        except _ERRORS as error:
            return _reason(error)
        except (ValueError, LookupError, TypeError):
            return NotSigned(Why.WRONG, "KMS answered with something that is not a signature")


@asynccontextmanager
async def open_awskms(key: str) -> AsyncIterator[AwsKmsSigner]:
    """The signer of `key`. Raises `SigningFailed` when KMS does not tell its public key."""
    # One attempt: who asks for a signature asks again, and is told why it took so long.
    config = AioConfig(connect_timeout=SIGN_S / 2, read_timeout=SIGN_S / 2, retries={"total_max_attempts": 1})
    creating = get_session().create_client("kms", region_name=_region(key), config=config)
    async with AsyncExitStack() as held:
        try:
            client = await held.enter_async_context(creating)
        except (BotoCoreError, ValueError) as error:
            raise SigningFailed(_unusable(error)) from None
        yield AwsKmsSigner(client, key, await _public_key(client, key))


async def _public_key(client: Any, key: str) -> Pubkey:
    try:
        answer = await client.get_public_key(KeyId=key)
    except _ERRORS as error:
        raise SigningFailed(_reason(error)) from None
    except ValueError as error:
        raise SigningFailed(_unusable(error)) from None
    raw = answer.get("PublicKey", b"")
    if answer.get("KeySpec") != KEY_SPEC or ALGORITHM not in answer.get("SigningAlgorithms", ()):
        spec = answer.get("KeySpec")
        raise SigningFailed(
            NotSigned(Why.UNUSABLE, f"the key is one of {spec}, not of {KEY_SPEC} for signing")
        )
    if not raw.startswith(_DER_HEAD) or len(raw) != len(_DER_HEAD) + Pubkey.LENGTH:
        raise SigningFailed(
            NotSigned(Why.WRONG, "KMS answered with something that is not an Ed25519 public key")
        )
    return Pubkey.from_bytes(raw[len(_DER_HEAD) :])


def _region(key: str) -> str | None:
    """The region that an ARN names; of other names the environment knows it."""
    parts = key.split(":")
    return parts[3] if parts[0] == "arn" and len(parts) > 3 else None


def _unusable(error: Exception) -> NotSigned:
    """What in the environment leads to no KMS: nothing was asked yet."""
    match error:
        case NoRegionError() | InvalidRegionError():
            why = "KMS's region is not known: set AWS_DEFAULT_REGION, or name the key by its ARN"
            return NotSigned(Why.UNUSABLE, why)
        case BotoCoreError():
            # A profile that is not there, a file of profiles that cannot be read: nobody knows who we are.
            return NotSigned(Why.DENIED, f"no credentials for KMS: {error}; look at AWS_PROFILE")
    return NotSigned(Why.UNREACHABLE, f"KMS has no address: {error}; look at AWS_ENDPOINT_URL_KMS")


def _reason(error: Exception) -> NotSigned:
    match error:
        case ClientError():
            code = error.response.get("Error", {}).get("Code", "")
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return NotSigned(_why(code, status), f"KMS refuses: {error}")
        case NoCredentialsError() | PartialCredentialsError() | CredentialRetrievalError():
            return NotSigned(Why.DENIED, f"no credentials for KMS: {error}")
        case HTTPClientError() | ConnectionError() | aiohttp.ClientError():
            return NotSigned(Why.UNREACHABLE, f"KMS does not answer: {error}")
    return NotSigned(Why.WRONG, f"KMS's answer makes no sense: {error}")


def _why(code: str, status: int) -> Why:
    if code in _THROTTLED:
        return Why.THROTTLED
    if code in _UNUSABLE:
        return Why.UNUSABLE
    # What is left of the client's side are the many ways to say that we are not let in.
    return Why.UNREACHABLE if status >= _SERVER_SIDE else Why.DENIED
