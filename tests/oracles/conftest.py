"""Recorded data, where this checkout has it."""

import json
from pathlib import Path
from typing import Any

import pytest

from oracles.signers import GUARDIANS_EMITTER, PYTHNET, named_in, two_thirds
from oracles.vaa import SignerSet

DATA = Path(__file__).parents[3] / "shared" / "data"


def recorded(path: str) -> Path:
    """A recorded file, or a skipped test."""
    found = DATA / path
    if not found.exists():
        pytest.skip(f"the recorded data is not beside this checkout: {found}")
    return found


def load(path: str) -> Any:
    return json.loads(recorded(path).read_text())


@pytest.fixture
def data():
    return recorded


@pytest.fixture
def pyth():
    return lambda name: load(f"pyth/{name}.json")


@pytest.fixture
def hand_overs(pyth) -> list[bytes]:
    """The recorded ones that installed Wormhole's guardian sets 3 and 4."""
    return [bytes.fromhex(item["vaa_hex"]) for item in pyth("wormhole-guardian-set-upgrade-vaas")["items"]]


@pytest.fixture
def guardians(hand_overs) -> tuple[SignerSet, ...]:
    """Guardian sets 3 and 4, as the recorded hand-overs name them."""
    sets = []
    for hand_over in hand_overs:
        index, addresses = named_in(hand_over)
        quorum = two_thirds(len(addresses))
        sets.append(SignerSet(f"guardians {index}", index, addresses, quorum, PYTHNET, GUARDIANS_EMITTER))
    return tuple(sets)
