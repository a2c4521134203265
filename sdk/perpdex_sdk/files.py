"""Files that an agent keeps for the day when nobody else can be asked: written whole or not at all, readable by their owner only."""

import os
import tempfile
from pathlib import Path
from typing import TypeVar

import msgspec

from perpdex_sdk.errors import NotProven

T = TypeVar("T")


def write(path: Path, content: msgspec.Struct) -> None:
    """Replace the file at once: a crash leaves the old one or the new one, on disk."""
    data = msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read(path: Path, kind: type[T]) -> T:
    """Raises `NotProven` for what is no such file, `OSError` when it cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotProven(f"{path} is no {kind.__name__}: {error}") from error
