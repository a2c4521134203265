"""What workflows carry, encrypted before it leaves our processes: Temporal keeps ciphertext, and gives it back.

AES-256-GCM, a random nonce for each payload, the key's id beside the ciphertext and bound to it. Search attributes, workflow ids, the
types of workflows, activities and errors, and the notes of Schedules stay readable, because Temporal itself works with them.
"""

import base64
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter, PayloadCodec

from chain.keys import KeyFileRefused, read_secret
from workflows.failures import CodedFailures, EncodedCodedFailures

ENCODING: Final = b"binary/encrypted"
KEY_ID: Final = "encryption-key-id"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class PayloadUnreadable(Exception):
    """A payload that cannot be decrypted: by a key that is not in the file, or not what was encrypted."""

    code = "payload_unreadable"


class EncryptingCodec(PayloadCodec):
    """Encrypts with the first of its keys and decrypts with any. What was never encrypted passes as it is, so that workflows which
    began before there was a key go on."""

    def __init__(self, keys: Sequence[tuple[str, AESGCM]]) -> None:
        self._id, self._cipher = keys[0]
        self._keys = dict(keys)

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._encrypted(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Raises `PayloadUnreadable`: a workflow waits for the key, visibly, rather than to go on without its state."""
        return [
            self._decrypted(payload) if payload.metadata.get("encoding") == ENCODING else payload
            for payload in payloads
        ]

    def _encrypted(self, payload: Payload) -> Payload:
        nonce, id = os.urandom(NONCE_BYTES), self._id.encode()
        data = nonce + self._cipher.encrypt(nonce, payload.SerializeToString(), id)
        return Payload(metadata={"encoding": ENCODING, KEY_ID: id}, data=data)

    def _decrypted(self, payload: Payload) -> Payload:
        id = payload.metadata.get(KEY_ID, b"")
        cipher = self._keys.get(id.decode(errors="replace"))
        if cipher is None:
            raise PayloadUnreadable(
                f"a payload is encrypted with the key {id!r}, which PAYLOAD_KEYS does not have"
            )
        nonce, data = payload.data[:NONCE_BYTES], payload.data[NONCE_BYTES:]
        try:
            return Payload.FromString(cipher.decrypt(nonce, data, id))
        except (InvalidTag, ValueError, DecodeError):
            raise PayloadUnreadable(f"a payload is not what was encrypted with the key {id!r}") from None


def read_payload_keys(path: Path) -> EncryptingCodec:
    """The codec of a file that its owner alone can read: `ID:KEY` in each line, the key 32 bytes in base64, the first one encrypts.

    Raises `KeyFileRefused`.
    """
    keys = [_key(line) for line in read_secret(path).splitlines() if line.strip()]
    known = [key for key in keys if key is not None]
    # No line is held in a variable here: tracebacks may show variables.
    if len(known) < len(keys) or not known or len({id for id, _ in known}) < len(known):
        raise KeyFileRefused(
            f"{path} does not hold payload keys: a line each, ID:KEY with ids of letters, digits and ._-, all different, "
            "and keys from `openssl rand -base64 32`"
        )
    return EncryptingCodec(known)


def data_converter(keys: Path | None) -> DataConverter:
    """How every client and worker converts: without a file of keys as JSON in the clear. Raises `KeyFileRefused`."""
    if keys is None:
        return replace(pydantic_data_converter, failure_converter_class=CodedFailures)
    return replace(
        pydantic_data_converter,
        payload_codec=read_payload_keys(keys),
        # Messages and stack traces of failures quote what was being worked on.
        failure_converter_class=EncodedCodedFailures,
    )


def _key(line: bytes) -> tuple[str, AESGCM] | None:
    id, _, key = line.strip().partition(b":")
    try:
        raw = base64.b64decode(key, validate=True)
    except ValueError:
        return None
    return (id.decode(), AESGCM(raw)) if _ID.fullmatch(id) and len(raw) == KEY_BYTES else None
