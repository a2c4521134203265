"""Signed messages of the Wormhole kind: a body, and signatures of numbered signers over its double keccak-256."""

from dataclasses import dataclass
from typing import Final

from coincurve import PublicKey
from Crypto.Hash import keccak

from oracles.reader import Reader
from oracles.refusal import Reason, Refused

VERSION: Final = 1
ADDRESS_BYTES: Final = 20
_SIGNATURE_BYTES: Final = 65


def keccak256(data: bytes) -> bytes:
    return bytes(keccak.new(digest_bits=256, data=data).digest())


@dataclass(frozen=True, slots=True)
class SignerSet:
    """Who may sign, how many of them must, and for which emitter's messages they are believed.

    `addresses` are the signers' Ethereum addresses in the order of their numbers. A set is trusted because it is configured or
    because the set before it signed it (`oracles.signers.rotated`).
    """

    name: str
    index: int
    addresses: tuple[bytes, ...]
    quorum: int
    emitter_chain: int
    emitter_address: bytes


@dataclass(frozen=True, slots=True)
class Vaa:
    """A parsed message. Nothing in it may be believed before `check_signatures`."""

    signer_set: int
    signatures: tuple[tuple[int, bytes], ...]
    timestamp: int
    emitter_chain: int
    emitter_address: bytes
    sequence: int
    payload: bytes
    digest: bytes


def parse_vaa(data: bytes) -> Vaa:
    """Take a message apart. Raises `Refused` when it is cut short or of another version."""
    reader = Reader(data)
    version = reader.unsigned(1)
    if version != VERSION:
        raise Refused(Reason.UNSUPPORTED_VERSION, f"message version {version}")
    signer_set = reader.unsigned(4)
    signatures = tuple((reader.unsigned(1), reader.take(_SIGNATURE_BYTES)) for _ in range(reader.unsigned(1)))
    body = reader.rest()
    reader = Reader(body)
    timestamp = reader.unsigned(4)
    reader.take(4)  # nonce: means nothing to a receiver
    chain, address, sequence = reader.unsigned(2), reader.take(32), reader.unsigned(8)
    reader.take(1)  # consistency level: the signers waited for it, not we
    return Vaa(
        signer_set, signatures, timestamp, chain, address, sequence, reader.rest(), keccak256(keccak256(body))
    )


def _signer(signature: bytes, digest: bytes) -> bytes:
    """Address of who made a recoverable signature."""
    try:
        key = PublicKey.from_signature_and_message(signature, digest, hasher=None)
    except ValueError as error:
        raise Refused(Reason.WRONG_SIGNATURE, str(error)) from None
    return keccak256(key.format(compressed=False)[1:])[-ADDRESS_BYTES:]


def check_signatures(vaa: Vaa, signers: SignerSet) -> None:
    """Raises `Refused` unless a quorum of `signers` signed and every signature given is right.

    Numbers must go up strictly, so no signer counts twice.
    """
    if len(vaa.signatures) < signers.quorum:
        raise Refused(
            Reason.NO_QUORUM, f"{len(vaa.signatures)} signatures, {signers.quorum} of {signers.name} needed"
        )
    before = -1
    for number, signature in vaa.signatures:
        if not before < number < len(signers.addresses):
            raise Refused(Reason.SIGNATURE_ORDER, f"signer {number} after {before}")
        before = number
        if _signer(signature, vaa.digest) != signers.addresses[number]:
            raise Refused(Reason.WRONG_SIGNATURE, f"not of signer {number} of {signers.name}")
