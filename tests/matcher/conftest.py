"""Journals on a real disk for the tests of the matcher: of numbered deposits, and those that older programs wrote."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from core.events import DepositCredited, Event
from matcher.journal import Journal
from matcher.records import decode, record_at
from matcher.recovery import End, replay

FIXTURES = Path(__file__).parent / "fixtures"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-layout",
        metavar="NAME",
        help="add the layout of records that are new or have grown, and the checksums of new files, to tests/matcher/fixtures",
    )


@pytest.fixture
def event() -> Callable[[int], DepositCredited]:
    """What the record of that number says."""
    return _event


@pytest.fixture
def write() -> Callable[..., Awaitable[None]]:
    return _write


@pytest.fixture
def read() -> Callable[..., tuple[list[int], End]]:
    return _read


@pytest.fixture
def golden() -> Callable[[str], list[Event]]:
    return _golden


def _event(number: int) -> DepositCredited:
    return DepositCredited(number, 16, number, f"key-{number}")


async def _write(directory: Path, count: int, *, start: int = 1, segment_bytes: int = 1 << 16) -> None:
    """Append `count` records to the journal in `directory` and wait until they are synced."""
    directory.mkdir(exist_ok=True)
    end = replay(directory, 0, lambda *_: None)
    done = asyncio.Event()
    journal = Journal(
        directory,
        end,
        asyncio.get_running_loop(),
        lambda sequence: done.set() if sequence == start + count - 1 else None,
        segment_bytes,
    )
    for number in range(start, start + count):
        journal.append([_event(number)])
    await done.wait()
    journal.close()


def _read(directory: Path, after: int = 0) -> tuple[list[int], End]:
    """Numbers of the records after `after`, each of which is as it was written, and where they end."""
    found: list[int] = []

    def visit(sequence: int, read_event: object) -> None:
        assert read_event == _event(sequence)
        found.append(sequence)

    return found, replay(directory, after, visit)


def _golden(name: str) -> list[Event]:
    """The events of a journal that an older program wrote."""
    events = []
    data = memoryview((FIXTURES / f"{name}.journal").read_bytes())
    offset = 0
    while (stored := record_at(data, offset)) is not None:
        events.append(decode(stored))
        offset = stored.end
    return events
