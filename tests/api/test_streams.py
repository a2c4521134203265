"""Records about very many accounts get into their streams part by part, as if they had come to the disk a little later; and how many
events memory has."""

import gc
from typing import Any

import msgspec
import pytest

from api.streams import HistoryUnavailable, Item, Streams
from core.events import DepositCredited, FundingSettled

ACCOUNTS = tuple(range(20, 31))


def funding(hour: int) -> FundingSettled:
    rates = (1, 720, 0, 2, 0, 10, 0, 0, 0, 600_000, len(ACCOUNTS), 0, 0, 0)
    return FundingSettled(1_000, 1, hour, *rates, tuple((account, 5) for account in ACCOUNTS))


def deposit(account: int) -> DepositCredited:
    return DepositCredited(1_000, account, 7, f"d{account}")


def told(items: list[tuple[int, Any]]) -> list[tuple[int, int, int]]:
    return [(account, item.number, item.seq) for account, item in items]


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Streams:
    monkeypatch.setattr("api.streams.PART", 4)
    return Streams({20: 100})


def test_a_record_about_few_is_in_its_stream_at_once(streams: Streams) -> None:
    assert told(streams.take(1, deposit(20))) == [(20, 101, 1)]
    assert not streams.behind
    assert streams.go_on() == []


def test_a_record_about_many_comes_in_parts_and_is_not_known_before(streams: Streams) -> None:
    assert streams.take(1, funding(9)) == []
    assert [streams.head(account) for account in (20, 21)] == [100, 0]
    assert streams.recent(20, 100) == []
    parts = []
    while streams.behind:
        parts.append(told(streams.go_on()))
    assert [len(part) for part in parts] == [4, 4, 3]
    assert [one for part in parts for one in part] == [
        (account, 101 if account == 20 else 1, 1) for account in ACCOUNTS
    ]
    assert [item.seq for item in streams.recent(30, 0) or ()] == [1]


def test_no_later_record_overtakes_it(streams: Streams) -> None:
    streams.take(1, funding(9))
    streams.take(2, funding(10))
    streams.go_on()
    assert told(streams.take(3, deposit(20))) == [(20, 102, 2), (20, 103, 3)]
    assert told(streams.take(4, deposit(30))) == [(30, 1, 1), (30, 2, 2), (30, 3, 4)]
    assert told(streams.take(5, deposit(99))) == [(99, 1, 5)]
    while streams.behind:
        streams.go_on()
    for account in ACCOUNTS:
        seqs = [item.seq for item in streams.recent(account, 100 if account == 20 else 0) or ()]
        assert seqs == {20: [1, 2, 3], 30: [1, 2, 4]}.get(account, [1, 2])


async def test_what_the_read_side_has_too_early_waits(streams: Streams) -> None:
    """The ledger has the record already; who reads on from there would otherwise get it twice."""
    streams.take(1, funding(9))
    taken = dict(Streams({20: 100}).take(2, deposit(20)))

    class Older:
        async def stream(self, account: int, after: int, limit: int) -> list[Any]:
            streams.go_on()
            return [msgspec.structs.replace(taken[20], number=number) for number in (99, 100, 101, 102)]

    streams.go_on()
    assert [item.number for item in await streams.after(20, 98, 10, Older())] == [99, 100, 101]


def kept(streams: Streams, account: int) -> list[int]:
    """Numbers that memory has, found as whoever resumes finds them."""
    resumes = (streams.recent(account, after) for after in range(streams.head(account)))
    return [item.number for item in next((items for items in resumes if items is not None), [])]


def test_memory_has_so_many_events_of_one_account(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.streams.KEPT_PER_ACCOUNT", 3)
    for seq in range(1, 4):
        streams.take(seq, deposit(21))
    assert kept(streams, 21) == [1, 2, 3]
    streams.take(4, deposit(21))
    assert kept(streams, 21) == [2, 3, 4]


def test_memory_has_so_many_events_of_all_accounts(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.streams.KEPT_PER_ACCOUNT", 3)
    monkeypatch.setattr("api.streams.KEPT_IN_ALL", 6)
    for seq, account in enumerate((21, 21, 22, 22, 23, 23), 1):
        streams.take(seq, deposit(account))
    assert [kept(streams, account) for account in (21, 22, 23)] == [[1, 2], [1, 2], [1, 2]]
    streams.take(7, deposit(22))
    assert [kept(streams, account) for account in (21, 22, 23)] == [[2], [1, 2, 3], [1, 2]], (
        "the quietest's oldest went"
    )
    streams.take(8, deposit(22))
    assert [kept(streams, account) for account in (21, 22, 23)] == [[2], [2, 3, 4], [1, 2]], "its own went"
    streams.take(9, deposit(24))
    assert [kept(streams, account) for account in (21, 22, 23, 24)] == [[], [2, 3, 4], [1, 2], [1]]


def test_what_is_kept_of_every_fill_costs_no_collection_anything(streams: Streams) -> None:
    streams.take(1, deposit(21))
    kept_event = streams.recent(21, 0)
    assert kept_event is not None
    assert not gc.is_tracked(kept_event[0])
    assert not gc.is_tracked(kept_event[0].event)


async def test_what_left_memory_comes_from_the_read_side(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.streams.KEPT_IN_ALL", 1)
    monkeypatch.setattr("api.streams.CATCH_UP_PAUSE", 0)
    streams.take(1, deposit(21))
    streams.take(2, deposit(22))
    stored = [Item(1, 1, deposit(21))]

    class Older:
        async def stream(self, account: int, after: int, limit: int) -> list[Item]:
            return [item for item in stored if item.number > after]

    assert await streams.after(21, 0, 10, Older()) == stored
    assert await streams.after(21, 1, 10, Older()) == []
    stored.clear()
    with pytest.raises(HistoryUnavailable):
        await streams.after(21, 0, 10, Older())
