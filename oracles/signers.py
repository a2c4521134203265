"""The signers that prices are believed from, and how one set hands over to the next.

Pyth's price roots were signed by Wormhole's guardians until 26 August 2026 and have been signed by Pyth's own five routers,
three of which must agree, since then. Only the routers are trusted by default.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from oracles.reader import Reader
from oracles.refusal import Reason, Refused
from oracles.vaa import ADDRESS_BYTES, SignerSet, check_signatures, parse_vaa

PUBLISHER: Final = "pyth"
"""Whose word a price is that these signers stand for, on whatever way it comes."""
PYTHNET: Final = 26
"""Wormhole's number of the chain that Pyth's price roots come from."""
GUARDIANS_EMITTER: Final = bytes.fromhex("e101faedac5851e32b9b23b5f9411a8c2bac4aae3ed4dd7b811dd1a72ea4aa71")
ROUTERS_EMITTER: Final = b"PythnetPythnetPythnetPythnetPyth"
GOVERNANCE: Final = (1, bytes(31) + b"\x04")
"""Chain and address that hand-overs are emitted from."""
_MODULE: Final = b"Core".rjust(32, b"\0")
_HAND_OVER: Final = 2
_HEXADECIMAL: Final = re.compile(r"[0-9a-fA-F]+").fullmatch

ROUTERS: Final = SignerSet(
    name="Pyth routers",
    index=1,
    addresses=tuple(
        bytes.fromhex(address)
        for address in (
            "41534bb176e461a3fb30479400f210549ecce638",
            "6502987b62f21cab7eb5ccd8f0173084b60d5b41",
            "44a3e8f6a382412cf6bb90a3f8106e68977476c9",
            "13edc776d3063549fdb0702af182edc905a539d4",
            "3af088854bb768065f4929e5bbdfa4cbb04c9af9",
        )
    ),
    quorum=3,
    emitter_chain=PYTHNET,
    emitter_address=ROUTERS_EMITTER,
)
"""Set 1, installed by a hand-over that four of set 0's five signed."""


def majority(count: int) -> int:
    """Routers: more than half."""
    return count // 2 + 1


def two_thirds(count: int) -> int:
    """Guardians: more than two thirds, 13 of 19."""
    return count * 2 // 3 + 1


def named_in(hand_over: bytes) -> tuple[int, tuple[bytes, ...]]:
    """Index and addresses of the set that a hand-over installs. Checks its shape, **not** its signatures."""
    vaa = parse_vaa(hand_over)
    if (vaa.emitter_chain, vaa.emitter_address) != GOVERNANCE:
        raise Refused(Reason.UNKNOWN_EMITTER, f"{vaa.emitter_chain}/{vaa.emitter_address.hex()}")
    reader = Reader(vaa.payload)
    module, action, chain = reader.take(32), reader.unsigned(1), reader.unsigned(2)
    if module != _MODULE or action != _HAND_OVER or chain != 0:
        raise Refused(
            Reason.WRONG_PAYLOAD, f"not a hand-over to a new signer set: action {action}, chain {chain}"
        )
    index = reader.unsigned(4)
    addresses = tuple(reader.take(ADDRESS_BYTES) for _ in range(reader.unsigned(1)))
    if not addresses or len(set(addresses)) != len(addresses) or reader.rest():
        raise Refused(Reason.WRONG_PAYLOAD, f"set {index} of {len(addresses)} signers is malformed")
    return index, addresses


def rotated(current: SignerSet, hand_over: bytes) -> SignerSet:
    """The set that `current` hands over to. The share that must agree stays what it was.

    Raises `Refused` unless a quorum of `current` signed it and it installs the next index.
    """
    index, addresses = named_in(hand_over)
    vaa = parse_vaa(hand_over)
    if vaa.signer_set != current.index or index != current.index + 1:
        raise Refused(
            Reason.UNKNOWN_SIGNER_SET, f"set {vaa.signer_set} installs {index}, current is {current.index}"
        )
    check_signatures(vaa, current)
    share = majority if current.quorum == majority(len(current.addresses)) else two_thirds
    return replace(current, index=index, addresses=addresses, quorum=share(len(addresses)))


def read_hand_overs(text: str) -> tuple[bytes, ...]:
    """Hand-overs as an operator keeps them in a file: one a line, oldest first, in hexadecimal or base64; ``#`` begins a comment.

    Raises `Refused` with the number of a line that is neither.
    """
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        stated = line.partition("#")[0].strip().removeprefix("0x")
        if not stated:
            continue
        try:
            # Messages of a dozen signatures: text of that length in both alphabets is hexadecimal beyond doubt.
            found.append(
                bytes.fromhex(stated) if _HEXADECIMAL(stated) else base64.b64decode(stated, validate=True)
            )
        except ValueError as error:
            raise Refused(Reason.WRONG_ENCODING, f"line {number}: {error}") from None
    return tuple(found)


def anchored(name: str, hand_over: bytes, emitter_address: bytes = GUARDIANS_EMITTER) -> SignerSet:
    """The set that a hand-over installs, trusted because the operator configured it: who signed it is **not** checked.

    More than two thirds must agree, as among guardians. Raises `Refused` when it is no hand-over.
    """
    index, addresses = named_in(hand_over)
    return SignerSet(name, index, addresses, two_thirds(len(addresses)), PYTHNET, emitter_address)


def trusted_now(hand_overs: Sequence[bytes], anchor: SignerSet = ROUTERS) -> SignerSet:
    """The set after the given hand-overs, oldest first: how an operator follows a rotation newer than this code.

    Each must be signed by the set before it, the first by `anchor`. Raises `Refused`.
    """
    signers = anchor
    for hand_over in hand_overs:
        signers = rotated(signers, hand_over)
    return signers


def named_signers(guardians: Path | None, hand_overs: Path | None) -> SignerSet:
    """Whose signatures prices are believed from, as the operator's files say; the routers where there are none.

    The first hand-over in `guardians` is believed as it stands, because the operator names it; all others must be signed. Raises
    `Refused` for those that the set before did not sign, and `OSError`.
    """
    anchor = ROUTERS
    if guardians is not None:
        given = read_hand_overs(guardians.read_text())
        if not given:
            raise Refused(Reason.WRONG_PAYLOAD, f"{guardians} holds no hand-over")
        anchor = trusted_now(given[1:], anchored("guardians", given[0]))
    return trusted_now(read_hand_overs(hand_overs.read_text()), anchor) if hand_overs is not None else anchor
