"""A signer: a public key, and a way to have a message signed by its private key, wherever that is kept.

A signature that was asked for and did not come is unknown: the signer may have made it. Asking again is harmless. Ed25519 is
deterministic, so the same message gets the same signature, which is the same transaction, and a transaction lands at most once.
A signature that nobody received was not stored and therefore never sent.
"""

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from solders.pubkey import Pubkey
from solders.signature import Signature

SIGN_S: Final = 10.0
"""How long one signature may take; remote signers answer in milliseconds."""


class Why(StrEnum):
    """Stable codes of what keeps a signer from signing."""

    THROTTLED = "signer_throttled"
    """Asked too often: later it signs."""
    DENIED = "signer_denied"
    """We may not use the key, or nobody knows who we are."""
    UNREACHABLE = "signer_unreachable"
    """No answer, or none in time. Whether it signed is not known, and does not matter."""
    UNUSABLE = "signer_key_unusable"
    """There is no such key, or it is disabled, or not one of Ed25519 for signing."""
    WRONG = "signer_wrong_answer"
    """It answered with something that is not the key's signature over the message."""


@dataclass(frozen=True, slots=True)
class NotSigned:
    """Why there is no signature, for programs and for people. Never has a secret in it."""

    why: Why
    message: str


class SigningFailed(Exception):
    """There is no signature. `code` is one of `Why`; asking again is safe, whatever happened."""

    def __init__(self, reason: NotSigned) -> None:
        super().__init__(reason.message)
        self.code: str = reason.why
        self.reason = reason


class Signer(Protocol):
    """Signs with one private key, which it shows to nobody."""

    @property
    def pubkey(self) -> Pubkey: ...

    async def sign(self, message: bytes) -> Signature | NotSigned:
        """The signature over exactly these bytes; what is to be expected of a remote signer is a value, not an exception."""
        ...


async def signature_of(signer: Signer, message: bytes, seconds: float = SIGN_S) -> Signature:
    """The signer's signature over `message`, checked. Raises `SigningFailed`, also when it takes longer than `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            signature = await signer.sign(message)
    except TimeoutError:
        signature = NotSigned(
            Why.UNREACHABLE, f"the signer of {signer.pubkey} gave no answer in {seconds:g} s"
        )
    if isinstance(signature, NotSigned):
        raise SigningFailed(signature)
    if not signature.verify(signer.pubkey, message):
        raise SigningFailed(NotSigned(Why.WRONG, f"the signature that came is not one of {signer.pubkey}"))
    return signature
