"""Files that an agent keeps for the day when nobody else can be asked: written whole or not at all, readable by their owner only."""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from perpdex_sdk.errors import NotProven

T = TypeVar("T")


def write(path: Path, content: msgspec.Struct) -> None:
    """`replace` the file by a struct as JSON."""
    replace(path, msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")


def replace(path: Path, data: bytes) -> None:
    """Replace the file at once: a crash leaves the old one or the new one, on disk."""
    _put(path, data, os.replace)


def write_once(path: Path, data: bytes) -> None:
    """Write the file unless there is one: a crash leaves none or a whole one, on disk, and of two writers at once the first wins."""
    with suppress(FileExistsError):
        _put(path, data, os.link)


def _put(path: Path, data: bytes, place: Callable[[str, Path], None]) -> None:
    """Write aside, and `place` what is whole and on disk."""
    _make_folder(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        place(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
        _sync_folder(path.parent)


def _make_folder(path: Path) -> None:
    """With those above it, all on disk: a folder that is lost takes what is in it along."""
    if not path.is_dir():
        _make_folder(path.parent)
        path.mkdir(exist_ok=True)
        _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read(path: Path, kind: type[T]) -> T:
    """Raises `NotProven` for what is no such file, `OSError` when it cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotProven("file_damaged", f"{path} is no {kind.__name__}: {error}") from error
