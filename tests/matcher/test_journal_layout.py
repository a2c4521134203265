"""Journals that were written stay readable: a record only grows at its end under its version, and what was recorded of it stays.

`pytest tests/matcher/test_journal_layout.py --record-layout NAME` adds `fixtures/layout-v<version>-NAME.json` with the records that
are new or have grown, and the checksums of fixtures that have none yet. Neither is ever written over.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import msgspec.inspect as inspect
import pytest

from core.events import DURABLE
from matcher.records import VERSION

FIXTURES = Path(__file__).parent / "fixtures"
SUMS = FIXTURES / "SHA256SUMS"

Shape = Any
"""A name for what is one value, else a list: `array`, `tuple`, `union` or `enum` with its parts, or `struct` with its tag and fields,
each a name, a shape, and whether records without it are read."""
INT, STR, STRUCT = ["int", "str", "struct"]


def shape(type_: inspect.Type) -> Shape:
    match type_:
        case inspect.StructType(fields=fields, tag=tag, array_like=True):
            return [STRUCT, tag, [[one.name, shape(one.type), not one.required] for one in fields]]
        case inspect.VarTupleType(item_type=item):
            return ["array", shape(item)]
        case inspect.TupleType(item_types=items):
            return ["tuple", *map(shape, items)]
        case inspect.UnionType(types=types):
            return ["union", *sorted(map(shape, types), key=str)]
        case inspect.EnumType(cls=cls):
            return ["enum", *sorted(member.value for member in cls)]
        case inspect.IntType() | inspect.StrType() | inspect.BoolType() | inspect.NoneType():
            return type(type_).__name__.removesuffix("Type").lower()
    raise AssertionError(f"no rule says how {type_} lies on disk")


def misfits(old: Shape, new: Shape, where: str) -> list[str]:
    """Why a reader of `new` does not read what `old` wrote, one sentence each."""
    if isinstance(old, str) or isinstance(new, str) or old[0] != new[0]:
        return [] if old == new else [f"{where} was {old} and is {new}"]
    if old[0] == "enum":
        return [f"{where} lost {gone}" for gone in sorted(set(old) - set(new))]
    if old[0] == STRUCT:
        return _misfits_of_struct(old, new, where)
    if len(old) != len(new):
        return [f"{where} had {len(old) - 1} parts and has {len(new) - 1}"]
    return [why for before, now in zip(old[1:], new[1:], strict=True) for why in misfits(before, now, where)]


def _misfits_of_struct(old: Shape, new: Shape, where: str) -> list[str]:
    found = [] if old[1] == new[1] else [f"{where} had tag {old[1]} and has {new[1]}"]
    for place, (name, before, optional) in enumerate(old[2]):
        now = new[2][place] if place < len(new[2]) else ["nothing", None, True]
        if now[0] != name:
            found.append(f"{where}: {now[0]} stands where {name} was")
            continue
        if optional and not now[2]:
            found.append(f"{where}.{name} had a default")
        found += misfits(before, now[1], f"{where}.{name}")
    return found + [
        f"{where}.{name} is new and has no default" for name, _, has in new[2][len(old[2]) :] if not has
    ]


def current() -> dict[str, Shape]:
    """By tag: the name of a record's class is nowhere on disk."""
    shapes = [shape(inspect.type_info(kind)) for kind in get_args(DURABLE)]
    return {str(one[1]): one for one in shapes}


def recorded(version: int) -> list[dict[str, Shape]]:
    """What was recorded under a version, in the order of the checksums."""
    prefix = f"layout-v{version}-"
    return [json.loads((FIXTURES / name).read_text()) for name in sums() if name.startswith(prefix)]


def sums() -> dict[str, str]:
    lines = SUMS.read_text().splitlines() if SUMS.exists() else []
    return {name: checksum for checksum, name in (line.split() for line in lines)}


