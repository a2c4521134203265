"""The program's reference page says what the program's description says."""

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
IDL = json.loads((ROOT / "contracts" / "solana" / "escrow" / "idl.json").read_text())
PAGE = (ROOT / "docs" / "reference" / "escrow-program.md").read_text()
TYPES = {one["name"]: one["type"]["fields"] for one in IDL["types"]}
BYTES = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "i64": 8, "publicKey": 32}


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def size(kind: Any) -> int:
    if isinstance(kind, str):
        return BYTES[kind]
    if "array" in kind:
        return size(kind["array"][0]) * int(kind["array"][1])
    return sum(size(field["type"]) for field in TYPES[kind["defined"]])


def section(name: str) -> str:
    found = re.search(rf"^### {name}\n(.*?)(?=^##)", PAGE, re.M | re.S)
    assert found, name
    return found[1]


def test_every_field_stands_at_its_offset():
    layouts = [(one["name"], one["type"]["fields"], 8) for one in IDL["accounts"]]
    layouts += [(name, TYPES[name], 0) for name in ("Slot", "Settings", "Limits", "Outflow")]
    for name, fields, at in layouts:
        rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", section(name), re.M)
        expected = []
        for field in fields:
            expected.append((str(at), snake(field["name"])))
            at += size(field["type"])
        assert rows == expected, name


def test_every_refusal_has_its_code_and_meaning():
    rows = re.findall(r"^\| (\d{4}) \| `(\w+)` \| (.*) \|$", PAGE, re.M)
    assert rows == [(str(one["code"]), one["name"], one["msg"]) for one in IDL["errors"]]


def test_every_instruction_and_event_is_there():
    instructions = re.findall(r"^\| `([a-z_]+)` \| (?:escrow)", PAGE, re.M)
    assert instructions == [snake(one["name"]) for one in IDL["instructions"]]
    events = re.findall(r"^\| `([A-Z]\w+)` \| [a-z]", PAGE, re.M)
    assert events == [one["name"] for one in IDL["events"]]
