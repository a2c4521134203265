"""Records about very many accounts get into their streams part by part, as if they had come to the disk a little later."""

from typing import Any

import pytest

from api.streams import Streams
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
            return [taken[20]._replace(number=number) for number in (99, 100, 101, 102)]

    streams.go_on()
    assert [item.number for item in await streams.after(20, 98, 10, Older())] == [99, 100, 101]
