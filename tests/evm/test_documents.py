"""The contracts' reference page says what the contracts are."""

import json
import re
from pathlib import Path

import pytest
from eth_abi.abi import encode
from eth_abi.exceptions import EncodingError

from chain.evm.abi import BUILD, load, signature
from chain.evm.batch import Batch, GoldOrder, Leg, decoded

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "evm-contracts.md").read_text()
CONTRACTS = ("Router", "VaultAccount", "AdapterMockGold")


def test_every_error_is_documented_with_its_selector_and_its_contracts():
    found = {}
    for name in CONTRACTS:
        for four, entry in load(name).errors.items():
            if entry["name"] not in ("Panic", "Error"):
                found.setdefault((signature(entry), four.hex()), []).append(name)
    rows = re.findall(r"^\| `(\w+\([\w,]*\))` \| `([0-9a-f]{8})` \| ([\w, ]+) \| .{3,} \|$", PAGE, re.M)
    assert {(name, four): contracts.split(", ") for name, four, contracts in rows} == found


def test_every_event_is_documented():
    section = PAGE[PAGE.index("## Events") : PAGE.index("## Errors")]
    for name in CONTRACTS:
        abi = json.loads((BUILD / f"{name}.json").read_text())["abi"]
        events = {entry["name"] for entry in abi if entry["type"] == "event"}
        rows = re.findall(rf"^\| {name} \| ([^|]+) \|", section, re.M)
        assert set(re.findall(r"`(\w+)`", " ".join(rows))) == events


def test_the_layout_of_a_batch():
    orders = [GoldOrder(bytes([9] * 32), -5, 7, 11), GoldOrder(bytes([8] * 32), 5, 2**64 - 1)]
    vaults = ["0x" + "0a" * 20, "0x" + "0b" * 20]
    legs = tuple(
        Leg("mock_gold", vault, 13, order.encoded()) for vault, order in zip(vaults, orders, strict=True)
    )
    batch = Batch(bytes([1] * 32), 1_700_000_000, True, legs)
    data = batch.encoded()

    def word(at):
        return int.from_bytes(data[at : at + 32])

    assert [word(0), data[32:64], word(64), word(96), word(128), word(160)] == [
        32,
        batch.id,
        1_700_000_000,
        1,
        128,
        2,
    ]
    for index, (vault, order) in enumerate(zip(vaults, orders, strict=True)):
        leg = 192 + word(192 + 32 * index)
        assert data[leg : leg + 32] == b"mock_gold".ljust(32, b"\0")
        assert data[leg + 44 : leg + 64].hex() == vault[2:]
        assert [word(leg + 64), word(leg + 96), word(leg + 128)] == [13, 128, 128]
        assert data[leg + 160 : leg + 192] == order.id
        assert int.from_bytes(data[leg + 192 : leg + 224], signed=True) == order.size
        assert [word(leg + 224), word(leg + 256)] == [order.limit_price, order.cash_out]
    assert decoded(data) == batch


@pytest.mark.parametrize(
    "how",
    [{"size": 2**127}, {"limit_price": 2**64}, {"limit_price": -1}, {"cash_out": 2**128}, {"id": b"x" * 33}],
)
def test_what_does_not_fit_is_not_encoded(how):
    given = {"id": bytes(32), "size": 1, "limit_price": 1, "cash_out": 0} | how
    with pytest.raises(EncodingError):
        GoldOrder(**given).encoded()


def test_an_id_of_an_adapter_is_at_most_a_word():
    with pytest.raises(EncodingError):
        Batch(bytes(32), 1, False, (Leg("x" * 33, "0x" + "00" * 20, 0, b""),)).encoded()
    assert encode(["bytes32"], [b"mock_gold"]) == b"mock_gold".ljust(32, b"\0")