def checksum(name: str) -> str:
    return sha256((FIXTURES / name).read_bytes()).hexdigest()


@pytest.fixture(autouse=True)
def record(request: pytest.FixtureRequest) -> None:
    name = request.config.getoption("--record-layout", default=None)
    if name is None:
        return
    known = {tag: one for file in recorded(VERSION) for tag, one in file.items()}
    grown = {tag: one for tag, one in current().items() if known.get(tag) != one}
    path = FIXTURES / f"layout-v{VERSION}-{name}.json"
    if grown and not path.exists():
        lines = ",\n".join(f'"{tag}": {json.dumps(one)}' for tag, one in sorted(grown.items()))
        path.write_text("{\n" + lines + "\n}\n")
    missing = sorted({one.name for one in FIXTURES.iterdir()} - {SUMS.name} - sums().keys())
    with SUMS.open("a") as file:
        file.writelines(f"{checksum(one)}  {one}\n" for one in missing)


def test_what_was_recorded_is_never_written_over():
    assert {name: checksum(name) for name in sums()} == sums()
    assert {one.name for one in FIXTURES.iterdir()} == {SUMS.name, *sums()}


def test_each_version_has_its_journals_and_its_layout():
    for version in range(1, VERSION + 1):
        assert f"golden-v{version}.journal" in sums()
        assert recorded(version)


def test_records_only_grow_at_their_end():
    now = current()
    found = [
        why
        for layout in recorded(VERSION)
        for tag, old in layout.items()
        for why in (misfits(old, now[tag], f"record {tag}") if tag in now else [f"record {tag} is gone"])
    ]
    assert not found, "raise VERSION, and keep a reader of the old one: " + "; ".join(found)


def test_the_layout_of_today_is_recorded():
    known = {tag: one for layout in recorded(VERSION) for tag, one in layout.items()}
    assert known == current(), "run this file with --record-layout NAME, and add a golden journal"


@pytest.mark.parametrize(
    ("new", "why"),
    [
        ([STRUCT, 1, [["a", INT, False], ["b", STR, True], ["c", INT, True]]], []),
        ([STRUCT, 1, [["a", INT, True], ["b", STR, True]]], []),
        (
            [STRUCT, 1, [["a", INT, False], ["b", STR, True], ["c", INT, False]]],
            ["r.c is new and has no default"],
        ),
        (
            [STRUCT, 1, [["b", STR, True], ["a", INT, True]]],
            ["r: b stands where a was", "r: a stands where b was"],
        ),
        ([STRUCT, 1, [["a", INT, False]]], ["r: nothing stands where b was"]),
        ([STRUCT, 1, [["a", STR, False], ["b", STR, True]]], ["r.a was int and is str"]),
        ([STRUCT, 1, [["a", INT, False], ["b", STR, False]]], ["r.b had a default"]),
        ([STRUCT, 2, [["a", INT, False], ["b", STR, True]]], ["r had tag 1 and has 2"]),
    ],
    ids=["grown", "now optional", "required", "swapped", "shorter", "retyped", "default gone", "other tag"],
)
def test_what_a_reader_of_today_cannot_read_is_told(new, why):
    assert misfits([STRUCT, 1, [["a", INT, False], ["b", STR, True]]], new, "r") == why


def test_what_lies_within_a_record_is_compared_too():
    inner = [STRUCT, None, [["a", INT, False]]]
    assert misfits(["array", inner], ["array", [STRUCT, None, []]], "r") == ["r: nothing stands where a was"]
    assert misfits(["enum", 1, 2], ["enum", 1, 2, 3], "r") == []
    assert misfits(["enum", 1, 2], ["enum", 1], "r") == ["r lost 2"]
    assert misfits(["tuple", INT, INT], ["tuple", INT], "r") == ["r had 2 parts and has 1"]
    assert misfits(["union", INT, "none"], INT, "r") == ["r was ['union', 'int', 'none'] and is int"]
