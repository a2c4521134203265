"""A journal that is damaged: a torn tail is repaired, anything else is named and stops the start."""

import struct
from contextlib import closing
from pathlib import Path
from zlib import crc32

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from endings import sentence
from matcher.records import CHECKED, RecordNewer, decode, encode, record_at
from matcher.recovery import JournalCorrupt
from matcher.segments import WATERMARK, segments
from matcher.tail import Tail


async def test_a_missing_segment_stops_the_start(tmp_path, write, read):
    for start in range(1, 6):
        await write(tmp_path / "j", 1, start=start, segment_bytes=60)
    files = [path for _, path in segments(tmp_path / "j")]
    assert len(files) == 5
    files[2].unlink()
    with pytest.raises(JournalCorrupt, match="record 3"):
        read(tmp_path / "j")
    files[0].unlink()
    with pytest.raises(JournalCorrupt, match="begins at record 2"):
        read(tmp_path / "j")


@pytest.fixture
def raw_journal(event):
    def write(directory: Path, unsynced: list[int]) -> tuple[Path, list[int]]:
        """A segment of records with the given `unsynced` counts; returns it and the offset at which each record ends."""
        directory.mkdir(exist_ok=True)
        data = b""
        ends = []
        for number, count in enumerate(unsynced, 1):
            data += encode(number, count, event(number))
            ends.append(len(data))
        path = directory / f"{1:020d}.journal"
        path.write_bytes(data + bytes(500))
        return path, ends

    return write


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_tail_cut_anywhere_loses_only_what_was_cut(tmp_path, read, raw_journal, data):
    path, ends = raw_journal(tmp_path / "j", [0, 0, 1, 2, 0])
    at = data.draw(st.integers(0, ends[-1]))
    content = bytearray(path.read_bytes())
    content[at:] = bytes(len(content) - at)
    path.write_bytes(content)
    found, end = read(tmp_path / "j")
    whole = sum(stop <= at for stop in ends)
    assert len(found) in (whole, whole + 1)
    assert end.sequence == len(found)
    assert read(tmp_path / "j") == (found, end)
    assert not any(path.read_bytes()[end.offset :])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_in_a_synced_record_is_named_and_changes_nothing(tmp_path, read, raw_journal, at, bit):
    path, ends = raw_journal(tmp_path / "j", [0, 0, 0, 0])
    at %= ends[2]
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(content)
    damaged = next(number for number, stop in enumerate(ends, 1) if at < stop)
    with pytest.raises(JournalCorrupt, match=f"record {damaged} is damaged"):
        read(tmp_path / "j")
    assert path.read_bytes() == content


def test_a_hole_among_records_that_were_never_synced_is_a_torn_tail(tmp_path, read, raw_journal):
    path, ends = raw_journal(tmp_path / "j", [0, 0, 1, 2, 3])
    content = bytearray(path.read_bytes())
    content[ends[2] + 4] ^= 1
    path.write_bytes(content)
    assert read(tmp_path / "j")[0] == [1, 2, 3]


def test_a_record_from_a_later_program_is_not_guessed_at(tmp_path, raw_journal):
    path, _ends = raw_journal(tmp_path / "j", [0])
    stored = record_at(memoryview(path.read_bytes()), 0)
    assert stored is not None
    with pytest.raises(RecordNewer, match="version 9"):
        decode(msgspec.structs.replace(stored, version=9))


@pytest.mark.parametrize(
    ("version", "payload", "why"),
    [(2, b"\xc0", "it has version 2"), (1, msgspec.msgpack.encode([99, 1]), "99")],
    ids=["version", "kind of event"],
)
def test_a_journal_of_a_newer_release_is_named_and_left_alone(
    tmp_path, event, read, raw_journal, version, payload, why
):
    path, ends = raw_journal(tmp_path / "j", [0, 0])
    checked = CHECKED.pack(3, 0, version) + payload
    newer = struct.pack("<II", len(payload), crc32(checked)) + checked
    content = bytearray(path.read_bytes())
    content[ends[-1] : ends[-1] + len(newer)] = newer
    path.write_bytes(content)
    (tmp_path / "j" / WATERMARK).write_bytes(struct.pack("@Q", 3))
    said = f"{path}: record 3 was written by a newer release .*{why}.*: go on with that release"
    with pytest.raises(JournalCorrupt, match=said) as refused:
        read(tmp_path / "j")
    assert sentence(refused.value) is not None
    with closing(Tail(tmp_path / "j", 0)) as tail, pytest.raises(JournalCorrupt, match=said):
        tail.read()
    assert path.read_bytes() == content


async def test_a_damaged_last_record_that_was_synced_stops_the_start(tmp_path, write, read):
    await write(tmp_path / "j", 6)
    ((_, path),) = segments(tmp_path / "j")
    content = bytearray(path.read_bytes())
    content[read(tmp_path / "j")[1].offset - 1] ^= 1
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(
            JournalCorrupt, match=r"up to record 5 only, but record 6 had been written safely"
        ):
            read(tmp_path / "j")
    assert path.read_bytes() == content
    (tmp_path / "j" / WATERMARK).unlink()
    assert read(tmp_path / "j")[0] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("kept", [0, 1, 2])
async def test_missing_last_segments_stop_the_start(tmp_path, write, read, kept):
    for start in range(1, 4):
        await write(tmp_path / "j", 1, start=start, segment_bytes=60)
    for _, path in segments(tmp_path / "j")[kept:]:
        path.unlink()
    with pytest.raises(
        JournalCorrupt, match=rf"up to record {kept} only, but record 3 had been written safely"
    ):
        read(tmp_path / "j")


@pytest.mark.parametrize("empty", [False, True])
async def test_a_snapshot_ahead_of_the_journal_stops_the_start(tmp_path, write, read, empty):
    await write(tmp_path / "j", 3)
    (tmp_path / "j" / WATERMARK).unlink()
    if empty:
        segments(tmp_path / "j")[0][1].unlink()
    with pytest.raises(
        JournalCorrupt, match=rf"ends at record {0 if empty else 3}, but the snapshot in use is of record 4"
    ):
        read(tmp_path / "j", after=4)


@pytest.mark.parametrize("torn", [1, 10, 30])
async def test_a_torn_tail_after_the_last_synced_record_is_repaired(tmp_path, event, write, read, torn):
    await write(tmp_path / "j", 6)
    end = read(tmp_path / "j")[1]
    assert end.path is not None
    content = bytearray(end.path.read_bytes())
    part = encode(7, 0, event(7))[:torn]
    content[end.offset : end.offset + torn] = part
    end.path.write_bytes(content)
    assert read(tmp_path / "j") == ([1, 2, 3, 4, 5, 6], end)
    assert not any(end.path.read_bytes()[end.offset :])
    await write(tmp_path / "j", 1, start=7)
    assert read(tmp_path / "j")[0] == [1, 2, 3, 4, 5, 6, 7]
